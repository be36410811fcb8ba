"""Two experiments' test accuracies, paired over the same images and over seeds."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cxrflow.claims.model import CANNOT_BE_TOLD, CONSISTENT, DIFFERS, NOT_RUN, Finding, UndecidedError
from cxrflow.claims.runs import Run, Runs
from cxrflow.claims.statistics import crossed_bootstrap
from cxrflow.claims.words import counted, shown


def judge_accuracies(
    runs: Runs,
    better: str,
    worse: str,
    epochs: Mapping[str, int],
    classes: list[str] | None = None,
    least_seeds: int = 2,
) -> Finding:
    """Whether one experiment's test accuracy is higher than another's.

    It cannot be told unless the 95 % interval of the difference (bootstrap over seeds and over images) excludes 0. One
    seed knows nothing of the spread of seeds, so at least `least_seeds` are asked for.

    Args:
        runs: the runs; those of the same seed are paired, and images that both have tested.
        better: the experiment that is said to be better.
        worse: the other.
        epochs: experiment to the epochs that its tested network must have been trained for.
        classes: only images of these classes, and each network's choice among these alone.
    """
    pairs = runs.paired([better, worse])
    both = [(_right(first, classes), _right(second, classes)) for first, second in pairs]
    images = sorted(set.intersection(*(set(one.index) for pair in both for one in pair)))
    if not images:
        raise UndecidedError(CANNOT_BE_TOLD, f"{better} and {worse} have tested no image in common")
    right = [np.array([pair[side].loc[images] for pair in both], dtype=float) for side in (0, 1)]
    difference = right[0] - right[1]
    text = f"{shown(right[0].mean())} against {shown(right[1].mean())}, difference {shown(difference.mean())}"
    try:
        for pair in pairs:
            for run in pair:
                run.needs_tested(epochs.get(run.experiment))
    except UndecidedError as error:
        raise UndecidedError(NOT_RUN, str(error), text) from None
    seeds = counted(len(pairs), "seed")
    if len(pairs) < least_seeds:
        raise UndecidedError(CANNOT_BE_TOLD, f"{seeds}; at least {least_seeds} are needed to know the spread", text)
    low, high = crossed_bootstrap(difference)
    interval = f"the 95 % interval of the difference, {shown(low)} to {shown(high)} ({len(images)} images, {seeds})"
    if low <= 0 <= high:
        raise UndecidedError(CANNOT_BE_TOLD, f"{interval}, includes 0", text)
    return Finding(CONSISTENT if low > 0 else DIFFERS, text, None, f"{interval}, excludes 0")


def _right(run: Run, classes: list[str] | None) -> "pd.Series[bool]":
    """Whether each test image was predicted right, by image."""
    table = run.predictions
    if classes is None:
        return table["class"] == table["predicted"]
    absent = [name for name in classes if f"p_{name}" not in table]
    if absent:
        raise UndecidedError(CANNOT_BE_TOLD, f"{run.experiment} knows no class {absent[0]}")
    table = table[table["class"].isin(classes)]
    chosen = table[[f"p_{name}" for name in classes]].set_axis(classes, axis="columns").idxmax(axis="columns")
    return table["class"] == chosen
