"""Build an experiment's network: preprocessing, backbone, head and output layer."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from cxrflow.io.errors import UserError
from cxrflow.networks.backbones import make_backbone, preprocessing_layers, with_stored_statistics
from cxrflow.study.layers import POOLINGS, HeadLayer, named_layers


def build_network(
    settings: Mapping[str, Any], seed: int, weights: Path | None = None, for_training: bool = True
) -> keras.Model:
    """Build a network.

    Args:
        settings: an experiment's settings, with `classes` in the order of the outputs.
        seed: seed of all random initial weights and of dropout.
        weights: weights file of the backbone, or None for random weights.
        for_training: if True, batch normalisation uses its stored statistics with `backbone_batchnorm: inference`, and the
            layers compute in bfloat16 with `precision: bfloat16` (their weights are float32). If False, all layers are
            plain float32 layers with the same weights, which any Keras can load.

    Returns:
        Model from pixels, float (batch, size, size, 3) with values 0 to 255, to probabilities: (batch, 1) for a
        sigmoid, which is P(the second class), or (batch, classes). Its parts: the backbone; `head`, with the layers before
        the last Dense; this Dense, named `last_hidden` unless the settings name it; dropout after it; `output`. In a
        network without hidden Dense layers, `head` ends with the pooling layer.

    Raises:
        UserError: more frozen layers than the backbone has, an image size that it does not accept, weights of another
            network, or a kernel larger than its input.
    """
    keras.utils.set_random_seed(seed)
    size, start = settings["image_size"], settings["head_initialisation"]
    # Pixels and probabilities are always float32: the 8 bits of bfloat16 are too few for either.
    pixels = keras.Input((size, size, 3), name="pixels")
    x = preprocessing_layers(settings["backbone"], settings["input_scaling"], pixels)
    with _precision(settings["precision"] if for_training else "float32"):
        x = _prepared_backbone(settings, weights, for_training)(x)
        x = _with_head(x, named_layers(settings["head"]), start)
    binary = settings["loss"] == "binary_crossentropy"
    units, activation = (1, "sigmoid") if binary else (len(settings["classes"]), "softmax")
    output = keras.layers.Dense(units, activation=activation, kernel_initializer=start, name="output")
    return keras.Model(pixels, output(x))


@contextmanager
def _precision(precision: str) -> Iterator[None]:
    """Make the layers created in this block compute in float32 or bfloat16; their weights are float32."""
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
        raise UserError(f"frozen_layers: {frozen} is more than the {len(backbone.layers)} layers of {name}")
    for layer in backbone.layers[:frozen]:
        layer.trainable = False
    if settings["batchnorm_momentum"] is not None:
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = settings["batchnorm_momentum"]
    return backbone


def _load_weights(backbone: Any, weights: Path, name: str) -> None:
    with warnings.catch_warnings():
        # Keras only warns if a file has no weights for a layer, and leaves that layer random.
        warnings.filterwarnings("error", message=".*(freshly-initialized|no matching group|not loaded).*")
        try:
            backbone.load_weights(weights)
        except (ValueError, OSError, KeyError, UserWarning) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"weights: {weights}: not weights of {name} without top: {reason}") from None


def _with_head(x: Any, head: Sequence[HeadLayer], initialisation: str) -> Any:
    """Apply the layers of a head to the backbone's output; those before the last Dense are one Sequential."""
    _refuse_large_kernels(head, x.shape[1])
    layers = [_layer(one, initialisation) for one in head]
    kinds = [one.kind for one in head]
    pooling = next(place for place, kind in enumerate(kinds) if kind in POOLINGS)
    end = max((place for place, kind in enumerate(kinds) if kind == "dense"), default=pooling + 1)
    for layer in (keras.Sequential(layers[:end], name="head"), *layers[end:]):
        x = layer(x)
    return x


def _refuse_large_kernels(head: Sequence[HeadLayer], side: int) -> None:
    for one in head:
        if one.kind == "conv" and one.settings["padding"] == "valid":
            kernel = one.settings["kernel"]
            if kernel > side:
                raise UserError(
                    f"head: {one.name}: kernel {kernel} is larger than its input, {side} x {side}; use padding: same"
                )
            side -= kernel - 1


def _layer(one: HeadLayer, initialisation: str) -> keras.Layer:
    if one.kind in POOLINGS:
        return pooling_layer(one.kind)
    settings = one.settings
    if one.kind == "dropout":
        return keras.layers.Dropout(settings["dropout"], name=one.name)
    common = {
        "activation": settings["activation"],
        "kernel_initializer": initialisation,
        "kernel_regularizer": keras.regularizers.L2(settings["l2"]) if settings["l2"] else None,
        "name": one.name,
    }
    if one.kind == "conv":
        return keras.layers.Conv2D(settings["conv"], settings["kernel"], padding=settings["padding"], **common)
    return keras.layers.Dense(settings["dense"], **common)


def pooling_layer(kind: str) -> keras.Layer:
    """Build the layer that turns a feature map into a vector: average_pooling, max_pooling or flatten."""
    return {
        "average_pooling": keras.layers.GlobalAveragePooling2D,
        "max_pooling": keras.layers.GlobalMaxPooling2D,
        "flatten": keras.layers.Flatten,
    }[kind](name=kind)


def feature_layer(model: keras.Model) -> tuple[keras.Layer, Any]:
    """Find the layer whose output is used as features, and its output tensor.

    It is the last layer before `output` apart from dropout: the last hidden Dense layer or, without one, `head`.

    Args:
        model: from `build_network`, or loaded from its file.
    """
    place = len(model.layers) - 1
    while isinstance(model.layers[place - 1], keras.layers.Dropout):
        place -= 1
    return model.layers[place - 1], model.layers[place].input
