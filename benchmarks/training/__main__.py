"""Measure the speed of training, compared with the study's notebook and with tf.data and Keras' random layers.

    python benchmarks/training --images FOLDER --weights FOLDER [--rounds 5] [--only ROW …]

The folder of images contains train/<class>/ for the study's four classes, and the folder of weights files for InceptionV3 and
MobileNet. Each contender is a separate process. They take turns, an epoch each, so that other load on the machine affects all
of them. The first epoch, in which networks are compiled, is not counted. Ratios of medians are printed.

With --device gpu, other rows are measured, because the notebook's generator runs on the CPU and a small batch leaves most of
the GPU idle: the speed of training compared with the generator, and of several simultaneous trainings compared with one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
from cxrflow.networks.weights import find_weights
from cxrflow.study.images import Augmentation
from cxrflow.study.read import read_config
from cxrflow.study.run import with_study
from cxrflow.study.settings import experiment_settings, training_settings
from cxrflow.study.yaml_files import read_yaml

PROJECT = Path(__file__).resolve().parents[2]
THREADS = 2
# Row: experiment, changed settings of cxrflow and the bare step, and smallest ratio to the notebook.
ROWS: dict[str, tuple[str, dict[str, Any], float]] = {
    "binary InceptionV3, float32": ("binary_inception_v3", {}, 1.25),
    "multiclass InceptionV3, float32": ("multiclass_inception_v3", {}, 1.4),
    "multiclass MobileNet, float32": ("multiclass_mobilenet", {}, 1.4),
    "binary InceptionV3, bfloat16": (
        "binary_inception_v3",
        {"precision": "bfloat16", "input_scaling": "backbone"},
        1.8,
    ),
}
PEERS = ("notebook", "keras_layers")
GENERATOR = "generator"
TOGETHER = "several at once"
SAVING = "saving checkpoints"
AUGMENTATION = "augmentation"  # measured by another script
SAVING_EPOCHS = 20  # with the largest network: about five checkpoints with the default of one per minute


def prepared(folder: Path, images: Path, settings: Mapping[str, Any]) -> list[str]:
    """Index, split and decode a task's images with the stages of cxrflow; return the flags of the contenders."""
    classes, size = settings["classes"], settings["image_size"]
    task = folder / "images"
    for place in ("train", "test"):
        (task / place).mkdir(parents=True)
        for name in classes:
            (task / place / name).symlink_to((images / place / name).resolve())
    _stage(
        "index_images",
        root=task,
        classes=classes,
        missing_images="warn",
        workers=THREADS,
        images=folder / "images.parquet",
    )
    _stage(
        "split_images", images=folder / "images.parquet", classes=classes, rule="keras", validation_fraction=0.2,
        split=folder / "split.csv",
    )  # fmt: skip
    arrays = []
    for place in ("train", "test"):
        for name in classes:
            array = folder / f"{place}_{name}.npy"
            _stage(
                "cache_pixels", images=folder / "images.parquet", root=task, folder=f"{place}/{name}", size=size,
                resampling="nearest", pixels=array,
            )  # fmt: skip
            arrays.append(str(array))
    return ["--images", str(task), "--split", str(folder / "split.csv"), "--pixels", *arrays]


def _stage(name: str, **flags: object) -> None:
    command = [sys.executable, "-m", f"cxrflow.stages.{name}"]
    for key, value in flags.items():
        values = [str(part) for part in value] if isinstance(value, list) else [str(value)]
        command += [f"--{key.replace('_', '-')}", *values]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def contenders(
    settings: Mapping[str, Mapping[str, Any]], images: Path, weights: Path, device: str
) -> Iterator[dict[str, Any]]:
    """Start the contenders, and let each train a first epoch, in which its network is compiled; yield name to process.

    A number after a space in a name distinguishes contenders of the same kind. All train on the same images.
    """
    started = {}
    with tempfile.TemporaryDirectory() as folder:
        one = next(iter(settings.values()))
        flags = prepared(Path(folder), images, one)
        flags += ["--weights", str(find_weights(str(weights), one["backbone"]))]
        for name in settings:
            command = [sys.executable, str(Path(__file__).with_name("contenders.py")), name.partition(" ")[0]]
            command += ["--settings", json.dumps(settings[name]), "--threads", str(THREADS), "--device", device, *flags]
            started[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            for process in started.values():
                one_epoch(process)
            yield started
        finally:
            for process in started.values():
                process.kill()
                process.communicate()


def one_epoch(process: Any) -> dict[str, float]:
    """Let a contender train an epoch; return its report."""
    begin_epoch(process)
    return end_epoch(process)


def begin_epoch(process: Any) -> None:
    """Let a contender start an epoch, without waiting for it."""
    process.stdin.write("\n")
    process.stdin.flush()


def end_epoch(process: Any) -> dict[str, float]:
    """Wait for the end of a contender's epoch; return its report."""
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a contender has ended; see its message above")
    report: dict[str, float] = json.loads(line)
    return report


def study_settings(experiment: str, images: Path, weights: Path) -> dict[str, Any]:
    """Read the settings of one of the study's trainings."""
    config = read_config(
        with_study({**read_yaml(PROJECT / "config.yaml"), "images": str(images), "weights": str(weights)})
    )
    return training_settings(experiment_settings(config, experiment))


def compared(row: str, images: Path, weights: Path, rounds: int) -> None:
    """Run the contenders of a row and print its ratios."""
    experiment, changes, least = ROWS[row]
    study = study_settings(experiment, images, weights)
    ours = {**study, **changes}
    names = ["cxrflow", "bare_step", *PEERS]
    settings = {name: study if name in PEERS else ours for name in names}
    reports: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with contenders(settings, images, weights, "cpu") as processes:
        for _ in range(rounds):
            for name in names:
                reports[name].append(one_epoch(processes[name]))
    pace = {name: median(turn["images"] / turn["seconds"] for turn in turns) for name, turns in reports.items()}
    seconds = {name: median(turn["seconds"] for turn in turns) for name, turns in reports.items()}
    memory = {name: turns[-1]["peak_memory"] for name, turns in reports.items()}
    print_row(f"{row}: images/s ÷ notebook", pace["cxrflow"] / pace["notebook"], f">= {least}")
    print_row(f"{row}: images/s ÷ tf.data and random layers", pace["cxrflow"] / pace["keras_layers"], ">= 1.1")
    overhead = median(
        (own["seconds"] - bare["seconds"]) / own["seconds"]
        for own, bare in zip(reports["cxrflow"], reports["bare_step"], strict=True)
    )
    print_row(f"{row}: share of an epoch outside the bare step", overhead, "< 0.05")
    print_row(f"{row}: peak memory ÷ notebook", memory["cxrflow"] / memory["notebook"], "<= 1.15")
    shown = ", ".join(f"{name} {seconds[name]:.1f} s ({pace[name]:.1f} images/s)" for name in names)
    print(f"    an epoch: {shown}", flush=True)


def against_generator(images: Path, weights: Path, rounds: int, device: str) -> None:
    """Print the speed of training the binary network, divided by that of the notebook's generator."""
    study = study_settings("binary_inception_v3", images, weights)
    names = ["cxrflow", "bare_step", "generator"]
    with contenders(dict.fromkeys(names, study), images, weights, device) as processes:
        turns = [{name: one_epoch(processes[name]) for name in names} for _ in range(rounds)]
    pace = {name: median(turn[name]["images"] / turn[name]["seconds"] for turn in turns) for name in names}
    overhead = median(1 - turn["bare_step"]["seconds"] / turn["cxrflow"]["seconds"] for turn in turns)
    row = f"binary InceptionV3, float32, {device}"
    print_row(f"{row}: images/s ÷ the notebook's generator", pace["cxrflow"] / pace["generator"], ">= 10 on a GPU")
    print_row(f"{row}: share of an epoch outside the bare step", overhead, "< 0.05")
    print("    images/s: " + ", ".join(f"{name} {pace[name]:.1f}" for name in names), flush=True)


def several_at_once(images: Path, weights: Path, rounds: int, device: str, trainings: int) -> None:
    """Train the binary network once and several times simultaneously on one device, and print the ratio of their speeds."""
    study = study_settings("binary_inception_v3", images, weights)
    names = [f"cxrflow {number}" for number in range(trainings)]
    single, together = [], []
    with contenders(dict.fromkeys(names, study), images, weights, device) as processes:
        for _ in range(rounds):
            turn = one_epoch(processes[names[0]])
            single.append(turn["images"] / turn["seconds"])
            begin = time.perf_counter()
            for name in names:
                begin_epoch(processes[name])
            images_seen = sum(end_epoch(processes[name])["images"] for name in names)
            together.append(images_seen / (time.perf_counter() - begin))
    row = f"binary InceptionV3, float32, {device}: {trainings} trainings at once, images/s ÷ one"
    print_row(row, median(together) / median(single), "> 1 on a GPU")


def saving(images: Path, weights: Path) -> None:
    """Train with the default of saving checkpoints, and print the share of the time that saving takes."""
    settings = {**study_settings("multiclass_inception_v3", images, weights), "epochs": SAVING_EPOCHS}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pixels = prepared(folder, images, settings)[-2 * len(settings["classes"]) :]
        split, manifest, timing = folder / "split.csv", folder / "manifest.parquet", folder / "timing.csv"
        ranges = Augmentation().model_dump(exclude={"without_effect"})
        _stage(
            "plan_augmentation", split=split, seed=0, epochs=SAVING_EPOCHS, ranges=json.dumps(ranges),
            augment_validation=True, manifest=manifest,
        )  # fmt: skip
        _stage(
            "train_model", settings=json.dumps(settings), seed=0, threads=THREADS, device="cpu", resampling="nearest",
            weights=find_weights(str(weights), settings["backbone"]), split=split, manifest=manifest, pixels=pixels,
            checkpoints=folder / "checkpoints", model=folder / "model.keras", model_weights=folder / "model.weights.h5",
            history=folder / "history.csv", timing=timing, training=folder / "training.json",
        )  # fmt: skip
        seconds = pd.read_csv(timing)[["saving", "seconds"]].sum()
    print_row(
        "multiclass InceptionV3, float32: share of time for checkpoints",
        seconds["saving"] / seconds["seconds"],
        "< 0.03",
    )


def print_row(name: str, ratio: float, target: str) -> None:
    """Print a row: name, ratio, target."""
    print(f"{name:<75} {ratio:6.2f}   {target}", flush=True)


def main() -> None:
    rows = {"cpu": [*ROWS, SAVING, AUGMENTATION], "gpu": [GENERATOR, TOGETHER]}
    every = [*rows["cpu"], *rows["gpu"]]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder with train/<class>/ and test/<class>/")
    parser.add_argument("--weights", type=Path, required=True, help="folder of weights files")
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each contender (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=every, metavar="ROW", help=", ".join(every))
    parser.add_argument("--device", choices=[*rows], default="cpu", help="default: %(default)s")
    parser.add_argument("--together", type=int, default=3, help=f"trainings of '{TOGETHER}' (default: %(default)s)")
    args = parser.parse_args()
    if args.device == "gpu" and set(args.only or []) & set(rows["cpu"]):
        parser.error(f"rows of --device gpu: {', '.join(rows['gpu'])}")
    begin = time.monotonic()
    for row in args.only or rows[args.device]:
        if row == GENERATOR:
            against_generator(args.images, args.weights, args.rounds, args.device)
        elif row == TOGETHER:
            several_at_once(args.images, args.weights, args.rounds, args.device, args.together)
        elif row == SAVING:
            saving(args.images, args.weights)
        elif row == AUGMENTATION:
            script = Path(__file__).parent.with_name("augmentation.py")
            subprocess.run([sys.executable, script, "--images", args.images / "train"], check=True)
        else:
            compared(row, args.images, args.weights, args.rounds)
    print(f"{time.monotonic() - begin:.0f} s in total")


if __name__ == "__main__":
    main()
