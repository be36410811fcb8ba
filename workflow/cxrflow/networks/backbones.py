"""Backbones of keras.applications, and the preprocessing that each of them expects.

Every `preprocess_input` of keras.applications is affine: it may reverse the channels, then scales and shifts each of them.
It is therefore measured once and written as plain Keras layers, which any Keras can load.
"""

import math
import re
import sys
from types import ModuleType
from typing import Any

import keras
import numpy as np
from keras.src.applications.efficientnet import IMAGENET_STDDEV_RGB

from cxrflow.io.errors import UserError


def backbone_module(backbone: str) -> ModuleType:
    """Return the module of keras.applications that defines a backbone and its `preprocess_input`."""
    return sys.modules[getattr(keras.applications, backbone).__module__]


def make_backbone(backbone: str, image_size: int) -> Any:
    """Build a backbone without top and with random weights, for images of shape (image_size, image_size, 3).

    The layers are those that keras.applications builds with weights="imagenet". EfficientNetB0 to B7 then scale their
    standardised input again; without this scaling, ImageNet weights get an input that is too small by a factor of 2.

    Raises:
        UserError: the backbone does not accept images of that size.
    """
    try:
        built = getattr(keras.applications, backbone)(
            include_top=False, weights=None, input_shape=(image_size, image_size, 3)
        )
    except ValueError as error:
        raise UserError(f"backbone {backbone} at image_size {image_size}: {' '.join(str(error).split())}") from None
    return _with_second_rescaling(built) if re.fullmatch("EfficientNetB[0-7]", backbone) else built


def _with_second_rescaling(backbone: Any) -> Any:
    """Copy an EfficientNet, with the layer that keras.applications adds only for weights="imagenet"."""

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        output = layer(*args, **kwargs)
        if isinstance(layer, keras.layers.Normalization):
            output = keras.layers.Rescaling([1 / math.sqrt(deviation) for deviation in IMAGENET_STDDEV_RGB])(output)
        return output

    copy = keras.models.clone_model(backbone, call_function=call)
    copy.set_weights(backbone.get_weights())
    return copy


def with_stored_statistics(backbone: Any) -> Any:
    """Copy a backbone so that its batch normalisation uses the stored statistics during training, too.

    A functional model passes its own `training` argument to all its layers (observed with Keras 3.15), so
    `backbone(x, training=False)` has no effect when the whole model is trained. Therefore the layers are replaced. Their
    scale and shift stay trainable; their moving averages do not change.
    """

    def clone(layer: Any) -> Any:
        if isinstance(layer, keras.layers.BatchNormalization):
            return _StoredStatistics.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    cloned = keras.models.clone_model(backbone, clone_function=clone)
    cloned.set_weights(backbone.get_weights())
    return cloned


class _StoredStatistics(keras.layers.BatchNormalization):
    """Used only during training: saved models contain plain layers."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return super().call(inputs, training=False, mask=mask)


def preprocessing_layers(backbone: str, input_scaling: str, x: Any) -> Any:
    """Scale a tensor of pixels to the input of a backbone.

    Args:
        backbone: name in keras.applications.
        input_scaling: "backbone" for preprocess_input(x), which is what the backbone expects; "unit" for x / 255, values 0
            to 1; "double" for preprocess_input(x / 255).
        x: Keras tensor, shape (batch, height, width, 3), values 0 to 255.

    Returns:
        Keras tensor of the same shape.
    """
    if input_scaling == "unit":
        return keras.layers.Rescaling(1 / 255, name="rescaling")(x)
    if input_scaling == "double":
        x = keras.layers.Rescaling(1 / 255, name="study_rescaling")(x)
    reverse, scale, offset = preprocessing_numbers(backbone)
    if reverse:
        x = keras.ops.flip(x, axis=-1)
    if np.allclose(scale, 1) and np.allclose(offset, 0):
        return x  # the backbone scales its input itself
    return keras.layers.Rescaling(_plain(scale), _plain(offset), name="preprocess_input")(x)


def preprocessing_numbers(backbone: str) -> tuple[bool, np.ndarray, np.ndarray]:
    """Measure `preprocess_input`: whether it reverses the channels, and scale and offset of each output channel.

    Raises:
        AssertionError: it is not affine, so it cannot be written as plain layers.
    """
    probe = np.zeros((5, 1, 1, 3), dtype=np.float32)
    for channel in range(3):
        probe[channel + 1, ..., channel] = 255
    probe[4] = [17, 101, 203]
    scaled = np.asarray(backbone_module(backbone).preprocess_input(probe.copy())).reshape(5, 3).astype(np.float64)
    offset, slopes = scaled[0], (scaled[1:4] - scaled[0]) / 255  # slopes[input channel, output channel]
    reverse = bool(abs(slopes[0, 0]) < abs(slopes[0, 2]))
    scale = np.diag(slopes[::-1] if reverse else slopes)
    rebuilt = (probe[4, 0, 0, ::-1] if reverse else probe[4, 0, 0]) * scale + offset
    assert np.allclose(rebuilt, scaled[4], atol=1e-3), f"preprocess_input of {backbone} is not affine"
    return reverse, scale, offset


def _plain(numbers: np.ndarray) -> float | list[float]:
    """Return a single number where all channels share it."""
    return float(numbers[0]) if np.allclose(numbers, numbers[0]) else [float(number) for number in numbers]
