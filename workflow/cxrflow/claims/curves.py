"""Measures of training curves: each rule sees the history of one run, and is judged seed by seed.

Epochs count from 1 and ranges include their ends. m5 is the centred running median over 5 epochs; spread is the standard
deviation after the running median over 21 epochs is taken off (see `statistics`).
"""

from math import inf

import numpy as np
from scipy.signal import find_peaks

from cxrflow.claims.each import each_history
from cxrflow.claims.model import Seen
from cxrflow.claims.registry import Curve, Curves, Epoch, EpochRange, measure
from cxrflow.claims.runs import History, needs_epochs
from cxrflow.claims.statistics import at_least, at_most, spearman, spread


def epoch_of_reaching(history: History, curves: list[Curve], level: float) -> float:
    """The first epoch at which m5 of all curves is at least `level`; infinity where there is none."""
    reached = np.all([history.smooth(curve) >= level - 1e-6 for curve in curves], axis=0)
    return float(np.argmax(reached)) + 1 if reached.any() else inf


@measure("curve", by=each_history)
def minimum_falls_further(
    history: History, *, curve: Curve, early: EpochRange, whole: EpochRange, factor: float
) -> Seen:
    """The lowest m5 over the whole range is at most `factor` of the lowest over the early ones."""
    ratio = history.smooth(curve, whole).min() / history.smooth(curve, early).min()
    return Seen(at_most(ratio, factor), {"ratio of the minima": ratio})


@measure("curve", by=each_history)
def trends(history: History, *, rising: list[Curve], falling: list[Curve], epochs: EpochRange | None = None) -> Seen:
    """Spearman's correlation with the epoch is above 0 for the rising curves and below 0 for the falling ones."""
    values = {curve: spearman(history.curve(curve, epochs)) for curve in [*rising, *falling]}
    holds = all(values[curve] > 0 for curve in rising) and all(values[curve] < 0 for curve in falling)
    return Seen(holds, {f"correlation of {curve}": value for curve, value in values.items()})


@measure("curve", by=each_history)
def steady_rise(history: History, *, curves: Curves, epochs: EpochRange, correlation: float) -> Seen:
    """Spearman's correlation of m5 with the epoch is at least so much for each curve."""
    values = {curve: spearman(history.smooth(curve, epochs)) for curve in curves}
    holds = all(at_least(value, correlation) for value in values.values())
    return Seen(holds, {f"correlation of {curve}": value for curve, value in values.items()})


@measure("curve", by=each_history)
def level_at_epoch(history: History, *, curve: Curve, epoch: Epoch, level: float) -> Seen:
    """m5 of a curve at an epoch is at least `level`."""
    value = float(history.smooth(curve, (epoch, epoch))[0])
    return Seen(at_least(value, level), {"": value})


@measure("curve", by=each_history)
def gain_at_most(history: History, *, curves: Curves, early: EpochRange, late: EpochRange, gain: float) -> Seen:
    """The mean over the late epochs minus that over the early ones is at most `gain`, for each curve."""
    gains = {curve: float(history.curve(curve, late).mean() - history.curve(curve, early).mean()) for curve in curves}
    numbers = {"": gains[curves[0]]} if len(curves) == 1 else {f"gain of {curve}": gains[curve] for curve in curves}
    return Seen(all(at_most(value, gain) for value in gains.values()), numbers)


@measure("curve", by=each_history)
def reaches_maximum(
    history: History, *, curve: Curve, maximum: float, over: EpochRange, early: EpochRange, late: EpochRange
) -> Seen:
    """The curve reaches `maximum` within `over`, and its mean over the late epochs is above that over the early ones."""
    highest = float(history.curve(curve, over).max())
    after, before = (float(history.curve(curve, epochs).mean()) for epochs in (late, early))
    numbers = {"highest": highest, "mean early": before, "mean late": after}
    return Seen(at_least(highest, maximum) and after > before, numbers)


@measure("curve", by=each_history)
def deviation_at_most(history: History, *, curve: Curve, epochs: EpochRange, deviation: float) -> Seen:
    """The standard deviation of the curve over these epochs, nothing taken off, is at most so much."""
    value = float(np.std(history.curve(curve, epochs)))
    return Seen(at_most(value, deviation), {"": value})


@measure("curve", by=each_history)
def first_in_lowest_range(
    history: History, *, curve: Curve, epochs: EpochRange, share: float, between: EpochRange
) -> Seen:
    """The first epoch with m5 at or below its minimum plus `share` of its whole fall lies in `between`."""
    smooth = history.smooth(curve, epochs)
    limit = smooth.min() + share * (smooth[0] - smooth.min())
    epoch = epochs[0] + int(np.argmax(smooth <= limit))
    return Seen(between[0] <= epoch <= between[1], {"": epoch})


@measure("curve", by=each_history)
def epoch_of_minimum(history: History, *, curve: Curve, epochs: EpochRange, between: EpochRange) -> Seen:
    """The epoch of the lowest m5 lies in `between`; of equal ones the first counts."""
    epoch = epochs[0] + int(np.argmin(history.smooth(curve, epochs)))
    return Seen(between[0] <= epoch <= between[1], {"": epoch})


@measure("curve", by=each_history)
def share_below(history: History, *, lower: Curve, upper: Curve, epochs: EpochRange, share: float) -> Seen:
    """The share of epochs at which one curve is below another is at least `share`."""
    value = float(np.mean(history.curve(lower, epochs) < history.curve(upper, epochs)))
    return Seen(at_least(value, share), {"": value})


@measure("curve", by=each_history)
def ends_near_best(
    history: History, *, curve: Curve, epochs: EpochRange, late: EpochRange, window: Epoch, factor: float
) -> Seen:
    """The mean over the late epochs is at most `factor` times the lowest mean over any `window` epochs in a row."""
    values = history.curve(curve, epochs)
    best = np.convolve(values, np.full(window, 1 / window), mode="valid").min()
    ratio = float(history.curve(curve, late).mean() / best)
    return Seen(at_most(ratio, factor), {"ratio to the best": ratio})


@measure("curve", by=each_history)
def mean_distance_at_most(
    history: History, *, first: Curve, second: Curve, epochs: EpochRange, distance: float
) -> Seen:
    """The mean of first minus second is at most `distance` from 0."""
    value = abs(float(np.mean(history.curve(first, epochs) - history.curve(second, epochs))))
    return Seen(at_most(value, distance), {"": value})


@measure("curve", by=each_history)
def wider_spread(history: History, *, wider: Curve, narrower: Curve, epochs: EpochRange | None = None) -> Seen:
    """One curve has a greater spread than another."""
    spreads = {curve: spread(history.curve(curve, epochs)) for curve in (wider, narrower)}
    return Seen(spreads[wider] > spreads[narrower], _named("spread of", spreads))


@measure("curve", by=each_history)
def mean_falls(history: History, *, curve: Curve, early: EpochRange, late: EpochRange) -> Seen:
    """The mean over the late epochs is below that over the early ones."""
    after, before = (float(history.curve(curve, epochs).mean()) for epochs in (late, early))
    return Seen(after < before, {"mean early": before, "mean late": after})


@measure("curve", by=each_history)
def epochs_to_reach(history: History, *, curves: Curves, level: float, between: EpochRange) -> Seen:
    """The first epoch with m5 of all curves at `level` or above lies in `between`."""
    needs_epochs(history.trained, between[1])
    epoch = epoch_of_reaching(history, curves, level)
    return Seen(between[0] <= epoch <= between[1], {"": epoch})


@measure("curve", by=each_history)
def minimum_at_most(history: History, *, curves: Curves, epochs: EpochRange, level: float) -> Seen:
    """The lowest m5 within these epochs is at most `level`, for each curve."""
    lowest = {curve: float(history.smooth(curve, epochs).min()) for curve in curves}
    return Seen(all(at_most(value, level) for value in lowest.values()), _named("lowest", lowest))


@measure("curve", by=each_history)
def mean_below_and_wider(
    history: History, *, curve: Curve, other: Curve, epochs: EpochRange, spread_epochs: EpochRange, factor: float
) -> Seen:
    """The mean of curve minus other is below 0, and its spread more than `factor` times the other's."""
    difference = float(np.mean(history.curve(curve, epochs) - history.curve(other, epochs)))
    spreads = {name: spread(history.curve(name, spread_epochs)) for name in (curve, other)}
    holds = difference < 0 and spreads[curve] > factor * spreads[other]
    return Seen(holds, {"mean difference": difference, **_named("spread of", spreads)})


@measure("curve", by=each_history)
def steady_fall_beside_wider(
    history: History, *, curve: Curve, wider: Curve, epochs: EpochRange, correlation: float
) -> Seen:
    """Spearman's correlation of the curve with the epoch is at most so much, and the other's spread is greater."""
    trend = spearman(history.curve(curve, epochs))
    spreads = {name: spread(history.curve(name, epochs)) for name in (wider, curve)}
    holds = at_most(trend, correlation) and spreads[wider] > spreads[curve]
    return Seen(holds, {f"correlation of {curve}": trend, **_named("spread of", spreads)})


@measure("curve", by=each_history)
def local_minimum(history: History, *, curve: Curve, between: EpochRange) -> Seen:
    """m5 has a local minimum in `between`: higher values on both its sides; a flat one counts at its middle.

    The run must go on past the range, since a minimum is known only by what follows.
    """
    needs_epochs(history.trained, between[1] + 1)
    smooth = history.smooth(curve)
    epochs = find_peaks(-smooth)[0] + 1
    inside = [int(epoch) for epoch in epochs if between[0] <= epoch <= between[1]]
    lowest = min(inside, key=lambda epoch: smooth[epoch - 1], default=inf)
    return Seen(bool(inside), {"epoch of the lowest": lowest})


@measure("curve", by=each_history)
def no_further_fall(
    history: History, *, curve: Curve, before: Epoch, window: Epoch, factor: float, least_epochs: Epoch
) -> Seen:
    """The mean over the last `window` epochs is at least `factor` times that over as many epochs before `before`."""
    needs_epochs(history.trained, least_epochs)
    earlier = history.curve(curve, (before - window, before - 1)).mean()
    ratio = float(history.curve(curve)[-window:].mean() / earlier)
    return Seen(at_least(ratio, factor), {"ratio": ratio})


def _named(prefix: str, values: dict[Curve, float]) -> dict[str, float]:
    return {f"{prefix} {name}": value for name, value in values.items()}
