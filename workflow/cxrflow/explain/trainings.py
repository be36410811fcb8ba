"""Whether a training that is planned will compute, or is only looked at since it has its state: the second gate, seen ahead.

By the same contents as `cxrflow.training.identity`, as far as they are there before the run; what an earlier job of the run
decides is told by how that job differs from its last time.
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

from cxrflow.explain.differences import differences, flags_of
from cxrflow.explain.jobs import Job
from cxrflow.images.fingerprint import changed_files, stamps_of
from cxrflow.images.folder import class_folders
from cxrflow.machine.packages import by_one_name, installed_versions
from cxrflow.networks.variables import computing_variables
from cxrflow.stage.code_hash import code_hash
from cxrflow.stage.files import read_json, sha256_of_file

# How long a training is, which epoch is kept, when it is saved: no part of what it is (cxrflow.training.identity).
WITHOUT_EFFECT = {"epochs", "selected_epoch", "save_every", "keep_states", "trainings_per_gpu"}
# A training is by its pixels: by what they were made is said by the job that makes them.
NOT_OF_SETTINGS = {*WITHOUT_EFFECT, "resampling"}
# Snakemake's words where a job does not only follow from others.
OWN_REASONS = ("Params have changed", "Code has changed", "Updated input files", "Set of input files has changed")
DECIDING = ("plan_augmentation", "split_images", "cache_pixels", "make_phantoms")


@dataclass(frozen=True)
class Verdict:
    """What a planned training comes to."""

    epochs: int
    """To be trained; 0: it is only looked at."""
    reasons: Sequence[str]
    seconds: float | None
    """About how long, by the last time; None where there is none."""
    unless: Sequence[str] = ()
    """Where it is only looked at: rules that run before it by other code, or on other files. If what they make should not be as
    it was, the training is trained again."""


def verdict_on(job: Job, planned: Mapping[str, Job]) -> Verdict:
    """Look at a planned training.

    Args:
        job: of train_model.
        planned: output to the job that makes it, of all that are planned.
    """
    flags = flags_of(job.command)
    wanted = int(_settings(flags)["epochs"])
    record_file, timing = Path(flags["training"][0]), Path(flags["timing"][0])
    if not record_file.is_file():
        return Verdict(
            wanted, ["there is no finished training of this name; it goes on from its states, if it has some"], None
        )
    record = read_json(record_file)
    reasons = [*_changed_settings(record, job), *_changes(job, planned), *_changed_contents(record, flags)]
    pace = _seconds_an_epoch(timing)
    if reasons:
        return Verdict(wanted, reasons, pace * wanted)
    had = int(record["trained_epochs"])
    states = Path(flags["states"][0]) / record["identity"]
    if wanted > int(record["epochs"]):
        more = wanted - had
        return Verdict(more, [f"epochs went from {record['epochs']} to {wanted}"], pace * more)
    if not any(states.glob("epoch_*.json")):
        return Verdict(wanted, [f"its states are gone ({states})"], pace * wanted)
    return Verdict(0, [], None, [one.rule for one in _before(job, planned) if _may_make_another(one)])


def _changed_settings(record: Mapping[str, Any], job: Job) -> Iterator[str]:
    before = job.before
    if before is None:  # Snakemake's records are gone, the training's own is there
        before = f"--settings {shlex.quote(json.dumps(record['settings']))} --threads {record['threads']}"
        before += f" --seed {job.wildcards['seed']} --device {flags_of(job.command)['device'][0]}"
    for difference in differences(before, job.command):
        if difference.name not in NOT_OF_SETTINGS:
            yield str(difference)


def _changes(job: Job, planned: Mapping[str, Job]) -> Iterator[str]:
    """Differences that decide what the training is of planned jobs whose outputs it reads."""
    classes = _settings(flags_of(job.command))["classes"]
    for one in _before(job, planned):
        if one.rule in DECIDING and one.before is not None:
            yield from (str(d) for d in differences(one.before, one.command) if d.name not in WITHOUT_EFFECT)
        if one.rule == "index_images":
            yield from _changed_images(flags_of(one.command), classes)


def _before(job: Job, planned: Mapping[str, Job]) -> list[Job]:
    """The planned jobs that a job follows from, the nearest first."""
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
    """Whether what a job makes may be another than last time, though nothing in its command says so."""
    if job.rule not in (*DECIDING, "index_images"):
        return False
    if job.rule == "index_images" and fingerprint_differs(job):  # the images that differ are known
        return False
    return job.before is None or job.reason.startswith(OWN_REASONS)


def fingerprint_differs(job: Job) -> bool:
    """Whether an index was made for images that looked otherwise from outside."""
    return job.before is not None and flags_of(job.before).get("fingerprint") != flags_of(job.command)["fingerprint"]


def _changed_images(flags: Mapping[str, Sequence[str]], classes: Sequence[str]) -> Iterator[str]:
    root, layout = Path(flags["root"][0]), flags["layout"][0]
    image_list = Path(flags["image-list"][0]) if "image-list" in flags else None
    own = [f"{folder}/" for subset, _, folder in class_folders(classes, layout) if subset != "test"]
    if layout == "listed":  # the list says which class a file is of, and may say another now
        own = [""]
    stamps = stamps_of(root, flags["classes"], layout, image_list)
    changes = changed_files(root, stamps, Path(flags["seen"][0]))
    yield from (f"{path} was {what}" for path, what in sorted(changes.items()) if path.startswith(tuple(own)))


def _changed_contents(record: Mapping[str, Any], flags: Mapping[str, Sequence[str]]) -> Iterator[str]:
    parts = record["what_identifies_it"]
    if parts["code"] != code_hash("cxrflow.training.engine"):
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


@cache  # asked for by each training
def _installed() -> dict[str, str]:
    return by_one_name(installed_versions())


def _seconds_an_epoch(timing: Path) -> float:
    with timing.open(encoding="utf-8", newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    return sum(seconds) / len(seconds)


def _settings(flags: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(flags["settings"][0])
    return settings
