"""Predictions of a trained network."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cxrflow.images.pixels import stack_pixels

BATCH = 32


def predict_in_batches(
    model: keras.Model, pixels: Mapping[str, NDArray[np.uint8]], images: list[str]
) -> NDArray[np.float32]:
    """A network's output for the named images, not augmented, shape (n, outputs)."""
    parts = [
        model.predict_on_batch(stack_pixels(dict(pixels), images[start : start + BATCH]))
        for start in range(0, len(images), BATCH)
    ]
    return np.concatenate(parts)


def class_probabilities(output: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities over all classes, shape (n, classes); a sigmoid is the probability of the second class."""
    output = output.astype(np.float64)
    return np.hstack([1 - output, output]) if output.shape[1] == 1 else output
