"""Run a trained network on images of a run; the command line of the stages that do so."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from cxrflow.images.pixels import stack_pixels
from cxrflow.io.command import stage_parser
from cxrflow.io.errors import UserError
from cxrflow.networks.device import CHOICES
from cxrflow.training.gpu_lock import set_up_own_device

BATCH = 32


def network_parser(description: str | None, of_run: bool = True) -> argparse.ArgumentParser:
    """A parser for a stage that runs a trained network: the network, the device and, if `of_run`, the images of the run."""
    parser = stage_parser(description)
    parser.add_argument("--model", type=Path, required=True, help="trained network (.keras)")
    parser.add_argument("--training", type=Path, required=True, help="training.json of the network")
    if of_run:
        parser.add_argument("--split", type=Path, required=True, help="split of the task (CSV)")
        parser.add_argument("--pixels", type=Path, nargs="+", required=True, help="decoded pixels (.npy)")
    parser.add_argument("--threads", type=int, required=True, help="TensorFlow's threads; results depend on them")
    parser.add_argument("--device", choices=CHOICES, default="auto", help="auto uses a GPU if there is one")
    parser.add_argument(
        "--trainings-per-gpu", type=int, default=1, help="processes that may share a GPU (default: %(default)s)"
    )
    return parser


def set_up_device_of(args: argparse.Namespace) -> None:
    """Set up the device that the arguments of `network_parser` name."""
    set_up_own_device(args.device, args.threads, args.trainings_per_gpu, lambda line: print(line, flush=True))


def predict_in_batches(
    model: keras.Model, pixels: Mapping[str, NDArray[np.uint8]], images: list[str]
) -> NDArray[np.float32]:
    """Compute the output of a network for the named images, without augmentation; shape (n, outputs)."""
    parts = [
        model.predict_on_batch(stack_pixels(dict(pixels), images[start : start + BATCH]))
        for start in range(0, len(images), BATCH)
    ]
    return np.concatenate(parts)


def logit_network(model: keras.Model) -> keras.Model:
    """Replace the activation of the output layer by none: the same network with logits as its output.

    Probabilities in single precision are too coarse for losses: a sigmoid of the logit 20 is 1, and the probability of the
    other class 0 in place of 2e-9. Keras computes its training and validation losses from logits, too.

    Args:
        model: its last layer is Dense, with a softmax or sigmoid activation.

    Raises:
        UserError: it has another last layer.
    """
    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense) or last.activation.__name__ not in ("softmax", "sigmoid"):
        raise UserError(f"the network ends with {last.name}, not with a Dense layer and softmax or sigmoid")
    logits = keras.layers.Dense(last.units, use_bias=last.use_bias, dtype=last.dtype_policy, name="logits")
    outputs = logits(last.input)
    logits.set_weights(last.get_weights())
    return keras.Model(model.input, outputs)


def probabilities_from_logits(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities of all classes, shape (n, classes), in double precision.

    Args:
        logits: shape (n, classes), or (n, 1): the logit of the second class.

    Raises:
        UserError: some are not numbers.
    """
    values = _finite(logits)
    return np.asarray(softmax(np.hstack([np.zeros_like(values), values]) if values.shape[1] == 1 else values, axis=1))


def class_probabilities(output: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities of all classes, shape (n, classes). The output of a sigmoid is the probability of the second class.

    Raises:
        UserError: some are not numbers.
    """
    output = _finite(output)
    return np.hstack([1 - output, output]) if output.shape[1] == 1 else output


def _finite(output: NDArray[Any]) -> NDArray[np.float64]:
    output = output.astype(np.float64)
    finite = np.isfinite(output).all(axis=1)
    if not finite.all():
        raise UserError(
            f"the network's output is not a number for {np.sum(~finite)} of {len(finite)} images: its training diverged; a "
            "lower learning_rate, or gradient_clip_norm, may help"
        )
    return output
