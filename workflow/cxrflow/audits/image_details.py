"""Reduce images to what tells them apart: their fine structure, without exposure and without the anatomy of every chest.

Radiographs of different people have the same large structures, so grey levels of small images correlate above 0.95. Their
details (edges of ribs, vessels, noise) do not.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

COARSE = 48
"""Side of the details that candidates are found by, in pixels."""
FINE = 128
"""Side of the details that decide, in pixels."""
NEIGHBOURHOOD = 2.0
"""Standard deviation of the neighbourhood that each pixel is compared with, in pixels of the result."""
MOST = 2.5
"""Details are limited to this many standard deviations, so that borders and letters do not dominate."""
STEPS = 48.0
"""Steps of a stored detail per standard deviation: MOST is 120 of at most 127."""

Array = NDArray[np.float32]


def details_of(pixels: NDArray[np.uint8], side: int) -> Array:
    """Compute the details of an image: its local contrast, normalised to the contrast around.

    Args:
        pixels: uint8, shape (height, width, 3).
        side: height and width of the result, in pixels.

    Returns:
        float32, shape (side, side), within ±`MOST`; all 0 for a constant image. Brightness and contrast do not change it, an
        inversion changes its sign (divisive normalisation: Jarrett et al., ICCV 2009).
    """
    grey = Image.fromarray(pixels.mean(axis=2, dtype=np.float32))
    small = np.asarray(grey.resize((side, side), Image.Resampling.BILINEAR))
    local = small - gaussian_filter(small, NEIGHBOURHOOD)
    contrast = np.sqrt(gaussian_filter(local**2, NEIGHBOURHOOD))
    if contrast.max() < 0.01:  # of 255 grey levels: a constant image, and its rounding
        return np.zeros((side, side), np.float32)
    return np.clip(local / (contrast + contrast.mean() / 2), -MOST, MOST)


def packed(details: Array) -> NDArray[np.int8]:
    """Store details in one byte per pixel."""
    return np.rint(details * STEPS).astype(np.int8)


def unpacked(stored: NDArray[np.int8]) -> Array:
    """Undo `packed`, but for rounding to 1/`STEPS`."""
    return stored.astype(np.float32) / np.float32(STEPS)


def zoom_matrix(side: int, scale: float) -> Array:
    """Matrix Z of shape (side, side) that enlarges the middle `scale` of an image to its size: Z @ image @ Z.T."""
    at = np.clip((np.arange(side) + 0.5 - side / 2) * scale + side / 2 - 0.5, 0, side - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(side)[None, :])).astype(np.float32)


def taper(side: int) -> Array:
    """Window of shape (side, side) that is 1 in the middle and falls to 0 at the borders."""
    window = np.sqrt(np.hanning(side + 2)[1:-1])
    return np.outer(window, window).astype(np.float32)
