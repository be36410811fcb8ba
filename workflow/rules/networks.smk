# The networks before training: ImageNet weights, and what the networks look like.
#
# Requires: the internet, once, for `weights: imagenet`
# Makes:    results/weights/{backbone}.weights.h5 (shared by all results), networks.json


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


rule describe_networks:
    """Count layers and parameters of the selected experiments' networks."""
    message:
        "Build the networks once: layers, parameters, and whether their settings go together."
    output:
        networks=RESULTS / "networks.json",
    params:
        experiments=canonical_json({name: settings_of(name) for name in SELECTED}),
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
            --backbones {params.backbones:q} \
            --networks {output.networks:q} 2>&1 | tee {log:q}
        """
