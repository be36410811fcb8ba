# The external test: labelled images of another source, on which each network is tested as well. No training depends on it.
#
# Requires: a folder or list of labelled images (`external`); runs/{experiment}/seed_{seed}/ model.keras, training.json;
#           evaluation/{experiment}.json, the task's split and images.parquet
# Makes:    external/images.parquet, external/{experiment}.json, .csv; runs/{experiment}/seed_{seed}/external_predictions.csv

EXTERNAL_RESULTS = [RESULTS / f"external/{name}.json" for name in SELECTED] if CONFIG.external else []


if CONFIG.external:
    from cxrflow.images.external import external_fingerprint  # loads pandas

    EXTERNAL = Path(CONFIG.external)
    EXTERNAL_LIST = EXTERNAL if EXTERNAL.is_file() else []
    EXTERNAL_SEEN = (
        RESULTS / "external/images_seen.json"
    )  # not an output, since it must remain when the index is rebuilt
    try:
        EXTERNAL_FINGERPRINT = external_fingerprint(EXTERNAL, EXTERNAL_SEEN)
    except UserError as error:
        raise WorkflowError(*error.messages) from None

    rule index_external:
        """List the images of the external test with their contents' hashes."""
        message:
            "List the images of {params.classes} of the external test, {params.external}."
        input:
            image_list=EXTERNAL_LIST,
        output:
            images=RESULTS / "external/images.parquet",
        params:
            external=EXTERNAL,
            classes=CLASSES,
            settings=lambda wildcards: settings_for("index_external"),  # a function, since names may contain braces, which are not wildcards
            contents=contents_of(EXTERNAL_LIST),
            fingerprint=EXTERNAL_FINGERPRINT,
            seen=EXTERNAL_SEEN,
            known=RESULTS / "external/images_known.parquet",
            store=PIXELS,
            # Functions of `input`, so not recorded: evaluate_external decodes images that are not in the store.
            sizes=lambda wildcards, input: SIZES,
            resampling=lambda wildcards, input: CONFIG.resampling,
            code=code_of("index_external"),
        log:
            RESULTS / "logs/index_external.log",
        benchmark:
            RESULTS / "benchmarks/index_external.tsv"
        threads: 2
        resources:
            mem_mb=1000,
            runtime=240,
            disk_mb=2000,
        conda:
            ENVIRONMENT
        shell:
            """
            python -m cxrflow.stages.index_external \
                --external {params.external:q} \
                --classes {params.classes:q} \
                --settings {params.settings:q} \
                --workers {threads:q} \
                --fingerprint {params.fingerprint:q} \
                --record {params.seen:q} \
                --cache {params.known:q} \
                --store {params.store:q} \
                --sizes {params.sizes:q} \
                --resampling {params.resampling:q} \
                --images {output.images:q} 2>&1 | tee {log:q}
            """

    rule evaluate_external:
        """Predict the images of the external test."""
        message:
            "Predict the images of the external test with {wildcards.experiment}, seed {wildcards.seed}."
        input:
            model=rules.train_model.output.model,
            training=rules.train_model.output.training,
            images=rules.index_external.output.images,
        output:
            predictions=RESULTS / "runs/{experiment}/seed_{seed}/external_predictions.csv",
        params:
            external=EXTERNAL,
            store=PIXELS,
            threads=CONFIG.threads,
            device=CONFIG.device,
            trainings_per_gpu=lambda wildcards, input: CONFIG.trainings_per_gpu,  # not recorded, since no result depends on it
            variables=VARIABLES,
            code=code_of("evaluate_external"),
        log:
            RESULTS / "logs/evaluate_external/{experiment}/seed_{seed}.log",
        benchmark:
            RESULTS / "benchmarks/evaluate_external/{experiment}/seed_{seed}.tsv"
        threads: CONFIG.threads
        resources:
            mem_mb=3000,
            runtime=60,
            disk_mb=1000,
        conda:
            ENVIRONMENT
        shell:
            """
            python -m cxrflow.stages.evaluate_external \
                --model {input.model:q} \
                --training {input.training:q} \
                --external {params.external:q} \
                --external-images {input.images:q} \
                --store {params.store:q} \
                --threads {params.threads:q} \
                --device {params.device:q} \
                --trainings-per-gpu {params.trainings_per_gpu:q} \
                --predictions {output.predictions:q} 2>&1 | tee {log:q}
            """

    rule measure_external:
        """Compute all metrics of an experiment on the external test, and the drops from its test images."""
        message:
            "Measure the results of {wildcards.experiment} on the external test."
        input:
            predictions=lambda wildcards: runs(
                "runs/{experiment}/seed_{seed}/external_predictions.csv", only=wildcards.experiment
            ),
            validation=lambda wildcards: runs(
                "runs/{experiment}/seed_{seed}/validation_predictions.csv", only=wildcards.experiment
            ),
            training=lambda wildcards: runs("runs/{experiment}/seed_{seed}/training.json", only=wildcards.experiment),
            split=split_of,
            images=rules.index_images.output.images,
            external=rules.index_external.output.images,
            internal=rules.measure_results.output.evaluation,
        output:
            evaluation=RESULTS / "external/{experiment}.json",
            table=RESULTS / "external/{experiment}.csv",
        params:
            runs=lambda wildcards: RESULTS / "runs" / wildcards.experiment,
            seeds=lambda wildcards: SELECTED[wildcards.experiment],
            code=code_of("measure_external"),
        log:
            RESULTS / "logs/measure_external/{experiment}.log",
        benchmark:
            RESULTS / "benchmarks/measure_external/{experiment}.tsv"
        resources:
            mem_mb=1000,
            runtime=60,
            disk_mb=1000,
        conda:
            ENVIRONMENT
        shell:
            """
            python -m cxrflow.stages.measure_external \
                --runs {params.runs:q} \
                --seeds {params.seeds:q} \
                --split {input.split:q} \
                --images {input.images:q} \
                --external-images {input.external:q} \
                --internal {input.internal:q} \
                --evaluation {output.evaluation:q} \
                --table {output.table:q} 2>&1 | tee {log:q}
            """
