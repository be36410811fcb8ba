"""The mean of a metric over the folds of a cross-validation, whose trainings share most of their images."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

from cxrflow.statistics.intervals import TOLERANCE, Interval, UndefinedError

Numbers = NDArray[np.float64]


def corrected_variance(values: ArrayLike, training_images: float, test_images: float) -> float:
    """Variance of the mean over folds, after C. Nadeau and Y. Bengio: (1/J + test / training) * s^2 for J folds.

    The naive s^2 / J is too small, since the trainings share images. Sources: "Inference for the generalization error", Mach.
    Learn. 52 (2003); for repeated cross-validation R. R. Bouckaert and E. Frank, PAKDD (2004).

    Args:
        values: one for each fold of each repeat, shape (J,).
        training_images: mean number of images that a fold is trained on.
        test_images: mean number of images that a fold is tested on.

    Raises:
        UndefinedError: there are fewer than two folds, or all have the same value.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) < 2:
        raise UndefinedError("a mean over folds needs at least two of them")
    if np.ptp(numbers) < TOLERANCE:
        raise UndefinedError(
            "all folds have the same value, so that their spread is unknown; use the interval of the pooled predictions"
        )
    return float((1 / len(numbers) + test_images / training_images) * np.var(numbers, ddof=1))


def fold_mean_interval(
    values: ArrayLike, training_images: float, test_images: float, bounds: tuple[float, float] = (0.0, 1.0)
) -> Interval:
    """95 % interval of the mean over folds: Student's t with J - 1 degrees of freedom and `corrected_variance`.

    Args:
        values, training_images, test_images: see `corrected_variance`.
        bounds: range of the metric; the interval is cut to it. For losses (0, infinity).

    Raises:
        UndefinedError: see `corrected_variance`.
    """
    numbers = np.asarray(values, dtype=np.float64)
    half = float(t.ppf(0.975, len(numbers) - 1)) * np.sqrt(corrected_variance(numbers, training_images, test_images))
    low, high = max(float(numbers.mean() - half), bounds[0]), min(float(numbers.mean() + half), bounds[1])
    return Interval(low, high, "Nadeau-Bengio", f"{len(numbers)} folds")


def corrected_t_test(differences: ArrayLike, training_images: float, test_images: float) -> tuple[float, float]:
    """Test whether two experiments differ on the same folds: Student's t with `corrected_variance`, and its two-sided p-value.

    Repeats share all their images and add no degrees of freedom: those are folds - 1, as many as training / test. With J - 1,
    the size of the test is above 5 % (benchmarks/coverage.py).

    Args:
        differences: of the two experiments, one for each fold of each repeat, shape (J,).
        training_images, test_images: see `corrected_variance`.

    Raises:
        UndefinedError: see `corrected_variance`.
    """
    numbers = np.asarray(differences, dtype=np.float64)
    statistic = float(numbers.mean() / np.sqrt(corrected_variance(numbers, training_images, test_images)))
    freedom = max(min(len(numbers) - 1, training_images / test_images), 1.0)
    return statistic, float(2 * t.sf(abs(statistic), freedom))
