"""Build an experiment's network once: layers and parameters, and whether its settings go together.

Comes before its training, so that settings which no network can have are told before an earlier training's files are given up.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from cxrflow.networks.build import build_network, pooling_layer
from cxrflow.networks.keras_settings import set_up_keras
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.files import write_json


def describe_network(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Layers, shapes and parameter counts of one experiment's network.

    Args:
        settings: an experiment's settings, with `classes`.

    Returns:
        A JSON value: `backbone`, `backbone_layers`, `backbone_output_shape`, `frozen_layers`, `image_size`, `classes`;
        `blocks`, each with block, name, output_shape, parameters; `parameters` (total, trainable, non_trainable);
        `layer_kinds` of the backbone; `first_dense_parameters`, of the first Dense behind either pooling.
    """
    model = build_network(settings, seed=0)
    parts = {layer.name: layer for layer in model.layers}
    backbone = next(layer for layer in model.layers if isinstance(layer, keras.Model) and layer.name != "head")
    blocks = {"backbone": backbone, **{name: parts[name] for name in ("head", "last_hidden", "output")}}
    shape = list(backbone.output_shape[1:])
    description = {
        "backbone": settings["backbone"],
        "backbone_layers": len(backbone.layers),
        "backbone_output_shape": shape,
        "frozen_layers": settings["frozen_layers"],
        "image_size": settings["image_size"],
        "classes": list(settings["classes"]),
        "blocks": [
            {
                "block": block,
                "name": part.name,
                "output_shape": list(part.output.shape[1:]),
                "parameters": part.count_params(),
            }
            for block, part in blocks.items()
        ],
        "parameters": parameter_counts(model),
        "layer_kinds": dict(sorted(Counter(type(layer).__name__ for layer in backbone.layers).items())),
        "first_dense_parameters": {
            pooling: _first_dense_parameters(shape, pooling, settings["head"]["dense_units"][0])
            for pooling in ("average", "flatten")
        },
    }
    keras.backend.clear_session()
    return description


def parameter_counts(model: keras.Model) -> dict[str, int]:
    """Total, trainable and non-trainable parameters of a model. The states of its random generators are none."""
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    non_trainable = sum(math.prod(weight.shape) for weight in model.non_trainable_weights)
    return {"total": trainable + non_trainable, "trainable": trainable, "non_trainable": non_trainable}


def _first_dense_parameters(shape: list[int], pooling: str, units: int) -> int:
    return int(keras.Sequential([keras.Input(shape), pooling_layer(pooling), keras.layers.Dense(units)]).count_params())


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--experiment", required=True, help="its name")
    parser.add_argument("--settings", type=json.loads, required=True, help="those that make the network, as JSON")
    parser.add_argument("--network", type=Path, required=True, help="description to write (JSON)")
    args = parser.parse_args()
    set_up_keras()
    description = describe_network(args.settings)
    write_json(args.network, description)
    counts = description["parameters"]
    print(f"{args.experiment}: {counts['total']:,} parameters, {counts['trainable']:,} trainable")


if __name__ == "__main__":
    run_stage(main)
