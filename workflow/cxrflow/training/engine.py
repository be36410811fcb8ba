"""Training itself: a network, its batches, and the steps that change it, one at a time.

Everything that decides a training's numbers is in this module and in what it imports, and in `cxrflow.networks.device`, which
sets the backend up; the code hash that is part of a training's identity is theirs. What only shows, saves or waits stands
elsewhere and may change freely.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.networks.build import build_network
from cxrflow.stage.faults import Fault
from cxrflow.training.batches import Batch, batches, image_weights, target_vectors
from cxrflow.training.optimizers import make_optimizer
from cxrflow.training.schedules import epoch_of_stopping, learning_rate_of

METRICS = ("loss", "accuracy")

Moment = Literal["step", "validation", "epoch"]


@dataclass
class Best:
    """The epoch of the lowest validation loss so far, and the network's weights behind it."""

    epoch: int
    val_loss: float
    weights: list[NDArray[Any]]


@dataclass
class Progress:
    """How far a training is, between two steps; with the network's and the optimizer's variables, all that it is."""

    history: list[dict[str, float]] = field(default_factory=list)
    """One row a finished epoch: epoch, loss, accuracy, val_loss, val_accuracy."""
    batches: int = 0
    """Training batches of the epoch under way that are behind it."""
    images: int = 0
    """Their images."""
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(METRICS, 0.0))
    """Their losses and accuracies, summed over the images."""
    best: Best | None = None

    @property
    def epoch(self) -> int:
        """Epochs that are whole."""
        return len(self.history)


def make_network(settings: Mapping[str, Any], seed: int, weights: Path | None) -> keras.Model:
    """An experiment's network as training begins with it, compiled, the optimizer's variables made.

    Raises:
        Fault: see `cxrflow.networks.build.build_network`.
    """
    model = build_network(settings, seed, weights)
    compile_network(model, settings)
    return model


def compile_network(model: keras.Model, settings: Mapping[str, Any]) -> None:
    """Give a network its optimizer, loss and accuracy."""
    smoothing = settings["label_smoothing"]
    loss = {
        "binary_crossentropy": keras.losses.BinaryCrossentropy,
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    }[settings["loss"]](label_smoothing=smoothing)
    # XLA is several times slower on a CPU, and its compilation is not worth it for networks of this size.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer=make_optimizer(settings), loss=loss, metrics=["accuracy"], jit_compile=jit)
    model.optimizer.build(model.trainable_variables)


def train(
    model: keras.Model,
    manifest: Callable[[int], pd.DataFrame],
    pixels: Mapping[str, NDArray[np.uint8]],
    split: pd.DataFrame,
    settings: Mapping[str, Any],
    epochs: int,
    progress: Progress,
    workers: int = 1,
) -> Iterator[Moment]:
    """Train a network, step by step, from where `progress` says up to `epochs` epochs or early stopping.

    Between two moments the network, its optimizer and `progress` belong together, so that they can be saved; a training
    that is continued from them does the same steps, to the same bytes, as one that was not interrupted.

    Args:
        model: of `make_network`; where `progress` is not new, with its variables set to those that go with it.
        manifest: epoch, counted from 1, to its manifest rows.
        pixels: image id to uint8 (size, size, 3).
        split: columns image, class, subset.
        settings: an experiment's settings.
        epochs: epochs to train in all.
        progress: how far the training is; kept up to date.
        workers: threads that prepare images; results do not depend on them.

    Yields:
        "step" behind each training step, "validation" behind each batch of validation (nothing has changed since the last
        step), "epoch" behind each whole epoch.

    Raises:
        Fault: a loss is no longer a finite number.
    """
    targets = target_vectors(split, settings)
    counts = image_weights(split, settings)

    def passed(rows: pd.DataFrame, subset: str, first: int = 0) -> Iterator[Batch]:
        of_subset = rows[rows["subset"] == subset]
        size, incomplete = settings["batch_size"], settings["incomplete_batch"]
        return batches(of_subset, pixels, targets, size, incomplete, first, workers)

    while progress.epoch < epochs and epoch_of_stopping(settings, progress.history) is None:
        epoch = progress.epoch + 1
        rows = manifest(epoch)
        model.optimizer.learning_rate.assign(learning_rate_of(settings, epoch, progress.history))
        for batch in passed(rows, "training", progress.batches):
            weights = {} if counts is None else {"sample_weight": _weights_of(batch, counts)}
            logs = model.train_on_batch(batch.x, batch.y, return_dict=True, **weights)
            _add(progress.sums, logs, batch)
            progress.batches += 1
            progress.images += len(batch.x)
            _check_finite(logs, "training", epoch, progress.batches, batch)
            yield "step"
        sums, images = dict.fromkeys(METRICS, 0.0), 0
        for step, batch in enumerate(passed(rows, "validation"), start=1):
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
    """Keras resets its metrics at each `train_on_batch`, so means are taken here, weighted as `fit` weights them."""
    for name in METRICS:
        sums[name] += float(logs[name]) * len(batch.x)


def _weights_of(batch: Batch, counts: Mapping[str, float]) -> NDArray[np.float32]:
    return np.array([counts[image] for image in batch.rows["image"]], dtype=np.float32)


def _check_finite(logs: Mapping[str, Any], subset: str, epoch: int, step: int, batch: Batch) -> None:
    loss = float(logs["loss"])
    if np.isfinite(loss):
        return
    positions = f"{batch.rows['position'].iloc[0]} to {batch.rows['position'].iloc[-1]}"
    raise Fault(
        f"epoch {epoch}, step {step}: the {subset} loss is {loss}; in it were the {subset} rows {positions} of the manifest "
        f"({', '.join(batch.rows['image'])}); a lower learning_rate, or gradient_clip_norm, may help"
    )
