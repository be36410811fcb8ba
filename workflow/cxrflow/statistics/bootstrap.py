"""Intervals of metrics that have no formula: patients are resampled or, where they are few, drawn from smoothed shares."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxrflow.statistics.intervals import TOLERANCE, Interval, UndefinedError, counted_images, effective_images
from cxrflow.statistics.metrics import confusion_matrix

Numbers = NDArray[np.float64]

DRAWS = 2000
FEW_PATIENTS = 100
"""With fewer patients in a class, resampling them gives intervals that are too narrow: 89 % with 60 and few errors."""
MOST_WIDENING = 100
"""An interval of a loss whose upper end is farther above it, as a factor, is not shown."""
WEIGHTED_PATIENTS = "Bayesian patient bootstrap"
DRAWS_AT_ONCE = 100
"""Of weights of patients, which take 80 MB for 100,000 patients."""
LEAST_PATIENTS_OF_LOSSES = 100
"""With fewer patients, intervals of a mean loss contain the true one in less than 90 % (benchmarks/coverage.py)."""


def resampled_patients(classes: ArrayLike, groups: ArrayLike, draws: int = DRAWS, seed: int = 0) -> NDArray[np.int64]:
    """Resample the patients of each class with replacement: how often each image counts in each draw.

    Args:
        classes: shape (images,), the class of each image. Images of a patient in two classes count as two patients.
        groups: shape (images,), the patient of each image.
        draws: number of bootstrap samples.
        seed: of the draws.

    Returns:
        Shape (draws, images).
    """
    _, label = np.unique(np.asarray(classes), return_inverse=True)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    random = np.random.default_rng(seed)
    counts = np.zeros((draws, len(label)), dtype=np.int64)
    for place in range(int(label.max()) + 1):
        own = label == place
        _, unit = np.unique(group[own], return_inverse=True)
        units = int(unit.max()) + 1
        counts[:, own] = random.multinomial(units, np.full(units, 1 / units), size=draws)[:, unit]
    return counts


def drawn_confusions(
    truth: ArrayLike, predicted: ArrayLike, classes: int, groups: ArrayLike | None = None, draws: int = DRAWS
) -> tuple[Numbers, str]:
    """Draw confusion matrices that other images of as many patients might give.

    If each class has at least 100 patients, the patients of each class are resampled. Otherwise each row of the matrix is drawn
    from its posterior distribution, a Dirichlet distribution with the prior 2/k^2 for each of k classes: this is Jeffreys'
    interval for two classes, and never a single value for a class without errors. Larger priors of many classes would shift
    the mean of all rows by more than its spread. The number of images in a row is then the effective one
    (`cxrflow.statistics.intervals.effective_images`). benchmarks/coverage.py measures its coverage.

    Sources: O. Caelen, "A Bayesian interpretation of the confusion matrix", Ann. Math. Artif. Intell. 81 (2017); L. D. Brown,
    T. T. Cai and A. DasGupta, "Interval estimation for a binomial proportion", Stat. Sci. 16 (2001).

    Args:
        truth, predicted: shape (images,), integers from 0 to classes - 1.
        classes: k.
        groups: shape (images,), the patient of each image; by default each image is a patient.
        draws: number of matrices; the random numbers are the same in every call.

    Returns:
        Shape (draws, k, k), each row with its number of images; and the name of the method.

    Raises:
        UndefinedError: there are no images.
    """
    labels, guesses = np.asarray(truth, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if not len(labels):
        raise UndefinedError("no images")
    patients = np.arange(len(labels)) if groups is None else np.asarray(groups)
    present = np.unique(labels)
    if min(len(np.unique(patients[labels == place])) for place in present) >= FEW_PATIENTS:
        weights = resampled_patients(labels, patients, draws)
        return confusion_matrix(labels, guesses, classes, weights), "patient bootstrap"
    random = np.random.default_rng(0)
    matrices = np.zeros((draws, classes, classes))
    for place in present:
        own = labels == place
        shares = np.bincount(guesses[own], minlength=classes) / own.sum()
        effective = effective_images(guesses[own] == place, patients[own])
        matrices[:, place] = random.dirichlet(shares * effective + 2 / classes**2, size=draws) * own.sum()
    return matrices, "Dirichlet" if groups is None else "Dirichlet, adjusted for patients"


def metric_interval(
    metric: Callable[[Numbers], Numbers],
    truth: ArrayLike,
    predicted: ArrayLike,
    classes: int,
    groups: ArrayLike | None = None,
) -> Interval:
    """95 % interval of a metric of predicted labels: balanced accuracy, F1, kappa, Matthews correlation.

    It is the percentile interval of `drawn_confusions`, extended to the metric itself where this is outside, as for perfect
    predictions. Shares such as accuracy and sensitivity have a formula: `cxrflow.statistics.intervals.share_interval`.

    Args:
        metric: from matrices, shape (draws, k, k), to values, shape (draws,): `lambda m: label_metrics(m)["macro_f1"]`.
        truth, predicted, classes, groups: see `drawn_confusions`.

    Raises:
        UndefinedError: the metric is not defined for these images, or for more than 2.5 % of the draws.
    """
    own = float(metric(confusion_matrix(truth, predicted, classes)[None])[0])
    if np.isnan(own):
        raise UndefinedError("the metric is not defined for these images")
    matrices, method = drawn_confusions(truth, predicted, classes, groups)
    return interval_of_draws(own, metric(matrices), method, counted_images(len(np.asarray(truth)), groups))


def interval_of_draws(own: float, draws: ArrayLike, method: str, counts: str) -> Interval:
    """95 % percentile interval of a metric from its values for the matrices of `drawn_confusions`.

    Args:
        own: the metric itself, which the interval contains.
        draws: its value for each matrix; NaN where it is not defined.
        method, counts: see `Interval`.

    Raises:
        UndefinedError: the metric is not defined for these images, or for more than 2.5 % of the draws.
    """
    if np.isnan(own):
        raise UndefinedError("the metric is not defined for these images")
    values = np.asarray(draws)
    undefined = float(np.mean(np.isnan(values)))
    if undefined > 0.025:
        raise UndefinedError(f"the metric is not defined in {undefined:.0%} of the bootstrap samples")
    low, high = np.nanquantile(values, [0.025, 0.975])
    if high - low < TOLERANCE:
        raise UndefinedError("all bootstrap samples have the same value")
    return Interval(min(float(low), own), max(float(high), own), method, counts)


def mean_interval(values: ArrayLike, classes: ArrayLike, groups: ArrayLike | None = None) -> Interval:
    """95 % interval of a mean of values from 0 to 1, such as shares of neighbours: the Bayesian bootstrap of patients.

    In each class, which keeps its share of the images, patients get random weights (a Dirichlet distribution) instead of being
    drawn with replacement. Two more patients, one with the value 0 and one with 1, have a weight of 1/2 divided by the number
    of classes: without them, intervals of few patients or of means near 0 or 1 are too narrow (coverage down to 86 %), and a
    mean of exactly 1 would have none. In several classes, weights of few patients vary slightly more, since the variance
    within each class is estimated. For 0 and 1 in one class, one image a patient, it is Jeffreys' interval. It is extended to
    the mean itself where this is outside. benchmarks/coverage.py measures its coverage.

    Sources: D. B. Rubin, "The Bayesian bootstrap", Ann. Stat. 9 (1981); P. Muliere and P. Secchi, "Bayesian nonparametric
    predictive inference and bootstrap techniques", Ann. Inst. Stat. Math. 48 (1996).

    Args:
        values: shape (images,), 0 to 1.
        classes: shape (images,), the class of each image. Images of a patient in two classes count as two patients.
        groups: shape (images,), the patient of each image; None if patients are not known, so that images count as independent.

    Raises:
        UndefinedError: there are no images.
    """
    numbers, of_class = np.asarray(values, dtype=np.float64), np.asarray(classes)
    if not len(numbers):
        raise UndefinedError("no images")
    patients = np.arange(len(numbers)) if groups is None else np.asarray(groups)
    present = np.unique(of_class)
    means = np.zeros(DRAWS)
    random = np.random.default_rng(0)
    for name in present:
        own = of_class == name
        _, group = np.unique(patients[own], return_inverse=True)
        sizes = np.bincount(group)
        added = sizes.mean()
        sums = np.append(np.bincount(group, numbers[own]), [0, added])
        sizes = np.append(sizes, [added, added])
        of_patient = max(0.5, 1 - 2 * (1 - 1 / len(present)) / (len(sizes) - 2))
        shape = np.append(np.full(len(sizes) - 2, of_patient), np.full(2, 0.5 / len(present)))
        for start in range(0, DRAWS, DRAWS_AT_ONCE):
            weights = random.standard_gamma(shape, (DRAWS_AT_ONCE, len(shape)))
            means[start : start + DRAWS_AT_ONCE] += own.mean() * (weights @ sums) / (weights @ sizes)
    low, high = np.quantile(means, [0.025, 0.975])
    mean = float(numbers.mean())
    counts = counted_images(len(numbers), groups)
    return Interval(min(float(low), mean), max(float(high), mean), WEIGHTED_PATIENTS, counts)


def mean_loss_interval(losses: ArrayLike, groups: ArrayLike | None = None, draws: int = DRAWS) -> Interval:
    """95 % interval of a mean loss (log loss, Brier score) over patients: the studentised bootstrap of its logarithm.

    It is above 0, and asymmetric as losses are. Among intervals for such skewed data its coverage is the best
    (benchmarks/coverage.py). Source: B. Efron and R. J. Tibshirani, "An introduction to the bootstrap" (1993), section 12.5.

    Args:
        losses: shape (images,), at least 0.
        groups: shape (images,), the patient of each image; by default each image is a patient.
        draws: number of bootstrap samples, the same in each call.

    Raises:
        UndefinedError: there are fewer than 100 patients, or very few have nearly all of the loss, so that no interval is
            reliable; or all losses are equal.
    """
    values = np.asarray(losses, dtype=np.float64)
    _, group = np.unique(np.arange(len(values)) if groups is None else np.asarray(groups), return_inverse=True)
    patients = int(group.max(initial=-1)) + 1
    if patients < LEAST_PATIENTS_OF_LOSSES:
        raise UndefinedError(
            f"{patients} patients are too few for an interval of a mean loss, which single images decide; at least "
            f"{LEAST_PATIENTS_OF_LOSSES} are needed"
        )
    if np.ptp(values) < TOLERANCE * max(values.max(), TOLERANCE):
        raise UndefinedError("all images have the same loss")
    sums = np.bincount(group, values)
    low, high = _studentised(sums, np.bincount(group).astype(float), draws)
    return Interval(low, high, "studentised patient bootstrap of the logarithm", counted_images(len(values), groups))


def _studentised(sums: NDArray[Any], sizes: NDArray[Any], draws: int) -> tuple[float, float]:
    """Interval of sum(sums) / sum(sizes), positive, from the sums and sizes of patients."""
    patients = len(sums)
    counts = np.random.default_rng(0).multinomial(patients, np.full(patients, 1 / patients), size=draws)
    counts = np.concatenate([np.ones((1, patients)), counts])
    images = counts @ sizes
    means = (counts @ sums) / images
    deviations = (sums - means[:, None] * sizes) ** 2
    errors = np.sqrt(patients / (patients - 1) * (counts * deviations).sum(axis=1)) / images / means
    logs = np.log(means)
    pivots = (logs[1:] - logs[0]) / np.maximum(errors[1:], 1e-12)
    low, high = np.quantile(pivots, [0.025, 0.975])
    if -low * errors[0] > np.log(MOST_WIDENING):
        raise UndefinedError("very few patients have nearly all of the loss, so that its mean is hardly known")
    return float(np.exp(logs[0] - high * errors[0])), float(np.exp(logs[0] - low * errors[0]))
