"""Build the batches of an epoch from its manifest rows."""

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.augmentation.draw import NUMBERS
from cxrflow.augmentation.transform import transform_image

# Batches prepared in advance: the first hides the preparation time, the second compensates for slow ones.
AHEAD = 2


class Batch(NamedTuple):
    """The input of one step."""

    x: NDArray[np.float32]
    """Pixels, shape (batch, size, size, 3), values 0 to 255."""
    y: NDArray[np.float32]
    """Targets, shape (batch, outputs)."""
    rows: pd.DataFrame
    """Manifest rows of its images."""


def batches(
    rows: pd.DataFrame,
    pixels: Mapping[str, NDArray[np.uint8]],
    targets: Mapping[str, NDArray[np.float32]],
    batch_size: int,
    incomplete_batch: str,
    first: int = 0,
    workers: int = 1,
) -> Iterator[Batch]:
    """Yield the batches of one subset in one epoch, prepared by threads while earlier batches are in use.

    Args:
        rows: manifest rows of the epoch and subset, in order of position.
        pixels: image id to uint8 (size, size, 3).
        targets: image id to its target vector.
        batch_size: images per batch.
        incomplete_batch: "dropped" omits a last batch that is smaller than the others; "kept" uses it.
        first: number of batches to skip.
        workers: number of threads that transform images; the batches do not depend on it.
    """
    parts = [rows.iloc[start:end] for start, end in _cuts(len(rows), batch_size, incomplete_batch)[first:]]
    # Without `with`: an abandoned pass must not wait for the batches that are in preparation.
    pool = ThreadPoolExecutor(workers)
    try:
        ahead: deque[tuple[pd.DataFrame, list[Future[NDArray[np.float32]]]]] = deque()
        for part in parts[:AHEAD]:
            ahead.append((part, _start(pool, part, pixels)))
        for place in range(len(parts)):
            part, images = ahead.popleft()
            if place + AHEAD < len(parts):
                following = parts[place + AHEAD]
                ahead.append((following, _start(pool, following, pixels)))
            yield Batch(
                np.stack([image.result() for image in images]),
                np.stack([targets[image] for image in part["image"]]),
                part,
            )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _start(
    pool: ThreadPoolExecutor, part: pd.DataFrame, pixels: Mapping[str, NDArray[np.uint8]]
) -> list[Future[NDArray[np.float32]]]:
    drawn = [dict(zip(NUMBERS, row, strict=True)) for row in part[list(NUMBERS)].itertuples(index=False)]
    return [pool.submit(transform_image, pixels[image], row) for image, row in zip(part["image"], drawn, strict=True)]


def _cuts(images: int, batch_size: int, incomplete_batch: str) -> list[tuple[int, int]]:
    """Start and end row of each batch; the end is exclusive."""
    used = images_per_pass(images, batch_size, incomplete_batch)
    return [(start, min(start + batch_size, used)) for start in range(0, used, batch_size)]


def batches_per_pass(images: int, batch_size: int, incomplete_batch: str) -> int:
    """Count the batches in one pass over a subset."""
    return len(_cuts(images, batch_size, incomplete_batch))


def images_per_pass(images: int, batch_size: int, incomplete_batch: str) -> int:
    """Count the images that one pass over a subset uses."""
    whole = images // batch_size * batch_size
    # A pass smaller than one batch is kept: there would be nothing to train on.
    return images if incomplete_batch == "kept" or whole == 0 else whole


def target_vectors(split: pd.DataFrame, settings: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Map image ids to target vectors: (1,) for a sigmoid, 1 for the second class; otherwise one-hot (classes,)."""
    places = split["class"].map(list(settings["classes"]).index).to_numpy()
    if settings["loss"] == "binary_crossentropy":
        vectors = places[:, None].astype(np.float32)
    else:
        vectors = np.eye(len(settings["classes"]), dtype=np.float32)[places]
    return dict(zip(split["image"], vectors, strict=True))


def image_weights(split: pd.DataFrame, settings: Mapping[str, Any]) -> dict[str, float] | None:
    """Weight of each training image in the loss, or None if all weights are equal.

    Args:
        split: the task's split.
        settings: `classes`, and `class_weights`: "none", "balanced" (as in scikit-learn: images / (classes * images of the
            class), over the training images), or a mapping of classes to weights.
    """
    weights = settings["class_weights"]
    if weights == "none":
        return None
    training = split[split["subset"] == "training"]
    if weights == "balanced":
        counts = training["class"].value_counts()
        weights = {name: len(training) / (len(settings["classes"]) * counts[name]) for name in settings["classes"]}
    return {image: float(weights[name]) for image, name in zip(training["image"], training["class"], strict=True)}
