"""Train an experiment's network on the images, in the order and with the transformations that its manifest says.

A pure function of its inputs: pixels, split, manifest, initial weights, settings, seed, threads and versions. Their hash names
the training, and its states lie under that name: a training that was stopped goes on from the last of them to the same bytes as
if it had not been, a longer one goes on where a shorter one ended, and a finished one is written out in seconds.

Writes the network of the selected epoch, uncompiled and with its preprocessing inside, so that any Keras can load it.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.augmentation.manifest import read_epoch
from cxrflow.images.pixels import open_pixels
from cxrflow.networks.build import build_network
from cxrflow.networks.device import CHOICES, device_name, set_up_device
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import sha256_of_file, whole_file, write_json, write_table
from cxrflow.training.batches import images_per_pass
from cxrflow.training.claim import claimed
from cxrflow.training.engine import make_network
from cxrflow.training.followers import following
from cxrflow.training.hardware import hardware
from cxrflow.training.identity import identity_of, identity_parts, recorded_versions
from cxrflow.training.progress import duration, progress_line
from cxrflow.training.session import Timing, is_over, states_to_use, tidy_states, train_with_states
from cxrflow.training.states import State, best_weights, last_weights
from cxrflow.training.stopping import Stopped


def selected_weights(
    end: State, kept: State | None, rule: str | int, model: keras.Model
) -> tuple[int, list[NDArray[Any]]]:
    """The selected epoch and the network's weights behind it.

    Args:
        end: state behind the last epoch.
        kept: state behind the selected epoch, where `rule` is its number and it is not the last.
        rule: "last", "best" (lowest validation loss), or the number of an epoch.
        model: a network like the trained one, for the order of the weights.
    """
    if rule == "best":
        return end.record["best"]["epoch"], best_weights(end)
    state = end if rule == "last" or end.epoch == rule or kept is None else kept
    return state.epoch, last_weights(state, model)


def images_of(split: pd.DataFrame, settings: Mapping[str, Any]) -> dict[str, int]:
    """Training and validation images, and how many of them an epoch shows."""
    counts = {subset: int((split["subset"] == subset).sum()) for subset in ("training", "validation")}
    size, incomplete = settings["batch_size"], settings["incomplete_batch"]
    seen = {f"{subset}_seen_per_epoch": images_per_pass(count, size, incomplete) for subset, count in counts.items()}
    return {**counts, **seen}


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--settings", type=json.loads, required=True, help="the experiment's settings, as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True, help="TensorFlow's threads")
    parser.add_argument("--device", choices=CHOICES, default="auto", help="auto takes a GPU where there is one")
    parser.add_argument("--split", type=Path, required=True, help="split of the task (CSV)")
    parser.add_argument("--manifest", type=Path, required=True, help="augmentation manifest (Parquet)")
    parser.add_argument(
        "--pixels", type=Path, nargs="+", required=True, help="decoded pixels (.npy) of the task's classes"
    )
    parser.add_argument("--weights", type=Path, help="initial weights of the backbone; without, they are random")
    parser.add_argument("--states", type=Path, required=True, help="folder of the states of all trainings")
    parser.add_argument("--save-every", type=float, default=60, help="seconds between two states (default: %(default)s)")
    parser.add_argument(
        "--keep-states",
        choices=("longest", "every", "none"),
        default="longest",
        help="what stays when the training has ended: the state of the longest (default), that at the end of every length, none",
    )
    parser.add_argument("--model", type=Path, required=True, help="network to write (.keras)")
    parser.add_argument("--model-weights", type=Path, required=True, help="its weights alone, to write (.weights.h5)")
    parser.add_argument("--history", type=Path, required=True, help="loss and accuracy by epoch, to write (CSV)")
    parser.add_argument("--timing", type=Path, required=True, help="seconds by epoch, to write (CSV)")
    parser.add_argument("--training", type=Path, required=True, help="all that went into the run, to write (JSON)")
    parser.add_argument("--picture", type=Path, help="learning curves, drawn anew while it trains (PNG)")
    parser.add_argument("--tensorboard", type=Path, help="folder of event files, written while it trains")
    args = parser.parse_args()
    settings: dict[str, Any] = args.settings
    epochs, rule = settings["epochs"], settings["selected_epoch"]
    device = set_up_device(args.device, args.threads, settings["deterministic"])
    split = pd.read_csv(args.split)
    pixels = open_pixels(args.pixels)
    parts = identity_parts(
        settings, args.seed, args.threads, device, args.weights, split, read_epoch(args.manifest, 1), pixels
    )
    identity = identity_of(parts)
    folder = args.states / identity
    images = images_of(split, settings)
    _say(
        f"{settings['backbone']} on {', '.join(settings['classes'])}: {images['training']} training and "
        f"{images['validation']} validation images, {epochs} epochs on {device_name()}, initial weights: "
        f"{args.weights.name if args.weights else settings['weights']}; training {identity}"
    )

    def manifest(epoch: int) -> pd.DataFrame:
        return read_epoch(args.manifest, epoch)

    with claimed(folder, _say):
        number = rule if isinstance(rule, int) else None
        start, kept = states_to_use(folder, manifest, epochs, number, _say)
        if start is not None and is_over(start.record["history"], epochs, settings) and not start.batches:
            _say(f"trained already, {start.epoch} epochs: the state is written out")
            end = start
        else:
            if start is not None:
                inside = f" and {start.batches} steps" if start.batches else ""
                _say(f"goes on behind {start.epoch} epochs{inside}")
            model = make_network(settings, args.seed, args.weights)
            with following(folder, args.picture, args.tensorboard) as follow:

                def report(history: Sequence[Mapping[str, float]], timing: Timing) -> None:
                    _say(progress_line(history, timing.epochs, epochs))
                    follow(history)

                end = train_with_states(
                    folder, model, start, manifest, pixels, split, settings, epochs,
                    {number} if number else set(), args.save_every, args.threads, report,
                )  # fmt: skip
            del model
            keras.backend.clear_session()
            _, kept = states_to_use(folder, manifest, epochs, number, _say)
        plain = build_network(settings, args.seed, for_training=False)
        epoch, weights = selected_weights(end, kept, rule, plain)
        plain.set_weights(weights)
        with whole_file(args.model) as part:
            plain.save(part)
        with whole_file(args.model_weights) as part:
            plain.save_weights(part)
        history = pd.DataFrame(end.record["history"])
        timing = pd.DataFrame(end.record["timing"]["epochs"])
        write_table(args.history, history)
        write_table(args.timing, timing)
        record = {
            "identity": identity,
            "epochs": epochs,
            "trained_epochs": end.epoch,
            "selected_epoch": {
                "rule": "number" if number else rule,
                "epoch": epoch,
                "val_loss": float(history["val_loss"].iloc[epoch - 1]),
            },
            "classes": list(settings["classes"]),
            "images": images,
            "weights": {
                "source": settings["weights"],
                "file": args.weights.name if args.weights else None,
                "sha256": parts["weights_sha256"],
            },
            "manifest_sha256": sha256_of_file(args.manifest),
            **{key: value for key, value in parts.items() if key not in ("device", "versions", "weights_sha256")},
            "settings": settings,
            "device": device_name(),
            "hardware": hardware(),
            "versions": recorded_versions(),
        }
        write_json(args.training, record)
        tidy_states(folder, args.keep_states, [state for state in (end, kept) if state is not None])
    _say(f"trained {end.epoch} epochs in {duration(timing['seconds'].sum())}; epoch {epoch} is kept")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    run_stage(main)
