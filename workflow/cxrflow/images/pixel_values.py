"""Checks and conversions of pixels that all image formats share: allowed sizes, and grey values of more than 8 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrflow.io.errors import UserError

MIN_SIDE = 16
MAX_PIXELS = 89_478_485  # Pillow's limit for decompression bombs; the largest detectors have 20 million pixels
TOO_LARGE = f"more than the {MAX_PIXELS:,} pixels that an image may have (a decompression bomb?); make it smaller"
CONSTANT = "all pixels have the same value"


def check_size(width: int, height: int) -> None:
    """Raise a UserError if an image is too small or too large; sizes in pixels."""
    if min(width, height) < MIN_SIDE:
        raise UserError(f"{width} × {height} pixels; an image needs {MIN_SIDE} on each side")
    if width * height > MAX_PIXELS:
        raise UserError(f"{width:,} × {height:,} pixels, {TOO_LARGE}")


def to_8_bits(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Scale the range from `low` to `high` linearly to 0 to 255, rounded; values outside become 0 or 255."""
    scaled = values.astype(np.float64)
    scaled -= low  # in place: the pictures are large
    scaled *= 255 / (high - low)
    return np.rint(np.clip(scaled, 0, 255, out=scaled), out=scaled).astype(np.uint8)


def value_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and the largest value.

    Raises:
        UserError: there is no value, some are not finite, or all are the same.
    """
    if not values.size:
        raise UserError("all pixels are padding")
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise UserError("holds values that are not finite (NaN or infinity)")
    if low == high:
        raise UserError(CONSTANT)
    return low, high
