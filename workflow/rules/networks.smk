# The networks before training: ImageNet weights, and what the networks look like.
#
# Requires: the internet, once, for `weights: imagenet`
# Makes:    results/weights/{backbone}.weights.h5 (shared by all results), networks/{experiment}.json, networks.json


# On a cluster, the node that submits has the internet; the nodes that train need none.
localrules:
    fetch_weights,


rule fetch_weights:
    """Fetch the ImageNet weights of a backbone, as Keras publishes them."""
    message:
        "Fetch the ImageNet weights of {wildcards.backbone}, as Keras publishes them."
    output:
        weights="results/weights/{backbone}.weights.h5",
        record="results/weights/{backbone}.json",
    params:
        # Not recorded, since it asks for `output`: the file's checksum counts, not where it is from.
        sources=lambda wildcards, output: CONFIG.weights_sources,
        code=code_hash("cxrflow.fetch_weights"),
    log:
        "results/logs/fetch_weights/{backbone}.log",
    benchmark:
        "results/benchmarks/fetch_weights/{backbone}.tsv"
    resources:
        mem_mb=3000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.fetch_weights \
            --backbone {wildcards.backbone:q} \
            --sources {params.sources:q} \
            --weights {output.weights:q} \
            --record {output.record:q} 2>&1 | tee {log:q}
        """


rule check_network:
    """Build an experiment's network once: layers, parameters, and whether its settings go together."""
    message:
        "Build the network of {wildcards.experiment} once: do its settings go together?"
    input:
        lambda wildcards: made_again_without_record(RESULTS / f"networks/{wildcards.experiment}.json"),
    output:
        network=RESULTS / "networks/{experiment}.json",
    params:
        settings=lambda wildcards: canonical_json(network_settings(settings_of(wildcards.experiment))),
        code=code_hash("cxrflow.check_network"),
    log:
        RESULTS / "logs/check_network/{experiment}.log",
    benchmark:
        RESULTS / "benchmarks/check_network/{experiment}.tsv"
    resources:
        mem_mb=3000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.check_network \
            --experiment {wildcards.experiment:q} \
            --settings {params.settings:q} \
            --network {output.network:q} 2>&1 | tee {log:q}
        """


rule describe_networks:
    """Put together what the selected experiments' networks are, and count their backbones."""
    message:
        "Put together what the networks are, and count layers and parameters of {params.backbones}."
    input:
        descriptions=[RESULTS / f"networks/{name}.json" for name in SELECTED],
    output:
        networks=RESULTS / "networks.json",
    params:
        experiments=list(SELECTED),
        backbones=sorted({keys.backbone for keys in [*CONFIG.experiments.values(), *CONFIG.extras.values()]}),
        code=code_hash("cxrflow.describe_networks"),
    log:
        RESULTS / "logs/describe_networks.log",
    benchmark:
        RESULTS / "benchmarks/describe_networks.tsv"
    resources:
        mem_mb=3000,
    conda:
        ENVIRONMENT
    shell:
        """
        python -m cxrflow.describe_networks \
            --experiments {params.experiments:q} \
            --descriptions {input.descriptions:q} \
            --backbones {params.backbones:q} \
            --networks {output.networks:q} 2>&1 | tee {log:q}
        """
