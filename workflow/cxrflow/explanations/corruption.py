"""Alterations of graded strength: how far an image may differ from those of the training."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from cxrflow.augmentation.draw import NUMBERS, UNCHANGED
from cxrflow.augmentation.transform import transformed_picture

Pixels = NDArray[np.uint8]

CORRUPTIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "jpeg_quality": ("quality of JPEG compression at the size of the network's input, 1 to 100", (75, 50, 25, 10)),
    "noise": ("standard deviation of Gaussian noise, in grey levels", (5, 10, 20, 40)),
    "blur": ("standard deviation of a Gaussian blur, as a share of the size", (0.005, 0.01, 0.02, 0.04)),
    "brightness": ("grey levels added to each pixel", (-60, -30, 30, 60)),
    "shift": ("shift in a random direction, as a share of the size; black outside", (0.02, 0.05, 0.1, 0.2)),
    "rotation": ("rotation to a random side, in degrees; black outside", (5, 10, 20, 45)),
}
"""Name to what its strength is, and the strengths that are tested."""


def corrupted(name: str, strength: float, picture: Pixels, random: np.random.Generator) -> Pixels:
    """Alter a picture.

    Args:
        name: one of `CORRUPTIONS`.
        strength: in the unit of this alteration.
        picture: uint8 (size, size, 3).
        random: source of random numbers. With the same numbers, another strength has the same noise, direction or side.

    Returns:
        uint8 of the same shape.
    """
    if name == "jpeg_quality":
        return _compressed(picture, int(strength))
    if name == "noise":  # the same in all channels, as grey images stay grey
        return _as_pixels(picture + strength * random.standard_normal((*picture.shape[:2], 1)))
    if name == "blur":
        spread = strength * len(picture)
        return _as_pixels(gaussian_filter(picture.astype(np.float64), (spread, spread, 0)))
    if name == "brightness":
        return _as_pixels(picture.astype(np.float64) + strength)
    row: dict[str, Any] = {number: UNCHANGED.get(number, False) for number in NUMBERS}
    if name == "shift":
        direction = random.uniform(0, 2 * np.pi)
        row |= {"tx": strength * np.sin(direction), "ty": strength * np.cos(direction)}
    elif name == "rotation":
        row["theta"] = strength if random.random() < 0.5 else -strength
    else:
        raise KeyError(name)
    return transformed_picture(picture, row)


def _as_pixels(values: NDArray[Any]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _compressed(picture: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))
