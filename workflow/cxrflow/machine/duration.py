"""How long the selected trainings will take: by earlier runs on this machine, or by a rough figure."""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cxrflow.config.models import Config
from cxrflow.config.training import Experiment
from cxrflow.machine.findings import Finding, note, ok, some_of

# Seconds an image of 224 px on two processor cores: a training step, and a forward pass in validation. Other networks have
# not been measured.
TRAINING_STEP = {"InceptionV3": 0.060, "MobileNet": 0.044}
FORWARD = {"InceptionV3": 0.024, "MobileNet": 0.011}


@dataclass(frozen=True)
class Pace:
    """How fast an earlier run was: seconds for each training image of an epoch, its validation included."""

    experiment: str
    backbone: str
    image_size: int
    device: str
    seconds_per_image: float


def paces_of_runs(results: Path) -> list[Pace]:
    """Paces of all runs below a folder of results, the newest first; runs that are not whole are passed over."""
    files = sorted(results.glob("*/runs/*/seed_*/timing.csv"), key=lambda file: file.stat().st_mtime, reverse=True)
    return [pace for file in files if (pace := _pace_of(file)) is not None]


def _pace_of(timing: Path) -> Pace | None:
    record = timing.with_name("training.json")
    if not record.is_file():
        return None
    training = json.loads(record.read_text(encoding="utf-8"))
    with timing.open(encoding="utf-8", newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    images = training["images"]["training_seen_per_epoch"]
    # The first epoch is mostly the network's compilation, so that a run of one epoch says nothing of its pace.
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


def seconds_an_epoch(
    name: str, experiment: Experiment, images: int, paces: Iterable[Pace], validation_fraction: float
) -> tuple[float, str] | None:
    """Estimated seconds of an epoch, and what the estimate is by; None where there is no figure for the backbone.

    Args:
        name: name of the experiment.
        experiment: its settings.
        images: images in the training folder; `validation_fraction` of them are validation.
        paces: earlier runs, the newest first. One of the same experiment goes before one of the same backbone; another size
            of image counts by its pixels, if it is no more than twice or half as wide: small images are mostly overhead.
        validation_fraction: share of the training folder that is validation.
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
    """Seed to the epochs that an experiment has still to be trained for: those beyond the ones that its run has already."""
    epochs = {**config.experiments, **config.extras}[name].epochs
    records = {seed: results / config.name / f"runs/{name}/seed_{seed}/training.json" for seed in config.seeds_of(name)}
    return {seed: _left_behind(record, epochs, config.keep_states) for seed, record in records.items()}


def _left_behind(record: Path, epochs: int, keep_states: str) -> int:
    if not record.is_file():
        return epochs
    training = json.loads(record.read_text(encoding="utf-8"))
    trained, asked = training.get("trained_epochs"), training["epochs"]
    if asked >= epochs:
        return 0
    if trained is None or keep_states == "none":  # None: trained by a version that kept no states
        return epochs
    return 0 if trained < asked else epochs - trained  # early stopping ends a longer training at the same epoch


def duration_finding(config: Config, training_images: dict[str, int], results: Path) -> Finding:
    """How long the trainings take that are still to be made, one after the other.

    Args:
        config: the config.
        training_images: task to the number of images in its training folders.
        results: folder of all results.
    """
    paces = paces_of_runs(results)
    total, runs = 0.0, 0
    reasons: set[str] = set()
    parts: list[str] = []
    unknown: list[str] = []
    for name, experiment in config.selected().items():
        waiting = [left for left in epochs_left(config, name, results).values() if left]
        if not waiting:
            continue
        runs += len(waiting)
        images = training_images[experiment.task]
        estimate = seconds_an_epoch(name, experiment, images, paces, config.validation_fraction)
        if estimate is None or not images:
            unknown.append(name)
            continue
        seconds, reason = estimate
        total += seconds * sum(waiting)
        reasons.add(reason)
        times = f"{len(waiting)} x " if len(waiting) > 1 and len(set(waiting)) == 1 else ""
        parts.append(f"{name} {times}{human(seconds * (waiting[0] if times else sum(waiting)))}")
    if not runs:
        return ok("time", "all trainings are there; unless something they depend on has changed, none is to be made")
    without = f"no figure for {some_of(unknown, 4)}" if unknown else ""
    if not parts:
        return note("time", f"{without}: {'the first run will tell' if any(training_images.values()) else 'no images'}")
    text = f"about {human(total)} of training ({some_of(parts, 4)}), by {' and '.join(sorted(reasons))}"
    return ok("time", "; ".join(filter(None, [text, without])))


def human(seconds: float) -> str:
    """Seconds in the two units that matter: 40 s, 25 min, 3 h 20 min, 2 days 4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h"
