"""The statistics that the rules are made of."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr, t

Numbers = NDArray[np.float64]

TOLERANCE = 1e-6
"""Accuracies are counts in single precision: 0.9 may be stored as 0.89999998, and counts as 0.9."""


def at_least(value: float, threshold: float) -> bool:
    """value >= threshold, but for rounding."""
    return bool(value >= threshold - TOLERANCE)


def at_most(value: float, threshold: float) -> bool:
    """value <= threshold, but for rounding."""
    return bool(value <= threshold + TOLERANCE)


def running_median(values: Numbers, window: int) -> Numbers:
    """Centred running median, shape (n,).

    At the ends the window shrinks to those of its values that there are: with a window of 5 the first value is the median
    of the first three. `window` is odd.
    """
    half = window // 2
    padded = np.pad(values.astype(np.float64), half, constant_values=np.nan)
    return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1)


def spread(values: Numbers) -> float:
    """Standard deviation (of these values, so divided by n) after the running median over 21 epochs is taken off."""
    return float(np.std(values - running_median(values, 21)))


def spearman(values: Numbers) -> float:
    """Spearman's correlation of values with their order, -1 to 1; 0 where all values are the same."""
    if len(values) < 2 or np.ptp(values) == 0:
        return 0.0
    return float(spearmanr(np.arange(len(values)), values).statistic)


def prediction_interval(values: Numbers) -> tuple[float, float]:
    """95 % prediction interval for one more value of the same normal distribution.

    mean ± t(0.975, n - 1) * s * sqrt(1 + 1/n), with s the standard deviation of the n >= 2 values (divided by n - 1).
    """
    n = len(values)
    half = float(t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) * np.sqrt(1 + 1 / n)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def crossed_bootstrap(values: NDArray[Any], draws: int = 10_000) -> tuple[float, float]:
    """95 % percentile interval of the mean of a table, both its rows and its columns drawn anew.

    Rows (seeds) and columns (images) are drawn on their own, with replacement: the "pigeonhole" bootstrap, which for such
    crossed data is, if anything, a little too wide (A. B. Owen, "The pigeonhole bootstrap", Ann. Appl. Stat. 1 (2007)).
    The random numbers are the same in every call.

    Args:
        values: shape (rows, columns).
        draws: number of bootstrap samples.
    """
    rows, columns = values.shape
    random = np.random.default_rng(0)
    row_counts = random.multinomial(rows, np.full(rows, 1 / rows), size=draws)
    column_counts = random.multinomial(columns, np.full(columns, 1 / columns), size=draws)
    means = ((row_counts @ values) * column_counts).sum(axis=1) / (rows * columns)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
