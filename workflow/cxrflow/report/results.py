"""The tables of test results: all seeds, the classes, baselines, and comparisons of experiments."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cxrflow.report.external import external_view
from cxrflow.report.inputs import Inputs
from cxrflow.report.scorecard import stated_outcomes

OF_SEEDS = ("accuracy", "balanced_accuracy", "macro_auroc", "log_loss")
OF_CLASSES = ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc", "average_precision")
NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "F1, mean of the classes",
    "weighted_f1": "F1, mean of the images",
    "kappa": "Cohen's kappa",
    "matthews": "Matthews correlation",
    "macro_auroc": "AUROC, mean of the classes",
    "macro_average_precision": "average precision, mean of the classes",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}


def result_tables(inputs: Inputs, rivals: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Test results, one dict for each experiment.

    Args:
        inputs: what the page reports.
        rivals: from `cxrflow.report.audits.rival_tables`.
    """
    for name, trainings in inputs.trainings.items():
        measured, shown = inputs.evaluation[name], inputs.median_run(name)
        median = next(run for run in measured["runs"] if run["seed"] == shown.seed)
        images = shown.metrics["images"]
        yield {
            "experiment": name,
            "seed": shown.seed,
            "images": images,
            "counts": measured["counts"],
            "one_image": 100 / images,
            "positive": shown.metrics["positive"],
            "accuracy": _by_class(median["metrics"], "accuracy")[None],
            "balanced": _by_class(median["metrics"], "balanced_accuracy")[None],
            "over_seeds": _by_class(measured["seeds"], "accuracy")[None],
            "rows": [
                _seed_row(run["metrics"], str(run["seed"]), training.record["selected_epoch"]["epoch"])
                for run, training in zip(measured["runs"], trainings, strict=True)
            ],
            "ensemble": _seed_row(measured["ensemble"], "ensemble", None) if measured["ensemble"] else None,
            "means": [_by_class(measured["seeds"], metric)[None] for metric in OF_SEEDS],
            "by_class": [
                (one, [_by_class(median["metrics"], metric)[one] for metric in OF_CLASSES])
                for one in measured["classes"]
            ],
            "class_counts": measured["class_counts"],
            "others": [row for row in median["metrics"] if row["class"] is None and row["metric"] not in OF_SEEDS],
            "slopes": [row for row in median["metrics"] if row["metric"].startswith("calibration_")],
            "temperature": median["temperature"],
            "baselines": [*measured["baselines"], *_best_rival(rivals, measured["task"])],
            "thresholds": measured["thresholds"],
            "prevalences": measured["prevalences"],
            "stated": stated_outcomes(inputs, name),
            "folds": _folds(inputs.folds.get(name)),
            "external": external_view(inputs, name),
            "matrices": [(one.seed, one.metrics) for one in trainings],
        }


def _folds(measured: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The cross-validation of an experiment; None if it has none."""
    if measured is None:
        return None
    first = measured["pooled"][0]["metrics"]
    return {
        **measured,
        "accuracy": _by_class(first, "accuracy")[None],
        "over_repeats": _by_class(measured["over_repeats"], "accuracy")[None],
        "majority": measured["baselines"][0],
        "rows": [_seed_row(one["metrics"], str(one["repeat"]), None) for one in measured["pooled"]],
        "by_class": [(one, [_by_class(first, metric)[one] for metric in OF_CLASSES]) for one in measured["classes"]],
    }


def _by_class(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[str | None, Mapping[str, Any]]:
    return {row["class"]: row for row in rows if row["metric"] == metric}


def _seed_row(rows: Sequence[Mapping[str, Any]], name: str, epoch: int | None) -> dict[str, Any]:
    return {"name": name, "epoch": epoch, "metrics": [_by_class(rows, metric)[None] for metric in OF_SEEDS]}


def _best_rival(rivals: Sequence[Mapping[str, Any]], task: str) -> Iterator[dict[str, Any]]:
    """The trivial rival that gets most test images of a task right, of those that use only what networks get, too."""
    tested = [
        one
        for table in rivals
        if table["task"] == task
        for one in table["rivals"]
        if one["reaches_network"] and one["own_split"]["reason"] is None
    ]
    if tested:
        best = max(tested, key=lambda one: one["own_split"]["correct"])
        own = best["own_split"]
        yield {
            "name": "rival",
            "description": f"{best['description']}, the best of {len(tested)} trivial rivals",
            **{key: own[key] for key in ("accuracy", "low", "high")},
            "right": own["correct"],
            "of": own["images"],
        }
