"""Metrics and calibration, against published examples, scikit-learn, statsmodels and Keras."""

import numpy as np
import pytest
import statsmodels.api as sm
from cxrflow.statistics.calibration import (
    at_temperature,
    calibration_curve,
    calibration_slope,
    fit_temperature,
    temperature_scaled,
)
from cxrflow.statistics.intervals import UndefinedError
from cxrflow.statistics.metrics import (
    brier_scores,
    confusion_matrix,
    label_metrics,
    log_losses,
    predictive_values,
    probability_metrics,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn import metrics as peer
from sklearn.calibration import calibration_curve as curve_of_scikit_learn
from statsmodels.stats.inter_rater import cohens_kappa

LABELS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=40)
WIKIPEDIA = [[6, 2], [1, 3]]
"""Cats and dogs, the example of Wikipedia's "Phi coefficient": 6 true positives, 2 false negatives, 1 false positive, 3."""
RARE_DISEASE = [[20, 10], [180, 1820]]
"""2,030 patients, 30 with bowel cancer: the worked example of Wikipedia's "Sensitivity and specificity"."""


def drawn(seed: int, images: int = 200, classes: int = 3, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities and classes drawn from them; `sharpness` multiplies the logits afterwards."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, size=(images, classes))
    chances = softmax(logits, axis=1)
    truth = (chances.cumsum(axis=1) > random.random((images, 1))).argmax(axis=1)
    return truth, softmax(sharpness * logits, axis=1)


def test_known_answer_matthews_correlation_of_cats_and_dogs():
    assert label_metrics(WIKIPEDIA)["matthews"] == pytest.approx(0.478, abs=0.0005)


def test_known_answer_sensitivity_specificity_and_predictive_values_of_a_screening_test():
    found = {name: values[0] for name, values in label_metrics(RARE_DISEASE).items() if values.ndim}
    assert found["sensitivity"] == pytest.approx(0.667, abs=0.0005)
    assert found["specificity"] == pytest.approx(0.91, abs=0.0005)
    assert found["ppv"] == pytest.approx(0.10, abs=0.0005)
    assert found["npv"] == pytest.approx(0.995, abs=0.0006)
    assert found["f1"] == pytest.approx(0.174, abs=0.0005)


def test_known_answer_kappa_of_two_readers_of_grants():
    """Wikipedia's "Cohen's kappa": 20 and 15 of 50 agreed on, 5 and 10 not: p_o 0.7, p_e 0.5, kappa 0.4."""
    assert label_metrics([[20, 5], [10, 15]])["kappa"] == pytest.approx(0.4)


@pytest.mark.parametrize("table", [[[45, 15], [25, 15]], [[25, 35], [5, 35]]])
def test_known_answer_kappa_of_statsmodels(table):
    """0.1304 and 0.2593, also in Wikipedia: the same accuracy, other margins."""
    assert label_metrics(table)["kappa"] == pytest.approx(cohens_kappa(np.array(table)).kappa)
    assert label_metrics(table)["accuracy"] == 0.6


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_known_answer_label_metrics_of_scikit_learn(pairs):
    truth, predicted = map(list, zip(*pairs, strict=True))
    found = label_metrics(confusion_matrix(truth, predicted, 3))
    used = sorted({*truth, *predicted})
    assert found["accuracy"] == pytest.approx(peer.accuracy_score(truth, predicted))
    assert found["macro_f1"] == pytest.approx(peer.f1_score(truth, predicted, average="macro", labels=used))
    assert found["weighted_f1"] == pytest.approx(peer.f1_score(truth, predicted, average="weighted", labels=used))
    recalls = peer.recall_score(truth, predicted, average=None, labels=sorted(set(truth)))
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    np.testing.assert_allclose(found["sensitivity"][sorted(set(truth))], recalls)
    if len(used) > 1:  # otherwise scikit-learn warns
        assert found["matthews"] == pytest.approx(peer.matthews_corrcoef(truth, predicted))
        assert found["kappa"] == pytest.approx(peer.cohen_kappa_score(truth, predicted))
    precisions = peer.precision_score(truth, predicted, average=None, labels=sorted(set(predicted)))
    np.testing.assert_allclose(found["ppv"][sorted(set(predicted))], precisions)


@settings(max_examples=30, deadline=None)
@given(LABELS, st.integers(0, 2))
def test_known_answer_specificity_and_npv_are_those_of_the_other_class(pairs, place):
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    found = label_metrics(confusion_matrix(truth, predicted, 3))
    for name, sides in {
        "specificity": (truth != place, predicted != place),
        "npv": (predicted != place, truth != place),
    }.items():
        if sides[0].any():
            assert found[name][place] == pytest.approx(peer.recall_score(*sides))
        else:
            assert np.isnan(found[name][place])


def test_known_answer_many_matrices_at_a_time():
    weights = np.random.default_rng(0).integers(0, 4, size=(20, 30))
    truth, predicted = np.arange(30) % 3, np.arange(30) % 4 % 3
    together = label_metrics(confusion_matrix(truth, predicted, 3, weights))
    for place, row in enumerate(weights):
        repeated = np.repeat(truth, row), np.repeat(predicted, row)
        assert together["kappa"][place] == pytest.approx(peer.cohen_kappa_score(*repeated))
        assert together["matthews"][place] == pytest.approx(peer.matthews_corrcoef(*repeated))


def test_known_answer_undefined_metrics_are_not_numbers():
    found = label_metrics([[5, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert found["accuracy"] == found["balanced_accuracy"] == found["macro_f1"] == 1
    assert np.isnan(found["kappa"]) and found["matthews"] == 0
    assert np.isnan(found["sensitivity"][1]) and np.isnan(found["ppv"][1]) and np.isnan(found["specificity"][0])


@pytest.mark.parametrize("seed", range(5))
def test_known_answer_probability_metrics_of_scikit_learn(seed):
    truth, chances = drawn(seed, images=60)
    found = probability_metrics(truth, chances)
    assert found["log_loss"] == pytest.approx(peer.log_loss(truth, chances, labels=[0, 1, 2]))
    brier = peer.brier_score_loss(truth, chances, labels=[0, 1, 2], scale_by_half=False)
    assert found["brier"] == pytest.approx(brier)
    assert found["macro_auroc"] == pytest.approx(peer.roc_auc_score(truth, chances, multi_class="ovr"))
    one_hot = np.eye(3)[truth]
    assert found["macro_average_precision"] == pytest.approx(peer.average_precision_score(one_hot, chances))
    np.testing.assert_allclose(found["auroc"], peer.roc_auc_score(one_hot, chances, average=None))


def test_known_answer_auroc_of_a_class_without_images_is_left_out():
    found = probability_metrics([0, 1, 0, 1], [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.4, 0.5, 0.1], [0.1, 0.8, 0.1]])
    assert np.isnan(found["auroc"][2]) and found["macro_auroc"] == 1.0
    assert np.isnan(probability_metrics([0, 0], [[0.8, 0.2], [0.6, 0.4]])["macro_auroc"])


def test_known_answer_log_loss_of_the_logit_20_is_20():
    """Keras gives 16.1 from the probability, and 20.0 from the logit."""
    assert log_losses([1], softmax([[20.0, 0.0]], axis=1))[0] == pytest.approx(20.0, abs=1e-8)
    assert log_losses([0], [[expit(-20.0), expit(20.0)]])[0] == pytest.approx(20.0, abs=1e-8)
    assert log_losses([0], [[0.0, 1.0]])[0] == pytest.approx(708.4, abs=0.1)


def test_known_answer_brier_of_a_forecast_that_is_certain_and_wrong_is_2():
    np.testing.assert_allclose(brier_scores([0, 0, 1], [[1, 0], [0, 1], [0.7, 0.3]]), [0, 2, 2 * 0.7**2])


def test_known_answer_predictive_values_over_prevalence():
    """Eddy (1982): mammography, sensitivity 79.2 %, specificity 90.4 %, 1 % ill: a positive test means 7.7 %."""
    found = predictive_values(0.792, 0.904, [0.01, 0.0, 1.0])
    assert found["ppv"] == pytest.approx([0.077, 0, 1], abs=0.001)
    assert found["npv"] == pytest.approx([0.998, 1, 0], abs=0.001)
    own = label_metrics(RARE_DISEASE)
    at_own = predictive_values(own["sensitivity"][0], own["specificity"][0], 30 / 2030)
    assert at_own["ppv"] == pytest.approx(own["ppv"][0])


def test_known_answer_calibration_curve_of_scikit_learn():
    truth, chances = drawn(1, images=500)
    found = calibration_curve(truth == 0, chances[:, 0], bins=10)
    shares, means = curve_of_scikit_learn(truth == 0, chances[:, 0], n_bins=10)
    np.testing.assert_allclose(found.share, shares)
    np.testing.assert_allclose(found.probability, means)
    assert found.images.sum() == 500


def test_known_answer_expected_calibration_error_by_hand():
    """Bins (0.5, 0.6] and (0.9, 1]: |0.55 - 1/2| * 4/10 + |0.95 - 5/6| * 6/10 = 0.02 + 0.07."""
    is_right = [True, False, True, False] + [True] * 5 + [False]
    found = calibration_curve(is_right, [0.55] * 4 + [0.95] * 6)
    assert found.expected_error == pytest.approx(0.02 + 0.07)
    assert list(found.images) == [4, 6]


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_known_answer_calibration_slope_and_intercept_of_statsmodels(sharpness):
    truth, chances = drawn(2, images=400, classes=2, sharpness=sharpness)
    logits = np.log(chances[:, 1] / chances[:, 0])
    slope, intercept = calibration_slope(truth == 1, chances[:, 1])
    binomial = sm.families.Binomial()
    theirs = sm.GLM(truth, sm.add_constant(logits), family=binomial).fit().params
    assert slope == pytest.approx(theirs[1], abs=1e-4)
    at_large = sm.GLM(truth, np.ones(400), family=binomial, offset=logits).fit().params
    assert intercept == pytest.approx(at_large[0], abs=1e-6)
    assert slope == pytest.approx(1 / sharpness, abs=0.25)


def test_known_answer_calibration_slope_needs_100_images_of_both_kinds():
    truth, chances = drawn(3, images=100, classes=2)
    calibration_slope(truth, chances[:, 1])
    with pytest.raises(UndefinedError, match="at least 100 images, not 99"):
        calibration_slope(truth[:99], chances[:99, 1])
    with pytest.raises(UndefinedError, match="no image is of the class"):
        calibration_slope(np.zeros(100), chances[:, 1])
    with pytest.raises(UndefinedError, match="separate the classes perfectly"):
        calibration_slope(chances[:, 1] > 0.5, chances[:, 1])


@pytest.mark.parametrize("sharpness", [0.5, 3.0])
def test_known_answer_temperature_undoes_a_known_one(sharpness):
    truth, chances = drawn(4, images=20_000, sharpness=sharpness)
    assert fit_temperature(truth, chances) == pytest.approx(sharpness, rel=0.05)


def test_known_answer_temperature_is_the_best_of_a_grid():
    truth, chances = drawn(5, images=80, sharpness=2)
    grid = np.linspace(1, 4, 151)
    losses = [peer.log_loss(truth, at_temperature(chances, one)) for one in grid]
    assert fit_temperature(truth, chances) == pytest.approx(grid[np.argmin(losses)], abs=0.011)


def test_known_answer_temperature_keeps_classes_and_improves_calibration():
    truth, chances = drawn(6, images=2000, sharpness=4)
    other_truth, other = drawn(7, images=2000, sharpness=4)
    np.testing.assert_array_equal(at_temperature(chances, 3.7).argmax(axis=1), chances.argmax(axis=1))
    np.testing.assert_allclose(at_temperature(chances, 1.0), chances, atol=1e-12)
    found = temperature_scaled(truth, chances, other_truth, other)
    assert found["temperature"] == pytest.approx(4, rel=0.1)
    assert found["log_loss_after"] < found["log_loss_before"]
    assert found["ece_after"] < found["ece_before"] / 2


def test_known_answer_no_temperature_is_best_for_perfect_or_worthless_predictions():
    chances = softmax([[1.0, 0], [0, 1.0], [2.0, 0]], axis=1)
    with pytest.raises(UndefinedError, match="lower ones are always better on these 3 validation images"):
        fit_temperature([0, 1, 0], chances)
    with pytest.raises(UndefinedError, match="higher ones are always better"):
        fit_temperature([1, 0, 1], chances)
