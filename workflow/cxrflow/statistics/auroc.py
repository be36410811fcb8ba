"""The area under the ROC curve for images of patients: its variance, and intervals that never end at a bare 1 to 1."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

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
    is_true, values = np.asarray(is_class, dtype=np.bool_), np.asarray(scores, dtype=np.float64)
    _, group = np.unique(np.arange(len(is_true)) if groups is None else np.asarray(groups), return_inverse=True)
    one_hot = np.eye(int(group.max(initial=-1)) + 1)[group]
    patients = int(one_hot[is_true].any(axis=0).sum()), int(one_hot[~is_true].any(axis=0).sum())
    for count, what in zip(patients, ("images of the class", "images without it"), strict=True):
        if count < 2:
            raise UndefinedError(f"the AUC needs {what} from at least two patients, not {count}")
    first, second = values[:, is_true, None], values[:, None, ~is_true]
    pairs = (first > second) + 0.5 * (first == second)
    auc = pairs.mean(axis=(1, 2))
    of_class = (pairs.mean(axis=2) - auc[:, None]) @ one_hot[is_true] / is_true.sum()
    of_others = (pairs.mean(axis=1) - auc[:, None]) @ one_hot[~is_true] / (~is_true).sum()
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
