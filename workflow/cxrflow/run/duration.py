"""Estimate how long the selected trainings will take, from earlier runs on this machine or from rough figures."""

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cxrflow.io.words import duration, joined, some_of
from cxrflow.run.checks import Check, note, ok
from cxrflow.study.experiment import Experiment
from cxrflow.study.folds import seeds_of, trainings_of_folds, without_fold
from cxrflow.study.models import Config

# Seconds per image of 224 px on two processor cores, in a training step and in a forward pass (validation). Other networks
# have not been measured.
TRAINING_STEP = {"InceptionV3": 0.060, "MobileNet": 0.044}
FORWARD = {"InceptionV3": 0.024, "MobileNet": 0.011}

DAMAGED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""Errors of reading a damaged record of a run, or one with other keys. A missing estimate must not prevent a run."""


@dataclass(frozen=True)
class Pace:
    """The speed of an earlier run: seconds of an epoch, including validation, per training image."""

    experiment: str
    backbone: str
    image_size: int
    device: str
    seconds_per_image: float


def paces_of_runs(results: Path) -> list[Pace]:
    """Collect the paces of all complete runs in a folder of results, the newest first."""
    files = sorted(results.glob("*/runs/*/seed_*/timing.csv"), key=lambda file: file.stat().st_mtime, reverse=True)
    return [pace for file in files if (pace := _pace_of(file)) is not None]


def _pace_of(timing: Path) -> Pace | None:
    record = timing.with_name("training.json")
    if not record.is_file():
        return None
    try:
        training = json.loads(record.read_text(encoding="utf-8"))
        with timing.open(encoding="utf-8", newline="") as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
        images = training["images"]["training_seen_per_epoch"]
        # The first epoch is mostly compilation of the network, so that a run of one epoch has no useful pace.
        if len(seconds) < 2 or not images:
            return None
        settings = training["settings"]
        return Pace(
            experiment=timing.parents[1].name,
            backbone=settings["backbone"],
            image_size=settings["image_size"],
            device=training["device"],
            seconds_per_image=median(seconds[1:]) / images,
        )
    except DAMAGED:
        return None


def seconds_an_epoch(
    name: str, experiment: Experiment, images: int, paces: Iterable[Pace], validation_fraction: float
) -> tuple[float, str] | None:
    """Estimate the seconds of an epoch.

    Args:
        name: name of the experiment.
        experiment: its settings.
        images: number of images in the training folder, including validation.
        paces: earlier runs, the newest first. A run of the same experiment is preferred to one of the same backbone; a run
            with another image size is scaled by the number of pixels, if the width differs by a factor of 2 at most.
        validation_fraction: share of the training folder that is used for validation.

    Returns:
        The seconds, and the basis of the estimate in words; None if there is no figure for the backbone.
    """
    training = images * (1 - validation_fraction)
    near = [pace for pace in paces if 0.5 <= experiment.image_size / pace.image_size <= 2]
    same = [pace for pace in near if pace.backbone == experiment.backbone]
    for pace in [*(pace for pace in same if pace.experiment == name), *same]:
        scale = (experiment.image_size / pace.image_size) ** 2
        return training * pace.seconds_per_image * scale, f"earlier runs on {pace.device}"
    if experiment.backbone not in TRAINING_STEP:
        return None
    scale = (experiment.image_size / 224) ** 2
    step, forward = TRAINING_STEP[experiment.backbone], FORWARD[experiment.backbone]
    return (training * step + images * validation_fraction * forward) * scale, "a rough figure for two processor cores"


def epochs_left(config: Config, name: str, results: Path) -> dict[int, int]:
    """Map each seed of an experiment, or of one of its folds, to the number of epochs that still have to be trained."""
    epochs = {**config.experiments, **config.extras}[without_fold(name)].epochs
    seeds = seeds_of(config, name)
    records = {seed: results / config.name / f"runs/{name}/seed_{seed}/training.json" for seed in seeds}
    checkpoints = results / "checkpoints" if config.keep_checkpoints != "none" else None
    return {seed: _epochs_left(record, epochs, checkpoints) for seed, record in records.items()}


def _epochs_left(record: Path, epochs: int, checkpoints: Path | None) -> int:
    """Count the epochs between the last usable checkpoint of a training and its end.

    Args:
        record: the run's training.json.
        epochs: `epochs` of the experiment.
        checkpoints: folder of the checkpoints of all trainings, or None if none are kept.
    """
    if not record.is_file():
        return epochs
    try:
        training = json.loads(record.read_text(encoding="utf-8"))
        trained, requested = training.get("trained_epochs"), int(training["epochs"])
    except DAMAGED:  # the training's own stage reports it
        return epochs
    # Early stopping ends the training at the same epoch.
    stopped_early = trained is not None and checkpoints is not None and trained < min(requested, epochs)
    if requested == epochs or stopped_early:
        return 0
    if trained is None or checkpoints is None:  # None: an older version, which kept no checkpoints
        return epochs
    if requested < epochs:
        return epochs - trained
    kept = [int(file.name[6:12]) for file in (checkpoints / str(training.get("identity"))).glob("epoch_*.json")]
    return epochs - max((epoch for epoch in kept if epoch <= epochs), default=0)


def check_duration(
    config: Config, training_images: dict[str, int], results: Path, all_images: Mapping[str, int] | None = None
) -> Check:
    """Estimate the time of all missing trainings, one after the other.

    Args:
        config: the config of the run.
        training_images: task to the number of images in its training folders.
        results: folder of all results.
        all_images: task to the number of all its images, which are divided into folds; by default those for training.
    """
    paces = paces_of_runs(results)
    total, runs = 0.0, 0
    reasons: set[str] = set()
    parts: list[str] = []
    unknown: list[str] = []
    in_folds = 1 - 1 / config.folds if config.folds else 0.0  # share of the images that a fold leaves for training
    for name, experiment in config.selected().items():
        everything = (all_images or training_images)[experiment.task]
        for title, names, images in (
            (name, [name], training_images[experiment.task]),
            (f"folds of {name}", [*trainings_of_folds(config, name)], round(everything * in_folds)),
        ):
            waiting = [left for one in names for left in epochs_left(config, one, results).values() if left]
            if not waiting:
                continue
            runs += len(waiting)
            estimate = seconds_an_epoch(name, experiment, images, paces, config.validation_fraction)
            if estimate is None or not images:
                unknown.append(title)
                continue
            seconds, reason = estimate
            total += seconds * sum(waiting)
            reasons.add(reason)
            times = f"{len(waiting)} x " if len(waiting) > 1 and len(set(waiting)) == 1 else ""
            parts.append(f"{title} {times}{duration(seconds * (waiting[0] if times else sum(waiting)))}")
    if not runs:
        text = "all selected trainings have run before; `make why` shows which of them a change would repeat"
        return ok("time", text)
    without = f"no figure for {some_of(unknown, 4)}" if unknown else ""
    if not parts:
        return note("time", f"{without}: {'the first run will show' if any(training_images.values()) else 'no images'}")
    about = "" if total < 1 else "about "
    text = f"{about}{duration(total)} of training ({some_of(parts, 4)}), from {joined(sorted(reasons))}"
    return ok("time", "; ".join(filter(None, [text, without])))
