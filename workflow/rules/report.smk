# The last stages: the scorecard of the study's statements, and the page that tells all.
#
# Requires: everything before
# Makes:    scorecard.csv (where the config names claims), report/index.html

PAGE = PROJECT / "workflow" / "report" / "page"
OF_RUNS = (
    "history.csv",
    "timing.csv",
    "training.json",
    "predictions.csv",
    "metrics.json",
    "embedding.csv",
    "separation.json",
)
# Handed to rules by functions: with long lists as they stand, Snakemake takes a time that grows with their square.
RUN_FILES = [file for name in OF_RUNS for file in runs(f"runs/{{experiment}}/seed_{{seed}}/{name}")]
PLOTS = [
    file
    for name in ("curves", "confusion", "embedding")
    for file in runs(f"plots/{{experiment}}/seed_{{seed}}/{name}.svg")
]
TASKS = sorted({keys.task for keys in CONFIG.selected().values()})
SPLITS = [RESULTS / f"split/{task}.csv" for task in TASKS]
AUGMENTED = CONFIG.augmentation != "none" and CONFIG.embed_images != "none"
SHEETS = [RESULTS / f"plots/augmentation/{task}.json" for task in TASKS] if AUGMENTED else []
PAGE_FILES = sorted(path for path in PAGE.rglob("*") if path.is_file())
FILES_OF_REPORT = {
    "assumptions": RESOURCES / "assumptions.csv",
    "study_config": PROJECT / "config.yaml",
    "lock": PROJECT / "envs" / f"{CONFIG.environment}.lock",
}
# Handed to rules by a function, too: Snakemake takes braces in a text, such as those of a folder's name, for wildcards.
EVERYTHING = canonical_json(whole_settings(CONFIG))


# Seconds of work on small files: not worth a cluster's job.
localrules:
    score_claims,
    assemble_report,


if CLAIMS:

    rule score_claims:
        """Judge each claim by its rule."""
        message:
            "Judge each statement of {input.claims} by its rule."
        input:
            runs=lambda wildcards: RUN_FILES,
            claims=existing(CLAIMS, "claims"),
            networks=rules.describe_networks.output.networks,
            audit=rules.audit_data.output.audit,
        output:
            scorecard=report(SCORECARD, caption="../report/scorecard.rst", category="Scorecard"),
        params:
            settings=lambda wildcards: EVERYTHING,
            selected=canonical_json(SELECTED),
            runs=RESULTS / "runs",
            contents=contents_of(CLAIMS),
            code=code_hash("cxrflow.score_claims"),
        log:
            RESULTS / "logs/score_claims.log",
        benchmark:
            RESULTS / "benchmarks/score_claims.tsv"
        resources:
            mem_mb=500,
        conda:
            ENVIRONMENT
        shell:
            """
            python -m cxrflow.score_claims \
                --claims {input.claims:q} \
                --settings {params.settings:q} \
                --selected {params.selected:q} \
                --runs {params.runs:q} \
                --networks {input.networks:q} \
                --audit {input.audit:q} \
                --scorecard {output.scorecard:q} 2>&1 | tee {log:q}
            """


rule assemble_report:
    """Write the page: what was run, how it deviates from the study, what came out, what it is worth."""
    message:
        "Write the report, {output.page}."
    input:
        **FILES_OF_REPORT,
        runs=lambda wildcards: RUN_FILES,
        plots=lambda wildcards: PLOTS,
        sheets=SHEETS,
        splits=SPLITS,
        networks=rules.describe_networks.output.networks,
        audit=rules.audit_data.output.audit,
        scorecard=SCORECARD,
        page=PAGE_FILES,
    output:
        page=report(
            RESULTS / "report" / "index.html",
            caption="../report/page.rst",
            category="Report",
        ),
    params:
        settings=lambda wildcards: EVERYTHING,
        selected=canonical_json(SELECTED),
        runs=RESULTS / "runs",
        plots=RESULTS / "plots",
        page=PAGE,
        contents=contents_of(FILES_OF_REPORT.values(), PAGE_FILES),
        sheets=["--sheets", *SHEETS] if SHEETS else [],
        scorecard=["--scorecard", SCORECARD] if CLAIMS else [],
        code=code_hash("cxrflow.assemble_report"),
    log:
        RESULTS / "logs/assemble_report.log",
    benchmark:
        RESULTS / "benchmarks/assemble_report.tsv"
    resources:
        mem_mb=500,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.assemble_report \
            --settings {params.settings:q} \
            --selected {params.selected:q} \
            --runs {params.runs:q} \
            --plots {params.plots:q} \
            --networks {input.networks:q} \
            --audit {input.audit:q} \
            --assumptions {input.assumptions:q} \
            --study-config {input.study_config:q} \
            --locked-versions {input.lock:q} \
            --splits {input.splits:q} \
            {params.sheets:q} \
            {params.scorecard:q} \
            --page {params.page:q} \
            --report {output.page:q} 2>&1 | tee {log:q}
        """
