"""Predict which checkpoint a planned training will find, by its identity; this needs all of its inputs.

Loads Keras, which takes seconds, so it is only used for trainings that would otherwise be listed as computed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.augmentation.manifest import read_epoch
from cxrflow.images.pixels import open_pixels
from cxrflow.io.errors import UserError

MOST_PIXELS = 4e9
"""Bytes of pixels that are hashed at most: hashing more would take too long for a dry run."""


@dataclass(frozen=True)
class Ahead:
    """The last checkpoint, from which a training will resume."""

    epochs: int
    is_finished: bool


def checkpoint_ahead(flags: Mapping[str, Sequence[str]]) -> Ahead | None:
    """Find the checkpoint from which a training will resume.

    Args:
        flags: flags of the training's command; the files that they name must already be those that it will read.

    Returns:
        None if there are no checkpoints of any training, if an input is missing or damaged, or if the pixels are too large.
    """
    manifest, checkpoints = Path(flags["manifest"][0]), Path(flags["checkpoints"][0])
    arrays = [*map(Path, flags["pixels"])]
    try:
        split = pd.read_csv(flags["split"][0], dtype=str, keep_default_na=False)
        first_epoch, pixels = read_epoch(manifest, 1), open_pixels(arrays)
        too_large = sum(array.stat().st_size for array in arrays) > MOST_PIXELS
    except (OSError, ValueError, KeyError, UserError):
        return None
    if too_large or next(checkpoints.glob("*/epoch_*.json"), None) is None:
        return None
    from cxrflow.training.identity import identity_of, identity_parts
    from cxrflow.training.session import is_finished, latest_checkpoint

    settings: dict[str, Any] = json.loads(flags["settings"][0])
    threads, epochs = int(flags["threads"][0]), int(settings["epochs"])
    weights = Path(flags["weights"][0]) if "weights" in flags else None
    try:
        device = _device_kind(flags["device"][0], threads)
        parts = identity_parts(settings, int(flags["seed"][0]), threads, device, weights, split, first_epoch, pixels)
        found = latest_checkpoint(
            checkpoints / identity_of(parts), lambda epoch: read_epoch(manifest, epoch), epochs, _ignore
        )
    except (OSError, UserError):  # reported by the stage
        return None
    return Ahead(found.epoch, is_finished(found, epochs, settings)) if found else Ahead(0, False)


@cache  # the backend is set up once
def _device_kind(device: str, threads: int) -> str:
    from cxrflow.networks.device import set_up_device

    return set_up_device(device, threads)


def _ignore(_: str) -> None:
    """Ignore messages on damaged checkpoints: the training itself prints them."""
