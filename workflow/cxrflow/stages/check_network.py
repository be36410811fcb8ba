"""Build an experiment's network once, to check its settings and to describe its layers and parameters.

Runs before the training, so invalid settings are reported before the outputs of an earlier training are deleted. The network is
saved as by a training and loaded as by the evaluation, so a network that cannot be evaluated is not trained.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import cxrflow.networks.start_keras  # noqa: F401  # isort: skip
import keras
import numpy as np
from PIL import Image

from cxrflow.images.decode import resized
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.files import write_json
from cxrflow.io.machine import total_memory
from cxrflow.io.words import size
from cxrflow.networks.build import build_network, feature_layer, pooling_layer
from cxrflow.networks.first_layer import first_layer_spread
from cxrflow.networks.keras_settings import set_up_keras
from cxrflow.networks.load import load_network
from cxrflow.networks.parameters import BYTES, network_parameters
from cxrflow.phantoms.radiograph import draw_film
from cxrflow.study.head import head_as_text
from cxrflow.study.layers import POOLINGS, named_layers


def describe_network(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the layers, shapes and parameter counts of an experiment's network.

    Args:
        settings: an experiment's settings, with `classes`.

    Returns:
        A JSON value: `backbone`, `backbone_layers`, `backbone_output_shape`, `frozen_layers`, `image_size`, `classes`;
        `blocks` (backbone, head, last_hidden if there is a hidden Dense layer, output), each with block, name,
        output_shape, parameters; `layers` (head and output layer), each with name, kind, output_shape, parameters;
        `parameters` (total, trainable, non_trainable); `layer_kinds` of the backbone; `first_dense_parameters` (of the first
        Dense layer after average_pooling and after flatten); `first_layer_spread` (`configured` and `backbone`: of the
        configured input scaling and of the backbone's own, see `cxrflow.networks.first_layer`; on a drawn film).
    """
    model = build_network(settings, seed=0)
    backbone = next(layer for layer in model.layers if isinstance(layer, keras.Model) and layer.name != "head")
    head, output = model.get_layer("head"), model.get_layer("output")
    features = feature_layer(model)[0]
    hidden = {} if features is head else {"last_hidden": features}
    blocks = {"backbone": backbone, "head": head, **hidden, "output": output}
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
        "layers": _layers(model, settings),
        "parameters": parameter_counts(model),
        "layer_kinds": dict(sorted(Counter(type(layer).__name__ for layer in backbone.layers).items())),
        "first_layer_spread": _spreads(backbone, settings),
        "first_dense_parameters": {
            pooling.removesuffix("_pooling"): _first_dense_parameters(model, pooling)
            for pooling in ("average_pooling", "flatten")
        },
    }
    keras.backend.clear_session()
    return description


def refuse_too_large(settings: Mapping[str, Any], memory: int) -> None:
    """Refuse a network that does not fit into memory, before it is built.

    A training has two copies of the weights: in the network, and those of the best epoch so far.

    Args:
        settings: an experiment's settings, with `classes`.
        memory: memory of this machine in bytes.

    Raises:
        UserError: two copies of the weights do not fit into memory.
    """
    parameters = network_parameters(settings, len(settings["classes"]))
    needed = 2 * BYTES * parameters
    if needed > memory:
        raise UserError(
            f"head: {settings['backbone']} at image_size {settings['image_size']} with head {head_as_text(settings['head'])} "
            f"has about {parameters:,} parameters; a training keeps the weights twice in memory (current and best epoch), at "
            f"least {size(needed)}, but this machine has {size(memory)}; choose fewer units, average_pooling or a smaller "
            "backbone"
        )


def check_saved(settings: Mapping[str, Any], folder: Path) -> None:
    """Save a network as a training does, load it as the evaluation does, and compare the weights.

    Args:
        settings: an experiment's settings, with `classes`.
        folder: folder for a temporary file.

    Raises:
        UserError: the file cannot be loaded, or its weights are different.
    """
    model = build_network(settings, seed=0, for_training=False)
    saved = _weights_hash(model)
    place = f"backbone: {settings['backbone']}: its network could not be evaluated after the training"
    with NamedTemporaryFile(prefix=".part-", suffix=".keras", dir=folder) as part:
        file = Path(part.name)
        model.save(file)
        del model  # memory should hold only one network at a time
        keras.backend.clear_session()
        try:
            loaded = load_network(file)
        except UserError as error:
            raise UserError([f"{place}: {message.removeprefix(f'{file}: ')}" for message in error.messages]) from None
    if _weights_hash(loaded) != saved:
        raise UserError(f"{place}: its weights are different after saving and loading")
    del loaded
    keras.backend.clear_session()


def _weights_hash(model: keras.Model) -> str:
    digest = hashlib.blake2b()
    for weight in model.weights:
        values = np.ascontiguousarray(weight.numpy())
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(values.data)
    return digest.hexdigest()


def parameter_counts(model: keras.Model) -> dict[str, int]:
    """Count total, trainable and non-trainable parameters of a model, without the variables of random generators."""
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    non_trainable = sum(math.prod(weight.shape) for weight in model.non_trainable_weights)
    return {"total": trainable + non_trainable, "trainable": trainable, "non_trainable": non_trainable}


def _head_layers(model: keras.Model) -> list[keras.Layer]:
    """The layers between backbone and output, in order."""
    head = model.get_layer("head")
    return [*head.layers, *model.layers[model.layers.index(head) + 1 : -1]]


def _layers(model: keras.Model, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    kinds = [*(layer.kind for layer in named_layers(settings["head"])), "dense"]
    return [
        {
            "name": layer.name,
            "kind": kind,
            "output_shape": list(layer.output.shape[1:]),
            "parameters": layer.count_params(),
        }
        for kind, layer in zip(kinds, [*_head_layers(model), model.get_layer("output")], strict=True)
    ]


def _spreads(backbone: keras.Model, settings: Mapping[str, Any]) -> dict[str, float]:
    """Measure the contrast that reaches the backbone on a film with the grey levels of a radiograph."""
    film = Image.fromarray(draw_film("none", "first layer").grey).convert("RGB")
    pixels = resized(film, settings["image_size"], "bilinear")[None]
    scalings = {"configured": settings["input_scaling"], "backbone": "backbone"}
    return {
        name: first_layer_spread(backbone, settings["backbone"], scaling, pixels) for name, scaling in scalings.items()
    }


def _first_dense_parameters(model: keras.Model, pooling: str) -> int:
    """Count the parameters that the first Dense layer would have with another pooling layer."""
    layers = [*_head_layers(model), model.get_layer("output")]
    shape = next(layer.input.shape[1:] for layer in layers if layer.name in POOLINGS)
    units = next(layer.units for layer in layers if isinstance(layer, keras.layers.Dense))
    return int(keras.Sequential([keras.Input(shape), pooling_layer(pooling), keras.layers.Dense(units)]).count_params())


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--experiment", required=True, help="name of the experiment")
    parser.add_argument(
        "--settings", type=json.loads, required=True, help="settings of the experiment that decide the network (JSON)"
    )
    parser.add_argument("--network", type=Path, required=True, help="description to write (JSON)")
    args = parser.parse_args()
    set_up_keras()
    refuse_too_large(args.settings, total_memory())
    description = describe_network(args.settings)
    args.network.parent.mkdir(parents=True, exist_ok=True)
    check_saved(args.settings, args.network.parent)
    write_json(args.network, description)
    counts = description["parameters"]
    print(f"{args.experiment}: {counts['total']:,} parameters, {counts['trainable']:,} trainable")


if __name__ == "__main__":
    run_stage(main)
