"""Train an experiment's network on the images in its augmentation manifest.

The result depends only on the inputs: pixels, split, manifest, initial weights, settings, seed, threads, versions. Their hash
is the training's identity and the name of the folder of its checkpoints. A stopped training resumes from its last checkpoint
and ends with the same bytes as one that was not stopped. A longer training resumes where a shorter one ended. For a finished
training, the outputs are written in seconds.

Writes the network of the selected epoch, uncompiled and including its preprocessing, so that any Keras can load it.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cxrflow.networks.start_keras  # noqa: F401  # isort: skip
import keras
import pandas as pd
from numpy.typing import NDArray

from cxrflow.augmentation.manifest import read_epoch
from cxrflow.images.pixels import open_pixels
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.files import sha256_of_file, whole_file, write_json, write_table
from cxrflow.io.planned import refuse_changed_files
from cxrflow.io.words import counted
from cxrflow.networks.build import build_network
from cxrflow.networks.device import CHOICES, device_name
from cxrflow.training.batches import images_per_pass
from cxrflow.training.checkpoints import Checkpoint, best_weights, last_weights
from cxrflow.training.engine import TrainingData, make_network
from cxrflow.training.environment import describe_hardware
from cxrflow.training.gpu_lock import set_up_own_device
from cxrflow.training.identity import identity_of, identity_parts, recorded_versions
from cxrflow.training.lock import lock_folder
from cxrflow.training.progress import Rows, clock_time, following, progress_line
from cxrflow.training.session import (
    KEEP_CHECKPOINTS,
    Saving,
    is_finished,
    latest_checkpoint,
    position_text,
    tidy_checkpoints,
    train_with_checkpoints,
)
from cxrflow.training.signals import Stopped


def selected_weights(checkpoint: Checkpoint, rule: str | int, model: keras.Model) -> tuple[int, list[NDArray[Any]]]:
    """Return the selected epoch and the network's weights after it.

    Args:
        checkpoint: checkpoint of the last epoch or, if `rule` is a number, of that epoch.
        rule: "last", "best" (lowest validation loss), or the number of an epoch.
        model: a network like the trained one, for the order of the weights.

    Raises:
        UserError: early stopping ended the training before the selected epoch.
    """
    if rule == "best":
        return checkpoint.record["best"]["epoch"], best_weights(checkpoint)
    if rule not in ("last", checkpoint.epoch):
        raise UserError(
            f"selected_epoch: {rule}, but early stopping ended the training after epoch {checkpoint.epoch}; choose last or best"
        )
    return checkpoint.epoch, last_weights(checkpoint, model)


def images_of(split: pd.DataFrame, settings: Mapping[str, Any]) -> dict[str, int]:
    """Count the training and validation images, and how many of them an epoch uses."""
    counts = {subset: int((split["subset"] == subset).sum()) for subset in ("training", "validation")}
    size, incomplete = settings["batch_size"], settings["incomplete_batch"]
    used = {f"{subset}_seen_per_epoch": images_per_pass(count, size, incomplete) for subset, count in counts.items()}
    return {**counts, **used}


def main() -> None:
    args = _parser().parse_args()
    settings: dict[str, Any] = args.settings
    number = _selected_number(settings)
    if number is not None and number > settings["epochs"]:
        raise UserError(
            f"selected_epoch: {number} is after the last epoch, {settings['epochs']}; choose a smaller number, last or best"
        )
    device = set_up_own_device(args.device, args.threads, args.trainings_per_gpu, _say, settings["deterministic"])
    split = pd.read_csv(args.split, dtype=str, keep_default_na=False)
    data = TrainingData(partial(read_epoch, args.manifest), open_pixels(args.pixels), split, settings, args.threads)
    first_epoch = data.manifest(1)
    parts = identity_parts(settings, args.seed, args.threads, device, args.weights, split, first_epoch, data.pixels)
    folder = args.checkpoints / identity_of(parts)
    images = images_of(split, settings)
    _say(
        f"{settings['backbone']} on {', '.join(settings['classes'])}: {images['training']} training and "
        f"{counted(images['validation'], 'validation image')}, {counted(settings['epochs'], 'epoch')} on {device_name()}, "
        f"initial weights: {args.weights.name if args.weights else settings['weights']}; training {folder.name}"
    )
    try:
        with lock_folder(folder, _say):
            end = _train_to(args, folder, data, settings["epochs"])
            # If an earlier training did not keep the checkpoint of this epoch, the epochs before it are trained again.
            selected = _train_to(args, folder, data, number) if number is not None else end
            with _report_write_errors(args.model.parent, folder):
                epoch = _write_network(args, selected)
                _write_records(args, end, epoch, parts, images)
            tidy_checkpoints(folder, args.keep_checkpoints, [end, selected])
    except Stopped as stop:
        _say(str(stop))
        sys.exit(stop.exit_status)
    seconds = sum(row["seconds"] for row in end.record["timing"]["epochs"])
    _say(f"{counted(end.epoch, 'epoch')}, trained in {clock_time(seconds)}; wrote the network of epoch {epoch}")


def _parser() -> argparse.ArgumentParser:
    parser = stage_parser(__doc__)
    parser.add_argument("--settings", type=json.loads, required=True, help="settings of the experiment (JSON)")
    parser.add_argument("--seed", type=int, required=True, help="seed of the random initial weights and of dropout")
    parser.add_argument(
        "--threads", type=int, required=True, help="number of threads of TensorFlow; results depend on it"
    )
    parser.add_argument(
        "--device",
        choices=CHOICES,
        default="auto",
        help="device to train on; auto uses a GPU if there is one (default: %(default)s)",
    )
    parser.add_argument(
        "--trainings-per-gpu",
        type=int,
        default=1,
        help="number of trainings that may share a GPU (default: %(default)s)",
    )
    parser.add_argument("--split", type=Path, required=True, help="split of the task (CSV)")
    parser.add_argument("--manifest", type=Path, required=True, help="augmentation manifest (Parquet)")
    parser.add_argument(
        "--pixels", type=Path, nargs="+", required=True, help="decoded pixels (.npy) of the task's classes"
    )
    parser.add_argument("--resampling", required=True, help="resampling method of the pixels, for the record")
    parser.add_argument("--weights", type=Path, help="weights file of the backbone (default: random weights)")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of the checkpoints of all trainings")
    parser.add_argument(
        "--save-every", type=float, default=60, help="seconds between two checkpoints (default: %(default)s)"
    )
    parser.add_argument(
        "--keep-checkpoints",
        choices=KEEP_CHECKPOINTS,
        default="longest",
        help="checkpoints that a finished training keeps: longest: its last one and those of longer trainings; every: also the "
        "last ones of shorter trainings (default: %(default)s)",
    )
    parser.add_argument("--model", type=Path, required=True, help="network to write (.keras)")
    parser.add_argument(
        "--model-weights", type=Path, required=True, help="weights of the network to write (.weights.h5)"
    )
    parser.add_argument("--history", type=Path, required=True, help="loss and accuracy by epoch to write (CSV)")
    parser.add_argument("--timing", type=Path, required=True, help="seconds by epoch to write (CSV)")
    parser.add_argument(
        "--training", type=Path, required=True, help="record of the training and its inputs to write (JSON)"
    )
    parser.add_argument("--picture", type=Path, help="learning curves to draw during the training (PNG)")
    parser.add_argument(
        "--tensorboard", type=Path, help="folder of TensorBoard event files to write during the training"
    )
    return parser


def _train_to(args: argparse.Namespace, folder: Path, data: TrainingData, epochs: int) -> Checkpoint:
    """Return the checkpoint after `epochs` epochs, or fewer with early stopping; train if there is none."""
    start = latest_checkpoint(folder, data.manifest, epochs, _say)
    if start is not None and is_finished(start, epochs, data.settings):
        _say(f"already trained for {counted(start.epoch, 'epoch')}; writing the outputs")
        return start
    if start is not None:
        _say(f"resumes {position_text(start)}")
    model = make_network(data.settings, args.seed, args.weights)
    refuse_changed_files()  # the initial weights have been read; later changes of their file do not matter
    with following(folder, args.picture, args.tensorboard) as follow:

        def report(history: Rows, timing: Rows) -> None:
            _say(progress_line(history, timing, epochs))
            follow(history)

        saving = Saving(args.save_every, {_selected_number(data.settings)})
        end = train_with_checkpoints(folder, model, start, data, epochs, saving, report)
    del model
    keras.backend.clear_session()
    return end


def _selected_number(settings: Mapping[str, Any]) -> int | None:
    """Return `selected_epoch` if it is a number, otherwise None."""
    return settings["selected_epoch"] if isinstance(settings["selected_epoch"], int) else None


@contextmanager
def _report_write_errors(place: Path, checkpoints: Path) -> Iterator[None]:
    """Raise a UserError if the disk is full or read-only."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {error.filename or place}: {error.strerror or error}; free disk space or make the folder writable, "
            f"then run the same command again (the training is kept in {checkpoints})"
        ) from error


def _write_network(args: argparse.Namespace, checkpoint: Checkpoint) -> int:
    """Write the network of the selected epoch; return the epoch."""
    model = build_network(args.settings, args.seed, for_training=False)
    epoch, weights = selected_weights(checkpoint, args.settings["selected_epoch"], model)
    model.set_weights(weights)
    with whole_file(args.model) as part:
        model.save(part)
    with whole_file(args.model_weights) as part:
        model.save_weights(part)
    return epoch


def _write_records(
    args: argparse.Namespace, end: Checkpoint, epoch: int, parts: Mapping[str, Any], images: Mapping[str, int]
) -> None:
    """Write the history, the timing, and the record of the training and its inputs."""
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
        "hardware": describe_hardware(),
        "images": dict(images),
        "resampling": args.resampling,
        "weights": {
            "source": settings["weights"],
            "file": args.weights.name if args.weights else None,
            "sha256": parts["weights_sha256"],
        },
        "manifest_sha256": sha256_of_file(args.manifest),
        "files": {file.name: sha256_of_file(file) for file in (args.history, args.model_weights)},
        "versions": recorded_versions(),
        "what_identifies_it": dict(parts),
    }
    write_json(args.training, record)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    run_stage(main)
