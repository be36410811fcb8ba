# Evaluation of trained networks: predictions and metrics on the test images, features, t-SNE, explanations, and their plots.
#
# Requires: runs/{experiment}/seed_{seed}/ model.keras, history.csv, training.json; the task's split and pixels; images.parquet
# Makes:    runs/…/ predictions.csv, validation_predictions.csv, metrics.json, features.npz, embedding.csv, separation.json;
#           evaluation/ {experiment}.json, {experiment}.csv, comparisons.json, with `folds` also folds/{experiment}.json, .csv,
#           from the runs of {experiment}@repeat_{repeat}.fold_{fold}; plots/{experiment}/evaluation.svg;
#           plots/{experiment}/seed_{seed}/ curves.svg, confusion.svg, embedding.svg;
#           of the networks that `explain` selects, runs/…/ explanations.json, heat.npz, and, where X-rays or phantoms may be
#           shown, plots/…/ explanations.svg, heat_maps.json


COMPARED = {name: {"task": CONFIG.selected()[name].task, "seeds": SELECTED[name]} for name in SELECTED}


rule evaluate_model:
    """Predict the test and the validation images, and compute the metrics of the test images."""
    message:
        "Predict the test and validation images with {wildcards.experiment}, seed {wildcards.seed}."
    input:
        model=rules.train_model.output.model,
        training=rules.train_model.output.training,
        split=split_of,
        pixels=pixels_of,
    output:
        predictions=RESULTS / "runs/{experiment}/seed_{seed}/predictions.csv",
        validation=RESULTS / "runs/{experiment}/seed_{seed}/validation_predictions.csv",
        metrics=RESULTS / "runs/{experiment}/seed_{seed}/metrics.json",
    wildcard_constraints:
        experiment=pattern_of(SELECTED, with_folds=True),
    params:
        positive=lambda wildcards: canonical_json(settings_of(wildcards.experiment)["positive"]),
        threads=CONFIG.threads,
        device=CONFIG.device,
        trainings_per_gpu=lambda wildcards, input: CONFIG.trainings_per_gpu,  # not recorded, since no result depends on it
        variables=VARIABLES,
        code=code_of("evaluate_model"),
    log:
        RESULTS / "logs/evaluate_model/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/evaluate_model/{experiment}/seed_{seed}.tsv"
    threads: CONFIG.threads
    resources:
        mem_mb=3000,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.evaluate_model \
            --model {input.model:q} \
            --training {input.training:q} \
            --split {input.split:q} \
            --pixels {input.pixels:q} \
            --threads {params.threads:q} \
            --device {params.device:q} \
            --trainings-per-gpu {params.trainings_per_gpu:q} \
            --positive {params.positive:q} \
            --predictions {output.predictions:q} \
            --validation-predictions {output.validation:q} \
            --metrics {output.metrics:q} 2>&1 | tee {log:q}
        """


rule measure_results:
    """Compute all metrics of an experiment with intervals, over its seeds and beside baselines."""
    message:
        "Measure the results of {wildcards.experiment}, with intervals."
    input:
        predictions=lambda wildcards: runs("runs/{experiment}/seed_{seed}/predictions.csv", only=wildcards.experiment),
        validation=lambda wildcards: runs(
            "runs/{experiment}/seed_{seed}/validation_predictions.csv", only=wildcards.experiment
        ),
        training=lambda wildcards: runs("runs/{experiment}/seed_{seed}/training.json", only=wildcards.experiment),
        split=split_of,
    output:
        evaluation=RESULTS / "evaluation/{experiment}.json",
        table=RESULTS / "evaluation/{experiment}.csv",
    params:
        runs=lambda wildcards: RESULTS / "runs" / wildcards.experiment,
        seeds=lambda wildcards: SELECTED[wildcards.experiment],
        code=code_of("measure_results"),
    log:
        RESULTS / "logs/measure_results/{experiment}.log",
    benchmark:
        RESULTS / "benchmarks/measure_results/{experiment}.tsv"
    resources:
        mem_mb=1000,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.measure_results \
            --runs {params.runs:q} \
            --seeds {params.seeds:q} \
            --split {input.split:q} \
            --evaluation {output.evaluation:q} \
            --table {output.table:q} 2>&1 | tee {log:q}
        """


if CONFIG.folds:

    rule measure_folds:
        """Pool the predictions of all folds of an experiment, and compute all metrics with intervals."""
        message:
            "Measure the cross-validation of {wildcards.experiment}, with intervals."
        input:
            predictions=lambda wildcards: runs(
                "runs/{experiment}/seed_{seed}/predictions.csv", FOLDS[wildcards.experiment]
            ),
            training=lambda wildcards: runs("runs/{experiment}/seed_{seed}/training.json", FOLDS[wildcards.experiment]),
            splits=lambda wildcards: [
                split_of(SimpleNamespace(experiment=name)) for name in FOLDS[wildcards.experiment]
            ],
        output:
            evaluation=RESULTS / "evaluation/folds/{experiment}.json",
            table=RESULTS / "evaluation/folds/{experiment}.csv",
        params:
            runs=RESULTS / "runs",
            splits=RESULTS / "split",
            task=lambda wildcards: settings_of(wildcards.experiment)["task"],
            folds=CONFIG.folds,
            repeats=CONFIG.repeats,
            code=code_of("measure_folds"),
        log:
            RESULTS / "logs/measure_folds/{experiment}.log",
        benchmark:
            RESULTS / "benchmarks/measure_folds/{experiment}.tsv"
        resources:
            mem_mb=1000,
            runtime=60,
            disk_mb=1000,
        conda:
            ENVIRONMENT
        shell:
            """
            python -m cxrflow.stages.measure_folds \
                --runs {params.runs:q} \
                --splits {params.splits:q} \
                --experiment {wildcards.experiment:q} \
                --task {params.task:q} \
                --folds {params.folds:q} \
                --repeats {params.repeats:q} \
                --evaluation {output.evaluation:q} \
                --table {output.table:q} 2>&1 | tee {log:q}
            """


rule compare_experiments:
    """Compare the accuracies of the experiments of each task."""
    message:
        "Compare the accuracies of the experiments of each task."
    input:
        predictions=lambda wildcards: runs("runs/{experiment}/seed_{seed}/predictions.csv"),
        training=lambda wildcards: runs("runs/{experiment}/seed_{seed}/training.json"),
        splits=SPLITS,
    output:
        comparisons=RESULTS / "evaluation/comparisons.json",
    params:
        experiments=handed_on(HANDED_ON, "compared", COMPARED),
        runs=RESULTS / "runs",
        code=code_of("compare_experiments"),
    log:
        RESULTS / "logs/compare_experiments.log",
    benchmark:
        RESULTS / "benchmarks/compare_experiments.tsv"
    localrule: True  # seconds of work on small files, too little for a job on a cluster
    resources:
        mem_mb=1000,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.compare_experiments \
            --experiments {params.experiments:q} \
            --runs {params.runs:q} \
            --splits {input.splits:q} \
            --comparisons {output.comparisons:q} 2>&1 | tee {log:q}
        """


rule plot_evaluation:
    """Plot ROC, precision-recall and calibration curves of the median run, and the learning curves of all seeds."""
    message:
        "Plot the results of {wildcards.experiment}."
    input:
        evaluation=rules.measure_results.output.evaluation,
        histories=lambda wildcards: runs("runs/{experiment}/seed_{seed}/history.csv", only=wildcards.experiment),
    output:
        figure=report(
            RESULTS / "plots/{experiment}/evaluation.svg",
            caption="../report/evaluation.rst",
            category="{experiment}",
            labels={"seed": "all", "figure": "ROC, precision-recall, calibration, learning curves"},
        ),
    params:
        title="{experiment}",
        code=code_of("plot_evaluation"),
    log:
        RESULTS / "logs/plot_evaluation/{experiment}.log",
    benchmark:
        RESULTS / "benchmarks/plot_evaluation/{experiment}.tsv"
    resources:
        mem_mb=500,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.plot_evaluation \
            --evaluation {input.evaluation:q} \
            --histories {input.histories:q} \
            --title {params.title:q} \
            --figure {output.figure:q} 2>&1 | tee {log:q}
        """


rule extract_features:
    """Extract the output of the last hidden layer."""
    message:
        "Extract the output of the last hidden layer of {wildcards.experiment}, seed {wildcards.seed}."
    input:
        model=rules.train_model.output.model,
        training=rules.train_model.output.training,
        split=split_of,
        pixels=pixels_of,
    output:
        features=RESULTS / "runs/{experiment}/seed_{seed}/features.npz",
    params:
        settings=settings_for("extract_features"),
        threads=CONFIG.threads,
        device=CONFIG.device,
        trainings_per_gpu=lambda wildcards, input: CONFIG.trainings_per_gpu,  # not recorded, since no result depends on it
        variables=VARIABLES,
        code=code_of("extract_features"),
    log:
        RESULTS / "logs/extract_features/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/extract_features/{experiment}/seed_{seed}.tsv"
    threads: CONFIG.threads
    resources:
        mem_mb=3000,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.extract_features \
            --model {input.model:q} \
            --training {input.training:q} \
            --split {input.split:q} \
            --pixels {input.pixels:q} \
            --threads {params.threads:q} \
            --device {params.device:q} \
            --trainings-per-gpu {params.trainings_per_gpu:q} \
            --settings {params.settings:q} \
            --features {output.features:q} 2>&1 | tee {log:q}
        """


rule embed_features:
    """Map features with t-SNE, and measure how well the classes separate, compared with chance and with trivial rivals."""
    message:
        "Map the features of {wildcards.experiment}, seed {wildcards.seed}, with t-SNE."
    input:
        features=rules.extract_features.output.features,
        images=rules.index_images.output.images,
        pixels=pixels_of,
    output:
        embedding=RESULTS / "runs/{experiment}/seed_{seed}/embedding.csv",
        separation=RESULTS / "runs/{experiment}/seed_{seed}/separation.json",
    params:
        settings=settings_for("embed_features"),
        variables=VARIABLES,
        code=code_of("embed_features"),
    log:
        RESULTS / "logs/embed_features/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/embed_features/{experiment}/seed_{seed}.tsv"
    resources:
        mem_mb=1000,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.embed_features \
            --features {input.features:q} \
            --images {input.images:q} \
            --pixels {input.pixels:q} \
            --settings {params.settings:q} \
            --embedding {output.embedding:q} \
            --separation {output.separation:q} 2>&1 | tee {log:q}
        """


rule plot_curves:
    """Plot accuracy and loss by epoch."""
    message:
        "Plot accuracy and loss of {wildcards.experiment}, seed {wildcards.seed}, by epoch."
    input:
        history=rules.train_model.output.history,
        training=rules.train_model.output.training,
    output:
        figure=report(
            RESULTS / "plots/{experiment}/seed_{seed}/curves.svg",
            caption="../report/curves.rst",
            category="{experiment}",
            labels={"seed": "{seed}", "figure": "learning curves"},
        ),
    params:
        title="{experiment}, seed {seed}",
        code=code_of("plot_curves"),
    log:
        RESULTS / "logs/plot_curves/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/plot_curves/{experiment}/seed_{seed}.tsv"
    resources:
        mem_mb=500,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.plot_curves \
            --history {input.history:q} \
            --training {input.training:q} \
            --title {params.title:q} \
            --figure {output.figure:q} 2>&1 | tee {log:q}
        """


rule plot_confusion:
    """Plot the confusion matrix of the test images."""
    message:
        "Plot the confusion matrix of {wildcards.experiment}, seed {wildcards.seed}, on the test images."
    input:
        metrics=rules.evaluate_model.output.metrics,
    output:
        figure=report(
            RESULTS / "plots/{experiment}/seed_{seed}/confusion.svg",
            caption="../report/confusion.rst",
            category="{experiment}",
            labels={"seed": "{seed}", "figure": "confusion matrix"},
        ),
    params:
        title="{experiment}, seed {seed}",
        code=code_of("plot_confusion"),
    log:
        RESULTS / "logs/plot_confusion/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/plot_confusion/{experiment}/seed_{seed}.tsv"
    resources:
        mem_mb=500,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.plot_confusion \
            --metrics {input.metrics:q} \
            --title {params.title:q} \
            --figure {output.figure:q} 2>&1 | tee {log:q}
        """


rule plot_embedding:
    """Plot the t-SNE map of a training's features."""
    message:
        "Plot the t-SNE map of {wildcards.experiment}, seed {wildcards.seed}."
    input:
        embedding=rules.embed_features.output.embedding,
        separation=rules.embed_features.output.separation,
    output:
        figure=report(
            RESULTS / "plots/{experiment}/seed_{seed}/embedding.svg",
            caption="../report/embedding.rst",
            category="{experiment}",
            labels={"seed": "{seed}", "figure": "t-SNE of features"},
        ),
    params:
        title="{experiment}, seed {seed}",
        code=code_of("plot_embedding"),
    log:
        RESULTS / "logs/plot_embedding/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/plot_embedding/{experiment}/seed_{seed}.tsv"
    resources:
        mem_mb=500,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.plot_embedding \
            --embedding {input.embedding:q} \
            --separation {input.separation:q} \
            --title {params.title:q} \
            --figure {output.figure:q} 2>&1 | tee {log:q}
        """


rule explain_model:
    """Find out where a network looks, and how accurate it is on altered images."""
    message:
        "Explain {wildcards.experiment}, seed {wildcards.seed}, on test images."
    input:
        model=rules.train_model.output.model,
        training=rules.train_model.output.training,
        predictions=rules.evaluate_model.output.predictions,
        split=split_of,
        pixels=pixels_of,
        lungs=existing(CONFIG.lungs, "lungs"),
    output:
        explanations=RESULTS / "runs/{experiment}/seed_{seed}/explanations.json",
        heat=RESULTS / "runs/{experiment}/seed_{seed}/heat.npz",
    params:
        settings=settings_for("explain_model"),
        lungs=["--lungs", CONFIG.lungs] if CONFIG.lungs else [],
        contents=contents_of(CONFIG.lungs) if CONFIG.lungs else [],
        threads=CONFIG.threads,
        device=CONFIG.device,
        trainings_per_gpu=lambda wildcards, input: CONFIG.trainings_per_gpu,  # not recorded, since no result depends on it
        variables=VARIABLES,
        code=code_of("explain_model"),
    log:
        RESULTS / "logs/explain_model/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/explain_model/{experiment}/seed_{seed}.tsv"
    threads: CONFIG.threads
    resources:
        mem_mb=3000,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.explain_model \
            --model {input.model:q} \
            --training {input.training:q} \
            --predictions {input.predictions:q} \
            --split {input.split:q} \
            --pixels {input.pixels:q} \
            {params.lungs:q} \
            --threads {params.threads:q} \
            --device {params.device:q} \
            --trainings-per-gpu {params.trainings_per_gpu:q} \
            --settings {params.settings:q} \
            --explanations {output.explanations:q} \
            --heat {output.heat:q} 2>&1 | tee {log:q}
        """


rule plot_explanations:
    """Draw the heat maps of a network beside the test images, where their licences allow it."""
    message:
        "Draw the heat maps of {wildcards.experiment}, seed {wildcards.seed}."
    input:
        explanations=rules.explain_model.output.explanations,
        heat=rules.explain_model.output.heat,
        images=rules.index_images.output.images,
        pixels=pixels_of,
    output:
        figure=report(
            RESULTS / "plots/{experiment}/seed_{seed}/explanations.svg",
            caption="../report/explanations.rst",
            category="{experiment}",
            labels={"seed": "{seed}", "figure": "heat maps"},
        ),
        heat_maps=RESULTS / "plots/{experiment}/seed_{seed}/heat_maps.json",
    params:
        title="{experiment}, seed {seed}",
        embed_images=CONFIG.embed_images,
        phantoms=["--phantoms"] if CONFIG.phantoms else [],
        code=code_of("plot_explanations"),
    log:
        RESULTS / "logs/plot_explanations/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/plot_explanations/{experiment}/seed_{seed}.tsv"
    resources:
        mem_mb=500,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.plot_explanations \
            --explanations {input.explanations:q} \
            --heat {input.heat:q} \
            --images {input.images:q} \
            --pixels {input.pixels:q} \
            --embed-images {params.embed_images:q} \
            {params.phantoms:q} \
            --title {params.title:q} \
            --figure {output.figure:q} \
            --heat-maps {output.heat_maps:q} 2>&1 | tee {log:q}
        """
