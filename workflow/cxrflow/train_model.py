"""Train an experiment's network on the images, in the order and with the transformations that its manifest says.

A pure function of its inputs: pixels, split, manifest, initial weights, settings, seed, threads and versions. Writes the
network of the selected epoch, uncompiled and with its preprocessing inside, so that any Keras can load it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from cxrflow.images.pixels import open_pixels
from cxrflow.networks.build import build_network
from cxrflow.networks.device import device_name, set_threads, share_gpu
from cxrflow.stage.code_hash import code_hash
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import canonical_json, sha256_of_file, sha256_of_text, whole_file, write_json, write_table
from cxrflow.training.batches import images_per_pass, target_vectors
from cxrflow.training.loop import compile_network, train_network
from cxrflow.training.progress import duration, progress_line
from cxrflow.training.versions import versions


def training_record(
    settings: Mapping[str, Any], seed: int, threads: int, weights: Path | None, split: pd.DataFrame, manifest: Path
) -> dict[str, Any]:
    """All that went into a training: what identifies it, by contents, not by names or times."""
    counts = split["subset"].value_counts()
    sizes = {subset: int(counts[subset]) for subset in ("training", "validation")}
    if (weights is None) != (settings["weights"] == "random"):
        raise Fault(f"weights: the settings say {settings['weights']}, but the weights file is {weights}")
    record = {
        "settings": dict(settings),
        "classes": list(settings["classes"]),
        "seed": seed,
        "threads": threads,
        "device": device_name(),
        "images": {
            **sizes,
            **{
                f"{subset}_seen_per_epoch": images_per_pass(size, settings["batch_size"], settings["incomplete_batch"])
                for subset, size in sizes.items()
            },
        },
        "weights": {
            "source": settings["weights"],
            "file": weights.name if weights else None,
            "sha256": sha256_of_file(weights) if weights else None,
        },
        "split_sha256": sha256_of_text(split.to_csv(index=False)),
        "manifest_sha256": sha256_of_file(manifest),
        "versions": versions(),
        "code": code_hash("cxrflow.train_model"),
    }
    return {"identity": sha256_of_text(canonical_json(record))[:16], **record}


def epoch_rows(manifest: Path, epoch: int) -> pd.DataFrame:
    """The manifest rows of one epoch, read alone."""
    return pq.read_table(manifest, filters=[("epoch", "==", epoch)]).to_pandas()


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--settings", type=json.loads, required=True, help="the experiment's settings, as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True, help="TensorFlow's threads")
    parser.add_argument("--split", type=Path, required=True, help="split of the task (CSV)")
    parser.add_argument("--manifest", type=Path, required=True, help="augmentation manifest (Parquet)")
    parser.add_argument(
        "--pixels", type=Path, nargs="+", required=True, help="decoded pixels (.npy) of the task's classes"
    )
    parser.add_argument("--weights", type=Path, help="initial weights of the backbone; without, they are random")
    parser.add_argument("--model", type=Path, required=True, help="network to write (.keras)")
    parser.add_argument("--history", type=Path, required=True, help="loss and accuracy by epoch, to write (CSV)")
    parser.add_argument("--timing", type=Path, required=True, help="seconds by epoch, to write (CSV)")
    parser.add_argument("--training", type=Path, required=True, help="all that went into the run, to write (JSON)")
    args = parser.parse_args()
    settings = args.settings
    set_threads(args.threads)
    share_gpu()
    split = pd.read_csv(args.split)
    pixels = open_pixels(args.pixels)
    record = training_record(settings, args.seed, args.threads, args.weights, split, args.manifest)
    print(
        f"{settings['backbone']} on {', '.join(settings['classes'])}: {record['images']['training']} training and "
        f"{record['images']['validation']} validation images, {settings['epochs']} epochs on {record['device']}, "
        f"initial weights: {record['weights']['file'] or record['weights']['source']}",
        flush=True,
    )
    model = build_network(settings, args.seed, args.weights)
    compile_network(model, settings)
    trained = train_network(
        model,
        lambda epoch: epoch_rows(args.manifest, epoch),
        pixels,
        target_vectors(split, settings),
        settings,
        lambda history, timing: print(progress_line(history, timing, settings["epochs"]), flush=True),
    )
    plain = build_network(settings, args.seed, for_training=False)
    plain.set_weights(model.get_weights())
    with whole_file(args.model) as part:
        plain.save(part)
    write_table(args.history, trained.history)
    write_table(args.timing, trained.timing)
    epoch = trained.selected_epoch
    val_loss = float(trained.history["val_loss"].iloc[epoch - 1])
    selected = {"rule": settings["selected_epoch"], "epoch": epoch, "val_loss": val_loss}
    write_json(args.training, {**record, "epochs": settings["epochs"], "selected_epoch": selected})
    print(f"trained {settings['epochs']} epochs in {duration(trained.timing['seconds'].sum())}; epoch {epoch} is kept")


if __name__ == "__main__":
    run_stage(main)
