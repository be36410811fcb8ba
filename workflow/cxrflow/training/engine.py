"""Train a network step by step.

This module, its imports and `cxrflow.networks.device`, which sets the backend up, contain all the code that changes the numbers
of a training; their hash is part of its identity. Code that only shows progress, saves or waits is in other modules.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.io.errors import UserError
from cxrflow.networks.build import build_network
from cxrflow.training.batches import Batch, batches, batches_per_pass, image_weights, target_vectors
from cxrflow.training.early_stopping import epoch_of_stopping
from cxrflow.training.optimizers import make_optimizer
from cxrflow.training.schedules import changes_within_epochs, learning_rate_of

METRICS = ("loss", "accuracy")

Moment = Literal["step", "validation", "epoch"]


@dataclass
class Best:
    """The epoch of the lowest validation loss so far, and the network's weights after it."""

    epoch: int
    val_loss: float
    weights: list[NDArray[Any]]


@dataclass
class Progress:
    """The progress of a training between two steps.

    Together with the variables of the network and the optimizer, it is everything that a checkpoint needs.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    """One row per finished epoch: epoch, loss, accuracy, val_loss, val_accuracy."""
    batches: int = 0
    """Finished training batches of the current epoch."""
    images: int = 0
    """Images in these batches."""
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(METRICS, 0.0))
    """Losses and accuracies of these batches, summed over the images."""
    best: Best | None = None

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)


@dataclass(frozen=True)
class TrainingData:
    """What a training reads, apart from the initial weights."""

    manifest: Callable[[int], pd.DataFrame]
    """Epoch, counted from 1, to its manifest rows."""
    pixels: Mapping[str, NDArray[np.uint8]]
    """Image id to pixels of shape (size, size, 3)."""
    split: pd.DataFrame
    """Columns image, class, subset."""
    settings: Mapping[str, Any]
    """Settings of the experiment."""
    workers: int = 1
    """Threads that prepare images; results do not depend on them."""

    @property
    def training_images(self) -> int:
        """Number of training images."""
        return int((self.split["subset"] == "training").sum())


def make_network(settings: Mapping[str, Any], seed: int, weights: Path | None) -> keras.Model:
    """Build an experiment's network as it is before the first step, compiled and with the optimizer's variables.

    Raises:
        UserError: see `cxrflow.networks.build.build_network`.
    """
    model = build_network(settings, seed, weights)
    compile_network(model, settings)
    return model


def compile_network(model: keras.Model, settings: Mapping[str, Any]) -> None:
    """Compile a network with its optimizer, loss and accuracy."""
    smoothing = settings["label_smoothing"]
    loss = {
        "binary_crossentropy": keras.losses.BinaryCrossentropy,
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    }[settings["loss"]](label_smoothing=smoothing)
    # XLA is several times slower on a CPU, and networks of this size do not repay its compilation.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer=make_optimizer(settings), loss=loss, metrics=["accuracy"], jit_compile=jit)
    model.optimizer.build(model.trainable_variables)


def train(model: keras.Model, data: TrainingData, epochs: int, progress: Progress) -> Iterator[Moment]:
    """Train a network step by step, from `progress` to `epochs` epochs or early stopping.

    At each yield, the network, its optimizer and `progress` are consistent and can be saved. A training that is resumed
    from them computes the same bytes as one that was not interrupted.

    Args:
        model: from `make_network`; unless `progress` is new, with the variables of the checkpoint that `progress` is from.
        data: what the training reads.
        epochs: total number of epochs.
        progress: progress so far; updated in place.

    Yields:
        "step" after each training step, "validation" after each validation batch (which changes nothing), and "epoch"
        after each epoch.

    Raises:
        UserError: a loss is not finite.
    """
    settings = data.settings
    targets = target_vectors(data.split, settings)
    weight_of = image_weights(data.split, settings)
    steps = batches_per_pass(data.training_images, settings["batch_size"], settings["incomplete_batch"])

    def set_learning_rate() -> None:
        epoch, step = progress.epoch + 1, progress.epoch * steps + progress.batches
        model.optimizer.learning_rate.assign(learning_rate_of(settings, epoch, progress.history, step))

    def batches_of(rows: pd.DataFrame, subset: str, first: int = 0) -> Iterator[Batch]:
        of_subset = rows[rows["subset"] == subset]
        size, incomplete = settings["batch_size"], settings["incomplete_batch"]
        return batches(of_subset, data.pixels, targets, size, incomplete, first, data.workers)

    while progress.epoch < epochs and epoch_of_stopping(settings, progress.history) is None:
        epoch = progress.epoch + 1
        rows = data.manifest(epoch)
        set_learning_rate()
        for batch in batches_of(rows, "training", progress.batches):
            if changes_within_epochs(settings):
                set_learning_rate()
            weights = {} if weight_of is None else {"sample_weight": _weights_of(batch, weight_of)}
            logs = model.train_on_batch(batch.x, batch.y, return_dict=True, **weights)
            _add(progress.sums, logs, batch)
            progress.batches += 1
            progress.images += len(batch.x)
            _check_finite(logs, "training", epoch, progress.batches, batch)
            yield "step"
        sums, images = dict.fromkeys(METRICS, 0.0), 0
        for step, batch in enumerate(batches_of(rows, "validation"), start=1):
            logs = model.test_on_batch(batch.x, batch.y, return_dict=True)
            _add(sums, logs, batch)
            images += len(batch.x)
            _check_finite(logs, "validation", epoch, step, batch)
            yield "validation"
        _end_epoch(model, progress, {f"val_{name}": sums[name] / images for name in METRICS})
        yield "epoch"


def _end_epoch(model: keras.Model, progress: Progress, validated: Mapping[str, float]) -> None:
    trained = {name: progress.sums[name] / progress.images for name in METRICS}
    progress.history.append({"epoch": progress.epoch + 1, **trained, **validated})
    progress.batches, progress.images, progress.sums = 0, 0, dict.fromkeys(METRICS, 0.0)
    if progress.best is None or validated["val_loss"] < progress.best.val_loss:
        progress.best = Best(progress.epoch, validated["val_loss"], model.get_weights())


def _add(sums: dict[str, float], logs: Mapping[str, Any], batch: Batch) -> None:
    """Add up metrics, weighted as in `fit`: Keras resets its own at each `train_on_batch`."""
    for name in METRICS:
        sums[name] += float(logs[name]) * len(batch.x)


def _weights_of(batch: Batch, weight_of: Mapping[str, float]) -> NDArray[np.float32]:
    return np.array([weight_of[image] for image in batch.rows["image"]], dtype=np.float32)


def _check_finite(logs: Mapping[str, Any], subset: str, epoch: int, step: int, batch: Batch) -> None:
    loss = float(logs["loss"])
    if np.isfinite(loss):
        return
    positions = f"{batch.rows['position'].iloc[0]} to {batch.rows['position'].iloc[-1]}"
    raise UserError(
        f"epoch {epoch}, step {step}: the {subset} loss is {loss}; the batch contains the {subset} rows {positions} of "
        f"the manifest ({', '.join(batch.rows['image'])}); try a lower learning_rate, or set gradient_clip_norm"
    )
