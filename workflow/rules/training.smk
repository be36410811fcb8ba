# Training.
#
# Requires: the task's split, pixels and augmentation manifest, the backbone's initial weights, networks/{experiment}.json
# Makes:    runs/{experiment}/seed_{seed}/ model.keras, model.weights.h5, history.csv, timing.csv, training.json; while it
#           trains, progress.png there
# Keeps:    results/states/{identity}/, from which a training goes on; no output, since Snakemake deletes outputs of jobs that
#           it starts again

# Trainings at one time, unless the command line says how many: one on each GPU of this machine, or one without any. A cluster
# has limits of its own.
if workflow.resource_settings.nodes is None and not workflow.remote_exec and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", trainings_at_once(CONFIG, os.environ))


rule train_model:
    """Train an experiment's network with one seed."""
    message:
        "Train {wildcards.experiment} with seed {wildcards.seed}."
    input:
        split=split_of,
        manifest=manifest_of,
        pixels=pixels_of,
        weights=lambda wildcards: initial_weights(wildcards.experiment),
        # Settings that no network can have are found there, before an earlier training's files are given up for this one.
        # Not ancient(): that mark sticks to the file for all rules, and hides changes of this rule's own params.
        network=rules.check_network.output.network,
    output:
        model=RESULTS / "runs/{experiment}/seed_{seed}/model.keras",
        model_weights=RESULTS / "runs/{experiment}/seed_{seed}/model.weights.h5",
        history=RESULTS / "runs/{experiment}/seed_{seed}/history.csv",
        timing=RESULTS / "runs/{experiment}/seed_{seed}/timing.csv",
        training=RESULTS / "runs/{experiment}/seed_{seed}/training.json",
    params:
        weights_contents=weights_contents,
        variables=VARIABLES,
        settings=lambda wildcards: canonical_json(training_settings(settings_of(wildcards.experiment))),
        # TensorFlow's threads are part of what a training is; Snakemake's only schedule, and shrink with --cores.
        threads=CONFIG.threads,
        weights=lambda wildcards, input: ["--weights", input.weights] if input.weights else [],
        resampling=CONFIG.resampling,
        device=CONFIG.device,
        states=STATES,
        # Not recorded, since they ask for `input`: who shares a GPU, how often states are saved and which stay decides no result.
        trainings_per_gpu=lambda wildcards, input: CONFIG.trainings_per_gpu,
        save_every=lambda wildcards, input: CONFIG.save_every,
        keep_states=lambda wildcards, input: CONFIG.keep_states,
        picture=lambda wildcards: RESULTS / f"runs/{wildcards.experiment}/seed_{wildcards.seed}/progress.png",
        tensorboard=lambda wildcards, input: (
            ["--tensorboard", RESULTS / f"tensorboard/{wildcards.experiment}/seed_{wildcards.seed}"]
            if CONFIG.tensorboard
            else []
        ),
        code=code_hash("cxrflow.train_model"),
    log:
        RESULTS / "logs/train_model/{experiment}/seed_{seed}.log",
    benchmark:
        RESULTS / "benchmarks/train_model/{experiment}/seed_{seed}.tsv"
    threads: CONFIG.threads
    resources:
        gpu=1,
        mem_mb=6000,
    conda:
        ENVIRONMENT
    shell:
        """
        # Slurm asks this shell and tee to stop, too: both stay until the training has saved its state.
        trap : TERM
        python -m cxrflow.train_model \
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
            --states {params.states:q} \
            --save-every {params.save_every:q} \
            --keep-states {params.keep_states:q} \
            --picture {params.picture:q} \
            {params.tensorboard:q} \
            --model {output.model:q} \
            --model-weights {output.model_weights:q} \
            --history {output.history:q} \
            --timing {output.timing:q} \
            --training {output.training:q} 2>&1 | (trap "" TERM; exec tee -i {log:q})
        """
