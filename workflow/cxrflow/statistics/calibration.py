"""Calibration: whether images with the probability 0.8 are right 80 times of 100."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.linear_model import LogisticRegression

from cxrflow.statistics.intervals import UndefinedError
from cxrflow.statistics.metrics import LEAST_PROBABILITY, log_losses

Numbers = NDArray[np.float64]

LEAST_IMAGES = 100
"""Calibration slope and intercept of fewer images say next to nothing."""
TEMPERATURES = (0.02, 50.0)
"""The search for a temperature; a minimum at one of its ends is none."""


@dataclass(frozen=True)
class CalibrationCurve:
    """One value for each bin that has images, from low to high probabilities."""

    images: NDArray[np.int64]
    probability: Numbers
    """Mean probability, 0 to 1."""
    share: Numbers
    """Share of images of the class, or that are right, 0 to 1."""

    @property
    def expected_error(self) -> float:
        """ECE: mean distance of probability and share, weighted by images; 0 (calibrated) to 1."""
        return float(np.average(np.abs(self.probability - self.share), weights=self.images))


def bin_places(probability: ArrayLike, bins: int = 10) -> NDArray[np.int64]:
    """The bin of each probability, 0 to bins - 1, in bins of equal width, (0, 0.1] to (0.9, 1]; 0 is in the first bin."""
    return np.clip(np.ceil(np.asarray(probability, dtype=np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)


def calibration_curve(is_class: ArrayLike, probability: ArrayLike, bins: int = 10) -> CalibrationCurve:
    """Compare probabilities with shares in the bins of `bin_places`.

    For the ECE of M. P. Naeini et al., AAAI (2015), and C. Guo et al., ICML (2017), give the largest probability of each image
    and whether its prediction is right. With few images the ECE is biased upwards: even calibrated probabilities have one.

    Args:
        is_class: shape (images,), whether each image is of the class, or right; at least one image.
        probability: shape (images,), 0 to 1.
        bins: number of bins.
    """
    chance, is_true = np.asarray(probability, dtype=np.float64), np.asarray(is_class, dtype=np.float64)
    place = bin_places(chance, bins)
    images = np.bincount(place, minlength=bins)
    used = images > 0
    means = [np.bincount(place, values, bins)[used] / images[used] for values in (chance, is_true)]
    return CalibrationCurve(images[used], *means)


def expected_error_by_chance(probability: ArrayLike, bins: int = 10, draws: int = 1000) -> float:
    """The mean ECE that calibrated probabilities would have on as many images, by chance: the baseline of an ECE.

    J. Vaicenavicius et al., AISTATS (2019), draw labels from the probabilities in the same way, to test calibration.

    Args:
        probability: shape (images,), the largest probability of each image, 0 to 1.
        bins: number of bins.
        draws: number of simulated test sets; the random numbers are the same in every call.
    """
    chance = np.asarray(probability, dtype=np.float64)
    random = np.random.default_rng(0)
    errors = [calibration_curve(random.random(len(chance)) < chance, chance, bins).expected_error for _ in range(draws)]
    return float(np.mean(errors))


def calibration_slope(is_class: ArrayLike, probability: ArrayLike) -> tuple[float, float]:
    """Compute slope and intercept of calibration: 1 and 0 if the probabilities are calibrated.

    The slope is that of a logistic regression of the class on the logit of its probability: below 1 if probabilities are too
    extreme. The intercept is that of a second regression with the slope 1 ("calibration in the large"): below 0 if they are too
    high.

    Sources: D. R. Cox, Biometrika 45 (1958); B. Van Calster et al., "Calibration: the Achilles heel of predictive analytics",
    BMC Med. 17 (2019).

    Args:
        is_class: shape (images,), whether each image is of the class.
        probability: shape (images,), 0 to 1; clipped to 1e-9 from both ends.

    Raises:
        UndefinedError: there are fewer than 100 images, all or none are of the class, all probabilities are the same, or they
            separate the classes perfectly.
    """
    is_true, chance = np.asarray(is_class, dtype=np.bool_), np.asarray(probability, dtype=np.float64)
    if len(is_true) < LEAST_IMAGES:
        raise UndefinedError(f"calibration slope and intercept need at least {LEAST_IMAGES} images, not {len(is_true)}")
    if is_true.all() or not is_true.any():
        raise UndefinedError("all images are of the class" if is_true.all() else "no image is of the class")
    logits = logit(np.clip(chance, 1e-9, 1 - 1e-9))
    if np.ptp(logits) == 0:
        raise UndefinedError("all images have the same probability")
    if logits[is_true].min() >= logits[~is_true].max() or logits[is_true].max() <= logits[~is_true].min():
        raise UndefinedError("the probabilities separate the classes perfectly, so that no slope fits best")
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits[:, None], is_true)
    observed = float(is_true.mean())
    intercept = brentq(lambda shift: float(expit(logits + shift).mean()) - observed, -60, 60)
    return float(fit.coef_[0, 0]), float(intercept)


def fit_temperature(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """Find the temperature that minimises the log loss of validation images; above 1 if probabilities are too extreme.

    Never fit it on the images that it is evaluated on. Source: C. Guo et al., "On calibration of modern neural networks",
    ICML (2017).

    Args:
        truth: classes of the validation images, shape (images,), integers from 0.
        probabilities: shape (images, k). Their logarithms are logits, but for a constant that has no influence.

    Raises:
        UndefinedError: there are no images, or no temperature is best: all are right, so that lower is always better, or the
            probabilities are worthless, so that higher is.
    """
    labels, logs = np.asarray(truth, dtype=np.int64), _logs(probabilities)
    if not len(labels):
        raise UndefinedError("a temperature needs validation images")

    def loss(log_temperature: float) -> float:
        scaled: Any = log_softmax(logs / np.exp(log_temperature), axis=1)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    ends = dict(zip(("lower", "higher"), np.log(TEMPERATURES), strict=True))
    found = float(minimize_scalar(loss, bounds=tuple(ends.values()), method="bounded", options={"xatol": 1e-9}).x)
    for which, end in ends.items():
        if loss(end) <= loss(found) + 1e-12:
            raise UndefinedError(
                f"no temperature is best: {which} ones are always better on these {len(labels)} validation images"
            )
    return float(np.exp(found))


def at_temperature(probabilities: ArrayLike, temperature: float) -> Numbers:
    """Divide the logits of probabilities, shape (images, k), by a temperature; the predicted classes stay the same."""
    return np.asarray(softmax(_logs(probabilities) / temperature, axis=1))


def temperature_scaled(
    truth: ArrayLike, probabilities: ArrayLike, validation_truth: ArrayLike, validation_probabilities: ArrayLike
) -> dict[str, float]:
    """Fit a temperature on validation images and compare the calibration of test images before and after.

    Returns:
        `temperature`; `log_loss_before`, `log_loss_after`, `ece_before` and `ece_after` of the test images.

    Raises:
        UndefinedError: see `fit_temperature`.
    """
    labels, before = np.asarray(truth, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    temperature = fit_temperature(validation_truth, validation_probabilities)
    after = at_temperature(before, temperature)
    found = {"temperature": temperature}
    for when, shares in (("before", before), ("after", after)):
        found[f"log_loss_{when}"] = float(log_losses(labels, shares).mean())
        is_right = shares.argmax(axis=1) == labels
        found[f"ece_{when}"] = calibration_curve(is_right, shares.max(axis=1)).expected_error
    return found


def _logs(probabilities: ArrayLike) -> Numbers:
    return np.log(np.clip(np.asarray(probabilities, dtype=np.float64), LEAST_PROBABILITY, 1))
