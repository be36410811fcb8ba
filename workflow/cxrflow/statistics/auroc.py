"""Areas under the ROC and the precision-recall curve for images of patients: intervals that are never a bare 1 to 1."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, t
from sklearn.metrics import average_precision_score

from cxrflow.statistics.intervals import TOLERANCE, Interval, UndefinedError, Z, counted_images, wilson_interval

Numbers = NDArray[np.float64]


def clustered_delong(
    is_class: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None
) -> tuple[Numbers, Numbers]:
    """Compute the AUCs of classifiers on the same images, and their covariance for images of patients.

    Without patients it is the method of DeLong et al.; a patient may have images with and without the class.

    Sources: N. A. Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53 (1997); E. R. DeLong,
    D. M. DeLong and D. L. Clarke-Pearson, Biometrics 44 (1988).

    Args:
        is_class: shape (images,), whether each image is of the class.
        scores: shape (classifiers, images), higher for images that are more likely of the class. Equal ones count one half.
        groups: shape (images,), the patient of each image; by default each image is a patient.

    Returns:
        AUCs, shape (classifiers,), and their covariance, shape (classifiers, classifiers).

    Raises:
        UndefinedError: fewer than two patients have images of the class, or images without it.
    """
    found = _components(is_class, scores, groups)
    of_class, of_others, of_both = _covariances(found)
    return found.auc, of_class + of_others + of_both


def auroc_interval(is_class: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None) -> Interval:
    """95 % interval of an AUC: Wilson's with the effective number of images that follows from the clustered DeLong variance.

    The effective number is AUC * (1 - AUC) / variance, times (z / t)^2 with Satterthwaite's degrees of freedom from the
    patients of both kinds, and at most the number of patients. A perfect AUC shows no variance; its lower end is 0.025^(1/n)
    for n patients of the rarer kind, since n independent pairs of patients are all in order. benchmarks/coverage.py measures
    its coverage.

    Sources: `clustered_delong`; M. Kottas, O. Kuss and A. Zapf, "A modified Wald interval for the area under the ROC curve",
    BMC Med. Res. Methodol. 14 (2014).

    Args:
        is_class: shape (images,), whether each image is of the class.
        scores: shape (images,).
        groups: shape (images,), the patient of each image; by default each image is a patient.

    Raises:
        UndefinedError: see `clustered_delong`.
    """
    found = _components(is_class, np.asarray(scores)[None], groups)
    auc, counts = float(found.auc[0]), counted_images(len(np.asarray(is_class)), groups)
    everyone = found.of_class.shape[1]
    if min(auc, 1 - auc) < TOLERANCE:
        edge = 0.025 ** (1 / min(*found.patients, everyone // 2))
        low, high = (edge, 1.0) if auc > 0.5 else (0.0, 1 - edge)
        return Interval(low, high, "exact bound, patients", counts)
    of_class, of_others, of_both = (float(part[0, 0]) for part in _covariances(found))
    effective = float(everyone)
    if (variance := of_class + of_others + of_both) > 0 and of_class + of_others > 0:
        freedom = (of_class + of_others) ** 2 / sum(
            part**2 / (count - 1) for part, count in zip((of_class, of_others), found.patients, strict=True)
        )
        few = (Z / float(t.ppf(0.975, freedom))) ** 2
        effective = min(effective, auc * (1 - auc) / variance * few)
    return Interval(*wilson_interval(auc * effective, effective), "clustered DeLong, Wilson", counts)


def average_precision_interval(is_class: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None) -> Interval:
    """95 % interval of an average precision: Wilson's for as many images as there are patients of the class.

    K. Boyd, K. H. Eng and C. D. Page, ECML PKDD (2013), compare intervals of the area under precision-recall curves and advise
    a binomial variance with the number of positive images. With patients in place of images it is cautious: 98 to 100 % of the
    intervals contain the true value (benchmarks/coverage.py).

    Args:
        is_class: shape (images,), whether each image is of the class.
        scores: shape (images,), higher for images that are more likely of the class.
        groups: shape (images,), the patient of each image; by default each image is a patient.

    Raises:
        UndefinedError: all or none of the images are of the class.
    """
    is_true = np.asarray(is_class, dtype=np.bool_)
    if is_true.all() or not is_true.any():
        raise UndefinedError("all images are of the class" if is_true.all() else "no image is of the class")
    precision = float(average_precision_score(is_true, np.asarray(scores, dtype=np.float64)))
    patients = int(is_true.sum()) if groups is None else len(np.unique(np.asarray(groups)[is_true]))
    counts = counted_images(len(is_true), groups)
    if 1 - precision < TOLERANCE:
        return Interval(0.025 ** (1 / patients), 1.0, "Clopper-Pearson, patients", counts)
    return Interval(*wilson_interval(precision * patients, patients), "Wilson, patients of the class", counts)


@dataclass(frozen=True)
class _Components:
    """AUCs, and for each patient the sum of the deviations of its images' components, divided by the number of images.

    Deviations have the shape (classifiers, patients) and are 0 for patients without such images.
    """

    auc: Numbers
    of_class: Numbers
    of_others: Numbers
    patients: tuple[int, int]
    """Patients with images of the class, and with other images."""


def _components(is_class: ArrayLike, scores: ArrayLike, groups: ArrayLike | None) -> _Components:
    """Compute them from midranks, without comparing all pairs: X. Sun and W. Xu, IEEE Signal Process. Lett. 21 (2014)."""
    is_true, values = np.asarray(is_class, dtype=np.bool_), np.asarray(scores, dtype=np.float64)
    _, group = np.unique(np.arange(len(is_true)) if groups is None else np.asarray(groups), return_inverse=True)
    patients = len(np.unique(group[is_true])), len(np.unique(group[~is_true]))
    for count, what in zip(patients, ("images of the class", "images without it"), strict=True):
        if count < 2:
            raise UndefinedError(f"the AUC needs {what} from at least two patients, not {count}")
    ranks = rankdata(values, axis=1)
    # For each image of the class the share of others below it, and for each other image the share of the class above it.
    above = (ranks[:, is_true] - rankdata(values[:, is_true], axis=1)) / (~is_true).sum()
    below = 1 - (ranks[:, ~is_true] - rankdata(values[:, ~is_true], axis=1)) / is_true.sum()
    auc = above.mean(axis=1)
    of_class, of_others = (
        np.array([np.bincount(group[of], row, int(group.max()) + 1) for row in part - auc[:, None]]) / of.sum()
        for part, of in ((above, is_true), (below, ~is_true))
    )
    return _Components(auc, of_class, of_others, patients)


def _covariances(found: _Components) -> tuple[Numbers, Numbers, Numbers]:
    """Covariance due to patients with images of the class, due to those with others, and of both for patients with both."""
    of_class, of_others = (
        count / (count - 1) * part @ part.T
        for part, count in zip((found.of_class, found.of_others), found.patients, strict=True)
    )
    cross = found.of_class @ found.of_others.T
    count = found.of_class.shape[1]
    return of_class, of_others, count / (count - 1) * (cross + cross.T)
