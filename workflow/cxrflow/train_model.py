"""Train an experiment's network on the images, in the order and with the transformations that its manifest says.

A pure function of its inputs: pixels, split, manifest, initial weights, settings, seed, threads and versions. Their hash names
the training, and its states lie under that name: a training that was stopped goes on from the last of them to the same bytes as
if it had not been, a longer one goes on where a shorter one ended, and a finished one is written out in seconds.

Writes the network of the selected epoch, uncompiled and with its preprocessing inside, so that any Keras can load it.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.augmentation.manifest import read_epoch
from cxrflow.images.pixels import open_pixels
from cxrflow.machine.own_device import set_up_own_device
from cxrflow.networks.build import build_network
from cxrflow.networks.device import CHOICES, device_name
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import sha256_of_file, whole_file, write_json, write_table
from cxrflow.training.batches import images_per_pass
from cxrflow.training.claim import claimed
from cxrflow.training.engine import make_network
from cxrflow.training.followers import following
from cxrflow.training.hardware import hardware
from cxrflow.training.identity import identity_of, identity_parts, recorded_versions
from cxrflow.training.progress import Rows, duration, progress_line
from cxrflow.training.session import KEEP_STATES, furthest_state, is_finished, tidy_states, train_with_states
from cxrflow.training.states import State, best_weights, last_weights
from cxrflow.training.stopping import Stopped


def selected_weights(state: State, rule: str | int, model: keras.Model) -> tuple[int, list[NDArray[Any]]]:
    """The selected epoch and the network's weights behind it.

    Args:
        state: that of the last epoch; that of the selected one where `rule` is its number.
        rule: "last", "best" (lowest validation loss), or the number of an epoch.
        model: a network like the trained one, for the order of the weights.

    Raises:
        Fault: training stopped early, before the selected epoch.
    """
    if rule == "best":
        return state.record["best"]["epoch"], best_weights(state)
    if rule not in ("last", state.epoch):
        raise Fault(
            f"selected_epoch: {rule}, but training stopped early behind epoch {state.epoch}; choose last or best"
        )
    return state.epoch, last_weights(state, model)


def images_of(split: pd.DataFrame, settings: Mapping[str, Any]) -> dict[str, int]:
    """Training and validation images, and how many of them an epoch shows."""
    counts = {subset: int((split["subset"] == subset).sum()) for subset in ("training", "validation")}
    size, incomplete = settings["batch_size"], settings["incomplete_batch"]
    seen = {f"{subset}_seen_per_epoch": images_per_pass(count, size, incomplete) for subset, count in counts.items()}
    return {**counts, **seen}


def main() -> None:
    args = _parser().parse_args()
    settings: dict[str, Any] = args.settings
    number = _selected_number(settings)
    if number is not None and number > settings["epochs"]:
        raise Fault(f"selected_epoch: {number} is behind the last of {settings['epochs']} epochs")
    device = set_up_own_device(args.device, args.threads, args.trainings_per_gpu, _say, settings["deterministic"])
    split = pd.read_csv(args.split, dtype=str, keep_default_na=False)
    pixels = open_pixels(args.pixels)
    first_epoch = read_epoch(args.manifest, 1)
    parts = identity_parts(settings, args.seed, args.threads, device, args.weights, split, first_epoch, pixels)
    folder = args.states / identity_of(parts)
    images = images_of(split, settings)
    _say(
        f"{settings['backbone']} on {', '.join(settings['classes'])}: {images['training']} training and "
        f"{images['validation']} validation images, {settings['epochs']} epochs on {device_name()}, initial weights: "
        f"{args.weights.name if args.weights else settings['weights']}; training {folder.name}"
    )
    try:
        with claimed(folder, _say):
            end = _trained_to(args, folder, split, pixels, settings["epochs"])
            # Where the end was reached before and this epoch was not kept, it is trained up to here again.
            selected = _trained_to(args, folder, split, pixels, number) if number is not None else end
            with _told_if_unwritten(args.model.parent, folder):
                epoch = _write_network(args, selected)
                _write_records(args, end, epoch, parts, images)
            tidy_states(folder, args.keep_states, [end, selected])
    except Stopped as stop:
        _say(str(stop))
        sys.exit(stop.exit_status)
    seconds = sum(row["seconds"] for row in end.record["timing"]["epochs"])
    _say(f"{end.epoch} epochs, trained in {duration(seconds)}; the network of epoch {epoch} is written out")


def _parser() -> argparse.ArgumentParser:
    parser = stage_parser(__doc__)
    parser.add_argument("--settings", type=json.loads, required=True, help="the experiment's settings, as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True, help="TensorFlow's threads; results depend on them")
    parser.add_argument("--device", choices=CHOICES, default="auto", help="auto takes a GPU where there is one")
    parser.add_argument(
        "--trainings-per-gpu", type=int, default=1, help="trainings that may share a GPU (default: %(default)s)"
    )
    parser.add_argument("--split", type=Path, required=True, help="split of the task (CSV)")
    parser.add_argument("--manifest", type=Path, required=True, help="augmentation manifest (Parquet)")
    parser.add_argument(
        "--pixels", type=Path, nargs="+", required=True, help="decoded pixels (.npy) of the task's classes"
    )
    parser.add_argument("--resampling", required=True, help="by which the pixels were made; to be recorded")
    parser.add_argument("--weights", type=Path, help="initial weights of the backbone; without, they are random")
    parser.add_argument("--states", type=Path, required=True, help="folder of the states of all trainings")
    parser.add_argument(
        "--save-every", type=float, default=60, help="seconds between two states (default: %(default)s)"
    )
    parser.add_argument(
        "--keep-states",
        choices=KEEP_STATES,
        default="longest",
        help="what stays of a finished training: its last state and those of longer ones (default), also those at the end of "
        "shorter ones, or none",
    )
    parser.add_argument("--model", type=Path, required=True, help="network to write (.keras)")
    parser.add_argument("--model-weights", type=Path, required=True, help="its weights alone, to write (.weights.h5)")
    parser.add_argument("--history", type=Path, required=True, help="loss and accuracy by epoch, to write (CSV)")
    parser.add_argument("--timing", type=Path, required=True, help="seconds by epoch, to write (CSV)")
    parser.add_argument("--training", type=Path, required=True, help="all that went into the run, to write (JSON)")
    parser.add_argument("--picture", type=Path, help="learning curves to draw anew while it trains (PNG)")
    parser.add_argument("--tensorboard", type=Path, help="folder of event files to write while it trains")
    return parser


def _trained_to(
    args: argparse.Namespace, folder: Path, split: pd.DataFrame, pixels: Mapping[str, NDArray[np.uint8]], epochs: int
) -> State:
    """The state behind so many epochs, or fewer where training stops early: found, or trained."""
    settings = args.settings

    def manifest(epoch: int) -> pd.DataFrame:
        return read_epoch(args.manifest, epoch)

    start = furthest_state(folder, manifest, epochs, _say)
    if start is not None and is_finished(start, epochs, settings):
        _say(f"trained already, {start.epoch} epochs: its state is written out")
        return start
    if start is not None:
        _say(f"goes on behind epoch {start.epoch}" + (f" and {start.batches} steps" if start.batches else ""))
    model = make_network(settings, args.seed, args.weights)
    with following(folder, args.picture, args.tensorboard) as follow:

        def report(history: Rows, timing: Rows) -> None:
            _say(progress_line(history, timing, epochs))
            follow(history)

        end = train_with_states(
            folder,
            model,
            start,
            manifest,
            pixels,
            split,
            settings,
            epochs,
            marks={_selected_number(settings)},
            save_every=args.save_every,
            workers=args.threads,
            images_per_epoch=images_of(split, settings)["training_seen_per_epoch"],
            report=report,
        )
    del model
    keras.backend.clear_session()
    return end


def _selected_number(settings: Mapping[str, Any]) -> int | None:
    """The epoch that is selected by its number, or None where it is not."""
    return settings["selected_epoch"] if isinstance(settings["selected_epoch"], int) else None


@contextmanager
def _told_if_unwritten(place: Path, states: Path) -> Iterator[None]:
    """Tell of a disk that is full or may not be written, which HDF5 does by RuntimeErrors, too."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        told = re.search(r"errno = (\d+)", str(error))
        number = (error.errno if isinstance(error, OSError) else None) or (int(told[1]) if told else None)
        if number is None:
            raise
        raise Fault(
            f"{place}: {os.strerror(number)}; make room or mend it, then give the same command again: what was trained "
            f"is kept in {states}"
        ) from error


def _write_network(args: argparse.Namespace, state: State) -> int:
    """Write the network of the selected epoch; return which that is."""
    model = build_network(args.settings, args.seed, for_training=False)
    epoch, weights = selected_weights(state, args.settings["selected_epoch"], model)
    model.set_weights(weights)
    with whole_file(args.model) as part:
        model.save(part)
    with whole_file(args.model_weights) as part:
        model.save_weights(part)
    return epoch


def _write_records(
    args: argparse.Namespace, end: State, epoch: int, parts: Mapping[str, Any], images: Mapping[str, int]
) -> None:
    """Write the history, the timing, and all that went into the training."""
    settings, history = args.settings, pd.DataFrame(end.record["history"])
    write_table(args.history, history)
    write_table(args.timing, pd.DataFrame(end.record["timing"]["epochs"]))
    rule = settings["selected_epoch"]
    record = {
        "identity": identity_of(parts),
        "epochs": settings["epochs"],
        "trained_epochs": end.epoch,
        "selected_epoch": {
            "rule": "number" if isinstance(rule, int) else rule,
            "epoch": epoch,
            "val_loss": float(history["val_loss"].iloc[epoch - 1]),
        },
        "settings": settings,
        "classes": list(settings["classes"]),
        "seed": args.seed,
        "threads": args.threads,
        "device": device_name(),
        "hardware": hardware(),
        "images": dict(images),
        "resampling": args.resampling,
        "weights": {
            "source": settings["weights"],
            "file": args.weights.name if args.weights else None,
            "sha256": parts["weights_sha256"],
        },
        "manifest_sha256": sha256_of_file(args.manifest),
        "versions": recorded_versions(),
        "what_identifies_it": dict(parts),
    }
    write_json(args.training, record)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    run_stage(main)
