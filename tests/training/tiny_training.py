"""Files of a tiny training, and the stage `train_model` as a process on them: MobileNet at 32 px, dropout, Adam, float32."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cxrflow.augmentation.manifest import write_manifest
from cxrflow.io.files import read_json, write_table
from cxrflow.stages.plan_augmentation import plan_augmentation
from cxrflow.study.images import Augmentation

CLASSES = ["covid", "normal"]
SETTINGS: dict[str, Any] = {
    "backbone": "MobileNet",
    "weights": "random",
    "image_size": 32,
    "frozen_layers": 80,
    "head": [
        "average_pooling",
        {"dense": 16, "activation": "relu", "l2": 0.0, "name": None},
        {"dropout": 0.3},
        {"dense": 8, "activation": "relu", "l2": 0.0, "name": None},
    ],
    "head_initialisation": "glorot_uniform",
    "input_scaling": "backbone",
    "backbone_batchnorm": "train",
    "batchnorm_momentum": 0.9,
    "batch_size": 4,
    "incomplete_batch": "kept",
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "momentum": 0.0,
    "weight_decay": 0.004,
    "gradient_clip_norm": None,
    "loss": "binary_crossentropy",
    "label_smoothing": 0.0,
    "class_weights": "none",
    "epochs": 4,
    "early_stopping": None,
    "selected_epoch": "last",
    "precision": "float32",
    "deterministic": False,
    "classes": CLASSES,
}
RANGES = Augmentation().model_dump(exclude={"without_effect"})
EPOCHS = 60
"""Epochs of the manifest, more than any test trains."""


@dataclass(frozen=True)
class TinyTraining:
    """A folder with split, pixels and manifest."""

    folder: Path

    def command(self, out: str, checkpoints: str = "checkpoints", *flags: str, **changes: Any) -> list[str]:
        """Build the command that trains into a folder `out`, with some settings changed."""
        place = self.folder / out
        settings = {**SETTINGS, **changes}
        arguments: dict[str, object] = {
            "settings": json.dumps(settings),
            "seed": 0,
            "threads": 1,
            "device": "cpu",
            "resampling": "nearest",
            "split": self.folder / "split.csv",
            "manifest": self.folder / "manifest.parquet",
            "checkpoints": self.folder / checkpoints,
            "model": place / "model.keras",
            "model-weights": place / "model.weights.h5",
            "history": place / "history.csv",
            "timing": place / "timing.csv",
            "training": place / "training.json",
        }
        named = [part for key, value in arguments.items() for part in (f"--{key}", str(value))]
        pixels = [str(self.folder / f"{name}.npy") for name in CLASSES]
        return [sys.executable, "-m", "cxrflow.stages.train_model", *named, "--pixels", *pixels, *flags]

    def start(self, out: str, checkpoints: str = "checkpoints", *flags: str, **changes: Any) -> subprocess.Popen[str]:
        """Start the training as a process."""
        command = self.command(out, checkpoints, *flags, **changes)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())

    def run(self, out: str, checkpoints: str = "checkpoints", *flags: str, **changes: Any) -> str:
        """Train, and return the output."""
        with self.start(out, checkpoints, *flags, **changes) as process:
            output, errors = process.communicate()
        assert process.returncode == 0, output + errors
        return output

    def checkpoint_folder(self, checkpoints: str = "checkpoints") -> Path:
        """Return the folder of the only training with checkpoints there."""
        (folder,) = (self.folder / checkpoints).iterdir()
        return folder

    def results(self, out: str) -> dict[str, bytes]:
        """Read the files that identify the result of a training: weights and history."""
        place = self.folder / out
        return {name: (place / name).read_bytes() for name in ("model.weights.h5", "history.csv")}

    def training(self, out: str) -> dict[str, Any]:
        """Read training.json."""
        return read_json(self.folder / out / "training.json")


@dataclass(frozen=True)
class Reference:
    """A training in one process, from its first epoch to its last, in the folder `reference`."""

    training: TinyTraining
    epochs: int

    @property
    def results(self) -> dict[str, bytes]:
        """The bytes that any other way of training this number of epochs must give."""
        return self.training.results("reference")


def environment(**changes: str) -> dict[str, str]:
    """The environment of this process, with TensorFlow as the default backend of Keras."""
    return {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", **changes}


def make_files(folder: Path, size: int = 32) -> TinyTraining:
    """14 training, 6 validation and 4 test images of noise, one class brighter; `size` pixels high and wide."""
    random = np.random.default_rng(0)
    rows = []
    for name in CLASSES:
        subsets = ["training"] * 7 + ["validation"] * 3 + ["test"] * 2
        images = [f"{'test' if s == 'test' else 'train'}/{name}/{n:02}.png" for n, s in enumerate(subsets)]
        pixels = random.integers(0, 180, (len(images), size, size, 3)) + (70 if name == "normal" else 0)
        np.save(folder / f"{name}.npy", pixels.astype(np.uint8))
        write_table(folder / f"{name}.csv", pd.DataFrame({"image": images, "sha256": "-"}))
        rows += [{"image": i, "class": name, "subset": s} for i, s in zip(images, subsets, strict=True)]
    split = pd.DataFrame(rows)
    write_table(folder / "split.csv", split)
    write_manifest(folder / "manifest.parquet", plan_augmentation(split, 0, EPOCHS, RANGES, "study"))
    return TinyTraining(folder)
