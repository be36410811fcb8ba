"""Lung boxes, and the share of a heat map outside them.

A network that decides by the lungs has its heat there. Heat outside may show a shortcut, such as a marker in the corner.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.tables import read_csv_as_text

Box = tuple[float, float, float, float]
"""left, top, right, bottom: shares of the width and height of the image, 0 to 1."""

COLUMNS = ("left", "top", "right", "bottom")
FIXED_BOXES: tuple[Box, Box] = ((0.10, 0.12, 0.45, 0.86), (0.55, 0.12, 0.90, 0.86))
"""For images without given boxes, if a frontal chest fills them: medians of the lung fields of 60 phantoms, rounded."""
FIXED_IOU = {"lung_fields": 0.61, "lung_boxes": 0.80}
"""How well the fixed boxes fit phantoms: mean intersection over union with the lung fields, and with the bounding boxes of the
lung fields, which themselves reach 0.66 with the lung fields. Not measured on radiographs of people."""
BORDER = 0.1
"""Width of the border, as a share of the image."""


def read_boxes(path: Path) -> dict[str, list[Box]]:
    """Read lung boxes.

    Args:
        path: CSV with the columns image, left, top, right and bottom; an image may have several rows.

    Returns:
        Image id to its boxes.

    Raises:
        UserError: the file is not a table, a column is missing, or a box is not within 0 to 1 or is empty.
    """
    table = read_csv_as_text(path, "--lungs")
    if absent := [name for name in ("image", *COLUMNS) if name not in table]:
        raise UserError(f"{path}: no column {', '.join(absent)}; the columns are image, {', '.join(COLUMNS)}")
    values = table[list(COLUMNS)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    left, top, right, bottom = values.T
    fits = (left >= 0) & (top >= 0) & (right <= 1) & (bottom <= 1) & (left < right) & (top < bottom)
    raise_all(
        [
            f"{path}: row {row + 2}: {table['image'][row]}: a box needs 0 <= left < right <= 1 and 0 <= top < bottom <= 1, as "
            f"shares of width and height; found {', '.join(table.loc[row, list(COLUMNS)])}"
            for row in np.flatnonzero(~fits)[:10]
        ]
    )
    boxes: dict[str, list[Box]] = {}
    for image, (left_, top_, right_, bottom_) in zip(table["image"], values.tolist(), strict=True):
        boxes.setdefault(image, []).append((left_, top_, right_, bottom_))
    return boxes


def box_mask(boxes: Sequence[Box], size: int) -> NDArray[np.bool_]:
    """Draw boxes as a mask of shape (size, size): True inside; a box is rounded to whole pixels."""
    mask = np.zeros((size, size), dtype=bool)
    for left, top, right, bottom in boxes:
        mask[round(top * size) : round(bottom * size), round(left * size) : round(right * size)] = True
    return mask


def border_mask(size: int) -> NDArray[np.bool_]:
    """Mask of the outer tenth of an image on all four sides, shape (size, size)."""
    return ~box_mask([(BORDER, BORDER, 1 - BORDER, 1 - BORDER)], size)


def share_inside(heat: NDArray[np.float32], mask: NDArray[np.bool_]) -> float | None:
    """Share of the heat within a mask, 0 to 1; None without heat. Even heat has the mask's share of the area."""
    total = float(heat.sum(dtype=np.float64))
    return float(heat[mask].sum(dtype=np.float64)) / total if total > 0 else None


def intersection_over_union(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Overlap of two masks, at least one of which is not empty: 0 (none) to 1 (equal)."""
    return float((one & other).sum() / (one | other).sum())
