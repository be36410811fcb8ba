"""Accuracy of a network on altered images, and what changes compared with the unaltered ones."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrflow.explanations.choice import stream_of
from cxrflow.explanations.corruption import CORRUPTIONS, corrupted
from cxrflow.explanations.deletion import Predict
from cxrflow.explanations.occlusion import OCCLUSIONS, occluded
from cxrflow.statistics.intervals import clustered_wilson

Alter = Callable[[str], NDArray[np.uint8]]
CHUNK = 256
"""Images that are altered at a time, which limits the memory."""


def accuracy_on(
    images: list[str],
    truth: NDArray[np.intp],
    before: NDArray[np.float64],
    pixels: Mapping[str, NDArray[np.uint8]],
    alter: Alter,
    predict: Predict,
    patients: NDArray[np.int64],
) -> dict[str, Any]:
    """Measure the accuracy on altered images. Images that the alteration leaves as they are, are not predicted again.

    Args:
        images: image ids, at least one.
        truth: place of the true class of each image.
        before: probabilities of all classes of the unaltered images, (n, classes).
        pixels: from an image id to its unaltered picture.
        alter: from an image id to its altered picture.
        predict: the network.
        patients: the number of each image's patient.

    Returns:
        A JSON value: `images`, `correct`, `accuracy` and its 95 % `interval` (`clustered_wilson`); `lost` (right before, wrong
        now), `gained` (the reverse) and `change`, the difference of the accuracies; `true_probability`, the mean probability
        of the true class, and its change, `true_probability_change`.
    """
    parts = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    after = before.copy()
    for start, part in zip(range(0, len(images), CHUNK), parts, strict=True):
        pictures = [alter(image) for image in part]
        changed = [place for place, image in enumerate(part) if not np.array_equal(pictures[place], pixels[image])]
        if changed:
            after[[start + place for place in changed]] = predict(np.stack([pictures[place] for place in changed]))
    was_right, is_right = before.argmax(axis=1) == truth, after.argmax(axis=1) == truth
    of_truth = [float(table[np.arange(len(truth)), truth].mean()) for table in (before, after)]
    lost, gained = int((was_right & ~is_right).sum()), int((~was_right & is_right).sum())
    return {
        "images": len(images),
        "correct": int(is_right.sum()),
        "accuracy": round(float(is_right.mean()), 4),
        "interval": [round(end, 4) for end in clustered_wilson(is_right, patients)],
        "lost": lost,
        "gained": gained,
        "change": round((gained - lost) / len(images), 4),
        "true_probability": round(of_truth[1], 4),
        "true_probability_change": round(of_truth[1] - of_truth[0], 4),
    }


def accuracy_on_altered_images(
    pixels: Mapping[str, NDArray[np.uint8]],
    truth: Mapping[str, int],
    lungs: Mapping[str, NDArray[np.bool_]],
    predict: Predict,
    seed: int,
    patients: NDArray[np.int64],
) -> dict[str, Any]:
    """Measure the accuracy on the unaltered images and with each alteration of `occlusion` and `corruption`.

    Args:
        pixels: image id to its picture, uint8 (size, size, 3).
        truth: image id to the place of its true class; these images are tested.
        lungs: image id to the mask of its lung boxes.
        predict: the network.
        seed: seed of noise, directions and patches; they depend only on it and on the image id.
        patients: the number of each tested image's patient; images of a patient resemble each other.

    Returns:
        A JSON value: `unaltered`, a row of `accuracy_on`; `occlusions` and `corruptions`, lists of such rows with `name`,
        `description` and, for a corruption, `strength`.
    """
    images = list(truth)
    places = np.array([truth[image] for image in images])
    parts = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    before = np.concatenate([predict(np.stack([pixels[image] for image in part])) for part in parts])

    def measured(alter: Alter) -> dict[str, Any]:
        return accuracy_on(images, places, before, pixels, alter, predict, patients)

    def occlude(name: str, image: str) -> NDArray[np.uint8]:
        return occluded(name, pixels[image], lungs[image], stream_of(image, seed, name))

    def corrupt(name: str, strength: float, image: str) -> NDArray[np.uint8]:
        return corrupted(name, strength, pixels[image], stream_of(image, seed, name))

    return {
        "unaltered": measured(lambda image: pixels[image]),
        "occlusions": [
            {"name": name, "description": words, **measured(partial(occlude, name))}
            for name, words in OCCLUSIONS.items()
        ],
        "corruptions": [
            {"name": name, "strength": strength, "description": words, **measured(partial(corrupt, name, strength))}
            for name, (words, strengths) in CORRUPTIONS.items()
            for strength in strengths
        ],
    }
