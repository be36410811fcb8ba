"""Draw the random parameters of augmentation for each image in each epoch.

Every row depends only on (subset, seed, epoch, image): it has ten numbers of a counter-based generator (Philox: Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", 2011) keyed by a BLAKE2 hash of the four. Therefore any epoch can be generated
separately, a longer manifest starts with the rows of a shorter one, and adding an image does not change the others.

Ranges follow `keras.src.legacy.preprocessing.image.ImageDataGenerator.get_random_transform`. Shifts are shares of the image's
size, so a manifest is valid for every size.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd

RANGE_OF = {
    "theta": "rotation_range",
    "tx": "height_shift_range",
    "ty": "width_shift_range",
    "shear": "shear_range",
    "zx": "zoom_range",
    "zy": "zoom_range",
    "flip_horizontal": "horizontal_flip",
    "flip_vertical": "vertical_flip",
    "channel_shift": "channel_shift_range",
}
NUMBERS = tuple(RANGE_OF)
UNCHANGED = {"theta": 0.0, "tx": 0.0, "ty": 0.0, "shear": 0.0, "zx": 1.0, "zy": 1.0, "channel_shift": 0.0}
FLIPS = ("flip_horizontal", "flip_vertical")


def draw_epoch(images: list[str], subset: str, seed: int, epoch: int, ranges: Mapping[str, Any] | None) -> pd.DataFrame:
    """Draw the rows of one subset in one epoch.

    Args:
        images: image ids, in any order.
        subset: "training" or "validation"; their numbers are independent.
        seed: seed of the training.
        epoch: counted from 1.
        ranges: keys of `cxrflow.study.images.Augmentation`, or None to only shuffle the images.

    Returns:
        One row per image, in the order in which the network gets them: subset, epoch, position (from 0), image, theta
        and shear (degrees), tx and ty (share of the size, Keras' names), zx and zy (factors), flip_horizontal and
        flip_vertical (booleans), channel_shift (grey levels).
    """
    uniform = np.array([_ten_numbers(f"{subset}|{seed}|{epoch}|{image}") for image in images]).reshape(len(images), 10)
    order = np.argsort(uniform[:, 9], kind="stable")
    uniform = uniform[order]
    rows = pd.DataFrame(
        {
            "subset": subset,
            "epoch": np.int32(epoch),
            "position": np.arange(len(images), dtype=np.int32),
            "image": [images[place] for place in order],
        }
    )
    for column, name in enumerate(NUMBERS):
        if ranges is None:
            rows[name] = False if name in FLIPS else UNCHANGED[name]
        else:
            rows[name] = _in_range(name, uniform[:, column], ranges)
    return rows


def _ten_numbers(key: str) -> np.ndarray:
    """Draw ten numbers, uniform in [0, 1)."""
    words = int.from_bytes(blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=words)).random(10)


def _in_range(name: str, uniform: np.ndarray, ranges: Mapping[str, Any]) -> np.ndarray:
    amount = ranges[RANGE_OF[name]]
    if name in FLIPS:
        return (uniform < 0.5) & bool(amount)
    return UNCHANGED[name] + float(amount) * (2 * uniform - 1)
