"""What a training is: all that its numbers depend on, by contents, and the hash that names it.

Two trainings of the same identity give the same bytes, whatever their files are called, whenever and for whom they ran. How
long they are is no part of it: a longer one goes on where a shorter one ended.
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

from cxrflow.networks.variables import computing_variables
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import canonical_json, sha256_of_file, sha256_of_text
from cxrflow.training.deciding_code import deciding_code

# Settings that say how long to train and which epoch to keep, not what happens in an epoch.
WITHOUT_EFFECT_ON_STEPS = ("epochs", "selected_epoch")
# Packages that compute. Python itself, Pillow (its pixels are part of the identity) and the rest are recorded only.
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
    """All that a training's numbers depend on.

    Args:
        settings: an experiment's settings; what `WITHOUT_EFFECT_ON_STEPS` names is left out.
        seed: of initial weights, dropout and augmentation.
        threads: of the backend.
        device: "cpu" or "gpu".
        weights: file of the backbone's initial weights, or None for random ones.
        split: the task's split; test images are left out.
        first_epoch: manifest rows of the first epoch. Those of later ones are held against the states, see `rows_hash`.
        pixels: image id to uint8 (size, size, 3).

    Raises:
        Fault: weights are wanted and not given, or given and not wanted; an image of the split has no pixels.
    """
    if (weights is None) != (settings["weights"] == "random"):
        raise Fault(f"weights: the settings say {settings['weights']}, but the weights file is {weights}")
    used = split[split["subset"] != "test"]
    return {
        "settings": {key: value for key, value in settings.items() if key not in WITHOUT_EFFECT_ON_STEPS},
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
        "code": deciding_code(),
    }


def identity_of(parts: Mapping[str, Any]) -> str:
    """The name of a training: 16 hexadecimal digits, a hash of its parts."""
    return sha256_of_text(canonical_json(parts))[:16]


def rows_hash(rows: pd.DataFrame) -> str:
    """Hash of the manifest rows of an epoch: of their values, not of the file that holds them."""
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
        raise Fault(f"--pixels: {len(absent)} images of the split have none: {', '.join(absent[:5])}")
    digest = blake2b(digest_size=16)
    for image in images:
        digest.update(f"{image}\0".encode("utf-8", "surrogateescape"))
        digest.update(np.ascontiguousarray(pixels[image]).data)
    return digest.hexdigest()


def computing_versions() -> dict[str, str]:
    """Versions of the packages that compute."""
    return {_backend_package(): _backend_version(), **{package: version(package) for package in COMPUTING}}


def recorded_versions() -> dict[str, str]:
    """Versions of all that had to do with a training."""
    return {
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        **computing_versions(),
        "pillow": version("pillow"),
    }


def _backend_package() -> str:
    return str(keras.backend.backend())


def _backend_version() -> str:
    # TensorFlow comes in packages of several names; the module, which Keras has loaded, knows its own version.
    return str(sys.modules[_backend_package()].__version__)
