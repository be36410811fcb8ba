"""Measures that compare two experiments, seed by seed: what is said of `experiment` against the claim's other one."""

import numpy as np

from cxrflow.claims.curves import epoch_of_reaching
from cxrflow.claims.each import each_pair
from cxrflow.claims.model import Claim, Finding, Seen
from cxrflow.claims.paired import judge_accuracies
from cxrflow.claims.registry import Curve, Curves, Epoch, EpochRange, RowExperiment, measure
from cxrflow.claims.runs import History, Runs
from cxrflow.claims.statistics import spread


@measure("comparison", experiments=2)
def higher_accuracy(
    claim: Claim, runs: Runs, *, experiment: RowExperiment, epochs: dict[RowExperiment, Epoch] | None = None
) -> Finding:
    """The test accuracy of `experiment` is higher: paired over the same images and over seeds."""
    (other,) = (name for name in claim.experiments if name != experiment)
    return judge_accuracies(runs, experiment, other, epochs or {})


@measure("comparison", by=each_pair, experiments=2)
def fewer_epochs_to_plateau(own: History, other: History, *, within: float) -> Seen:
    """m5 of the validation loss comes within this share of its minimum at an earlier epoch."""
    epochs = {one.experiment: _epoch_of_plateau(one, within) for one in (own, other)}
    return Seen(epochs[own.experiment] < epochs[other.experiment], epochs)


@measure("comparison", by=each_pair, experiments=2)
def fewer_epochs_to_reach(own: History, other: History, *, curves: Curves, level: float) -> Seen:
    """m5 of all curves comes to `level` at an earlier epoch."""
    epochs = {one.experiment: epoch_of_reaching(one, curves, level) for one in (own, other)}
    return Seen(epochs[own.experiment] < epochs[other.experiment], epochs)


@measure("comparison", by=each_pair, experiments=2)
def lower_at_epoch(own: History, other: History, *, curves: Curves, epoch: Epoch) -> Seen:
    """m5 of each curve is lower at an epoch."""
    values = {
        (one.experiment, curve): float(one.smooth(curve, (epoch, epoch))[0]) for curve in curves for one in (own, other)
    }
    holds = all(values[own.experiment, curve] < values[other.experiment, curve] for curve in curves)
    return Seen(holds, {f"{curve} of {name}": value for (name, curve), value in values.items()})


@measure("comparison", by=each_pair, experiments=2)
def farther_apart(own: History, other: History, *, first: Curve, second: Curve, over: EpochRange) -> Seen:
    """The mean distance of two curves over a range of epochs is greater."""
    distances = {
        one.experiment: float(np.mean(np.abs(one.curve(first, over) - one.curve(second, over)))) for one in (own, other)
    }
    return Seen(distances[own.experiment] > distances[other.experiment], distances)


@measure("comparison", by=each_pair, experiments=2)
def smaller_spread(own: History, other: History, *, curve: Curve) -> Seen:
    """The spread of a curve is smaller."""
    spreads = {one.experiment: spread(one.curve(curve)) for one in (own, other)}
    return Seen(spreads[own.experiment] < spreads[other.experiment], spreads)


def _epoch_of_plateau(history: History, within: float) -> float:
    smooth = history.smooth("val_loss")
    return float(np.argmax(smooth <= (1 + within) * smooth.min())) + 1
