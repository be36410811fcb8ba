"""The audit `method`: what the files of a run show about how its networks were trained, chosen and tested."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxrflow.audits import method
from cxrflow.audits.findings import Finding
from cxrflow.claims.results import TrainingResults
from cxrflow.evaluation.metrics import only_prediction
from cxrflow.io.files import sha256_of_text
from cxrflow.report.inputs import Inputs


def method_findings(inputs: Inputs) -> list[Finding]:
    """Assert what a sound method needs, from the files of a run.

    Checks for which the results have no file, such as published ones without augmentation plans, find nothing.
    """
    findings = [*_plans(inputs)]
    for name, trainings in inputs.trainings.items():
        settings = inputs.experiments[name]
        findings += _other_images(name, trainings, inputs.splits[settings["task"]])
        findings += _epochs(name, trainings)
        spreads = inputs.networks["experiments"][name].get("first_layer_spread")
        findings += method.unsuitable_scaling(name, settings, spreads) if spreads else []
        for only, seeds in _by(trainings, _only_prediction).items():
            findings.append(method.one_class_networks(name, only, seeds))
    for task, split in inputs.splits.items():
        findings += _tests(inputs, task, split)
    return findings


def _plans(inputs: Inputs) -> Iterator[Finding]:
    """Compare each augmentation plan with the split of its task."""
    if inputs.plans is None:
        return
    places = {
        (inputs.experiments[name]["task"], training.seed, inputs.experiments[name]["epochs"])
        for name, trainings in inputs.trainings.items()
        for training in trainings
    }
    for task, seed, epochs in sorted(places):
        file = inputs.plans / task / f"seed_{seed}" / f"epochs_{epochs}.parquet"
        sources = pd.read_parquet(file, columns=["image", "subset"]).drop_duplicates(ignore_index=True)
        plan = f"augmentation plan of task {task} with seed {seed}"
        yield from method.planned_from_other_subsets(plan, sources, inputs.splits[task])


def _other_images(name: str, trainings: Sequence[TrainingResults], split: pd.DataFrame) -> Iterator[Finding]:
    """Compare the hash of what was trained on with that of the split's training and validation images."""
    used = split.loc[split["subset"] != "test", ["image", "class", "subset"]].sort_values("image")
    expected = sha256_of_text(used.to_csv(index=False))
    others = [one.seed for one in trainings if one.record["what_identifies_it"]["split_sha256"] != expected]
    if others:
        yield method.trained_on_other_images(name, others)


def _epochs(name: str, trainings: Sequence[TrainingResults]) -> Iterator[Finding]:
    """Find networks of an epoch before the last that was named by number."""

    def named_epoch(training: TrainingResults) -> tuple[int, int] | None:
        selected, trained = training.record["selected_epoch"], training.history.trained
        is_earlier = selected["rule"] == "number" and selected["epoch"] < trained
        return (int(selected["epoch"]), trained) if is_earlier else None

    for (epoch, trained), seeds in _by(trainings, named_epoch).items():
        yield method.epoch_by_number(name, seeds, epoch, trained)


def _tests(inputs: Inputs, task: str, split: pd.DataFrame) -> Iterator[Finding]:
    """Judge the test of a task: its size, and how many experiments share it."""
    test = split[split["subset"] == "test"]
    patients = test["patient"] if "patient" in test else pd.Series("", test.index)
    groups = [patient or f"image {image}" for patient, image in zip(patients, test["image"], strict=True)]
    yield from method.few_test_images(task, groups)
    accuracies = [
        np.mean([training.metrics["accuracy"] for training in trainings])
        for name, trainings in inputs.trainings.items()
        if inputs.experiments[name]["task"] == task
    ]
    if len(accuracies) >= method.MANY:
        yield method.best_of_many(task, len(accuracies), len(test), float(np.mean(accuracies)))


def _only_prediction(training: TrainingResults) -> str | None:
    return only_prediction(training.metrics["confusion_matrix"], training.metrics["classes"])


def _by(trainings: Sequence[TrainingResults], key: Callable[[TrainingResults], Any]) -> Mapping[Any, list[int]]:
    """Group the seeds of trainings by a key; those without one are left out."""
    seeds: dict[Any, list[int]] = {}
    for training in trainings:
        if (value := key(training)) is not None:
            seeds.setdefault(value, []).append(training.seed)
    return seeds
