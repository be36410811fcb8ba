"""Grey values of more than 8 bits to 8 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrflow.images.limits import CONSTANT
from cxrflow.stage.faults import Fault


def to_8_bits(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Lay the range from `low` to `high` linearly over 0 to 255, rounded; what lies outside becomes 0 or 255."""
    scaled = values.astype(np.float64)
    scaled -= low  # in place: the pictures are large
    scaled *= 255 / (high - low)
    return np.rint(np.clip(scaled, 0, 255, out=scaled), out=scaled).astype(np.uint8)


def own_range(values: NDArray[Any]) -> tuple[float, float]:
    """Smallest and largest of some values.

    Raises:
        Fault: there are values that are not finite, or all are the same.
    """
    if not values.size:
        raise Fault("holds no pixel that is not padding")
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise Fault("holds values that are not finite (NaN or infinity)")
    if low == high:
        raise Fault(CONSTANT)
    return low, high
