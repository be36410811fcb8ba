"""Measures of outcomes: the test results of the trained networks.

A stated outcome is compared with the spread over seeds. An interval for a larger population of images would be too wide to
contradict anything, since all trainings test the same few images.
"""

from dataclasses import dataclass
from math import log, sqrt
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from cxrflow.claims.judge import each_training
from cxrflow.claims.model import (
    CONSISTENT,
    DIFFERS,
    NOT_EXCLUDED,
    NOT_RUN,
    UNDECIDED,
    Claim,
    Judgement,
    Observation,
    UndecidedError,
    in_words,
)
from cxrflow.claims.registry import Epoch, measure
from cxrflow.claims.results import Results, TrainingResults
from cxrflow.claims.verdict import summary
from cxrflow.io.words import counted
from cxrflow.statistics.intervals import TOLERANCE, UndefinedError, at_least, at_most
from cxrflow.statistics.predictive import predictive_counts, predictive_loss

Metric = Literal["accuracy", "loss", "sensitivity", "specificity"]


@measure("outcome", experiments=1, numeric=True)
def outcome_of_seeds(
    claim: Claim,
    results: Results,
    *,
    metric: Metric,
    epochs: Epoch | None = None,
    least_seeds: Annotated[int, Field(ge=2)] = 5,
) -> Judgement:
    """The stated value is among those that 95 % of further seeds are expected to have.

    If chance is among them, too, the verdict is `not excluded`: nearly any value would be. Chance is the result of a network
    that guesses: accuracy and sensitivity 1/K for K classes, specificity 1 - 1/K, loss ln K.
    The verdict is `undecided` with fewer than `least_seeds` seeds, and `not run` if a network was trained for fewer than
    `epochs` epochs. Rates are numbers of correct images, of which a further seed may have 17 of 18 though all seeds had 18; the
    interval of a loss never begins below 0 (`cxrflow.statistics.predictive`).
    """
    stated = claim.number
    assert stated is not None  # checked when claims are read
    selected = results.of(claim.experiments[0])
    values = np.array([_value(training, metric) for training in selected])
    text = summary(values.tolist())
    if len(values) == 1 and metric == "accuracy":
        text += f" ({selected[0].metrics['correct']} of {selected[0].metrics['images']})"
    elif len(values) > 1:
        text += f", {counted(len(values), 'seed')}"
    shortest = min(selected, key=lambda one: one.evaluated_epochs)
    try:
        shortest.require_evaluated(epochs)
    except UndecidedError as error:
        raise UndecidedError(NOT_RUN, str(error), text) from None
    longer = ""
    if epochs is not None and shortest.history.trained > epochs:
        longer = f"; {shortest.length}" + (
            f"; the rule asks for {epochs}" if shortest.evaluated_epochs > epochs else ""
        )
    difference = float(np.median(values)) - stated
    if len(values) < least_seeds:
        reason = f"{counted(len(values), 'seed')}; at least {least_seeds} are needed to know the spread{longer}"
        return Judgement(UNDECIDED, text, difference, reason)
    try:
        expected = _expected(values, metric, selected)
    except UndefinedError as error:
        return Judgement(UNDECIDED, text, difference, f"{error}{longer}")
    inside = expected.low - TOLERANCE <= stated <= expected.high + TOLERANCE
    chance = _chance(len(selected[0].record["classes"]), metric)
    includes_chance = f", which includes chance ({in_words(chance)})" if expected.low <= chance <= expected.high else ""
    where = "inside" if inside else "outside"
    reason = (
        f"{in_words(stated)} lies {where} the 95 % prediction interval {expected.text} of {len(values)} seeds"
        f"{includes_chance}; {in_words(stated)} or better in {_as_good(values, stated, metric)} seeds{longer}"
    )
    verdict = (NOT_EXCLUDED if includes_chance else CONSISTENT) if inside else DIFFERS
    to_end = min(abs(stated - expected.low), abs(stated - expected.high))
    deviation = float(np.std(values, ddof=1))
    return Judgement(verdict, text, difference, reason, distance=to_end / deviation if deviation > 0 else None)


@measure("outcome", by=each_training)
def outcome_at_least(training: TrainingResults, *, metric: Metric, threshold: float) -> Observation:
    """The metric is at least `threshold`.

    Its noise is that of a share of independent images; that of a loss is not known.
    """
    value = _value(training, metric)
    distance = None
    if metric != "loss" and 0 < threshold < 1:
        distance = abs(value - threshold) / sqrt(threshold * (1 - threshold) / _denominator(training, metric))
    return Observation(at_least(value, threshold), {"": value}, distance)


@dataclass(frozen=True)
class _Expected:
    """The values expected of further seeds."""

    low: float
    high: float
    text: str


def _expected(values: np.ndarray, metric: str, selected: list[TrainingResults]) -> _Expected:
    if metric == "loss":
        low, high = predictive_loss(values)
        return _Expected(low, high, f"{in_words(low)} to {in_words(high)}")
    images = _denominator(selected[0], metric)
    fewest, most = predictive_counts(np.rint(values * images), images)
    low, high = fewest / images, most / images
    return _Expected(low, high, f"{in_words(low)} to {in_words(high)} ({fewest} to {most} of {images} images)")


def _denominator(training: TrainingResults, metric: str) -> int:
    """The number of test images that a rate is a share of."""
    images = int(training.metrics["images"])
    if metric == "accuracy":
        return images
    of_positive = int(training.metrics["per_class"][training.metrics["positive"]]["images"])
    return of_positive if metric == "sensitivity" else images - of_positive


def _value(training: TrainingResults, metric: str) -> float:
    value = training.metrics[metric]
    if value is None:
        raise UndecidedError(UNDECIDED, f"{training.experiment} has no {metric}")
    return float(value)


def _chance(classes: int, metric: str) -> float:
    """The result of a network that guesses."""
    return {"loss": log(classes), "specificity": 1 - 1 / classes}.get(metric, 1 / classes)


def _as_good(values: np.ndarray, stated: float, metric: str) -> str:
    """In how many seeds the value is as good as the stated one, or better: `2 of 5`."""
    as_good = [at_most(value, stated) if metric == "loss" else at_least(value, stated) for value in values]
    return f"{sum(as_good)} of {len(values)}"
