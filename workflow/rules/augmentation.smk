# The augmentation manifest: what is drawn for each image of each epoch.
#
# Requires: split/{task}.csv
# Makes:    augmentation/{task}/seed_{seed}/epochs_{epochs}.parquet, of which a longer one begins with the shorter one


rule plan_augmentation:
    """Draw the augmentation of all epochs of a task and seed."""
    message:
        "Plan the augmentation of {wildcards.epochs} epochs: task {wildcards.task} with seed {wildcards.seed}."
    input:
        split=rules.split_images.output.split,
    output:
        manifest=RESULTS / "augmentation/{task}/seed_{seed}/epochs_{epochs}.parquet",
    params:
        ranges=canonical_json(
            None if CONFIG.augmentation == "none" else CONFIG.augmentation.model_dump(exclude={"without_effect"})
        ),
        validation_augmented=CONFIG.validation_augmented,
        code=code_hash("cxrflow.plan_augmentation"),
    log:
        RESULTS / "logs/plan_augmentation/{task}/seed_{seed}/epochs_{epochs}.log",
    benchmark:
        RESULTS / "benchmarks/plan_augmentation/{task}/seed_{seed}/epochs_{epochs}.tsv"
    resources:
        mem_mb=500,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.plan_augmentation \
            --split {input.split:q} \
            --seed {wildcards.seed:q} \
            --epochs {wildcards.epochs:q} \
            --ranges {params.ranges:q} \
            --validation-augmented {params.validation_augmented:q} \
            --manifest {output.manifest:q} 2>&1 | tee {log:q}
        """
