"""The results of experiments: their seeds, the ensemble of all seeds, baselines, and comparisons of two experiments."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.evaluation.measures import (
    Predictions,
    calibration_bins,
    curve_points,
    metric_rows,
    predictions_of,
    prevalence_rows,
    threshold_rows,
)
from cxrflow.evaluation.metrics import read_predictions
from cxrflow.io.errors import raise_all
from cxrflow.io.files import read_json
from cxrflow.statistics.association import holm
from cxrflow.statistics.calibration import temperature_scaled
from cxrflow.statistics.comparison import compare_over_seeds, exact_mcnemar, power_sentence
from cxrflow.statistics.intervals import UndefinedError, share_interval
from cxrflow.statistics.seeds import ensemble, median_run, seed_mean_interval

FILES = {"test": "predictions.csv", "validation": "validation_predictions.csv"}
"""Subset to the file of a training with predictions of its images."""
MOST_COMPARED = 12
"""Of more experiments of a task, each is compared with the first one only."""


@dataclass(frozen=True)
class Experiment:
    """The predictions of an experiment's networks, one for each seed, for the same test images."""

    task: str
    classes: Sequence[str]
    """In the order of the networks' outputs."""
    predictions: Mapping[int, pd.DataFrame]
    """Seed to a table with the columns class and p_<class>; the index is the image."""
    validation: Mapping[int, pd.DataFrame]
    """The same for validation images; seeds whose results have none are left out."""


def read_experiment(
    folder: Path, seeds: Sequence[int], task: str, split: pd.DataFrame, files: Mapping[str, str] = FILES
) -> Experiment:
    """Read the predictions of an experiment's networks, in the order of the split.

    Args:
        folder: contains seed_SEED/. Results of earlier versions have no predictions of validation images.
        seeds: at least one.
        task: of the experiment.
        split: split of the task.
        files: subset to the file of a training, if not `FILES`.

    Raises:
        UserError: predictions are not those of the images of the split.
    """
    tables: dict[str, dict[int, pd.DataFrame]] = {"test": {}, "validation": {}}
    messages = []
    for subset, name in files.items():
        images = split.loc[split["subset"] == subset, "image"].tolist()
        for seed in seeds:
            file = folder / f"seed_{seed}" / name
            if subset == "validation" and not file.is_file():
                continue
            table = read_predictions(file)
            if sorted(table.index) == sorted(images):
                tables[subset][seed] = table.loc[images]
            else:
                messages.append(
                    f"{file}: not the {subset} images of the split; delete the file and run Snakemake again"
                )
    raise_all(messages)
    classes = read_json(folder / f"seed_{seeds[0]}" / "training.json")["classes"]
    return Experiment(task, classes, tables["test"], tables["validation"])


def measure_experiment(experiment: Experiment, split: pd.DataFrame, median_seed: int | None = None) -> dict[str, Any]:
    """Compute the metrics of all seeds of an experiment, of their ensemble, and of baselines.

    Args:
        experiment: the predictions.
        split: split of the task.
        median_seed: seed of the run that stands for all; by default that with the median accuracy.

    Returns:
        * `task`, `classes`, `counts` (images and patients), `class_counts` (class to images and patients);
        * `runs`: for each seed `seed`, `metrics` (`metric_rows`) and `temperature` (see `_temperature`);
        * `median_seed`: the seed of the run that stands for all, by accuracy, see `median_run`;
        * `ensemble`: `metric_rows` of the mean probabilities of all seeds; None with a single seed;
        * `seeds`: for each metric and class `values`, `median`, `mean`, `least`, `most`, and for accuracy, sensitivity and
          specificity `interval` of the mean over other seeds and patients, or `reason`;
        * `baselines`: `name`, `description`, and a row of `metric_rows` for the accuracy;
        * of the median run: `curves` and `thresholds`, `prevalences` (class to rows; classes without test images, or with all
          of them, are left out) and `calibration` (see `calibration_bins`).
    """
    runs = {seed: predictions_of(table, experiment.classes, split) for seed, table in experiment.predictions.items()}
    rows = {seed: metric_rows(run) for seed, run in runs.items()}
    seeds = list(runs)
    middle = median_seed
    if middle is None:
        middle = seeds[median_run([float(run.is_correct.mean()) for run in runs.values()])]
    median = runs[middle]
    together = _ensemble(list(runs.values()))
    shown = [
        place for place in range(len(median.classes)) if 0 < int((median.truth == place).sum()) < len(median.truth)
    ]
    by_class = {median.classes[place]: place for place in shown}
    return {
        "task": experiment.task,
        "classes": list(experiment.classes),
        "counts": median.counts,
        "class_counts": {row["class"]: row["counts"] for row in rows[middle] if row["metric"] == "sensitivity"},
        "runs": [
            {"seed": seed, "metrics": rows[seed], "temperature": _temperature(runs[seed], experiment, seed, split)}
            for seed in seeds
        ],
        "median_seed": middle,
        "ensemble": metric_rows(together) if len(seeds) > 1 else None,
        "seeds": list(_over_seeds(list(runs.values()), list(rows.values()))),
        "baselines": list(baselines(median, split)),
        "curves": {name: curve_points(median, place) for name, place in by_class.items()},
        "thresholds": {name: threshold_rows(median, place) for name, place in by_class.items()},
        "prevalences": {name: prevalence_rows(median, place) for name, place in by_class.items()},
        "calibration": calibration_bins(median),
    }


def _ensemble(runs: Sequence[Predictions]) -> Predictions:
    first = runs[0]
    return Predictions(first.classes, first.truth, ensemble([run.probabilities for run in runs]), first.patients)


def _over_seeds(runs: Sequence[Predictions], rows: Sequence[Sequence[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    first, correct = runs[0], np.array([run.is_correct for run in runs])
    places = {name: place for place, name in enumerate(first.classes)}
    for same in zip(*rows, strict=True):
        metric, name = same[0]["metric"], same[0]["class"]
        values = [row["value"] for row in same]
        known = [value for value in values if value is not None]
        row: dict[str, Any] = {"metric": metric, "class": name, "values": values, "interval": None, "reason": None}
        row |= {
            key: float(function(known)) if known else None
            for key, function in (("median", np.median), ("mean", np.mean), ("least", min), ("most", max))
        }
        is_class = first.truth == places.get(name, -1)
        predicted = np.array([run.predicted == places.get(name, -1) for run in runs])
        of_metric: dict[str, tuple[NDArray[Any], NDArray[np.bool_]]] = {
            "accuracy": (correct, np.ones(len(first.truth), np.bool_)),
            "sensitivity": (predicted, is_class),
            "specificity": (~predicted, ~is_class),
        }
        if metric in of_metric:
            is_right, among = of_metric[metric]
            try:
                row["interval"] = asdict(seed_mean_interval(is_right[:, among], first.patients_of(among)))
            except UndefinedError as error:
                row["reason"] = str(error)
        yield row


def baselines(of: Predictions, split: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The largest class of the test images, and guesses with the shares of the classes in the training images."""
    counts = np.bincount(of.truth, minlength=len(of.classes))
    largest = int(counts.argmax())
    trained = split.loc[split["subset"] == "training", "class"].value_counts()
    shares = np.array([float(trained.get(name, 0)) for name in of.classes]) / max(1, int(trained.sum()))
    for name, description, is_right in (
        ("majority", f"always predicting {of.classes[largest]}, the largest class", of.truth == largest),
        ("stratified", "guessing with the shares of the classes in the training images", shares[of.truth]),
    ):
        interval = share_interval(is_right, of.patients)
        yield {
            "name": name,
            "description": description,
            "accuracy": float(np.mean(is_right)),
            **asdict(interval),
            "right": float(np.sum(is_right)),
            "of": len(of.truth),
        }


def _temperature(run: Predictions, experiment: Experiment, seed: int, split: pd.DataFrame) -> dict[str, Any]:
    """See `temperature_scaled`; or `reason`, why the probabilities cannot be scaled."""
    if seed not in experiment.validation:
        return {"reason": "these results have no predictions of validation images"}
    validation = predictions_of(experiment.validation[seed], experiment.classes, split)
    try:
        found = temperature_scaled(run.truth, run.probabilities, validation.truth, validation.probabilities)
    except UndefinedError as error:
        return {"reason": str(error)}
    return {"reason": None, **found}


def compare_experiments(
    experiments: Mapping[str, Experiment], splits: Mapping[str, pd.DataFrame]
) -> list[dict[str, Any]]:
    """Compare the accuracies of each two experiments of a task, on the same test images.

    Of a task with more than 12 experiments, each is compared with the first one only.

    Returns:
        For each pair a dict: `task`, `first`, `second`, `images`; of their ensembles `correct` (both numbers), `only_first` and
        `only_second` (images that only one of them classifies correctly) and `mcnemar_p` (`exact_mcnemar`, which takes images
        as independent); over the seeds that both have `seeds`, `difference`, `interval` and `p_value` (`compare_over_seeds`),
        or `reason`; `adjusted_p`, Holm's over all pairs with a `p_value`; and `power`, one sentence.
    """
    rows: list[dict[str, Any]] = []
    for task in dict.fromkeys(one.task for one in experiments.values()):
        runs = {
            name: {seed: predictions_of(table, one.classes, splits[task]) for seed, table in one.predictions.items()}
            for name, one in experiments.items()
            if one.task == task
        }
        first = next(iter(runs))
        pairs = combinations(runs, 2) if len(runs) <= MOST_COMPARED else ((first, other) for other in [*runs][1:])
        rows += [
            {"task": task, "first": one, "second": other, **_compared(runs[one], runs[other])} for one, other in pairs
        ]
    tests = [row for row in rows if row["p_value"] is not None]
    for row, adjusted in zip(tests, holm([row["p_value"] for row in tests]).tolist() if tests else [], strict=True):
        row["adjusted_p"] = adjusted
    return rows


def _compared(first: Mapping[int, Predictions], second: Mapping[int, Predictions]) -> dict[str, Any]:
    """Two experiments: seed to predictions of the same images."""
    one, other = (_ensemble(list(side.values())).is_correct for side in (first, second))
    only_first, only_second, p_value = exact_mcnemar(one, other)
    common = [seed for seed in first if seed in second]
    row: dict[str, Any] = {
        "images": len(one),
        "correct": [int(one.sum()), int(other.sum())],
        "only_first": only_first,
        "only_second": only_second,
        "mcnemar_p": p_value,
        "seeds": common,
        **dict.fromkeys(("difference", "interval", "p_value", "adjusted_p", "reason")),
        "power": power_sentence(len(one), float(one.mean()), float(other.mean())),
    }
    differences = [first[seed].is_correct - second[seed].is_correct for seed in common]
    try:
        found = compare_over_seeds(
            np.reshape(differences, (len(common), len(one))), next(iter(first.values())).patients
        )
    except UndefinedError as error:
        return {**row, "reason": str(error)}
    return {**row, "difference": found.difference, "interval": asdict(found.interval), "p_value": found.p_value}
