# What a trained network says: predictions and metrics of the test images, features, t-SNE, and the plots of all that.
#
# Requires: runs/{experiment}/seed_{seed}/ model.keras, history.csv, training.json; the task's split and pixels
# Makes:    runs/…/ predictions.csv, metrics.json, features.npz, embedding.csv, separation.json;
#           plots/{experiment}/seed_{seed}/ curves.svg, confusion.svg, embedding.svg


rule evaluate_model:
    """Predict the test images and measure how good that is."""
    message:
        "Predict the test images with {wildcards.experiment}, seed {wildcards.seed}."
    input:
        model=rules.train_model.output.model,
        training=rules.train_model.output.training,
        split=split_of,
        pixels=pixels_of,
    output:
        predictions=RESULTS / "runs/{experiment}/seed_{seed}/predictions.csv",
        metrics=RESULTS / "runs/{experiment}/seed_{seed}/metrics.json",
    params:
        positive=lambda wildcards: canonical_json(settings_of(wildcards.experiment)["positive"]),
        threads=CONFIG.threads,
        device=CONFIG.device,
        trainings_per_gpu=lambda wildcards, input: CONFIG.trainings_per_gpu,  # not recorded: it decides no result
        variables=VARIABLES,
        code=code_hash("cxrflow.evaluate_model"),
    log:
        RESULTS / "logs/evaluate_model/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/evaluate_model/{experiment}/seed_{seed}.tsv"
    threads: CONFIG.threads
    resources:
        mem_mb=3000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.evaluate_model \
            --model {input.model:q} \
            --training {input.training:q} \
            --split {input.split:q} \
            --pixels {input.pixels:q} \
            --threads {params.threads:q} \
            --device {params.device:q} \
            --trainings-per-gpu {params.trainings_per_gpu:q} \
            --positive {params.positive:q} \
            --predictions {output.predictions:q} \
            --metrics {output.metrics:q} 2>&1 | tee {log:q}
        """


rule extract_features:
    """Take the last hidden layer's output for images."""
    message:
        "Take the last hidden layer's output of {wildcards.experiment}, seed {wildcards.seed}."
    input:
        model=rules.train_model.output.model,
        split=split_of,
        pixels=pixels_of,
    output:
        features=RESULTS / "runs/{experiment}/seed_{seed}/features.npz",
    params:
        feature_images=CONFIG.feature_images,
        threads=CONFIG.threads,
        device=CONFIG.device,
        trainings_per_gpu=lambda wildcards, input: CONFIG.trainings_per_gpu,  # not recorded: it decides no result
        variables=VARIABLES,
        code=code_hash("cxrflow.extract_features"),
    log:
        RESULTS / "logs/extract_features/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/extract_features/{experiment}/seed_{seed}.tsv"
    threads: CONFIG.threads
    resources:
        mem_mb=3000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.extract_features \
            --model {input.model:q} \
            --split {input.split:q} \
            --pixels {input.pixels:q} \
            --threads {params.threads:q} \
            --device {params.device:q} \
            --trainings-per-gpu {params.trainings_per_gpu:q} \
            --feature-images {params.feature_images:q} \
            --features {output.features:q} 2>&1 | tee {log:q}
        """


rule embed_features:
    """Lay features out by t-SNE, and measure how well the classes separate."""
    message:
        "t-SNE of the features of {wildcards.experiment}, seed {wildcards.seed}, and how well the classes separate."
    input:
        features=rules.extract_features.output.features,
    output:
        embedding=RESULTS / "runs/{experiment}/seed_{seed}/embedding.csv",
        separation=RESULTS / "runs/{experiment}/seed_{seed}/separation.json",
    params:
        tsne=canonical_json(CONFIG.tsne.model_dump()),
        variables=VARIABLES,
        code=code_hash("cxrflow.embed_features"),
    log:
        RESULTS / "logs/embed_features/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/embed_features/{experiment}/seed_{seed}.tsv"
    resources:
        mem_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.embed_features \
            --features {input.features:q} \
            --tsne {params.tsne:q} \
            --embedding {output.embedding:q} \
            --separation {output.separation:q} 2>&1 | tee {log:q}
        """


rule plot_curves:
    """Accuracy and loss by epoch."""
    message:
        "Accuracy and loss of {wildcards.experiment}, seed {wildcards.seed}, by epoch."
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
        code=code_hash("cxrflow.plot_curves"),
    log:
        RESULTS / "logs/plot_curves/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/plot_curves/{experiment}/seed_{seed}.tsv"
    resources:
        mem_mb=500,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.plot_curves \
            --history {input.history:q} \
            --training {input.training:q} \
            --title {params.title:q} \
            --figure {output.figure:q} 2>&1 | tee {log:q}
        """


rule plot_confusion:
    """Confusion matrix on the test images."""
    message:
        "Confusion matrix of {wildcards.experiment}, seed {wildcards.seed}, on the test images."
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
        code=code_hash("cxrflow.plot_confusion"),
    log:
        RESULTS / "logs/plot_confusion/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/plot_confusion/{experiment}/seed_{seed}.tsv"
    resources:
        mem_mb=500,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.plot_confusion \
            --metrics {input.metrics:q} \
            --title {params.title:q} \
            --figure {output.figure:q} 2>&1 | tee {log:q}
        """


rule plot_embedding:
    """Plot the t-SNE of a run's features."""
    message:
        "t-SNE of {wildcards.experiment}, seed {wildcards.seed}."
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
        code=code_hash("cxrflow.plot_embedding"),
    log:
        RESULTS / "logs/plot_embedding/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/plot_embedding/{experiment}/seed_{seed}.tsv"
    resources:
        mem_mb=500,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.plot_embedding \
            --embedding {input.embedding:q} \
            --separation {input.separation:q} \
            --title {params.title:q} \
            --figure {output.figure:q} 2>&1 | tee {log:q}
        """
