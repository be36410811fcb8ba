"""Read the decoded pixels of a data set, by image id."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.io.errors import UserError


def open_pixels(arrays: list[Path]) -> dict[str, NDArray[np.uint8]]:
    """Open the arrays written by `cache_pixels`.

    Args:
        arrays: files `<class>.npy`, uint8 of shape (n, size, size, 3); the column `image` of `<class>.csv` in the same
            folder names the rows.

    Returns:
        Image id to pixels of shape (size, size, 3). The arrays are memory-mapped: an image takes memory only when used.
    """
    pixels: dict[str, NDArray[np.uint8]] = {}
    for path in arrays:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        images = pd.read_csv(path.with_suffix(".csv"), dtype=str, keep_default_na=False)["image"]
        if len(images) != len(array):
            raise UserError(
                f"{path}: {len(array)} images, but {len(images)} rows in {path.with_suffix('.csv').name}; delete both files"
            )
        pixels.update(zip(images, array, strict=True))
    return pixels


def stack_pixels(pixels: dict[str, NDArray[np.uint8]], images: list[str]) -> NDArray[np.float32]:
    """Stack images to a float32 array of shape (n, size, size, 3), values 0 to 255."""
    return np.stack([pixels[image] for image in images]).astype(np.float32)
