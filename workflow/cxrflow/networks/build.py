"""Build an experiment's network: pixels, preprocessing, backbone, head, last hidden layer, output."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from cxrflow.networks.backbones import make_backbone, with_stored_statistics
from cxrflow.networks.preprocessing import preprocessing_layers
from cxrflow.stage.faults import Fault


def build_network(
    settings: Mapping[str, Any], seed: int, weights: Path | None = None, for_training: bool = True
) -> keras.Model:
    """Build a network.

    Args:
        settings: an experiment's settings, with `classes` in the order of the outputs.
        seed: of all random initial weights and of dropout.
        weights: weights file of the backbone, or None for random weights.
        for_training: with `backbone_batchnorm: inference`, batch normalisation is held still by layers of its own, and with
            `precision: bfloat16` the layers compute in it (their weights are float32 all the same); False gives plain
            float32 layers with the same weights, which any Keras can load.

    Returns:
        Model from pixels, float (batch, size, size, 3) with values 0 to 255, to probabilities: (batch, 1) for a
        sigmoid, which is P(the second class), or (batch, classes). Its parts: the backbone, `head`, `last_hidden`,
        `output`.

    Raises:
        Fault: more frozen layers than the backbone has, an image size that it does not take, weights of another network.
    """
    keras.utils.set_random_seed(seed)
    size, start = settings["image_size"], settings["head_initialisation"]
    # Pixels and probabilities are float32 in any precision: bfloat16's 8 bits are too few for either.
    pixels = keras.Input((size, size, 3), name="pixels")
    x = preprocessing_layers(settings["backbone"], settings["input_scaling"], pixels)
    with _precision(settings["precision"] if for_training else "float32"):
        x = _prepared_backbone(settings, weights, for_training)(x)
        x = _head(settings["head"], start)(x)
        x = _dense(settings["head"]["last_hidden_units"], "relu", start, "last_hidden")(x)
    binary = settings["loss"] == "binary_crossentropy"
    units, activation = (1, "sigmoid") if binary else (len(settings["classes"]), "softmax")
    return keras.Model(pixels, _dense(units, activation, start, "output")(x))


@contextmanager
def _precision(precision: str) -> Iterator[None]:
    """Layers that are made in this block compute in float32 or bfloat16; their weights are float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _prepared_backbone(settings: Mapping[str, Any], weights: Path | None, for_training: bool) -> Any:
    name = settings["backbone"]
    backbone = make_backbone(name, settings["image_size"])
    if weights is not None:
        _load_weights(backbone, weights, name)
    if settings["backbone_batchnorm"] == "inference" and for_training:
        backbone = with_stored_statistics(backbone)
    frozen = settings["frozen_layers"]
    if frozen > len(backbone.layers):
        raise Fault(f"frozen_layers: {frozen} is more than the {len(backbone.layers)} layers of {name}")
    for layer in backbone.layers[:frozen]:
        layer.trainable = False
    if settings["batchnorm_momentum"] is not None:
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = settings["batchnorm_momentum"]
    return backbone


def _load_weights(backbone: Any, weights: Path, name: str) -> None:
    with warnings.catch_warnings():
        # Keras only warns where a file holds no weights for a layer, and leaves that layer random.
        warnings.filterwarnings("error", message=".*(freshly-initialized|no matching group|not loaded).*")
        try:
            backbone.load_weights(weights)
        except (ValueError, OSError, KeyError, UserWarning) as error:
            reason = " ".join(str(error).split())
            raise Fault(f"weights: {weights}: not weights of {name} without top: {reason}") from None


def _head(head: Mapping[str, Any], initialisation: str) -> keras.Sequential:
    layers = [pooling_layer(head["pooling"])]
    for place, units in enumerate(head["dense_units"]):
        layers.append(_dense(units, "relu", initialisation, f"dense_{place + 1}"))
        if place == 0:
            layers.append(keras.layers.Dropout(head["dropout"], name="dropout"))
    return keras.Sequential(layers, name="head")


def pooling_layer(pooling: str) -> keras.Layer:
    """The layer between backbone and head: "average" or "max" over all places, or "flatten"."""
    return {
        "average": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
        "flatten": keras.layers.Flatten,
    }[pooling](name=f"{pooling}_pooling" if pooling != "flatten" else "flatten")


def _dense(units: int, activation: str, initialisation: str, name: str) -> keras.Layer:
    return keras.layers.Dense(units, activation=activation, kernel_initializer=initialisation, name=name)
