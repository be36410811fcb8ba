"""Measures that compare two experiments: a statement about `experiment` relative to the other experiment of the claim."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import norm

from cxrflow.claims.curves import epoch_of_reaching
from cxrflow.claims.judge import each_pair
from cxrflow.claims.model import (
    CONSISTENT,
    DIFFERS,
    NOT_RUN,
    UNDECIDED,
    Claim,
    Judgement,
    Observation,
    UndecidedError,
    in_words,
)
from cxrflow.claims.registry import Curve, Curves, Epoch, EpochRange, RowExperiment, measure
from cxrflow.claims.results import History, Results, TrainingResults, require_epochs
from cxrflow.claims.verdict import judge_observations
from cxrflow.statistics.comparison import compare_over_seeds
from cxrflow.statistics.intervals import UndefinedError, Z


@measure("comparison", experiments=2)
def higher_accuracy(
    claim: Claim, results: Results, *, experiment: RowExperiment, epochs: dict[RowExperiment, Epoch] | None = None
) -> Judgement:
    """The test accuracy of `experiment` is higher, paired over images and over seeds."""
    return judge_accuracies(results, experiment, claim.other_experiment(experiment), epochs or {})


@measure("comparison", by=each_pair, experiments=2)
def fewer_epochs_to_plateau(own: History, other: History, *, within: float) -> Observation:
    """m5 of the validation loss comes within this share of its minimum at an earlier epoch."""
    epochs = {one.experiment: _epoch_of_plateau(one, within) for one in (own, other)}
    return Observation(epochs[own.experiment] < epochs[other.experiment], epochs)


@measure("comparison", by=each_pair, experiments=2)
def fewer_epochs_to_reach(own: History, other: History, *, curves: Curves, level: float) -> Observation:
    """m5 of all curves reaches `level` at an earlier epoch."""
    epochs = {one.experiment: epoch_of_reaching(one, curves, level) for one in (own, other)}
    return Observation(epochs[own.experiment] < epochs[other.experiment], epochs)


@measure("comparison", by=each_pair, experiments=2)
def lower_at_epoch(own: History, other: History, *, curves: Curves, epoch: Epoch) -> Observation:
    """m5 of each curve is lower at `epoch`."""
    values = {
        (one.experiment, curve): float(one.smooth(curve, (epoch, epoch))[0]) for curve in curves for one in (own, other)
    }
    holds = all(values[own.experiment, curve] < values[other.experiment, curve] for curve in curves)
    return Observation(holds, {f"{curve} of {name}": value for (name, curve), value in values.items()})


@measure("comparison", by=each_pair, experiments=2)
def farther_apart(own: History, other: History, *, first: Curve, second: Curve, over: EpochRange) -> Observation:
    """The mean distance between two curves over a range of epochs is greater."""
    distances = {
        one.experiment: float(np.mean(np.abs(one.curve(first, over) - one.curve(second, over)))) for one in (own, other)
    }
    return Observation(distances[own.experiment] > distances[other.experiment], distances)


@measure("comparison", by=each_pair, experiments=2)
def smaller_spread(own: History, other: History, *, curve: Curve) -> Observation:
    """The spread of a curve is smaller."""
    spreads = {one.experiment: one.spread(curve) for one in (own, other)}
    return Observation(spreads[own.experiment] < spreads[other.experiment], spreads)


@measure("comparison", experiments=2)
def less_time_to_train(
    claim: Claim, results: Results, *, experiment: RowExperiment, epochs: dict[RowExperiment, Epoch]
) -> Judgement:
    """The training takes less time, for the stated numbers of epochs: their product with the median seconds of an epoch.

    Only trainings on the same kind of processor or GPU, with as many threads, are compared.
    """
    other = claim.other_experiment(experiment)

    def case(pair: tuple[TrainingResults, ...]) -> Observation:
        first, second = (
            (one.record["hardware"]["processor"], one.record["device"], one.record["threads"]) for one in pair
        )
        for one in pair:
            require_epochs(one.history.trained, epochs[one.experiment])
        if first != second:
            raise UndecidedError(UNDECIDED, "the two networks were trained on different hardware")
        hours = {one.experiment: float(one.timing["seconds"].median()) * epochs[one.experiment] / 3600 for one in pair}
        return Observation(
            hours[experiment] < hours[other], {f"hours of {name}": value for name, value in hours.items()}
        )

    cases = [partial(case, pair) for pair in results.paired([experiment, other])]
    return judge_observations(claim, {experiment: cases})


def _epoch_of_plateau(history: History, within: float) -> float:
    smooth = history.smooth("val_loss")
    return float(np.argmax(smooth <= (1 + within) * smooth.min())) + 1


def judge_accuracies(
    results: Results,
    better: str,
    worse: str,
    epochs: Mapping[str, int],
    classes: list[str] | None = None,
) -> Judgement:
    """Judge whether the test accuracy of one experiment is higher than that of another.

    The verdict is `consistent` or `differs` if a test over seeds and images finds a difference at the 5 % level
    (`cxrflow.statistics.comparison.compare_over_seeds`), and needs at least three seeds.

    Args:
        results: trainings with the same seed and images that both experiments tested are paired.
        better: the experiment whose accuracy is stated to be higher.
        worse: the other experiment.
        epochs: experiment to the epochs that its evaluated network must have been trained for.
        classes: if given, only images of these classes count, and each network chooses among these classes only.

    Raises:
        UndecidedError: there are too few seeds, epochs or common images.
    """
    pairs = results.paired([better, worse])
    both = [(_right(first, classes), _right(second, classes)) for first, second in pairs]
    images = sorted(set.intersection(*(set(right.index) for pair in both for right in pair)))
    if not images:
        raise UndecidedError(UNDECIDED, f"{better} and {worse} tested no image in common")
    patients = results.patients(better, images)
    right = [np.array([pair[side].loc[images] for pair in both], dtype=float) for side in (0, 1)]
    difference = right[0] - right[1]
    text = f"{in_words(right[0].mean())} against {in_words(right[1].mean())}, difference {in_words(difference.mean())}"
    try:
        for pair in pairs:
            for one in pair:
                one.require_evaluated(epochs.get(one.experiment))
    except UndecidedError as error:
        raise UndecidedError(NOT_RUN, str(error), text) from None
    try:
        compared = compare_over_seeds(difference, patients)
    except UndefinedError as error:
        raise UndecidedError(UNDECIDED, str(error), text) from None
    interval = compared.interval
    p_value = "p < 0.001" if compared.p_value < 0.001 else f"p = {compared.p_value:.3f}"
    reason = (
        f"the 95 % interval of the difference is {in_words(interval.low)} to {in_words(interval.high)} ({interval.counts}), "
        f"{p_value}"
    )
    distance = abs(float(norm.isf(compared.p_value / 2)) - Z)
    verdict = (CONSISTENT if compared.difference > 0 else DIFFERS) if compared.is_significant else UNDECIDED
    return Judgement(verdict, text, None, reason, distance=distance)


def _right(training: TrainingResults, classes: list[str] | None) -> "pd.Series[bool]":
    """Whether the prediction of each test image is right, by image."""
    table = training.predictions
    if classes is None:
        return table["class"] == table["predicted"]
    absent = [name for name in classes if f"p_{name}" not in table]
    if absent:
        raise UndecidedError(UNDECIDED, f"{training.experiment} has no class {absent[0]}")
    table = table[table["class"].isin(classes)]
    chosen = table[[f"p_{name}" for name in classes]].set_axis(classes, axis="columns").idxmax(axis="columns")
    return table["class"] == chosen
