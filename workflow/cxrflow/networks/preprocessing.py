"""A backbone's own preprocessing, as layers inside the network.

Every `preprocess_input` of keras.applications is affine: it may reverse the channels, then scales and shifts each. What it
does is therefore read off the function itself, and written as plain Keras layers that any Keras can load again.
"""

from typing import Any

import keras
import numpy as np

from cxrflow.networks.backbones import backbone_module


def preprocessing_layers(backbone: str, input_scaling: str, x: Any) -> Any:
    """Lay a backbone's preprocessing behind a tensor of pixels.

    Args:
        backbone: name in keras.applications.
        input_scaling: "imagenet" for preprocess_input(x), right for the backbone; "study" for preprocess_input(x / 255),
            the study's double scaling.
        x: Keras tensor, shape (batch, height, width, 3), values 0 to 255.

    Returns:
        Keras tensor of the same shape.
    """
    if input_scaling == "study":
        x = keras.layers.Rescaling(1 / 255, name="study_rescaling")(x)
    reverse, scale, offset = preprocessing_numbers(backbone)
    if reverse:
        x = keras.ops.flip(x, axis=-1)
    if np.allclose(scale, 1) and np.allclose(offset, 0):
        return x  # the backbone scales inside itself
    return keras.layers.Rescaling(_plain(scale), _plain(offset), name="preprocess_input")(x)


def preprocessing_numbers(backbone: str) -> tuple[bool, np.ndarray, np.ndarray]:
    """Whether `preprocess_input` reverses the channels, and its scale and offset per channel, in the order of its output.

    Raises:
        AssertionError: it is not affine, so that it cannot be written this way.
    """
    probe = np.zeros((5, 1, 1, 3), dtype=np.float32)
    for channel in range(3):
        probe[channel + 1, ..., channel] = 255
    probe[4] = [17, 101, 203]
    seen = np.asarray(backbone_module(backbone).preprocess_input(probe.copy())).reshape(5, 3).astype(np.float64)
    offset, slopes = seen[0], (seen[1:4] - seen[0]) / 255  # slopes[input channel, output channel]
    reverse = bool(abs(slopes[0, 0]) < abs(slopes[0, 2]))
    scale = np.diag(slopes[::-1] if reverse else slopes)
    rebuilt = (probe[4, 0, 0, ::-1] if reverse else probe[4, 0, 0]) * scale + offset
    assert np.allclose(rebuilt, seen[4], atol=1e-3), f"preprocess_input of {backbone} is not affine"
    return reverse, scale, offset


def _plain(numbers: np.ndarray) -> float | list[float]:
    """One number where all channels have the same, as Keras' layers are written by hand."""
    return float(numbers[0]) if np.allclose(numbers, numbers[0]) else [float(number) for number in numbers]
