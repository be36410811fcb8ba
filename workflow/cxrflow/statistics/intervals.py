"""Statistics that the rules of claims use: tolerant comparisons, running medians, rank correlation and intervals."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, rankdata, t

Numbers = NDArray[np.float64]

TOLERANCE = 1e-6
"""Accuracies are stored in single precision: 0.9 may be 0.89999998, and must compare as 0.9."""
Z = 1.959964
"""97.5 % quantile of the normal distribution."""


class UndefinedError(ValueError):
    """A statistic is not defined for these data, or is known to be unreliable; the text says why."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval, with what a reader needs to judge it."""

    low: float
    high: float
    method: str
    counts: str
    """What it was computed from: `9 images of 5 patients`."""


def at_least(value: float, threshold: float) -> bool:
    """Whether value >= threshold, allowing for rounding."""
    return bool(value >= threshold - TOLERANCE)


def at_most(value: float, threshold: float) -> bool:
    """Whether value <= threshold, allowing for rounding."""
    return bool(value <= threshold + TOLERANCE)


def running_median(values: Numbers, window: int) -> Numbers:
    """Compute the centred running median, shape (n,).

    At the ends, the window is cut off: with a window of 5, the first value is the median of the first three. `window` must be
    odd.
    """
    half = window // 2
    padded = np.pad(values.astype(np.float64), half, constant_values=np.nan)
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1)  # NaN come last
    counts = np.count_nonzero(~np.isnan(windows), axis=1)
    rows = np.arange(len(windows))
    return (windows[rows, (counts - 1) // 2] + windows[rows, counts // 2]) / 2


def spread(values: Numbers) -> float:
    """Standard deviation (divided by n) after subtracting the running median over 21 epochs."""
    return float(np.std(values - running_median(values, 21)))


def spearman(values: Numbers) -> float:
    """Spearman's correlation of values with their position, -1 to 1; 0 if all values are equal."""
    if len(values) < 2 or np.ptp(values) == 0:
        return 0.0
    return float(np.corrcoef(np.arange(len(values)), rankdata(values))[0, 1])


def prediction_interval(values: Numbers) -> tuple[float, float]:
    """95 % prediction interval for another value of the same normal distribution.

    mean ± t(0.975, n - 1) * s * sqrt(1 + 1/n), with s the standard deviation of the n >= 2 values (divided by n - 1).
    """
    n = len(values)
    half = float(t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) * np.sqrt(1 + 1 / n)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def crossed_bootstrap(
    values: NDArray[Any], groups: NDArray[Any] | None = None, draws: int = 10_000
) -> tuple[float, float]:
    """95 % percentile interval of the mean of a table, by resampling both rows and columns.

    Rows (seeds) and groups of columns (images of a patient) are resampled independently, with replacement: the "pigeonhole"
    bootstrap (A. B. Owen, "The pigeonhole bootstrap", Ann. Appl. Stat. 1 (2007)). With few rows it is too narrow, see
    benchmarks/coverage.py; `cxrflow.statistics.seeds` has an interval and a test for few seeds. The random numbers are the
    same in every call.

    Args:
        values: shape (rows, columns).
        groups: shape (columns,), the group of each column; by default each column is its own.
        draws: number of bootstrap samples.
    """
    rows, columns = values.shape
    _, group = np.unique(np.arange(columns) if groups is None else groups, return_inverse=True)
    count = int(group.max()) + 1
    random = np.random.default_rng(0)
    row_counts = random.multinomial(rows, np.full(rows, 1 / rows), size=draws)
    column_counts = random.multinomial(count, np.full(count, 1 / count), size=draws)[:, group]
    means = ((row_counts @ values) * column_counts).sum(axis=1) / (rows * column_counts.sum(axis=1))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def wilson_interval(correct: float, images: float, z: float = Z) -> tuple[float, float]:
    """The 95 % interval of a share, after Wilson (1927), for images that are a random sample.

    Returns:
        Lower and upper end, both between 0 and 1.
    """
    share = correct / images
    middle = (share + z * z / (2 * images)) / (1 + z * z / images)
    half = z / (1 + z * z / images) * sqrt(share * (1 - share) / images + z * z / (4 * images * images))
    return max(0.0, middle - half), min(1.0, middle + half)


def clopper_pearson(successes: int, trials: int) -> tuple[float, float]:
    """The exact 95 % interval of a share, after Clopper and Pearson (1934).

    Args:
        successes: 0 to `trials`.
        trials: at least 1; otherwise ValueError.

    Returns:
        Lower and upper end, both between 0 and 1. The lower end of n of n is 0.025^(1/n): 0.54 for 6 of 6.
    """
    found = binomtest(successes, trials).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def clustered_wilson(correct: NDArray[Any], groups: NDArray[Any]) -> tuple[float, float]:
    """95 % interval of a share of images, when images of a group (patient) resemble each other.

    Wilson's interval with the effective number of images in place of their number. That is images / design effect, from the
    linearised variance of the share between groups, g/(g - 1) * sum((sum of a group's deviations)^2) / images^2 for g groups,
    and smaller if few groups determine this variance: it is multiplied by (z / t)^2, with the quantiles of the normal
    distribution and of Student's t with g - 1 degrees of freedom. It is never larger than the number of images.

    If all or no images are correct, the data do not show how much images of a group resemble each other. The interval is then
    that of Clopper and Pearson, with one image per group: 5 of 5 groups give 0.48 to 1. With a single group, it is that of a
    single image.

    Sources: E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data", Surv. Methodol. 24 (1998); N. Dean and M. Pagano, "Evaluating confidence interval methods for
    binomial proportions in clustered surveys", J. Surv. Stat. Methodol. 3 (2015). benchmarks/coverage.py measures its coverage.

    Args:
        correct: shape (images,), 0 to 1: whether each image is correct, or the share of repetitions in which it is.
        groups: shape (images,), the group of each image.

    Returns:
        Lower and upper end, both between 0 and 1, and different.

    Raises:
        ValueError: there are no images.
    """
    images = len(correct)
    if images == 0:
        raise ValueError("an interval needs at least one image")
    share = float(np.mean(correct))
    if min(share, 1 - share) < TOLERANCE / images:
        edge = 0.025 ** (1 / len(np.unique(groups)))
        return (edge, 1.0) if share > 0.5 else (0.0, 1 - edge)
    effective = effective_images(correct, groups)
    return wilson_interval(share * effective, effective)


def effective_images(correct: NDArray[Any], groups: NDArray[Any]) -> float:
    """The number of independent images that would determine a share as well as these images of patients.

    See `clustered_wilson`.

    Args:
        correct: shape (images,), 0 to 1.
        groups: shape (images,), the group of each image.

    Returns:
        At most the number of images; the number of groups if all images are equally correct.
    """
    values = np.asarray(correct, dtype=np.float64)
    images, share = len(values), float(np.mean(values))
    _, group_of_image = np.unique(groups, return_inverse=True)
    deviations = np.bincount(group_of_image, values - share)
    count = len(deviations)
    if count == 1 or min(share, 1 - share) < TOLERANCE / images:
        return float(count)
    variance = count / (count - 1) * float(np.sum(deviations**2)) / images**2
    few_groups = (Z / float(t.ppf(0.975, count - 1))) ** 2
    return float(min(images, share * (1 - share) / max(variance, 1e-12) * few_groups))


def counted_images(images: int, groups: ArrayLike | None) -> str:
    """The denominator in words: `9 images of 5 patients`, or `9 images` where patients are not known."""
    text = f"{images} image{'' if images == 1 else 's'}"
    if groups is None:
        return text
    patients = len(np.unique(np.asarray(groups)))
    return f"{text} of {patients} patient{'' if patients == 1 else 's'}"


def share_interval(correct: ArrayLike, groups: ArrayLike | None = None) -> Interval:
    """95 % interval of a share of images: accuracy, sensitivity, specificity, or a predictive value.

    Images of known patients get `clustered_wilson`, images without patients `wilson_interval`. It does not need a bootstrap:
    its coverage is as good with many patients and better with few (benchmarks/coverage.py).

    Args:
        correct: shape (images,), 0 to 1: whether each image counts, or the share of repetitions in which it does.
        groups: shape (images,), the patient of each image; None if patients are not known, so that images count as independent.

    Raises:
        UndefinedError: there are no images.
    """
    values = np.asarray(correct, dtype=np.float64)
    if not len(values):
        raise UndefinedError("no images")
    counts = counted_images(len(values), groups)
    if groups is None:
        return Interval(*wilson_interval(float(values.sum()), len(values)), "Wilson", counts)
    low, high = clustered_wilson(values, np.asarray(groups))
    is_edge = min(values.mean(), 1 - values.mean()) < TOLERANCE / len(values)
    return Interval(low, high, "Clopper-Pearson, patients" if is_edge else "Wilson, adjusted for patients", counts)


def clustered_mean_interval(values: NDArray[Any], groups: NDArray[Any]) -> tuple[float, float] | None:
    """95 % interval of a mean of images, when images of a group (patient) resemble each other.

    mean ± t(0.975, g - 1) * sqrt(g/(g - 1) * sum((sum of a group's deviations)^2)) / images for g groups: the linearised
    variance of `clustered_wilson`. With one image per group, it is Student's interval.

    Args:
        values: shape (images,).
        groups: shape (images,), the group of each image.

    Returns:
        Lower and upper end; None with fewer than two groups.
    """
    _, group_of_image = np.unique(groups, return_inverse=True)
    count = int(group_of_image.max()) + 1 if len(values) else 0
    if count < 2:
        return None
    mean = float(np.mean(values))
    deviations = np.bincount(group_of_image, np.asarray(values, np.float64) - mean)
    half = float(t.ppf(0.975, count - 1)) * sqrt(count / (count - 1) * float(np.sum(deviations**2))) / len(values)
    return mean - half, mean + half
