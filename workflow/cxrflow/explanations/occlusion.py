"""Alterations that remove a part of an image, to test what a network needs.

A network that stays right without the lungs decides by something else. So does one that is wrong only without the border.
After G. Maguolo and L. Nanni, Information Fusion 76 (2021).
"""

import numpy as np
from numpy.typing import NDArray

from cxrflow.explanations.lungs import border_mask

PATCHES = 4
"""Shuffled patches in a row and in a column."""
Pixels = NDArray[np.uint8]

OCCLUSIONS = {
    "border_black": "the outer tenth on each side is black",
    "centre_black": "everything but the outer tenth on each side is black",
    "lungs_black": "the lung boxes are black",
    "lungs_only": "everything but the lung boxes is black",
    "grey": "the colour is removed: each pixel has the mean of its channels",
    "shuffled_patches": f"{PATCHES} x {PATCHES} patches are in random order",
}


def occluded(name: str, picture: Pixels, lungs: NDArray[np.bool_], random: np.random.Generator) -> Pixels:
    """Remove a part of a picture.

    Args:
        name: one of `OCCLUSIONS`.
        picture: uint8 (size, size, 3).
        lungs: mask (size, size) of the lung boxes.
        random: source of random numbers, used only for the order of patches.

    Returns:
        uint8 of the same shape.
    """
    if name == "grey":
        return np.repeat(np.rint(picture.mean(axis=-1, keepdims=True)), 3, axis=-1).astype(np.uint8)
    if name == "shuffled_patches":
        return _with_shuffled_patches(picture, random)
    border = border_mask(len(picture))
    black = {"border_black": border, "centre_black": ~border, "lungs_black": lungs, "lungs_only": ~lungs}[name]
    return np.where(black[..., None], np.uint8(0), picture)


def _with_shuffled_patches(picture: Pixels, random: np.random.Generator) -> Pixels:
    """Shuffle equal patches; rows and columns that are left over at the end stay."""
    side = len(picture) // PATCHES
    corners = [(row * side, column * side) for row in range(PATCHES) for column in range(PATCHES)]
    shuffled = picture.copy()
    for (row, column), source in zip(corners, random.permutation(len(corners)), strict=True):
        from_row, from_column = corners[source]
        patch = picture[from_row : from_row + side, from_column : from_column + side]
        shuffled[row : row + side, column : column + side] = patch
    return shuffled
