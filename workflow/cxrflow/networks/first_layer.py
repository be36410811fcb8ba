"""The contrast that reaches a backbone: the spread of the output of its first layer with weights."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cxrflow.networks.backbones import preprocessing_layers


def first_layer_spread(backbone: Any, name: str, input_scaling: str, pixels: NDArray[np.uint8]) -> float:
    """Measure the spread of the first layer's output on images.

    The output is linear in the scaled pixels, so with any weights, the ratio of the spreads of two scalings is the ratio of the
    contrasts that they leave.

    Args:
        backbone: from `cxrflow.networks.backbones.make_backbone`.
        name: its name in keras.applications.
        input_scaling: see `cxrflow.networks.backbones.preprocessing_layers`.
        pixels: uint8, shape (images, size, size, 3).

    Returns:
        Standard deviation over the central positions of all images, averaged over the channels.
    """
    first = next(
        layer for layer in backbone.layers if layer.weights and not isinstance(layer, keras.layers.Normalization)
    )
    before = keras.Model(backbone.input, first.input)
    while isinstance(first, keras.Sequential):
        first = first.layers[0]
    entry = keras.Input(pixels.shape[1:])
    output = first(before(preprocessing_layers(name, input_scaling, entry)))
    values = np.asarray(keras.Model(entry, output)(pixels.astype(np.float32)))
    # Without the borders, where padding adds contrast that is not of the image.
    edges = [slice(side // 4, side - side // 4) for side in values.shape[1:3]]
    return float(values[:, *edges].std(axis=(0, 1, 2)).mean())
