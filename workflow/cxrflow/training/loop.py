"""The loop over epochs."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.stage.faults import Fault
from cxrflow.training.batches import Batch, batches
from cxrflow.training.optimizers import make_optimizer

METRICS = ("loss", "accuracy")


@dataclass
class Trained:
    """What came out of training: history and timing by epoch, and which epoch the model's weights are of."""

    history: pd.DataFrame
    timing: pd.DataFrame
    selected_epoch: int


def compile_network(model: keras.Model, settings: Mapping[str, Any]) -> None:
    """Give a network its optimizer, loss and accuracy."""
    optimizer = make_optimizer(settings["optimizer"], settings["learning_rate"])
    # XLA is several times slower on a CPU, and its compilation is not worth it for networks of this size.
    model.compile(optimizer=optimizer, loss=settings["loss"], metrics=["accuracy"], jit_compile=False)


def train_network(
    model: keras.Model,
    manifest: Callable[[int], pd.DataFrame],
    pixels: Mapping[str, NDArray[np.uint8]],
    targets: Mapping[str, NDArray[np.float32]],
    settings: Mapping[str, Any],
    report: Callable[[pd.DataFrame, pd.DataFrame], None],
) -> Trained:
    """Train a compiled network for `settings["epochs"]` epochs, and leave it with the weights of the selected one.

    Args:
        model: compiled network.
        manifest: epoch, counted from 1, to its manifest rows.
        pixels: image id to uint8 (size, size, 3).
        targets: image id to target vector.
        settings: an experiment's settings.
        report: called behind each epoch with history and timing so far.

    Raises:
        Fault: the loss is no longer a finite number.
    """
    history: list[dict[str, float]] = []
    timing: list[dict[str, float]] = []
    best: tuple[float, int, list[NDArray[Any]]] | None = None
    for epoch in range(1, settings["epochs"] + 1):
        begin = time.perf_counter()
        rows = manifest(epoch)
        passes = {
            subset: batches(
                rows[rows["subset"] == subset], pixels, targets, settings["batch_size"], settings["incomplete_batch"]
            )
            for subset in ("training", "validation")
        }
        trained, images = _one_pass(model.train_on_batch, passes["training"])
        _check_finite(trained, epoch)
        validated, _ = _one_pass(model.test_on_batch, passes["validation"])
        seconds = time.perf_counter() - begin
        history.append({"epoch": epoch, **trained, **{f"val_{name}": value for name, value in validated.items()}})
        timing.append({"epoch": epoch, "seconds": round(seconds, 3), "images_per_second": round(images / seconds, 2)})
        if settings["selected_epoch"] == "best" and (best is None or validated["loss"] < best[0]):
            best = (validated["loss"], epoch, model.get_weights())
        report(pd.DataFrame(history), pd.DataFrame(timing))
    if best is not None:
        model.set_weights(best[2])
    return Trained(pd.DataFrame(history), pd.DataFrame(timing), best[1] if best else settings["epochs"])


def _one_pass(step: Callable[..., dict[str, Any]], passed: Iterator[Batch]) -> tuple[dict[str, float], int]:
    """Loss and accuracy over a pass, as means over its images, and the number of images.

    Keras resets its metrics at each `train_on_batch`, so the means are taken here, weighted as `fit` weights them.
    """
    images = 0
    sums = dict.fromkeys(METRICS, 0.0)
    for x, y in passed:
        logs = step(x, y, return_dict=True)
        images += len(x)
        for name in METRICS:
            sums[name] += float(logs[name]) * len(x)
    return {name: value / images for name, value in sums.items()}, images


def _check_finite(trained: Mapping[str, float], epoch: int) -> None:
    if not np.isfinite(trained["loss"]):
        raise Fault(f"epoch {epoch}: the training loss is {trained['loss']}; a lower learning_rate may help")
