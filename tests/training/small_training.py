"""Run the training stage in this process, with a network that trains in a second."""

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import keras
from cxrflow.stages import train_model
from cxrflow.training import engine, session
from tiny_training import TinyTraining


def small_network(
    settings: Mapping[str, Any], seed: int, weights: Path | None = None, for_training: bool = True
) -> keras.Model:
    """Convolution, batch normalisation and dropout: everything that has variables, in 300 weights."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(6, 5, strides=4, activation="relu"),
            keras.layers.BatchNormalization(momentum=0.8),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


def train_small(training: TinyTraining, out: str, checkpoints: str = "checkpoints", *flags: str, **changes: Any) -> str:
    """Run `cxrflow.stages.train_model` with the small network, and save every requested checkpoint; return its output."""
    with small_networks(), patch.object(session, "SHARE_OF_SAVING", float("inf")):
        return train_here(training, out, checkpoints, *flags, **changes)


def train_here(training: TinyTraining, out: str, checkpoints: str = "checkpoints", *flags: str, **changes: Any) -> str:
    """Run `cxrflow.stages.train_model` in this process; return its output."""
    arguments = training.command(out, checkpoints, *flags, **changes)[3:]
    keras.backend.clear_session()  # as in a new process: weights files contain the names of layers, which are numbered
    with (
        patch.object(sys, "argv", ["train_model.py", *arguments]),
        # TensorFlow's threads cannot be set after it has started, as in a process with many tests.
        patch.object(train_model, "set_up_own_device", lambda *_: "cpu"),
        redirect_stdout(io.StringIO()) as printed,
    ):
        train_model.main()
    return printed.getvalue()


@contextmanager
def small_networks(network: Callable[..., keras.Model] = small_network) -> Iterator[None]:
    """Build small networks in place of an experiment's."""
    with ExitStack() as stack:
        for module in (engine, train_model):
            stack.enter_context(patch.object(module, "build_network", network))
        yield


def epochs_trained(output: str) -> list[int]:
    """List the epochs that a training has printed, one line each."""
    lines = [line for line in output.splitlines() if line.startswith("epoch ")]
    return [int(line.removeprefix("epoch ").split("/")[0]) for line in lines]
