"""Predict whether a planned training will compute, or will be reused because its checkpoint exists.

This compares the same contents as `cxrflow.training.identity`, as far as they exist before the run. If an earlier job of the
run creates them, it compares the command of that job with its last one.
"""

import csv
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.images.columns import read_image_list
from cxrflow.images.fingerprint import changed_files, stamps_of
from cxrflow.images.folder import class_folders
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json, sha256_of_file
from cxrflow.io.machine import by_one_name, installed_versions
from cxrflow.run.changed_flags import differences, flags_of
from cxrflow.run.checkpoints_ahead import checkpoint_ahead
from cxrflow.run.jobs import Job
from cxrflow.study.decides import WITHOUT_EFFECT, keys_that_decide
from cxrflow.study.experiment import Experiment
from cxrflow.study.models import Config, IndexSettings
from cxrflow.study.names import subset_named
from cxrflow.training.environment import computing_variables, training_code_hash

NOT_IDENTIFYING = {
    *keys_that_decide(Experiment, "length", "evaluation"),
    *keys_that_decide(Config, *WITHOUT_EFFECT),
}
"""Keys that are not part of a training's identity."""
# Snakemake's reasons for a job that runs not only because earlier ones do.
OWN_REASONS = ("Params have changed", "Code has changed", "Updated input files", "Set of input files has changed")
DECIDING = ("plan_augmentation", "split_images", "split_folds", "cache_pixels", "make_phantoms")
MAKES_ITS_INPUT = (*DECIDING, "fetch_images", "index_images", "fetch_weights")
OF_RECORD = {"identity", "epochs", "trained_epochs", "settings", "threads", "what_identifies_it"}


@dataclass(frozen=True)
class Verdict:
    """What a planned training will do."""

    epochs: int
    """Number of epochs to train; 0 if the training is reused."""
    reasons: Sequence[str]
    seconds: float | None
    """Estimated duration, from the last training; None if there is none."""
    is_sure: bool = True
    """Whether it is known which checkpoints the training will find."""
    unless: Sequence[str] = ()
    """For a reused training: rules that run before it with other code or other files. The network is trained again if their
    outputs change."""


def verdict_on(job: Job, planned: Mapping[str, Job]) -> Verdict:
    """Predict what a planned training will do.

    Args:
        job: job of train_model.
        planned: output to the job that makes it, for all planned jobs.
    """
    flags = flags_of(job.command)
    wanted = int(_settings(flags)["epochs"])
    record = _record_of(Path(flags["training"][0]))
    if record is None:
        return _by_checkpoints(job, planned, ["there is no finished training of this name"], None)
    reasons = [*_changed_settings(record, job), *_changes(job, planned), *_changed_contents(record, flags)]
    pace = _seconds_an_epoch(Path(flags["timing"][0]))
    if reasons:
        return _by_checkpoints(job, planned, reasons, pace)
    had = int(record["trained_epochs"])
    checkpoints = Path(flags["checkpoints"][0]) / record["identity"]
    if wanted > int(record["epochs"]):
        more = wanted - had
        return Verdict(more, [f"epochs went from {record['epochs']} to {wanted}"], pace and pace * more)
    if not any(checkpoints.glob("epoch_*.json")):
        return Verdict(wanted, [f"its checkpoints are gone ({checkpoints})"], pace and pace * wanted)
    return Verdict(0, [], None, unless=[one.rule for one in _before(job, planned) if _may_make_another(one)])


def _record_of(file: Path) -> Mapping[str, Any] | None:
    """Read a training's own record; None if it is missing or damaged."""
    try:
        record = read_json(file) if file.is_file() else None
    except UserError:
        return None
    return record if isinstance(record, dict) and record.keys() >= OF_RECORD else None


def _by_checkpoints(job: Job, planned: Mapping[str, Job], reasons: Sequence[str], pace: float | None) -> Verdict:
    """Predict what a training will do that differs from the last one of its name: an earlier one may have left checkpoints."""
    wanted = int(_settings(flags_of(job.command))["epochs"])
    if any(one.rule in MAKES_ITS_INPUT for one in _before(job, planned)):
        return Verdict(wanted, reasons, pace and pace * wanted, is_sure=False)
    ahead = checkpoint_ahead(flags_of(job.command))
    if ahead is None or not ahead.epochs:
        return Verdict(wanted, reasons, pace and pace * wanted, is_sure=ahead is not None)
    left = 0 if ahead.is_finished else wanted - ahead.epochs
    return Verdict(left, [*reasons, f"it resumes after epoch {ahead.epochs}"], pace and pace * left)


def _changed_settings(record: Mapping[str, Any], job: Job) -> Iterator[str]:
    before = job.before
    if before is None:  # Snakemake's record is missing, but the training's own exists
        before = f"--settings {shlex.quote(json.dumps(record['settings']))} --threads {record['threads']}"
        before += f" --seed {job.wildcards['seed']} --device {flags_of(job.command)['device'][0]}"
    for difference in differences(before, job.command):
        # The pixels identify a training; how they were made is a difference of the job that makes them.
        if difference.key not in {*NOT_IDENTIFYING, *keys_that_decide(Config, "pixels")}:
            yield str(difference)


def _changes(job: Job, planned: Mapping[str, Job]) -> Iterator[str]:
    """List the differences of earlier planned jobs that change the training."""
    classes = _settings(flags_of(job.command))["classes"]
    for one in _before(job, planned):
        if one.rule in DECIDING and one.before is not None:
            yield from (str(d) for d in differences(one.before, one.command) if d.key not in NOT_IDENTIFYING)
        if one.rule == "index_images":
            yield from _changed_images(flags_of(one.command), classes, Path(flags_of(job.command)["split"][0]))


def _before(job: Job, planned: Mapping[str, Job]) -> list[Job]:
    """List the planned jobs that a job depends on, the nearest first."""
    found: dict[str, Job] = {}
    waiting = [job]
    while waiting:
        one = waiting.pop(0)
        for before in (planned[file] for file in one.inputs if file in planned):
            if before.outputs[0] not in found:
                found[before.outputs[0]] = before
                waiting.append(before)
    return list(found.values())


def _may_make_another(job: Job) -> bool:
    """Whether the outputs of a job may differ from the last time although its command does not say so."""
    if job.rule not in (*DECIDING, "index_images"):
        return False
    if (
        job.rule == "index_images"
        and fingerprint_differs(job)
        and _settings(flags_of(job.command))["layout"] != "listed"
    ):
        return False  # the changed images are known; a list may also have changed what it says about other images
    return job.before is None or job.reason.startswith(OWN_REASONS)


def fingerprint_differs(job: Job) -> bool:
    """Whether an index was made for images with another fingerprint."""
    return job.before is not None and flags_of(job.before).get("fingerprint") != flags_of(job.command)["fingerprint"]


def _changed_images(flags: Mapping[str, Sequence[str]], classes: Sequence[str], split: Path) -> Iterator[str]:
    """List the changed images that are not test images.

    Args:
        flags: flags of index_images.
        classes: classes of the task.
        split: split of the task, from the last run.
    """
    root, settings = Path(flags["root"][0]), IndexSettings.model_validate(_settings(flags))
    layout, columns = settings.layout, settings.columns_of_list()
    image_list = Path(flags["image-list"][0]) if "image-list" in flags else None
    own = [f"{folder}/" for subset, _, folder in class_folders(root, classes, layout) if subset != "test"]
    of_test: set[str] = set()
    if layout == "listed" and image_list:  # the list gives the class of each file, and may have changed
        listed = read_image_list(image_list, columns=columns).as_frame()
        own, of_test = [""], _test_images(split) | _listed_for_test(listed)
    stamps = stamps_of(root, flags["classes"], layout, image_list, columns)
    changes = changed_files(root, stamps, Path(flags["record"][0]))
    yield from (
        f"{path} was {what}"
        for path, what in sorted(changes.items())
        if path.startswith(tuple(own)) and path not in of_test
    )


def _test_images(split: Path) -> set[str]:
    """Read the test images of a split by split_images; an empty set if the split does not exist."""
    if not split.is_file():
        return set()
    with split.open(encoding="utf-8", newline="") as file:
        return {row["image"] for row in csv.DictReader(file) if row["subset"] == "test"}


def _listed_for_test(image_list: pd.DataFrame) -> set[str]:
    """List the test images of an image list that has a column for the split."""
    if "split" not in image_list:
        return set()
    return {
        path for path, word in zip(image_list["path"], image_list["split"], strict=True) if subset_named(word) == "test"
    }


def _changed_contents(record: Mapping[str, Any], flags: Mapping[str, Sequence[str]]) -> Iterator[str]:
    parts = record["what_identifies_it"]
    if parts["code"] != training_code_hash():
        yield "the code that trains has changed"
    for package, before in parts["versions"].items():
        now = _installed().get(package)
        if now != before:
            yield f"{package} went from {before} to {now or 'none'}"
    then, given = parts.get("variables", {}), computing_variables(os.environ)
    for name in sorted(then.keys() | given.keys()):
        if then.get(name) != given.get(name):
            yield f"environment variable {name} went from {then.get(name, 'nothing')} to {given.get(name, 'nothing')}"
    weights = Path(flags["weights"][0]) if "weights" in flags else None
    if weights and weights.is_file() and sha256_of_file(weights) != parts["weights_sha256"]:
        yield f"{weights.name} has other contents"


@cache  # called for each training
def _installed() -> dict[str, str]:
    return by_one_name(installed_versions())


def _seconds_an_epoch(timing: Path) -> float | None:
    """Compute the time per epoch of the last training of this name; None if its times are missing or damaged."""
    try:
        with timing.open(encoding="utf-8", newline="") as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return sum(seconds) / len(seconds) if seconds else None


def _settings(flags: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(flags["settings"][0])
    return settings
