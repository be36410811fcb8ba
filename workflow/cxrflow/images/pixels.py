"""Decoded pixels of a data set, by image id."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.stage.faults import Fault


def open_pixels(arrays: list[Path]) -> dict[str, NDArray[np.uint8]]:
    """Open arrays that `cache_pixels` wrote.

    Args:
        arrays: files `<class>.npy`, uint8 of shape (n, size, size, 3), each with `<class>.csv` beside it, whose column
            `image` names the rows.

    Returns:
        Image id to pixels of shape (size, size, 3). The arrays are mapped, not read: an image takes memory when it is
        looked at.
    """
    pixels: dict[str, NDArray[np.uint8]] = {}
    for path in arrays:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        images = pd.read_csv(path.with_suffix(".csv"), dtype=str, keep_default_na=False)["image"]
        if len(images) != len(array):
            raise Fault(
                f"{path}: {len(array)} images, but {len(images)} lines in {path.with_suffix('.csv').name}; delete both"
            )
        pixels.update(zip(images, array, strict=True))
    return pixels


def stack_pixels(pixels: dict[str, NDArray[np.uint8]], images: list[str]) -> NDArray[np.float32]:
    """The named images as one float32 array of shape (n, size, size, 3), values 0 to 255."""
    return np.stack([pixels[image] for image in images]).astype(np.float32)
