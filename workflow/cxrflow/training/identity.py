"""The identity of a training: a hash of everything that its numbers depend on.

Two trainings with the same identity produce the same bytes, regardless of file names, time and user. The number of epochs is
not part of it: a longer training resumes where a shorter one ended.
"""

import os
import platform
import sys
from collections.abc import Mapping
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.io.errors import UserError
from cxrflow.io.files import canonical_json, sha256_of_file, sha256_of_text
from cxrflow.study.decides import identifying
from cxrflow.study.experiment import trained_settings
from cxrflow.training.environment import computing_variables, training_code_hash

# Packages that compute. Python, Pillow (its pixels are part of the identity) and all others are only recorded.
COMPUTING = ("keras", "numpy", "scipy")


def identity_parts(
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    device: str,
    weights: Path | None,
    split: pd.DataFrame,
    first_epoch: pd.DataFrame,
    pixels: Mapping[str, NDArray[np.uint8]],
) -> dict[str, Any]:
    """Collect everything that a training's numbers depend on.

    Args:
        settings: an experiment's settings. Only the classes, and the settings that decide the network or the training and
            are not at their defaults, are part of the identity.
        seed: seed of initial weights, dropout and augmentation.
        threads: number of threads of the backend.
        device: "cpu" or "gpu".
        weights: file of the backbone's initial weights, or None for random ones.
        split: the task's split; test images are left out.
        first_epoch: manifest rows of the first epoch. Rows of later epochs are checked against the checkpoints (`rows_hash`).
        pixels: image id to uint8 (size, size, 3).

    Raises:
        UserError: `weights` contradicts the settings, or an image of the split has no pixels.
    """
    if (weights is None) != (settings["weights"] == "random"):
        raise UserError(f"weights: the settings say {settings['weights']}, but the weights file is {weights}")
    used = split[split["subset"] != "test"]
    return {
        "settings": {
            **identifying(trained_settings(settings), "network", "training"),
            "classes": list(settings["classes"]),
        },
        "seed": seed,
        "threads": threads,
        "device": device,
        "weights_sha256": sha256_of_file(weights) if weights else None,
        "split_sha256": sha256_of_text(used[["image", "class", "subset"]].sort_values("image").to_csv(index=False)),
        "pixels_blake2": _pixels_hash(pixels, sorted(used["image"])),
        "first_epoch_blake2": rows_hash(first_epoch),
        "versions": computing_versions(),
        "keras": {
            "backend": keras.backend.backend(),
            "floatx": keras.config.floatx(),
            "epsilon": keras.config.epsilon(),
            "image_data_format": keras.config.image_data_format(),
        },
        "variables": computing_variables(os.environ),
        "code": training_code_hash(),
    }


def identity_of(parts: Mapping[str, Any]) -> str:
    """Hash the parts of an identity: 16 hexadecimal digits, the name of the training."""
    return sha256_of_text(canonical_json(parts))[:16]


def rows_hash(rows: pd.DataFrame) -> str:
    """Hash the values of an epoch's manifest rows, independently of the file format."""
    digest = blake2b(digest_size=8)
    for name in sorted(rows.columns):
        column = rows[name]
        if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
            content = np.ascontiguousarray(column.to_numpy(dtype=np.float64)).tobytes()
        else:
            content = "\n".join(column.astype(str)).encode("utf-8", "surrogateescape")
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _pixels_hash(pixels: Mapping[str, NDArray[np.uint8]], images: list[str]) -> str:
    absent = [image for image in images if image not in pixels]
    if absent:
        raise UserError(f"--pixels: no pixels for {len(absent)} images of the split: {', '.join(absent[:5])}")
    digest = blake2b(digest_size=16)
    for image in images:
        digest.update(f"{image}\0".encode("utf-8", "surrogateescape"))
        digest.update(np.ascontiguousarray(pixels[image]).data)
    return digest.hexdigest()


def computing_versions() -> dict[str, str]:
    """Versions of the packages that compute: package to version."""
    return {_backend_package(): _backend_version(), **{package: version(package) for package in COMPUTING}}


def recorded_versions() -> dict[str, str]:
    """Versions of everything that took part in a training, for its record."""
    return {
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        **computing_versions(),
        "pillow": version("pillow"),
    }


def _backend_package() -> str:
    return str(keras.backend.backend())


def _backend_version() -> str:
    # TensorFlow has several package names; the module, which Keras has loaded, knows its version.
    return str(sys.modules[_backend_package()].__version__)
