"""Measures of training curves: each rule is applied to the history of one training.

Epochs count from 1 and ranges include their ends. m5 is the centred running median over 5 epochs. The spread is the standard
deviation after subtracting the running median over 21 epochs (see `cxrflow.statistics.intervals`), times the square root of
the number of images of the curve's subset, since means of fewer images vary more.
"""

from math import inf
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.signal import find_peaks

from cxrflow.claims.judge import each_history
from cxrflow.claims.model import UNDECIDED, Observation, UndecidedError
from cxrflow.claims.registry import Curve, Curves, Epoch, EpochRange, measure
from cxrflow.claims.results import History, require_epochs
from cxrflow.statistics.intervals import at_least, at_most, spearman


def epoch_of_reaching(history: History, curves: list[Curve], level: float) -> float:
    """The first epoch at which m5 of all curves is at least `level`; infinity if there is none."""
    reached = np.all([history.smooth(curve) >= level - 1e-6 for curve in curves], axis=0)
    return float(np.argmax(reached)) + 1 if reached.any() else inf


@measure("curve", by=each_history, null="shuffled")
def minimum_falls_further(
    history: History, *, curve: Curve, early: EpochRange, whole: EpochRange, factor: float
) -> Observation:
    """The lowest m5 over the range `whole` is at most `factor` times the lowest m5 over the range `early`."""
    ratio = history.smooth(curve, whole).min() / history.smooth(curve, early).min()
    return Observation(at_most(ratio, factor), {"ratio of the minima": ratio})


@measure("curve", by=each_history)
def trends(
    history: History, *, rising: list[Curve], falling: list[Curve], epochs: EpochRange | None = None
) -> Observation:
    """Spearman's correlation with the epoch is above 0 for the rising curves and below 0 for the falling ones."""
    values = {curve: spearman(history.curve(curve, epochs)) for curve in [*rising, *falling]}
    holds = all(values[curve] > 0 for curve in rising) and all(values[curve] < 0 for curve in falling)
    return Observation(holds, {f"correlation of {curve}": value for curve, value in values.items()})


@measure("curve", by=each_history)
def steady_rise(history: History, *, curves: Curves, epochs: EpochRange, correlation: float) -> Observation:
    """Spearman's correlation of m5 with the epoch is at least `correlation` for each curve."""
    values = {curve: spearman(history.smooth(curve, epochs)) for curve in curves}
    holds = all(at_least(value, correlation) for value in values.values())
    return Observation(holds, {f"correlation of {curve}": value for curve, value in values.items()})


@measure("curve", by=each_history)
def level_at_epoch(history: History, *, curve: Curve, epoch: Epoch, level: float) -> Observation:
    """m5 of a curve at `epoch` is at least `level`."""
    value = float(history.smooth(curve, (epoch, epoch))[0])
    return Observation(at_least(value, level), {"": value})


@measure("curve", by=each_history)
def gain_at_most(history: History, *, curves: Curves, early: EpochRange, late: EpochRange, gain: float) -> Observation:
    """The mean over the late epochs minus the mean over the early epochs is at most `gain` for each curve."""
    gains = {curve: float(history.curve(curve, late).mean() - history.curve(curve, early).mean()) for curve in curves}
    numbers = {"": gains[curves[0]]} if len(curves) == 1 else {f"gain of {curve}": gains[curve] for curve in curves}
    return Observation(all(at_most(value, gain) for value in gains.values()), numbers)


@measure("curve", by=each_history, null="shuffled")
def reaches_maximum(
    history: History, *, curve: Curve, maximum: float, over: EpochRange, early: EpochRange, late: EpochRange
) -> Observation:
    """The curve reaches `maximum` within `over`, and its mean is higher over the late epochs than over the early epochs."""
    highest = float(history.curve(curve, over).max())
    after, before = (float(history.curve(curve, epochs).mean()) for epochs in (late, early))
    numbers = {"highest": highest, "mean early": before, "mean late": after}
    return Observation(at_least(highest, maximum) and after > before, numbers)


@measure("curve", by=each_history)
def deviation_at_most(history: History, *, curve: Curve, epochs: EpochRange, deviation: float) -> Observation:
    """The plain standard deviation of the curve over these epochs is at most `deviation`."""
    value = float(np.std(history.curve(curve, epochs)))
    return Observation(at_most(value, deviation), {"": value})


@measure("curve", by=each_history, null="shuffled")
def first_in_lowest_range(
    history: History, *, curve: Curve, epochs: EpochRange, share: float, between: EpochRange
) -> Observation:
    """The first epoch at which m5 is at most its minimum plus `share` of its whole fall is within `between`."""
    smooth = history.smooth(curve, epochs)
    limit = smooth.min() + share * (smooth[0] - smooth.min())
    epoch = epochs[0] + int(np.argmax(smooth <= limit))
    return Observation(between[0] <= epoch <= between[1], {"": epoch})


@measure("curve", by=each_history, null="shuffled")
def epoch_of_minimum(history: History, *, curve: Curve, epochs: EpochRange, between: EpochRange) -> Observation:
    """The first epoch with the lowest m5 is within `between`."""
    epoch = epochs[0] + int(np.argmin(history.smooth(curve, epochs)))
    return Observation(between[0] <= epoch <= between[1], {"": epoch})


@measure("curve", by=each_history, null="learner")
def share_below(history: History, *, lower: Curve, upper: Curve, epochs: EpochRange, share: float) -> Observation:
    """The share of epochs at which one curve is below another is at least `share`."""
    value = float(np.mean(history.curve(lower, epochs) < history.curve(upper, epochs)))
    return Observation(at_least(value, share), {"": value})


@measure("curve", by=each_history)
def ends_near_best(
    history: History, *, curve: Curve, epochs: EpochRange, late: EpochRange, window: Epoch, share: float
) -> Observation:
    """The curve falls, and rises again by at most `share` of its fall.

    The fall is from the mean over the first `window` epochs to the lowest mean over any `window` consecutive epochs, and the
    rise from there to the mean over the late epochs.
    """
    values = history.curve(curve, epochs)
    require_epochs(len(values), window)
    means = np.convolve(values, np.full(window, 1 / window), mode="valid")
    fall, rise = means[0] - means.min(), history.curve(curve, late).mean() - means.min()
    returned = float(rise / fall) if fall > 0 else inf
    return Observation(at_most(returned, share), {"share of its fall": returned})


@measure("curve", by=each_history)
def mean_distance_at_most(
    history: History, *, first: Curve, second: Curve, epochs: EpochRange, distance: float
) -> Observation:
    """The mean of `first` minus `second` is at most `distance` from 0."""
    value = abs(float(np.mean(history.curve(first, epochs) - history.curve(second, epochs))))
    return Observation(at_most(value, distance), {"": value})


@measure("curve", by=each_history, null="learner")
def wider_spread(history: History, *, wider: Curve, narrower: Curve, epochs: EpochRange | None = None) -> Observation:
    """The spread of the curve `wider` is greater than that of the curve `narrower`."""
    spreads = {curve: history.spread(curve, epochs) for curve in (wider, narrower)}
    return Observation(spreads[wider] > spreads[narrower], _named("spread of", spreads))


@measure("curve", by=each_history, null="learner")
def spread_at_most(
    history: History, *, wider: Curve, narrower: Curve, epochs: EpochRange, factor: float
) -> Observation:
    """The spread of the curve `wider` is at most `factor` times that of the curve `narrower`."""
    spreads = {curve: history.spread(curve, epochs) for curve in (wider, narrower)}
    return Observation(at_most(spreads[wider], factor * spreads[narrower]), _named("spread of", spreads))


@measure("curve", by=each_history)
def crosses_often(
    history: History, *, curve: Curve, other: Curve, epochs: EpochRange, least: Annotated[float, Field(gt=0, le=0.5)]
) -> Observation:
    """Each of two curves is below the other in at least this share of the epochs."""
    share = float(np.mean(history.curve(curve, epochs) < history.curve(other, epochs)))
    return Observation(
        at_least(share, least) and at_most(share, 1 - least), {f"share of epochs with lower {curve}": share}
    )


@measure("curve", by=each_history)
def mean_falls(history: History, *, curve: Curve, early: EpochRange, late: EpochRange) -> Observation:
    """The mean over the late epochs is below the mean over the early epochs."""
    after, before = (float(history.curve(curve, epochs).mean()) for epochs in (late, early))
    return Observation(after < before, {"mean early": before, "mean late": after})


@measure("curve", by=each_history, null="learner")
def epochs_to_reach(history: History, *, curves: Curves, level: float, between: EpochRange) -> Observation:
    """The first epoch at which m5 of all curves is at least `level` is within `between`."""
    require_epochs(history.trained, between[1])
    epoch = epoch_of_reaching(history, curves, level)
    return Observation(between[0] <= epoch <= between[1], {"": epoch})


@measure("curve", by=each_history)
def minimum_at_most(history: History, *, curves: Curves, epochs: EpochRange, level: float) -> Observation:
    """The lowest m5 within these epochs is at most `level` for each curve."""
    lowest = {curve: float(history.smooth(curve, epochs).min()) for curve in curves}
    return Observation(all(at_most(value, level) for value in lowest.values()), _named("lowest", lowest))


@measure("curve", by=each_history, null="learner")
def mean_below_and_wider(
    history: History, *, curve: Curve, other: Curve, epochs: EpochRange, spread_epochs: EpochRange, factor: float
) -> Observation:
    """The mean of `curve` minus `other` is below 0, and the spread of `curve` is more than `factor` times that of `other`."""
    difference = float(np.mean(history.curve(curve, epochs) - history.curve(other, epochs)))
    spreads = {name: history.spread(name, spread_epochs) for name in (curve, other)}
    holds = difference < 0 and spreads[curve] > factor * spreads[other]
    return Observation(holds, {"mean difference": difference, **_named("spread of", spreads)})


@measure("curve", by=each_history, null="learner")
def steady_fall_beside_wider(
    history: History, *, curve: Curve, wider: Curve, epochs: EpochRange, correlation: float
) -> Observation:
    """Spearman's correlation of `curve` with the epoch is at most `correlation`, and the spread of `wider` is greater."""
    trend = spearman(history.curve(curve, epochs))
    spreads = {name: history.spread(name, epochs) for name in (wider, curve)}
    holds = at_most(trend, correlation) and spreads[wider] > spreads[curve]
    return Observation(holds, {f"correlation of {curve}": trend, **_named("spread of", spreads)})


@measure("curve", by=each_history, null="shuffled")
def local_minimum(history: History, *, curve: Curve, between: EpochRange) -> Observation:
    """m5 has a local minimum within `between`: its values on both sides are higher. A flat minimum counts at its middle.

    The training must be longer than the range, since a minimum is only known from the epochs after it.
    """
    require_epochs(history.trained, between[1] + 1)
    smooth = history.smooth(curve)
    epochs = find_peaks(-smooth)[0] + 1
    inside = [int(epoch) for epoch in epochs if between[0] <= epoch <= between[1]]
    lowest = min(inside, key=lambda epoch: smooth[epoch - 1], default=inf)
    return Observation(bool(inside), {"epoch of the lowest": lowest})


@measure("curve", by=each_history)
def no_further_fall(
    history: History, *, curve: Curve, before: Epoch, window: Epoch, factor: float, least_epochs: Epoch
) -> Observation:
    """The mean over the last `window` epochs is at least `factor` times the mean over the `window` epochs before `before`."""
    require_epochs(history.trained, max(least_epochs, window))
    if before <= window:
        raise UndecidedError(UNDECIDED, f"there are no {window} epochs before epoch {before}")
    earlier = history.curve(curve, (before - window, before - 1)).mean()
    ratio = float(history.curve(curve)[-window:].mean() / earlier)
    return Observation(at_least(ratio, factor), {"ratio": ratio})


def _named(prefix: str, values: dict[Curve, float]) -> dict[str, float]:
    return {f"{prefix} {name}": value for name, value in values.items()}
