"""Measures of outcomes: what the trained networks do on the test images.

Every run tests the same few images, so that an interval for a larger population would excuse any value. What an outcome is
held against is the spread of the seeds.
"""

from typing import Literal

import numpy as np

from cxrflow.claims.each import each_run
from cxrflow.claims.model import CANNOT_BE_TOLD, CONSISTENT, DIFFERS, NOT_RUN, Claim, Finding, Seen, UndecidedError
from cxrflow.claims.registry import Epoch, measure
from cxrflow.claims.runs import Run, Runs
from cxrflow.claims.statistics import TOLERANCE, at_least, prediction_interval
from cxrflow.claims.words import counted, ordinal, shown, summary

Metric = Literal["accuracy", "loss", "sensitivity", "specificity"]


@measure("outcome", experiments=1, numeric=True)
def outcome_of_seeds(
    claim: Claim, runs: Runs, *, metric: Metric, epochs: Epoch | None = None, least_seeds: int = 5
) -> Finding:
    """The stated value lies inside the 95 % prediction interval of our seeds: consistent; outside: differs.

    With fewer than `least_seeds` seeds it cannot be told. Networks of fewer epochs than `epochs` are not the stated ones:
    not run. The interval of a rate is cut to 0 to 1; where all seeds give the same value it is that value.
    """
    stated = claim.number
    assert stated is not None  # asked of these claims when they are read
    selected = runs.of(claim.experiments[0])
    values = np.array([_value(run, metric) for run in selected])
    text = summary(values.tolist())
    if len(values) == 1 and metric == "accuracy":
        text += f" ({selected[0].metrics['correct']} of {selected[0].metrics['images']})"
    elif len(values) > 1:
        text += f", {counted(len(values), 'seed')}"
    shortest = min(selected, key=lambda run: run.tested)
    try:
        shortest.needs_tested(epochs)
    except UndecidedError as error:
        raise UndecidedError(NOT_RUN, str(error), text) from None
    longer = ""
    if epochs is not None and shortest.history.trained > epochs:
        longer = f"; {shortest.length}" + (f", where {epochs} are stated" if shortest.tested > epochs else "")
    difference = float(np.median(values)) - stated
    if len(values) < least_seeds:
        reason = f"{counted(len(values), 'seed')}; at least {least_seeds} are needed to know the spread{longer}"
        return Finding(CANNOT_BE_TOLD, text, difference, reason)
    low, high = prediction_interval(values)
    if metric != "loss":
        low, high = max(low, 0.0), min(high, 1.0)
    inside = low - TOLERANCE <= stated <= high + TOLERANCE
    reason = (
        f"{shown(stated)} lies {'inside' if inside else 'outside'} the 95 % prediction interval "
        f"{shown(low)} to {shown(high)} of {len(values)} seeds; {_rank(values, stated)}{longer}"
    )
    return Finding(CONSISTENT if inside else DIFFERS, text, difference, reason)


@measure("outcome", by=each_run)
def outcome_at_least(run: Run, *, metric: Metric, threshold: float) -> Seen:
    """The metric is at least so much."""
    value = _value(run, metric)
    return Seen(at_least(value, threshold), {"": value})


def _value(run: Run, metric: str) -> float:
    value = run.metrics[metric]
    if value is None:
        raise UndecidedError(CANNOT_BE_TOLD, f"{run.experiment} has no {metric}")
    return float(value)


def _rank(values: np.ndarray, stated: float) -> str:
    """Where the stated value stands among the values of the seeds and itself, from the lowest."""
    equal = np.isclose(values, stated, rtol=0, atol=TOLERANCE)
    first = 1 + int(np.sum((values < stated) & ~equal))
    last = first + int(equal.sum())
    place = ordinal(first) if first == last else f"{ordinal(first)} to {ordinal(last)}"
    return f"it ranks {place} of {len(values) + 1} from the lowest"
