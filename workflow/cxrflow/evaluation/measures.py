"""Metrics of predictions on test images, each with its 95 % interval, its method and its counts.

Tables are lists of rows with plain values, which JSON and the report take as they are.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.images.grouping import known_patients
from cxrflow.statistics.auroc import auroc_interval, average_precision_interval
from cxrflow.statistics.bootstrap import drawn_confusions, interval_of_draws, mean_loss_interval
from cxrflow.statistics.calibration import bin_places, calibration_curve, calibration_slope, expected_error_by_chance
from cxrflow.statistics.intervals import Interval, UndefinedError, counted_images, share_interval
from cxrflow.statistics.metrics import (
    brier_scores,
    confusion_matrix,
    label_metrics,
    log_losses,
    predictive_values,
    probability_metrics,
)

PREVALENCES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5)
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
MOST_POINTS = 101
"""Points of a curve; of more, those of equally spaced ranks are used."""
CHANCE = {"auroc": 0.5, "macro_auroc": 0.5, "kappa": 0.0, "matthews": 0.0}
"""Values of predictions that know nothing of the image; others depend on the shares of the classes."""
OF_LABELS = ("balanced_accuracy", "macro_f1", "weighted_f1", "kappa", "matthews")


@dataclass(frozen=True)
class Predictions:
    """Predictions of test images by a network, or by several."""

    classes: Sequence[str]
    truth: NDArray[np.int64]
    """The place of each image's class in `classes`, shape (images,)."""
    probabilities: NDArray[np.float64]
    """Shape (images, classes)."""
    patients: NDArray[np.int64] | None
    """The patient of each image, shape (images,); None if no patient is known, so that images count as independent."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The place of the class with the largest probability, shape (images,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def is_correct(self) -> NDArray[np.float64]:
        """1 for each image whose class is predicted, 0 for others; shape (images,)."""
        return (self.predicted == self.truth).astype(np.float64)

    @cached_property
    def labels(self) -> dict[str, Any]:
        """The metrics of the predicted labels, see `label_metrics`."""
        return label_metrics(confusion_matrix(self.truth, self.predicted, len(self.classes)))

    @cached_property
    def drawn(self) -> tuple[dict[str, Any], str]:
        """The same metrics of drawn confusion matrices, and how these are drawn, see `drawn_confusions`."""
        matrices, method = drawn_confusions(self.truth, self.predicted, len(self.classes), self.patients)
        return label_metrics(matrices), method

    @cached_property
    def scores(self) -> dict[str, Any]:
        """The metrics of the probabilities, see `probability_metrics`."""
        return probability_metrics(self.truth, self.probabilities)

    @property
    def counts(self) -> str:
        """`9 images of 5 patients`."""
        return counted_images(len(self.truth), self.patients)

    def patients_of(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """The patients of some images, or None if none is known."""
        return None if self.patients is None else self.patients[chosen]


def predictions_of(predictions: pd.DataFrame, classes: Sequence[str], split: pd.DataFrame) -> Predictions:
    """Read a table of predictions.

    Args:
        predictions: columns class and p_<class>; the index is the image.
        classes: in the order of the network's outputs.
        split: split of the task: image and, if known, patient.
    """
    places = {name: place for place, name in enumerate(classes)}
    images = [str(image) for image in predictions.index]
    return Predictions(
        list(classes),
        np.array([places[name] for name in predictions["class"]], dtype=np.int64),
        predictions[[f"p_{name}" for name in classes]].to_numpy(np.float64),
        known_patients(split, images),
    )


def metric_rows(of: Predictions) -> list[dict[str, Any]]:
    """Compute all metrics with their intervals.

    Accuracy, sensitivity, specificity and predictive values: `share_interval`. Balanced accuracy, F1, kappa and Matthews
    correlation: `drawn_confusions`. AUROC: `auroc_interval`; average precision: `average_precision_interval`; their means over
    the classes have the means of the ends of these intervals, which is cautious. Losses: `mean_loss_interval`.

    Returns:
        Rows with `metric`, `class` (None for all classes), `value` (None if it is not defined), `low`, `high`, `method`,
        `counts`, `right` and `of` (numerator and denominator of a share), `by_chance` (what predictions without any knowledge
        get, or an ECE of calibrated probabilities), and `reason` (why there is no value or interval).
    """
    return [*_of_all_classes(of), *(row for place in range(len(of.classes)) for row in _of_class(of, place))]


def _of_all_classes(of: Predictions) -> Iterator[dict[str, Any]]:
    yield _share_row("accuracy", None, of.is_correct, of.patients)
    draws, method = of.drawn
    for name in OF_LABELS:
        value = float(of.labels[name])
        yield _row(name, None, value, interval_of_draws, value, draws[name], method, of.counts)
    for name, interval in (("auroc", _auroc), ("average_precision", _average_precision)):
        yield _row(f"macro_{name}", None, of.scores[f"macro_{name}"], _mean_of_ends, of, interval)
    for name, losses in (("log_loss", log_losses), ("brier", brier_scores)):
        values = losses(of.truth, of.probabilities)
        yield _row(name, None, float(values.mean()), mean_loss_interval, values, of.patients)
    largest = of.probabilities.max(axis=1)
    error = calibration_curve(of.is_correct, largest).expected_error
    row = _row("ece", None, error, _no_interval, "biased upwards with few images: compare it with its value by chance")
    yield {**row, "by_chance": expected_error_by_chance(largest)}


def _of_class(of: Predictions, place: int) -> Iterator[dict[str, Any]]:
    name, is_class, is_predicted = of.classes[place], of.truth == place, of.predicted == place
    yield from _four_shares(of, name, is_class, is_predicted).values()
    draws, method = of.drawn
    value = float(of.labels["f1"][place])
    yield _row("f1", name, value, interval_of_draws, value, draws["f1"][:, place], method, of.counts)
    for metric, interval in (("auroc", _auroc), ("average_precision", _average_precision)):
        yield _row(metric, name, float(of.scores[metric][place]), interval, of, place)
    numbers, reason = (float("nan"), float("nan")), "not shown: its coverage was not simulated"
    try:
        numbers = calibration_slope(is_class, of.probabilities[:, place])
    except UndefinedError as error:
        reason = str(error)
    for metric, number in zip(("calibration_slope", "calibration_intercept"), numbers, strict=True):
        yield _row(metric, name, number, _no_interval, reason)


def _four_shares(
    of: Predictions, name: str, is_class: NDArray[np.bool_], is_positive: NDArray[np.bool_]
) -> dict[str, dict[str, Any]]:
    shares = {
        "sensitivity": (is_class, is_positive),
        "specificity": (~is_class, ~is_positive),
        "ppv": (is_positive, is_class),
        "npv": (~is_positive, ~is_class),
    }
    return {
        metric: _share_row(metric, name, is_right[among], of.patients_of(among))
        for metric, (among, is_right) in shares.items()
    }


def _auroc(of: Predictions, place: int) -> Interval:
    return auroc_interval(of.truth == place, of.probabilities[:, place], of.patients)


def _average_precision(of: Predictions, place: int) -> Interval:
    return average_precision_interval(of.truth == place, of.probabilities[:, place], of.patients)


def _mean_of_ends(of: Predictions, interval: Callable[[Predictions, int], Interval]) -> Interval:
    """The means of both ends of the intervals of all classes that have images."""
    known = [interval(of, place) for place in range(len(of.classes)) if (of.truth == place).any()]
    low, high = (float(np.mean([getattr(one, end) for one in known])) for end in ("low", "high"))
    return Interval(low, high, "mean of the classes' intervals", of.counts)


def _no_interval(reason: str) -> Interval:
    raise UndefinedError(reason)


def _share_row(
    metric: str, name: str | None, is_right: NDArray[Any], patients: NDArray[np.int64] | None
) -> dict[str, Any]:
    right, images = int(np.sum(is_right)), len(is_right)
    row = _row(metric, name, right / images if images else float("nan"), share_interval, is_right, patients)
    return {**row, "right": right, "of": images}


def _row(
    metric: str, name: str | None, value: float, interval: Callable[..., Interval], *arguments: Any
) -> dict[str, Any]:
    """A row of `metric_rows`, with `interval(*arguments)` or the reason why there is none."""
    row: dict[str, Any] = {
        "metric": metric,
        "class": name,
        "value": None if np.isnan(value) else value,
        **dict.fromkeys(("low", "high", "method", "counts", "right", "of")),
        "by_chance": CHANCE.get(metric),
        "reason": None,
    }
    try:
        return {**row, **asdict(interval(*arguments))}
    except UndefinedError as error:
        return {**row, "reason": str(error)}


def curve_points(of: Predictions, place: int) -> list[dict[str, float]]:
    """The points of the ROC and the precision-recall curve of a class against all others, from high to low thresholds.

    Args:
        of: the predictions; both kinds of images must be there.
        place: the class.

    Returns:
        `threshold`, `sensitivity`, `specificity`, `ppv` and, for sensitivity and ppv, the ends of `share_interval` at this
        threshold, `sensitivity_low` and so on. Intervals are pointwise: each one has 95 %, not the band as a whole.
    """
    scores = of.probabilities[:, place]
    thresholds = np.unique(scores)[::-1]
    if len(thresholds) > MOST_POINTS:
        thresholds = thresholds[np.linspace(0, len(thresholds) - 1, MOST_POINTS).round().astype(int)]
    points = []
    for threshold in thresholds.tolist():
        found = _four_shares(of, of.classes[place], of.truth == place, scores >= threshold)
        point = {"threshold": threshold, "specificity": found["specificity"]["value"]}
        for key in ("sensitivity", "ppv"):
            point |= {key: found[key]["value"], f"{key}_low": found[key]["low"], f"{key}_high": found[key]["high"]}
        points.append(point)
    return points


def threshold_rows(of: Predictions, place: int) -> list[dict[str, Any]]:
    """Sensitivity, specificity and predictive values of a class if probabilities from a threshold on count as positive.

    Returns:
        For each of THRESHOLDS, `threshold` and a row of `metric_rows` for each metric.
    """
    scores = of.probabilities[:, place]
    return [
        {"threshold": threshold, **_four_shares(of, of.classes[place], of.truth == place, scores >= threshold)}
        for threshold in THRESHOLDS
    ]


def prevalence_rows(of: Predictions, place: int) -> list[dict[str, Any]]:
    """Predictive values of a class at other prevalences than that of the test images, by Bayes' theorem.

    Returns:
        For each of PREVALENCES, `prevalence`, and `ppv` and `npv`, rows of `metric_rows`. The intervals are those of
        sensitivity and specificity in the matrices of `drawn_confusions`.
    """
    draws, method = of.drawn
    rows: list[dict[str, Any]] = []
    for prevalence in PREVALENCES:
        own, drawn = (
            predictive_values(one["sensitivity"][..., place], one["specificity"][..., place], prevalence)
            for one in (of.labels, draws)
        )
        row: dict[str, Any] = {"prevalence": prevalence}
        for key in ("ppv", "npv"):
            value = float(own[key])
            row[key] = _row(key, of.classes[place], value, interval_of_draws, value, drawn[key], method, of.counts)
        rows.append(row)
    return rows


def calibration_bins(of: Predictions) -> list[dict[str, Any]]:
    """Compare the largest probability of each image with the share of correct predictions, in bins of 0.1.

    Returns:
        For each bin with images, `probability` (its mean) and a row of `metric_rows` for the share.
    """
    largest = of.probabilities.max(axis=1)
    place = bin_places(largest)
    return [
        {
            "probability": float(largest[chosen].mean()),
            **_share_row("share_correct", None, of.is_correct[chosen], of.patients_of(chosen)),
        }
        for chosen in (place == one for one in np.unique(place))
    ]
