"""Batches of an epoch, as its manifest rows say."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.augmentation.draw import NUMBERS
from cxrflow.augmentation.transform import transform_image

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]


def batches(
    rows: pd.DataFrame,
    pixels: Mapping[str, NDArray[np.uint8]],
    targets: Mapping[str, NDArray[np.float32]],
    batch_size: int,
    incomplete_batch: str,
) -> Iterator[Batch]:
    """The batches of one epoch of one subset, each made by a thread of its own while the one before is in use.

    Args:
        rows: manifest rows of the epoch and subset, in order of position.
        pixels: image id to uint8 (size, size, 3).
        targets: image id to its target vector.
        batch_size: images in a batch.
        incomplete_batch: "dropped" leaves out the last, smaller batch of the pass; "kept" trains on it.

    Yields:
        Pixels, float32 (batch, size, size, 3) with values 0 to 255, and targets (batch, outputs).
    """
    whole = len(rows) // batch_size * batch_size
    # A pass smaller than one batch is never dropped whole: nothing would be left to train on.
    used = rows if incomplete_batch == "kept" or whole == 0 else rows.iloc[:whole]
    parts = [used.iloc[start : start + batch_size] for start in range(0, len(used), batch_size)]

    def make(part: pd.DataFrame) -> Batch:
        drawn = [dict(zip(NUMBERS, row, strict=True)) for row in part[list(NUMBERS)].itertuples(index=False)]
        images = [transform_image(pixels[image], row) for image, row in zip(part["image"], drawn, strict=True)]
        return np.stack(images), np.stack([targets[image] for image in part["image"]])

    with ThreadPoolExecutor(1) as pool:
        coming: Future[Batch] | None = None
        for part in parts:
            current, coming = coming, pool.submit(make, part)
            if current is not None:
                yield current.result()
        if coming is not None:
            yield coming.result()


def images_per_pass(images: int, batch_size: int, incomplete_batch: str) -> int:
    """How many of a subset's images one pass shows to the network."""
    whole = images // batch_size * batch_size
    return images if incomplete_batch == "kept" or whole == 0 else whole


def target_vectors(split: pd.DataFrame, settings: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Image id to what the network should say: (1,) for a sigmoid, 1 for the second class; else one-hot (classes,)."""
    places = split["class"].map(list(settings["classes"]).index).to_numpy()
    if settings["loss"] == "binary_crossentropy":
        vectors = places[:, None].astype(np.float32)
    else:
        vectors = np.eye(len(settings["classes"]), dtype=np.float32)[places]
    return dict(zip(split["image"], vectors, strict=True))
