"""Several trainings (seeds) of one experiment on the same test images: the mean, the ensemble, the run in the middle."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import t

from cxrflow.io.words import counted
from cxrflow.statistics.intervals import TOLERANCE, Interval, UndefinedError, Z, counted_images, wilson_interval

Numbers = NDArray[np.float64]

LEAST_SEEDS = 3
"""Two seeds show too little of the spread between seeds: intervals would be too narrow, and tests find too much."""


@dataclass(frozen=True)
class CrossedMean:
    """A mean over seeds and images, and its variance, see `crossed_mean`."""

    mean: float
    variances: tuple[float, float]
    """Due to patients, and due to seeds; their sum is the variance of the mean."""
    freedom: tuple[int, int]
    """Degrees of freedom of both."""

    @property
    def standard_error(self) -> float:
        """The square root of the variance; 0 if there is no spread at all."""
        return float(np.sqrt(sum(self.variances)))

    def quantile(self, level: float = 0.05) -> float:
        """In place of 1.96: half the width of a 1 - level interval, in standard errors, which must not be 0."""
        return float(np.average(t.isf(level / 2, self.freedom), weights=self.variances))

    def common_freedom(self) -> float:
        """Satterthwaite's degrees of freedom of the sum of both variances, which must not be 0."""
        shares = np.array(self.variances) / sum(self.variances)
        return float(1 / np.sum(shares**2 / np.array(self.freedom)))

    def p_value(self) -> float:
        """Two-sided, of the hypothesis that the mean is 0; it is 0 without any spread, unless the mean is 0, too."""
        if self.standard_error == 0 or self.mean == 0:
            return float(self.mean == 0)
        statistic = abs(self.mean) / self.standard_error
        if self.quantile(1e-15) < statistic:
            return 0.0
        return float(brentq(lambda level: self.quantile(level) - statistic, 1e-15, 1.0))


def crossed_mean(values: ArrayLike, groups: ArrayLike | None = None) -> CrossedMean:
    """Compute a mean over seeds and images, and its variance for other seeds and other patients.

    It is the variance due to patients (between their sums, as in `clustered_wilson`) plus that due to seeds (between their
    means). What is random in single cells is part of both and counts twice, so the sum is slightly too large. The quantile is
    that of W. G. Cochran and G. M. Cox, "Experimental designs" (1957), section 4.14: the mean of Student's quantiles with
    patients - 1 and seeds - 1 degrees of freedom, weighted by the two variances.

    Args:
        values: shape (seeds, images), such as 0 or 1 for a wrong or right prediction.
        groups: shape (images,), the patient of each image; by default each image is a patient.

    Raises:
        UndefinedError: there are fewer than three seeds, or fewer than two patients.
    """
    table = np.asarray(values, dtype=np.float64)
    seeds, images = table.shape
    _, group = np.unique(np.arange(images) if groups is None else np.asarray(groups), return_inverse=True)
    patients = int(group.max(initial=-1)) + 1
    if seeds < LEAST_SEEDS:
        raise UndefinedError(f"{counted(seeds, 'seed')}; at least {LEAST_SEEDS} are needed to know the spread")
    if patients < 2:
        raise UndefinedError(f"{counted(patients, 'patient')}; at least 2 are needed to know the spread")
    mean = float(table.mean())
    of_patients = np.bincount(group, table.mean(axis=0) - mean)
    due_to_patients = patients / (patients - 1) * float(np.sum(of_patients**2)) / images**2
    due_to_seeds = float(np.var(table.mean(axis=1), ddof=1)) / seeds
    if due_to_patients + due_to_seeds < TOLERANCE**2:  # rounding errors
        due_to_patients = due_to_seeds = 0.0
    return CrossedMean(mean, (due_to_patients, due_to_seeds), (patients - 1, seeds - 1))


def seed_mean_interval(correct: ArrayLike, groups: ArrayLike | None = None) -> Interval:
    """95 % interval of the mean accuracy over seeds, for other seeds and other patients.

    It is Wilson's interval with the effective number of images that follows from the variance of `crossed_mean`, with
    Satterthwaite's degrees of freedom; at most twice the number of images, though seeds that err on different images know
    more. If all or none are correct, it is that of Clopper and Pearson for the number of patients. benchmarks/coverage.py
    compares its coverage with that of the better known `crossed_bootstrap`, which is too narrow.

    Args:
        correct: shape (seeds, images), 0 or 1.
        groups: shape (images,), the patient of each image; by default each image is a patient.

    Raises:
        UndefinedError: see `crossed_mean`.
    """
    table = np.asarray(correct, dtype=np.float64)
    found = crossed_mean(table, groups)
    seeds, images = table.shape
    basis = f"{counted_images(images, groups)}, {counted(seeds, 'seed')}"
    share = found.mean
    if min(share, 1 - share) < TOLERANCE / images:
        patients = images if groups is None else len(np.unique(np.asarray(groups)))
        edge = 0.025 ** (1 / patients)
        low, high = (edge, 1.0) if share > 0.5 else (0.0, 1 - edge)
        return Interval(low, high, "Clopper-Pearson, patients", basis)
    effective = 2.0 * images
    if found.standard_error > 0:
        quantile = float(t.ppf(0.975, found.common_freedom()))
        effective = min(effective, share * (1 - share) * (Z / quantile / found.standard_error) ** 2)
    return Interval(*wilson_interval(share * effective, effective), "Wilson, adjusted for seeds and patients", basis)


def ensemble(probabilities: ArrayLike) -> Numbers:
    """Mean probabilities of all seeds, shape (images, k), from shape (seeds, images, k)."""
    return np.asarray(probabilities, dtype=np.float64).mean(axis=0)


def median_run(values: ArrayLike) -> int:
    """The place of the run that stands for all: the one with the median value, the lower of two; of equal ones the first.

    Args:
        values: one for each run, at least one; such as their accuracies.
    """
    numbers = np.asarray(values, dtype=np.float64)
    middle = np.sort(numbers)[(len(numbers) - 1) // 2]
    return int(np.argmax(numbers == middle))
