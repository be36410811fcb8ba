# The augmentation manifest, with the random numbers for each image of each epoch; and a sheet of augmented images.
#
# Requires: split/{task}.csv; for the sheet also the task's pixels
# Makes:    augmentation/{task}/seed_{seed}/epochs_{epochs}.parquet; a longer one starts with the rows of a shorter one;
#           plots/augmentation/{task}.svg, .json (where the images are augmented, and may be embedded)


rule plan_augmentation:
    """Sample the augmentation of all epochs of a task and seed."""
    message:
        "Plan the augmentation of {wildcards.epochs} epochs: task {wildcards.task} with seed {wildcards.seed}."
    input:
        split=rules.split_images.output.split,
    output:
        manifest=RESULTS / "augmentation/{task}/seed_{seed}/epochs_{epochs}.parquet",
    wildcard_constraints:
        task=pattern_of(CONFIG.tasks, with_folds=True),
    params:
        settings=settings_for("plan_augmentation"),
        code=code_of("plan_augmentation"),
    log:
        RESULTS / "logs/plan_augmentation/{task}/seed_{seed}/epochs_{epochs}.log",
    benchmark:
        RESULTS / "benchmarks/plan_augmentation/{task}/seed_{seed}/epochs_{epochs}.tsv"
    resources:
        mem_mb=500,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.plan_augmentation \
            --split {input.split:q} \
            --seed {wildcards.seed:q} \
            --epochs {wildcards.epochs:q} \
            --settings {params.settings:q} \
            --manifest {output.manifest:q} 2>&1 | tee {log:q}
        """


rule plot_augmentation:
    """Draw training images of a task, each with its augmented versions of the first epochs."""
    message:
        "Draw training images of task {wildcards.task} with their augmented versions of the first epochs."
    input:
        images=rules.index_images.output.images,
        manifest=lambda wildcards: manifest_of(first_run_of(wildcards)),
        pixels=lambda wildcards: pixels_of(first_run_of(wildcards)),
    output:
        figure=report(
            RESULTS / "plots/augmentation/{task}.svg",
            caption="../report/augmentation.rst",
            category="Augmentation",
            labels={"task": "{task}"},
        ),
        shown=RESULTS / "plots/augmentation/{task}.json",
    params:
        seed=lambda wildcards: first_run_of(wildcards).seed,
        embed_images=CONFIG.embed_images,
        phantoms=["--phantoms"] if CONFIG.phantoms else [],
        code=code_of("plot_augmentation"),
    log:
        RESULTS / "logs/plot_augmentation/{task}.log",
    benchmark:
        RESULTS / "benchmarks/plot_augmentation/{task}.tsv"
    resources:
        mem_mb=500,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.plot_augmentation \
            --images {input.images:q} \
            --manifest {input.manifest:q} \
            --pixels {input.pixels:q} \
            --task {wildcards.task:q} \
            --seed {params.seed:q} \
            --embed-images {params.embed_images:q} \
            {params.phantoms:q} \
            --figure {output.figure:q} \
            --shown {output.shown:q} 2>&1 | tee {log:q}
        """
