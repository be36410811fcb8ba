"""Batches of an epoch, as its manifest rows say."""

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.augmentation.draw import NUMBERS
from cxrflow.augmentation.transform import transform_image

# Batches that are made ahead of the one in use: one hides the making of the next, a second evens out slow ones.
AHEAD = 2


class Batch(NamedTuple):
    """What one step sees."""

    x: NDArray[np.float32]
    """Pixels, shape (batch, size, size, 3), values 0 to 255."""
    y: NDArray[np.float32]
    """Targets, shape (batch, outputs)."""
    rows: pd.DataFrame
    """The manifest rows of its images."""


def batches(
    rows: pd.DataFrame,
    pixels: Mapping[str, NDArray[np.uint8]],
    targets: Mapping[str, NDArray[np.float32]],
    batch_size: int,
    incomplete_batch: str,
    first: int = 0,
    workers: int = 1,
) -> Iterator[Batch]:
    """The batches of one epoch of one subset, made by threads of their own while those before are in use.

    Args:
        rows: manifest rows of the epoch and subset, in order of position.
        pixels: image id to uint8 (size, size, 3).
        targets: image id to its target vector.
        batch_size: images in a batch.
        incomplete_batch: "dropped" leaves out the last, smaller batch of the pass; "kept" trains on it.
        first: the batch to begin with, counted from 0.
        workers: threads that transform images; the batches are the same for any number.
    """
    parts = [rows.iloc[start:end] for start, end in _cuts(len(rows), batch_size, incomplete_batch)[first:]]
    # Without `with`: a pass that is given up must not wait for what was begun ahead of it.
    pool = ThreadPoolExecutor(workers)
    try:
        coming: deque[tuple[pd.DataFrame, list[Future[NDArray[np.float32]]]]] = deque()
        for part in parts[:AHEAD]:
            coming.append((part, _begin(pool, part, pixels)))
        for place in range(len(parts)):
            part, images = coming.popleft()
            if place + AHEAD < len(parts):
                following = parts[place + AHEAD]
                coming.append((following, _begin(pool, following, pixels)))
            yield Batch(
                np.stack([image.result() for image in images]),
                np.stack([targets[image] for image in part["image"]]),
                part,
            )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(
    pool: ThreadPoolExecutor, part: pd.DataFrame, pixels: Mapping[str, NDArray[np.uint8]]
) -> list[Future[NDArray[np.float32]]]:
    drawn = [dict(zip(NUMBERS, row, strict=True)) for row in part[list(NUMBERS)].itertuples(index=False)]
    return [pool.submit(transform_image, pixels[image], row) for image, row in zip(part["image"], drawn, strict=True)]


def _cuts(images: int, batch_size: int, incomplete_batch: str) -> list[tuple[int, int]]:
    """First and last-but-one row of each batch."""
    used = images_per_pass(images, batch_size, incomplete_batch)
    return [(start, min(start + batch_size, used)) for start in range(0, used, batch_size)]


def batches_per_pass(images: int, batch_size: int, incomplete_batch: str) -> int:
    """How many batches one pass over a subset has."""
    return len(_cuts(images, batch_size, incomplete_batch))


def images_per_pass(images: int, batch_size: int, incomplete_batch: str) -> int:
    """How many of a subset's images one pass shows to the network."""
    whole = images // batch_size * batch_size
    # A pass smaller than one batch is never dropped whole: nothing would be left to train on.
    return images if incomplete_batch == "kept" or whole == 0 else whole


def target_vectors(split: pd.DataFrame, settings: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Image id to what the network should say: (1,) for a sigmoid, 1 for the second class; else one-hot (classes,)."""
    places = split["class"].map(list(settings["classes"]).index).to_numpy()
    if settings["loss"] == "binary_crossentropy":
        vectors = places[:, None].astype(np.float32)
    else:
        vectors = np.eye(len(settings["classes"]), dtype=np.float32)[places]
    return dict(zip(split["image"], vectors, strict=True))


def image_weights(split: pd.DataFrame, settings: Mapping[str, Any]) -> dict[str, float] | None:
    """How much each training image counts in the loss, or None where all count alike.

    Args:
        split: the task's split.
        settings: `classes`, and `class_weights`: "none", "balanced" (n / (classes * n of the class) over the training images,
            as scikit-learn has it), or a mapping of classes to weights.
    """
    wanted = settings["class_weights"]
    if wanted == "none":
        return None
    training = split[split["subset"] == "training"]
    if wanted == "balanced":
        counts = training["class"].value_counts()
        wanted = {name: len(training) / (len(settings["classes"]) * counts[name]) for name in settings["classes"]}
    return {image: float(wanted[name]) for image, name in zip(training["image"], training["class"], strict=True)}
