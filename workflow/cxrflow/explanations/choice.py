"""Choose the images to explain by rule, so that nobody can choose the ones that look best."""

from dataclasses import dataclass

import numpy as np

from cxrflow.phantoms.texture import random_stream


@dataclass(frozen=True)
class Chosen:
    """The images to explain."""

    images: list[str]
    """Image ids: errors first, then the sample; each part in the order of the ids."""
    errors: int
    """The number of errors among them."""
    errors_in_all: int
    correct_in_all: int


def stream_of(image: str, seed: int, *purpose: str | int) -> np.random.Generator:
    """Create the random generator of an image, which depends only on the arguments.

    Args:
        image: image id.
        seed: seed of the explanations.
        purpose: what the numbers are for; the numbers of different purposes are independent.
    """
    return random_stream("explanations", seed, *purpose, image.encode("utf-8", "surrogateescape").hex())


def sample_of(images: list[str], most: int, seed: int, purpose: str) -> list[str]:
    """Draw a random sample without replacement: at most `most` images, in the order of their ids.

    Each image has its own random number, and those with the smallest are drawn. Another image in the list therefore changes
    the sample by at most one image.
    """
    drawn = sorted(images, key=lambda image: (stream_of(image, seed, purpose).random(), image))
    return sorted(drawn[:most])


def choose_images(images: list[str], right: list[bool], seed: int, sample: int, most_errors: int) -> Chosen:
    """Choose all errors, and a random sample of the images that are predicted right.

    Args:
        images: image ids.
        right: whether the network is right, for each image.
        seed: seed of the samples.
        sample: number of right images to draw.
        most_errors: if there are more errors, as many are drawn at random.
    """
    errors = [image for image, is_right in zip(images, right, strict=True) if not is_right]
    correct = [image for image, is_right in zip(images, right, strict=True) if is_right]
    chosen = sample_of(errors, most_errors, seed, "errors")
    return Chosen(chosen + sample_of(correct, sample, seed, "sample"), len(chosen), len(errors), len(correct))
