"""Small files that embed_features reads beside the features: the index of the images, and their pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def write_images(
    folder: Path, images: Sequence[str], pixels: np.ndarray | None = None, **facts: Sequence[Any]
) -> list[str]:
    """Write images.parquet and pixels.

    Args:
        folder: where to write.
        images: ids.
        pixels: shape (n, size, size, 3); by default random.
        facts: columns of the index; by default, all files are the same and no patient is known.

    Returns:
        The flags of embed_features that name the files.
    """
    same = {"mode": "L", "format": "PNG", "width": 100, "height": 100, "bytes": 5000, "jpeg_quantisation": None}
    rows = {"image": images, "sha256": [f"{number:064x}" for number in range(len(images))], "patient": None}
    index = pd.DataFrame({**rows, **{name: [value] * len(images) for name, value in same.items()}, **facts})
    types = {"patient": "string", "jpeg_quantisation": "Float64"}
    index.astype(types).to_parquet(folder / "images.parquet")
    drawn = np.random.default_rng(5).integers(0, 256, (len(images), 32, 32, 3)) if pixels is None else pixels
    np.save(folder / "pixels.npy", drawn.astype(np.uint8))
    index[["image"]].to_csv(folder / "pixels.csv", index=False)
    return ["--images", str(folder / "images.parquet"), "--pixels", str(folder / "pixels.npy")]
