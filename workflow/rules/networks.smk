# The networks before training: ImageNet weights, and descriptions of the networks.
#
# Requires: the internet, once, for `weights: imagenet`
# Makes:    results/weights/{backbone}.weights.h5 (shared by all results), networks/{experiment}.json, networks.json

from cxrflow.claims.table import backbones_compared

try:
    BACKBONES_COMPARED = backbones_compared(existing(CLAIMS, "claims")) if CLAIMS else []
except UserError as error:
    raise WorkflowError(*error.messages) from None


rule fetch_weights:
    """Fetch the ImageNet weights of a backbone, as Keras publishes them."""
    message:
        "Fetch the ImageNet weights of {wildcards.backbone}, as Keras publishes them."
    output:
        weights="results/weights/{backbone}.weights.h5",
        record="results/weights/{backbone}.json",
    params:
        # A function of `output`, so not recorded: the checksum of the file counts, not its source.
        sources=lambda wildcards, output: CONFIG.weights_sources,
        code=code_of("fetch_weights"),
    log:
        "results/logs/fetch_weights/{backbone}.log",
    benchmark:
        "results/benchmarks/fetch_weights/{backbone}.tsv"
    localrule: True  # on a cluster, the node that submits has the internet; the nodes that train need none
    retries: 2
    resources:
        mem_mb=3000,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.fetch_weights \
            --backbone {wildcards.backbone:q} \
            --sources {params.sources:q} \
            --weights {output.weights:q} \
            --record {output.record:q} 2>&1 | tee {log:q}
        """


rule check_network:
    """Build an experiment's network once, to describe it and to check that its settings fit together."""
    message:
        "Build the network of {wildcards.experiment} once, to check that its settings fit together."
    output:
        network=RESULTS / "networks/{experiment}.json",
    params:
        settings=lambda wildcards: canonical_json(network_settings(settings_of(wildcards.experiment))),
        code=code_of("check_network"),
    log:
        RESULTS / "logs/check_network/{experiment}.log",
    benchmark:
        RESULTS / "benchmarks/check_network/{experiment}.tsv"
    resources:
        mem_mb=3000,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.check_network \
            --experiment {wildcards.experiment:q} \
            --settings {params.settings:q} \
            --network {output.network:q} 2>&1 | tee {log:q}
        """


rule describe_networks:
    """Describe the networks of the selected experiments, and count the parameters of backbones that claims compare."""
    message:
        "Describe the networks, and count the parameters of backbones that claims compare."
    input:
        descriptions=[RESULTS / f"networks/{name}.json" for name in SELECTED],
    output:
        networks=RESULTS / "networks.json",
    params:
        experiments=list(SELECTED),
        backbones=BACKBONES_COMPARED,
        code=code_of("describe_networks"),
    log:
        RESULTS / "logs/describe_networks.log",
    benchmark:
        RESULTS / "benchmarks/describe_networks.tsv"
    resources:
        mem_mb=3000,
        runtime=60,
        disk_mb=1000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.stages.describe_networks \
            --experiments {params.experiments:q} \
            --descriptions {input.descriptions:q} \
            --backbones {params.backbones:q} \
            --networks {output.networks:q} 2>&1 | tee {log:q}
        """
