# Training.
#
# Requires: the task's split, pixels and augmentation manifest, the backbone's initial weights, networks/{experiment}.json, and,
#           if an audit may end the run, audits/passed.json
# Makes:    runs/{experiment}/seed_{seed}/ model.keras, model.weights.h5, history.csv, timing.csv, training.json; and, during
#           the training, progress.png
# Keeps:    results/checkpoints/{identity}/, from which a training resumes; not an output, since Snakemake deletes the outputs
#           of jobs that it restarts

# Number of simultaneous trainings, unless the command line sets it (`--resources training_slots=4`): one for each GPU of this
# machine, or one without a GPU. A cluster has its own limits.
adapter.limit_resource(workflow, "training_slots", lambda: trainings_at_once(CONFIG, os.environ))


rule train_model:
    """Train an experiment's network with one seed."""
    message:
        "Train {wildcards.experiment} with seed {wildcards.seed}."
    input:
        split=split_of,
        manifest=manifest_of,
        pixels=pixels_of,
        weights=lambda wildcards: initial_weights(wildcards.experiment),
        # Impossible settings are found there, before the files of an earlier training are deleted for this one.
        # Not ancient(): that flag applies to the file in all rules, and hides changes of this rule's params.
        network=lambda wildcards: RESULTS / f"networks/{without_fold(wildcards.experiment)}.json",
        audits=AUDITS_PASSED,
    output:
        model=RESULTS / "runs/{experiment}/seed_{seed}/model.keras",
        model_weights=RESULTS / "runs/{experiment}/seed_{seed}/model.weights.h5",
        history=RESULTS / "runs/{experiment}/seed_{seed}/history.csv",
        timing=RESULTS / "runs/{experiment}/seed_{seed}/timing.csv",
        training=RESULTS / "runs/{experiment}/seed_{seed}/training.json",
    wildcard_constraints:
        experiment=pattern_of(SELECTED, with_folds=True),
    params:
        weights_contents=weights_contents,
        variables=VARIABLES,
        settings=lambda wildcards: canonical_json(training_settings(settings_of(wildcards.experiment))),
        # TensorFlow's threads are part of a training's identity; Snakemake's are only for scheduling, and shrink with --cores.
        threads=CONFIG.threads,
        weights=lambda wildcards, input: ["--weights", input.weights] if input.weights else [],
        resampling=CONFIG.resampling,
        device=CONFIG.device,
        checkpoints=CHECKPOINTS,
        # Functions of `input`, so not recorded: no result depends on sharing a GPU or on which checkpoints are saved and kept.
        trainings_per_gpu=lambda wildcards, input: CONFIG.trainings_per_gpu,
        save_every=lambda wildcards, input: CONFIG.save_every,
        keep_checkpoints=lambda wildcards, input: CONFIG.keep_checkpoints,
        picture=lambda wildcards: RESULTS / f"runs/{wildcards.experiment}/seed_{wildcards.seed}/progress.png",
        tensorboard=lambda wildcards, input: (
            ["--tensorboard", RESULTS / f"tensorboard/{wildcards.experiment}/seed_{wildcards.seed}"]
            if CONFIG.tensorboard
            else []
        ),
        code=code_of("train_model"),
    log:
        RESULTS / "logs/train_model/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/train_model/{experiment}/seed_{seed}.tsv"
    threads: CONFIG.threads
    resources:
        training_slots=1,
        gpu=gpus_of_training(CONFIG, os.environ),
        mem_mb=6000,
        runtime=720,
        disk_mb=4000,
    conda:
        ENVIRONMENT
    shell:
        """
        # Slurm sends SIGTERM to this shell and to tee as well; both wait until the training has saved its checkpoint.
        trap : TERM
        python -m cxrflow.stages.train_model \
            --settings {params.settings:q} \
            --seed {wildcards.seed:q} \
            --threads {params.threads:q} \
            --split {input.split:q} \
            --manifest {input.manifest:q} \
            --pixels {input.pixels:q} \
            --resampling {params.resampling:q} \
            {params.weights:q} \
            --device {params.device:q} \
            --trainings-per-gpu {params.trainings_per_gpu:q} \
            --checkpoints {params.checkpoints:q} \
            --save-every {params.save_every:q} \
            --keep-checkpoints {params.keep_checkpoints:q} \
            --picture {params.picture:q} \
            {params.tensorboard:q} \
            --model {output.model:q} \
            --model-weights {output.model_weights:q} \
            --history {output.history:q} \
            --timing {output.timing:q} \
            --training {output.training:q} 2>&1 | (trap "" TERM; exec tee -i {log:q})
        """
