"""Metrics of classifiers on arrays: those of predicted labels, of probabilities, and the losses of single images.

Classes are integers from 0 to k - 1. A metric that is not defined, such as the sensitivity of a class without images, is NaN.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

Numbers = NDArray[np.float64]

LEAST_PROBABILITY = float(np.finfo(np.float64).tiny)
"""Smaller probabilities count as this one, 2.2e-308, so that a loss is at most 708 and never infinite."""


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, classes: int, weights: ArrayLike | None = None) -> Numbers:
    """Count images by true class (rows) and predicted class (columns).

    Args:
        truth, predicted: shape (images,), 0 to classes - 1.
        classes: k.
        weights: how often each image counts, shape (images,) or (draws, images); by default once.

    Returns:
        Shape (k, k) or (draws, k, k).
    """
    cells = np.asarray(truth, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    one_hot = np.eye(classes * classes)[cells]
    counts = one_hot.sum(axis=0) if weights is None else np.asarray(weights, dtype=np.float64) @ one_hot
    return np.asarray(counts).reshape(*counts.shape[:-1], classes, classes)


def label_metrics(confusion: ArrayLike) -> dict[str, Numbers]:
    """Compute the metrics of predicted labels from one or many confusion matrices.

    They are those of scikit-learn, for many matrices at a time: `balanced_accuracy` is the mean sensitivity of the classes
    that have images, macro F1 the mean over classes that have images or predictions, weighted F1 the mean over images. Kappa is
    Cohen's, `matthews` the multi-class Matthews correlation, 0 if truth or prediction is constant.

    Args:
        confusion: shape (..., k, k), rows are true classes; counts of images, at least one.

    Returns:
        accuracy, balanced_accuracy, macro_f1, weighted_f1, kappa and matthews, shape (...,); and for each class against all
        others sensitivity, specificity, ppv, npv and f1, shape (..., k). 0 to 1; kappa and matthews -1 to 1.
    """
    matrix = np.asarray(confusion, dtype=np.float64)
    total = matrix.sum(axis=(-2, -1))
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    of_truth, of_prediction = matrix.sum(axis=-1), matrix.sum(axis=-2)
    negative = total[..., None] - of_truth - of_prediction + right
    sensitivity, f1 = _ratio(right, of_truth), _ratio(2 * right, of_truth + of_prediction)
    accuracy = _ratio(right.sum(axis=-1), total)
    by_chance = (of_truth * of_prediction).sum(axis=-1) / total**2
    spread = (total**2 - (of_truth**2).sum(axis=-1)) * (total**2 - (of_prediction**2).sum(axis=-1))
    covariance = total * right.sum(axis=-1) - (of_truth * of_prediction).sum(axis=-1)
    is_seen = of_truth > 0
    return {
        "accuracy": accuracy,
        "balanced_accuracy": _mean(sensitivity, is_seen),
        "macro_f1": _mean(f1, of_truth + of_prediction > 0),
        "weighted_f1": np.where(is_seen, f1 * of_truth, 0).sum(axis=-1) / total,
        "kappa": _ratio(accuracy - by_chance, 1 - by_chance),
        "matthews": np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1)), 0),
        "sensitivity": sensitivity,
        "specificity": _ratio(negative, total[..., None] - of_truth),
        "ppv": _ratio(right, of_prediction),
        "npv": _ratio(negative, total[..., None] - of_prediction),
        "f1": f1,
    }


def probability_metrics(truth: ArrayLike, probabilities: ArrayLike) -> dict[str, Any]:
    """Compute the metrics of probabilities.

    Args:
        truth: shape (images,).
        probabilities: shape (images, k), rows sum to 1.

    Returns:
        log_loss (natural logarithm, 0 to 708) and brier (0 to 2); auroc and average_precision of each class against all others,
        shape (k,), NaN for a class without images or with all of them; macro_auroc and macro_average_precision, their means
        over the other classes, NaN if there are none.
    """
    labels, shares = np.asarray(truth, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    auroc, precision = np.full(shares.shape[1], np.nan), np.full(shares.shape[1], np.nan)
    for place in range(shares.shape[1]):
        is_class = labels == place
        if 0 < is_class.sum() < len(labels):
            auroc[place] = roc_auc_score(is_class, shares[:, place])
            precision[place] = average_precision_score(is_class, shares[:, place])
    is_known = np.isfinite(auroc)
    return {
        "log_loss": float(log_losses(labels, shares).mean()),
        "brier": float(brier_scores(labels, shares).mean()),
        "auroc": auroc,
        "average_precision": precision,
        "macro_auroc": float(_mean(auroc, is_known)),
        "macro_average_precision": float(_mean(precision, is_known)),
    }


def log_losses(truth: ArrayLike, probabilities: ArrayLike) -> Numbers:
    """Cross-entropy of each image, shape (images,), 0 to 708: minus the natural logarithm of its class's probability.

    Probabilities from logits in double precision (`cxrflow.evaluation.predict.probabilities_from_logits`) give the loss that
    Keras computes from logits, without its limit of 16.1 for probabilities.
    """
    shares = np.asarray(probabilities, dtype=np.float64)
    own = shares[np.arange(len(shares)), np.asarray(truth, dtype=np.int64)]
    return -np.log(np.clip(own, LEAST_PROBABILITY, 1))


def brier_scores(truth: ArrayLike, probabilities: ArrayLike) -> Numbers:
    """Brier score of each image, shape (images,), 0 to 2: the squared distances of the probabilities from 0 and 1.

    It is the original, multi-class score of G. W. Brier, Mon. Weather Rev. 78 (1950): twice the one of two classes that
    scikit-learn computes by default.
    """
    shares = np.asarray(probabilities, dtype=np.float64)
    return ((shares - np.eye(shares.shape[1])[np.asarray(truth, dtype=np.int64)]) ** 2).sum(axis=1)


def predictive_values(sensitivity: ArrayLike, specificity: ArrayLike, prevalence: ArrayLike) -> Mapping[str, Numbers]:
    """Compute `ppv` and `npv` at other prevalences by Bayes' theorem.

    Args:
        sensitivity, specificity: 0 to 1, of shapes that NumPy can broadcast.
        prevalence: share of the class among those tested, 0 to 1.

    Returns:
        Values of the common shape; NaN where nothing would be predicted positive, or negative.
    """
    right, cleared_share, share = (np.asarray(one, dtype=np.float64) for one in (sensitivity, specificity, prevalence))
    found, missed = right * share, (1 - right) * share
    cleared, alarms = cleared_share * (1 - share), (1 - cleared_share) * (1 - share)
    return {"ppv": _ratio(found, found + alarms), "npv": _ratio(cleared, cleared + missed)}


def _ratio(part: Numbers, whole: Numbers) -> Numbers:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _mean(values: Numbers, is_used: NDArray[np.bool_]) -> Numbers:
    return _ratio(np.where(is_used, values, 0).sum(axis=-1), is_used.sum(axis=-1).astype(np.float64))
