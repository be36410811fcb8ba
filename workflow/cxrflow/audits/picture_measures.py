"""Measure a picture: exposure, sharpness, flatness, colour, and a small normalised copy that shows how the body lies in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]

SIDE = 16
"""Side of the small copy, in pixels."""
BLACK = 24
"""Darker pixels (of 255) are taken for the background of a film, which is often flat."""
STRONG_COLOUR = 50
"""A pixel is strongly coloured if its largest channel exceeds its smallest by this many levels more than in most pixels, so
that a tinted film has no strong colour."""


@dataclass(frozen=True)
class PictureMeasures:
    """Measures of one picture."""

    brightness: float
    """Mean grey level, 0 to 255."""
    levels: float
    """Range of grey levels without the darkest and the brightest hundredth of the pixels, 0 to 255."""
    sharpness: float
    """Logarithm (base 2) of the contrast of details of about 1 pixel, relative to those of about 2 pixels."""
    flatness: float
    """Share of pixels, apart from a black background, that have exactly the colour of the pixel on their left, 0 to 1."""
    colour: float
    """Share of strongly coloured pixels, 0 to 1."""
    small: Array
    """Grey copy, shape (SIDE, SIDE), with mean 0 and length 1; all 0 for a constant picture."""


def measure(pixels: Pixels) -> PictureMeasures:
    """Measure a picture.

    Args:
        pixels: uint8, shape (size, size, 3).
    """
    grey = grey_levels(pixels)
    low, high = np.percentile(grey, [1, 99])
    is_lit = grey[:, 1:] > BLACK
    is_same = (pixels[:, 1:] == pixels[:, :-1]).all(axis=2)
    return PictureMeasures(
        brightness=float(grey.mean()),
        levels=float(high - low),
        sharpness=_sharpness(grey),
        flatness=float(is_same[is_lit].mean()) if is_lit.any() else 0.0,
        colour=float(strongly_coloured(pixels).mean()),
        small=_small(grey),
    )


def grey_levels(pixels: Pixels) -> Array:
    """Luminance (ITU-R 601) of shape (height, width), 0 to 255."""
    return pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def strongly_coloured(pixels: Pixels) -> NDArray[np.bool_]:
    """Mark strongly coloured pixels, shape (height, width)."""
    difference = pixels.max(axis=2).astype(np.int16) - pixels.min(axis=2)
    return difference > STRONG_COLOUR + np.median(difference)


def _sharpness(grey: Array) -> float:
    """Compare the contrast of two bands of a Laplacian pyramid; 0.05 levels keep a constant picture finite."""
    smooth = gaussian_filter(grey, 1, truncate=3)
    smoother = gaussian_filter(smooth, 2, truncate=3)
    return float(np.log2((np.std(grey - smooth) + 0.05) / (np.std(smooth - smoother) + 0.05)))


def _small(grey: Array) -> Array:
    small = np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    small = small - small.mean()
    length = np.linalg.norm(small)
    return small / length if length > 1e-3 * SIDE else np.zeros_like(small)
