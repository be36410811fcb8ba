"""Compare new images with the images of a run: which are the same, and which look different."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cxrflow.images.facts import LOOKS
from cxrflow.io.errors import UserError

MEASURED = {"width": "px wide", "height": "px high", **LOOKS}
KNOWN_AS = {
    "training": "was trained on",
    "validation": "was validated on",
    "train": "is in the training folder",
    "": "is an image of the run, and may have been trained on",
}
"""What is written about an image of the run, by its subset, or by its folder without a split. Test images are left out."""


def reference_of(index: pd.DataFrame, classes: list[str], split: pd.DataFrame | None = None) -> dict[str, Any]:
    """Describe the images of a run.

    Args:
        index: index of the images.
        classes: classes of the training; images of other classes are left out.
        split: split of the task of the training; it has the subset of each image.

    Returns:
        `known` (SHA-256 of a file, or hash of its sampled pixels, to the image and the words of `KNOWN_AS`), `modes` (colour
        modes), and the least and greatest value of width, height and each of `LOOKS`.

    Raises:
        UserError: the index has no image of these classes, or lacks columns because an earlier version wrote it.
    """
    if absent := [column for column in (*MEASURED, "sample_blake2", "subset_folder") if column not in index]:
        raise UserError(f"--reference: no column {', '.join(absent)}; run the workflow again to rebuild the file")
    used = index[index["class"].isin(classes) & index["status"].isin(["ok", "changed"])]
    if used.empty:
        raise UserError(f"--reference: no image of {', '.join(classes)}; give the images.parquet of the training's run")
    subset = (
        used["subset_folder"]
        if split is None
        else used["image"].map(dict(zip(split["image"], split["subset"], strict=True)))
    )
    described = used.assign(words=subset.map(KNOWN_AS)).dropna(subset="words")
    known = {
        hashed: (image, words)
        for column in ("sample_blake2", "sha256")
        for hashed, image, words in described[[column, "image", "words"]].itertuples(index=False)
    }
    return {
        "known": known,
        "modes": sorted(used["mode"].unique()),
        **{name: (float(used[name].min()), float(used[name].max())) for name in MEASURED},
    }


def seen_before(sha256: str, sample: str, reference: Mapping[str, Any]) -> list[str]:
    """Say which image of the run an image is, or looks like in its sampled pixels; an empty list for a new image."""
    if sha256 in reference["known"]:
        image, words = reference["known"][sha256]
        return [f"{words}, as {image}"]
    if sample in reference["known"]:
        image, words = reference["known"][sample]
        return [f"looks the same as {image}, which {words}"]
    return []


def unlike(found: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    """Say in what an image is outside the range of the reference; `found` has mode, width, height and `LOOKS`."""
    differences = []
    if found["mode"] not in reference["modes"]:
        differences.append(f"colour mode {found['mode']}, not {' or '.join(reference['modes'])}")
    for name, unit in MEASURED.items():
        low, high = reference[name]
        if not low <= found[name] <= high:
            what = f"{found[name]:g} {unit}" if name in ("width", "height") else f"{name} {found[name]:g} {unit}"
            differences.append(f"{what}, not {low:g} to {high:g}")
    return differences
