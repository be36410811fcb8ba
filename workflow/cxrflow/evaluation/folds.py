"""The results of a cross-validation: the predictions of all folds pooled, and the mean of the folds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrflow.evaluation.experiments import baselines
from cxrflow.evaluation.measures import Predictions, metric_rows, predictions_of
from cxrflow.evaluation.metrics import read_predictions
from cxrflow.io.errors import raise_all
from cxrflow.io.files import read_json
from cxrflow.statistics.folds import fold_mean_interval
from cxrflow.statistics.intervals import UndefinedError
from cxrflow.study.folds import name_of_fold


@dataclass(frozen=True)
class Fold:
    """A fold of a repeat, with the predictions of the network that was trained without it."""

    repeat: int
    fold: int
    split: pd.DataFrame
    """The split whose test subset is the fold: image, class, subset, patient."""
    predictions: pd.DataFrame
    """Columns class and p_<class>; the index is the image."""


def read_folds(
    runs: Path, splits: Path, experiment: str, task: str, folds: int, repeats: int
) -> tuple[list[str], list[Fold]]:
    """Read the predictions of all folds of an experiment.

    Args:
        runs: contains FOLD/seed_REPEAT/, where FOLD is the name of the experiment's fold.
        splits: contains FOLD.csv, where FOLD is the name of the task's fold.
        experiment, task: names in the config.
        folds, repeats: their numbers.

    Returns:
        The classes, in the order of the networks' outputs; and the folds, repeat by repeat.

    Raises:
        UserError: predictions are not those of the fold, or the folds of a repeat do not have each image once.
    """
    found, messages = [], []
    for repeat in range(repeats):
        images: list[str] = []
        for fold in range(folds):
            split = pd.read_csv(splits / f"{name_of_fold(task, repeat, fold)}.csv", dtype=str, keep_default_na=False)
            file = runs / name_of_fold(experiment, repeat, fold) / f"seed_{repeat}" / "predictions.csv"
            table = read_predictions(file)
            if sorted(table.index) != sorted(split.loc[split["subset"] == "test", "image"]):
                messages.append(f"{file}: not the images of the fold; delete the file and run Snakemake again")
            images.extend(table.index)
            found.append(Fold(repeat, fold, split, table))
        if not messages and sorted(images) != sorted(found[0].split["image"]):
            messages.append(
                f"{splits}: the folds of repeat {repeat} do not have each image once; delete the splits of {task}@… and run "
                "Snakemake again"
            )
    raise_all(messages)
    first = runs / name_of_fold(experiment, 0, 0) / "seed_0"
    return read_json(first / "training.json")["classes"], found


def pooled_predictions(folds: Sequence[Fold]) -> pd.DataFrame:
    """The predictions of all folds as one table: columns image, repeat, fold, class, predicted, p_<class>."""
    tables = [one.predictions.assign(repeat=one.repeat, fold=one.fold).reset_index() for one in folds]
    pooled = pd.concat(tables, ignore_index=True).sort_values(["repeat", "image"], ignore_index=True)
    return pooled[[*(first := ["image", "repeat", "fold"]), *(name for name in pooled if name not in first)]]


def measure_folds(folds: Sequence[Fold], task: str, classes: Sequence[str]) -> dict[str, Any]:
    """Compute the metrics of a cross-validation.

    Args:
        folds: of all repeats, see `read_folds`.
        task: its name.
        classes: in the order of the networks' outputs.

    Returns:
        * `task`, `classes`, `folds`, `repeats` (their numbers), `counts` (images and patients), `class_counts`;
        * `pooled`: for each repeat `repeat` and `metrics`, the `metric_rows` of the predictions of all its folds;
        * `over_repeats`: for each metric and class `values`, `median`, `least`, `most`;
        * `mean`: the mean accuracy of all folds, `value`, `low`, `high`, `method` and `counts` of `fold_mean_interval`, or
          `reason`; `training_images` and `test_images` of a fold, on average;
        * `by_fold`: `repeat`, `fold`, `training_images`, `images` (of the fold), `right`, `accuracy`;
        * `baselines`: see `measure_experiment`.
    """
    everything = folds[0].split.assign(subset="training")
    runs: dict[int, Predictions] = {}
    for repeat in dict.fromkeys(one.repeat for one in folds):
        table = pooled_predictions([one for one in folds if one.repeat == repeat]).set_index("image")
        runs[repeat] = predictions_of(table, classes, everything)
    rows = {repeat: metric_rows(run) for repeat, run in runs.items()}
    first = next(iter(runs))
    by_fold = [_of_fold(one) for one in folds]
    return {
        "task": task,
        "classes": list(classes),
        "folds": len(folds) // len(runs),
        "repeats": len(runs),
        "counts": runs[first].counts,
        "class_counts": {row["class"]: row["counts"] for row in rows[first] if row["metric"] == "sensitivity"},
        "pooled": [{"repeat": repeat, "metrics": rows[repeat]} for repeat in runs],
        "over_repeats": [_over_repeats(same) for same in zip(*rows.values(), strict=True)],
        "mean": _mean(by_fold),
        "by_fold": by_fold,
        "baselines": list(baselines(runs[first], everything)),
    }


def _of_fold(one: Fold) -> dict[str, Any]:
    is_right = one.predictions["predicted"] == one.predictions["class"]
    return {
        "repeat": one.repeat,
        "fold": one.fold,
        "training_images": int((one.split["subset"] == "training").sum()),
        "images": len(is_right),
        "right": int(is_right.sum()),
        "accuracy": float(is_right.mean()),
    }


def _over_repeats(same: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = [row["value"] for row in same]
    known = [value for value in values if value is not None]
    return {
        **{key: same[0][key] for key in ("metric", "class")},
        "values": values,
        **{
            key: float(function(known)) if known else None
            for key, function in (("median", np.median), ("least", min), ("most", max))
        },
    }


def _mean(by_fold: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean accuracy of all folds, with the interval of Nadeau and Bengio or the reason why there is none."""
    accuracies, training, test = ([one[key] for one in by_fold] for key in ("accuracy", "training_images", "images"))
    mean: dict[str, Any] = {
        "value": float(np.mean(accuracies)),
        **dict.fromkeys(("low", "high", "method", "counts", "reason")),
        "training_images": float(np.mean(training)),
        "test_images": float(np.mean(test)),
    }
    try:
        return mean | asdict(fold_mean_interval(accuracies, mean["training_images"], mean["test_images"]))
    except UndefinedError as error:
        return mean | {"reason": str(error)}
