# The last stages: the scorecard of the study's statements, and the report.
#
# Requires: everything before
# Makes:    scorecard.csv, seals.json (if the config names claims), report/index.html

from cxrflow.publication.folder import OF_PLOTS, OF_RUN, files_of_evaluation

PAGE = PROJECT / "workflow" / "report" / "page"
# Rules get these lists from functions: for lists given directly, Snakemake's time grows with the square of their length.
RUN_FILES = [file for name in OF_RUN for file in runs(f"runs/{{experiment}}/seed_{{seed}}/{name}")]
PLOTS = [file for name in OF_PLOTS for file in runs(f"plots/{{experiment}}/seed_{{seed}}/{name}")]
EVALUATION = [RESULTS / name for name in files_of_evaluation(SELECTED)]
CROSS_VALIDATED = [RESULTS / f"evaluation/folds/{name}.json" for name in SELECTED if CONFIG.folds]
EXPLANATIONS = runs("runs/{experiment}/seed_{seed}/explanations.json", EXPLAINED)
HEAT_MAPS = runs("plots/{experiment}/seed_{seed}/heat_maps.json", EXPLAINED) if CONFIG.embed_images != "none" else []
PLANS = sorted(
    {manifest_of(SimpleNamespace(experiment=name, seed=seed)) for name, seeds in SELECTED.items() for seed in seeds}
)
AUGMENTED = CONFIG.augmentation != "none" and CONFIG.embed_images != "none"
SHEETS = [RESULTS / f"plots/augmentation/{task}.json" for task in TASKS] if AUGMENTED else []
PAGE_FILES = sorted(path for path in PAGE.rglob("*") if path.is_file())
OPEN_POINTS = [existing(CONFIG.open_points, "open_points")] if CONFIG.open_points else []
LOCK = PROJECT / "envs" / f"{CONFIG.environment}.lock"
SEALS = RESULTS / "seals.json"  # written before the first job; not an output, since it must remain
EVERYTHING = whole_settings(CONFIG)
# Files, since the settings of hundreds of experiments are too long for an argument.
SETTINGS_FILE, SELECTED_FILE = handed_on(HANDED_ON, "settings", EVERYTHING), handed_on(HANDED_ON, "selected", SELECTED)
EXPLAINED_FILE = handed_on(HANDED_ON, "explained", EXPLAINED)


if CLAIMS:

    rule score_claims:
        """Judge each claim by its rule."""
        message:
            "Judge each statement of {input.claims} by its rule."
        input:
            runs=lambda wildcards: RUN_FILES,
            claims=existing(CLAIMS, "claims"),
            splits=SPLITS,
            networks=rules.describe_networks.output.networks,
            audit=rules.audit_data.output.audit,
        output:
            scorecard=report(SCORECARD, caption="../report/scorecard.rst", category="Scorecard"),
        params:
            settings=SETTINGS_FILE,
            selected=SELECTED_FILE,
            runs=RESULTS / "runs",
            splits=RESULTS / "split",
            seals=SEALS,
            contents=contents_of(CLAIMS),
            code=code_of("score_claims"),
        log:
            RESULTS / "logs/score_claims.log",
        benchmark:
            RESULTS / "benchmarks/score_claims.tsv"
        localrule: True  # seconds of work on small files, too little for a job on a cluster
        resources:
            mem_mb=500,
            runtime=60,
            disk_mb=1000,
        conda:
            ENVIRONMENT
        shell:
            """
            python -m cxrflow.stages.score_claims \
                --claims {input.claims:q} \
                --settings {params.settings:q} \
                --selected {params.selected:q} \
                --runs {params.runs:q} \
                --splits {params.splits:q} \
                --seals {params.seals:q} \
                --networks {input.networks:q} \
                --audit {input.audit:q} \
                --scorecard {output.scorecard:q} 2>&1 | tee {log:q}
            """


rule assemble_report:
    """Write the report: what was run, how it deviates from the study, the results, and how reliable they are."""
    message:
        "Write the report, {output.page}."
    input:
        study=STUDY_FILES,
        open_points=OPEN_POINTS,
        lock=LOCK,
        runs=lambda wildcards: RUN_FILES,
        plots=lambda wildcards: PLOTS,
        evaluation=lambda wildcards: EVALUATION,
        folds=lambda wildcards: CROSS_VALIDATED,
        explanations=lambda wildcards: EXPLANATIONS + HEAT_MAPS,
        external=lambda wildcards: EXTERNAL_RESULTS,
        sheets=SHEETS,
        splits=SPLITS,
        plans=lambda wildcards: PLANS,
        networks=rules.describe_networks.output.networks,
        audit=rules.audit_data.output.audit,
        rivals=rules.audit_data.output.rivals,
        scorecard=SCORECARD,
        page=PAGE_FILES,
    output:
        page=report(
            RESULTS / "report" / "index.html",
            caption="../report/page.rst",
            category="Report",
        ),
    params:
        settings=SETTINGS_FILE,
        selected=SELECTED_FILE,
        explained=EXPLAINED_FILE,
        runs=RESULTS / "runs",
        plots=RESULTS / "plots",
        evaluation=RESULTS / "evaluation",
        plans=RESULTS / "augmentation",
        page=PAGE,
        contents=contents_of([*STUDY_FILES, *OPEN_POINTS, LOCK], PAGE_FILES),
        sheets=["--sheets", *SHEETS] if SHEETS else [],
        folds=["--folds", *CROSS_VALIDATED] if CROSS_VALIDATED else [],
        external=["--external-results", *EXTERNAL_RESULTS] if EXTERNAL_RESULTS else [],
        scorecard=["--scorecard", SCORECARD] if CLAIMS else [],
        study=["--study", STUDY_FILES[0]] if STUDY_FILES else [],
        open_points=["--open-points", *OPEN_POINTS] if OPEN_POINTS else [],
        code=code_of("assemble_report"),
    log:
        RESULTS / "logs/assemble_report.log",
    benchmark:
        RESULTS / "benchmarks/assemble_report.tsv"
    localrule: True  # seconds of work on small files, too little for a job on a cluster
    resources:
        mem_mb=500,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.assemble_report \
            --settings {params.settings:q} \
            --selected {params.selected:q} \
            --explained {params.explained:q} \
            --runs {params.runs:q} \
            --plots {params.plots:q} \
            --networks {input.networks:q} \
            --audit {input.audit:q} \
            --rivals {input.rivals:q} \
            {params.study:q} \
            {params.open_points:q} \
            --locked-versions {input.lock:q} \
            --splits {input.splits:q} \
            --evaluation {params.evaluation:q} \
            {params.folds:q} \
            --plans {params.plans:q} \
            {params.sheets:q} \
            {params.external:q} \
            {params.scorecard:q} \
            --page {params.page:q} \
            --report {output.page:q} 2>&1 | tee {log:q}
        """
