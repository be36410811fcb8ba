"""Intervals and predictive sets, against published examples, SciPy, statsmodels, scikit-learn and MLstatkit."""

import numpy as np
import pytest
from cxrflow.statistics.auroc import auroc_interval, clustered_delong
from cxrflow.statistics.bootstrap import (
    drawn_confusions,
    mean_interval,
    mean_loss_interval,
    metric_interval,
    resampled_patients,
)
from cxrflow.statistics.folds import corrected_t_test, corrected_variance, fold_mean_interval
from cxrflow.statistics.intervals import (
    UndefinedError,
    clopper_pearson,
    clustered_wilson,
    crossed_bootstrap,
    effective_images,
    prediction_interval,
    share_interval,
    wilson_interval,
)
from cxrflow.statistics.metrics import label_metrics
from cxrflow.statistics.predictive import decided, predictive_counts, predictive_loss
from cxrflow.statistics.seeds import crossed_mean, ensemble, median_run, seed_mean_interval
from hypothesis import given, settings
from hypothesis import strategies as st
from MLstatkit import Delong_test
from scipy.stats import beta, betabinom, bootstrap, t, ttest_1samp
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

NEWCOMBE = {  # R. G. Newcombe, Stat. Med. 17 (1998) 857, table I: Wilson's score interval and Clopper-Pearson's
    (81, 263): ((0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148): ((0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20): ((0.0, 0.1611), (0.0, 0.1684)),
    (1, 29): ((0.0061, 0.1718), (0.0009, 0.1776)),
}


@pytest.mark.parametrize("counts", NEWCOMBE)
def test_known_answer_wilson_of_newcombe(counts):
    assert wilson_interval(*counts) == pytest.approx(NEWCOMBE[counts][0], abs=5e-5)


@pytest.mark.parametrize("counts", NEWCOMBE)
def test_known_answer_clopper_pearson_of_newcombe(counts):
    assert clopper_pearson(*counts) == pytest.approx(NEWCOMBE[counts][1], abs=5e-5)


@pytest.mark.parametrize(("right", "images"), [(0, 1), (1, 1), (5, 9), (9, 18), (18, 18), (26, 36)])
def test_known_answer_shares_of_statsmodels(right, images):
    assert wilson_interval(right, images) == pytest.approx(proportion_confint(right, images, method="wilson"), abs=1e-6)
    assert clopper_pearson(right, images) == pytest.approx(proportion_confint(right, images, method="beta"), abs=1e-9)


def test_known_answer_lower_ends_of_perfect_counts():
    assert clopper_pearson(5, 5)[0] == pytest.approx(0.478, abs=0.0005)
    assert clopper_pearson(6, 6)[0] == pytest.approx(0.541, abs=0.0005)
    assert clopper_pearson(8, 9)[0] == pytest.approx(0.518, abs=0.0005)
    assert clopper_pearson(18, 18)[0] == pytest.approx(0.815, abs=0.0005)


def test_known_answer_a_rule_is_decided_by_6_of_6_and_8_of_9_but_not_by_5_of_5():
    decisive = {n: min((k for k in range(n + 1) if decided(k, n) == "most"), default=None) for n in range(1, 13)}
    assert decisive == {**dict.fromkeys(range(1, 6)), 6: 6, 7: 7, 8: 8, 9: 8, 10: 9, 11: 10, 12: 10}
    for n in range(1, 13):
        assert [decided(k, n) == "most" for k in range(n + 1)] == [decided(n - k, n) == "few" for k in range(n + 1)]
    assert decided(3, 5) is None
    with pytest.raises(ValueError):
        decided(0, 0)


def test_known_answer_a_perfect_network_is_not_1_to_1():
    """18 of 18 images: 0.82 to 1 if they are independent; 9 images of 5 patients: 0.48 to 1."""
    all_right = share_interval(np.ones(18))
    assert (all_right.low, all_right.high) == (pytest.approx(0.824, abs=0.0005), 1.0)
    assert (all_right.method, all_right.counts) == ("Wilson", "18 images")
    clustered = share_interval(np.ones(9), [0, 0, 1, 1, 2, 2, 3, 3, 4])
    assert (clustered.low, clustered.high) == (pytest.approx(0.478, abs=0.0005), 1.0)
    assert (clustered.method, clustered.counts) == ("Clopper-Pearson, patients", "9 images of 5 patients")
    with pytest.raises(UndefinedError, match="no images"):
        share_interval([])


def test_known_answer_design_effect_of_equal_clusters():
    """For patients of m images, Kish's design effect is 1 + (m - 1) * rho; copies have rho = 1."""
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(4000), 3)
    alike = random.random(12_000) < 0.6
    common = random.random(4000)[patients] < 0.7
    for correct, effect in ((common, 3.0), (random.random(12_000) < 0.7, 1.0)):
        assert 12_000 / effective_images(correct, patients) == pytest.approx(effect, rel=0.06)
    mixed = np.where(random.random(4000)[patients] < 0.5, common, alike)
    assert 1 < 12_000 / effective_images(mixed, patients) < 3


def test_known_answer_delong_of_mlstatkit():
    random = np.random.default_rng(1)
    truth = np.arange(60) % 3 == 0
    scores = random.normal(size=(2, 60)).round(1) + truth * np.array([[1.0], [0.4]])
    z, p, _, _, first, second, _ = Delong_test(truth.astype(int), *scores, return_ci=True)
    auc, covariance = clustered_delong(truth, scores)
    assert auc == pytest.approx([first, second])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert (auc[1] - auc[0]) / np.sqrt(variance) == pytest.approx(z, rel=1e-9)
    assert 0 < p < 1


def test_known_answer_aucs_of_scikit_learn():
    random = np.random.default_rng(2)
    truth, scores = random.random(50) < 0.4, random.normal(size=(3, 50)).round(1)
    expected = [roc_auc_score(truth, row) for row in scores]
    assert clustered_delong(truth, scores, np.arange(50) // 2)[0] == pytest.approx(expected)


def test_known_answer_clustered_delong_counts_copies_once():
    random = np.random.default_rng(3)
    truth = random.random(40) < 0.5
    scores, patients = random.normal(size=(2, 40)) + truth, np.arange(40)
    once = clustered_delong(truth, scores, patients)[1]
    np.testing.assert_allclose(clustered_delong(np.tile(truth, 3), np.tile(scores, 3), np.tile(patients, 3))[1], once)


def test_known_answer_clustered_delong_agrees_with_a_patient_bootstrap():
    """Patients have images of both kinds, so that the covariance of both counts."""
    random = np.random.default_rng(4)
    patients = np.repeat(np.arange(60), 3)
    truth = random.random(180) < 0.4
    scores = random.normal(size=60)[patients] + random.normal(size=180) + truth
    variance = clustered_delong(truth, scores[None], patients)[1][0, 0]
    drawn = []
    for _ in range(800):
        chosen = (3 * random.integers(0, 60, 60)[:, None] + np.arange(3)).ravel()
        drawn.append(clustered_delong(truth[chosen], scores[None, chosen], np.repeat(np.arange(60), 3))[0][0])
    assert np.var(drawn) == pytest.approx(variance, rel=0.2)


def test_known_answer_a_perfect_auc_is_not_1_to_1():
    truth = np.array([True] * 9 + [False] * 9)
    patients = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, *range(10, 19)])
    found = auroc_interval(truth, np.arange(18)[::-1], patients)
    assert (found.low, found.high) == (pytest.approx(0.025 ** (1 / 5)), 1.0)
    assert found.counts == "18 images of 14 patients"
    reverse = auroc_interval(truth, np.arange(18), patients)
    assert (reverse.low, reverse.high) == (0.0, pytest.approx(1 - found.low))
    constant = auroc_interval(truth, np.zeros(18), patients)
    assert constant.low < 0.3 and constant.high > 0.7
    with pytest.raises(UndefinedError, match="images without it from at least two patients, not 0"):
        auroc_interval(np.ones(18), np.arange(18), patients)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 30))
def test_known_answer_auc_intervals_contain_their_auc(seed, images):
    random = np.random.default_rng(seed)
    truth = np.arange(images) % 2 == 0
    scores, patients = random.integers(0, 5, images), random.integers(0, images, images)
    if min(len(np.unique(patients[truth])), len(np.unique(patients[~truth]))) < 2:
        return
    found = auroc_interval(truth, scores, patients)
    assert 0 <= found.low < found.high <= 1
    assert found.low - 1e-9 <= roc_auc_score(truth, scores) <= found.high + 1e-9


def test_known_answer_resampled_patients_keep_classes_and_images_together():
    classes, patients = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 1, 2, 1, 3, 4])
    counts = resampled_patients(classes, patients, draws=500)
    np.testing.assert_array_equal(counts[:, 0], counts[:, 1])
    np.testing.assert_array_equal(counts[:, 0] + counts[:, 2], 2)
    np.testing.assert_array_equal(counts[:, 3:].sum(axis=1), 3)
    assert (counts[:, 0] != counts[:, 3]).any()


def test_known_answer_patient_bootstrap_of_scipy():
    """With one image per patient and one class, it is the ordinary bootstrap of accuracy."""
    right = np.random.default_rng(5).random(200) < 0.8
    ours = metric_interval(lambda m: label_metrics(m)["sensitivity"][:, 0], np.zeros(200, int), 1 - right, 2)
    theirs = bootstrap((right,), np.mean, method="percentile", n_resamples=5000, rng=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx(theirs, abs=0.013)
    assert ours.method == "patient bootstrap"


def test_known_answer_few_patients_give_jeffreys_interval():
    """For two classes, a row of the matrix is drawn from Jeffreys' posterior: Beta(k + 1/2, n - k + 1/2)."""
    predicted = np.array([0] * 8 + [1] * 2)
    ours = metric_interval(lambda m: label_metrics(m)["sensitivity"][:, 0], np.zeros(10, int), predicted, 2)
    few = (1.959964 / t.ppf(0.975, 9)) ** 2 * 0.9  # effective images: n - 1 in place of n, and Student's quantile
    n = 10 * few
    assert (ours.low, ours.high) == pytest.approx(beta.ppf([0.025, 0.975], 0.8 * n + 0.5, 0.2 * n + 0.5), abs=0.02)
    assert ours.method == "Dirichlet"
    patients = metric_interval(
        lambda m: label_metrics(m)["sensitivity"][:, 0], np.zeros(10, int), predicted, 2, np.arange(10)
    )
    assert (patients.low, patients.high, patients.method) == (ours.low, ours.high, "Dirichlet, adjusted for patients")


def test_known_answer_macro_f1_of_perfect_predictions_is_not_1_to_1():
    truth = np.repeat([0, 1], 9)
    patients = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, *range(10, 19)])
    found = metric_interval(lambda m: label_metrics(m)["macro_f1"], truth, truth, 2, patients)
    assert found.high == 1.0 and 0.6 < found.low < 0.9
    matrices, _ = drawn_confusions(truth, truth, 2, patients)
    np.testing.assert_allclose(matrices.sum(axis=2), 9)
    with pytest.raises(UndefinedError, match="not defined for these images"):
        metric_interval(lambda m: label_metrics(m)["kappa"], np.zeros(5, int), np.zeros(5, int), 2)


@pytest.mark.parametrize(("right", "images"), [(0, 10), (10, 10), (3, 10), (45, 60), (59, 60)])
def test_known_answer_mean_interval_of_0_and_1_is_jeffreys(right, images):
    found = mean_interval(np.arange(images) < right, np.zeros(images))
    low, high = beta.ppf([0.025, 0.975], right + 0.5, images - right + 0.5)
    assert found.low == pytest.approx(0 if right == 0 else low, abs=0.012)
    assert found.high == pytest.approx(1 if right == images else high, abs=0.012)
    assert (found.method, found.counts) == ("Bayesian patient bootstrap", f"{images} images")


def test_known_answer_mean_interval_is_near_scipys_bootstrap_of_patients_in_each_class():
    random = np.random.default_rng(6)
    values = [random.binomial(5, share, 150) / 5 for share in (0.3, 0.8)]
    theirs = bootstrap(values, lambda *classes: np.mean(np.r_[classes]), method="percentile", n_resamples=3000, rng=1)
    classes, patients = np.repeat([0, 1], 150), np.arange(300)
    once = mean_interval(np.r_[*values], classes)
    assert (once.low, once.high) == pytest.approx(theirs.confidence_interval, abs=0.004)
    copies = mean_interval(np.repeat(np.r_[*values], 4), np.repeat(classes, 4), np.repeat(patients, 4))
    assert (copies.low, copies.high) == pytest.approx((once.low, once.high))
    assert copies.counts == "1200 images of 300 patients"
    with pytest.raises(UndefinedError, match="no images"):
        mean_interval([], [])


def test_known_answer_mean_interval_of_many_perfect_classes_is_that_of_one():
    """With a whole prior in each of 20 classes, the interval would end at 0.95."""
    found = mean_interval(np.ones(200), np.repeat(np.arange(20), 10))
    assert found.high == 1 and found.low == pytest.approx(beta.ppf(0.025, 200.5, 0.5), abs=0.005)


def test_known_answer_loss_interval_is_above_0_and_near_scipys():
    losses = np.random.default_rng(6).exponential(size=300)
    found = mean_loss_interval(losses)
    theirs = bootstrap((losses,), np.mean, method="BCa", n_resamples=3000, rng=1).confidence_interval
    assert (found.low, found.high) == pytest.approx(theirs, abs=0.03)
    few = mean_loss_interval(np.r_[np.full(110, 0.001), np.arange(1, 11)])
    assert 0 < few.low < 55 / 120 < few.high
    with pytest.raises(UndefinedError, match="very few patients have nearly all of the loss"):
        mean_loss_interval(np.r_[np.full(119, 0.001), 8.0])
    with pytest.raises(UndefinedError, match="99 patients are too few"):
        mean_loss_interval(losses[:99])
    with pytest.raises(UndefinedError, match="same loss"):
        mean_loss_interval(np.full(120, 0.5))


def test_known_answer_loss_interval_counts_patients():
    losses, patients = np.random.default_rng(7).exponential(size=200), np.arange(200)
    once = mean_loss_interval(losses, patients)
    copies = mean_loss_interval(np.repeat(losses, 4), np.repeat(patients, 4))
    assert (copies.low, copies.high) == pytest.approx((once.low, once.high))
    assert copies.counts == "800 images of 200 patients"


def test_known_answer_crossed_variance_by_hand():
    """3 seeds, 2 images: image means 2/3 and 1, seed means 1, 1/2, 1; mean 5/6.

    Images: 2/1 * 2 * (1/6)^2 / 4 = 1/36; seeds: variance 1/12, / 3 = 1/36. Quantile: mean of t(1) and t(2).
    """
    found = crossed_mean([[1, 1], [0, 1], [1, 1]])
    assert found.mean == pytest.approx(5 / 6)
    assert found.variances == pytest.approx((1 / 36, 1 / 36))
    assert found.common_freedom() == pytest.approx((1 / 18) ** 2 / ((1 / 36) ** 2 + (1 / 36) ** 2 / 2))
    assert found.quantile() == pytest.approx((12.7062 + 4.30265) / 2, abs=1e-4)
    assert found.quantile(found.p_value()) == pytest.approx(found.mean / np.sqrt(1 / 18))


def test_known_answer_equal_seeds_are_one_seed_and_equal_images_are_one_image():
    """Without a spread of seeds it is the t-test over images, without one of images that over seeds."""
    values = np.random.default_rng(8).normal(0.3, 1, size=12)
    assert crossed_mean(np.tile(values, (5, 1))).p_value() == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert crossed_mean(np.tile(values[:, None], 9)).p_value() == pytest.approx(ttest_1samp(values, 0).pvalue)


def test_known_answer_interval_of_equal_seeds_is_that_of_one():
    patients = np.arange(30) // 2
    correct = patients % 3 != 0
    found = seed_mean_interval(np.tile(correct, (6, 1)), patients)
    assert (found.low, found.high) == pytest.approx(clustered_wilson(correct, patients))
    assert found.counts == "30 images of 15 patients, 6 seeds"
    perfect = seed_mean_interval(np.ones((5, 18)))
    assert (perfect.low, perfect.high) == (pytest.approx(0.815, abs=0.0005), 1.0)
    with pytest.raises(UndefinedError, match="2 seeds; at least 3 are needed"):
        seed_mean_interval(np.ones((2, 18)))


def test_known_answer_crossed_bootstrap_resamples_patients():
    """Two patients of three images: with one seed, the mean is 0, 1/2 or 1 with 1/4, 1/2, 1/4."""
    values = np.array([[1.0, 1, 1, 0, 0, 0]])
    assert crossed_bootstrap(values, np.repeat([0, 1], 3)) == (0.0, 1.0)


def test_known_answer_ensemble_and_median_run():
    chances = np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.2, 0.8]]])
    np.testing.assert_allclose(ensemble(chances), [[0.5, 0.5]])
    assert median_run([0.7, 0.9, 0.8]) == 2
    assert median_run([0.7, 0.9, 0.8, 0.6]) == 0
    assert median_run([0.5, 0.5, 0.5]) == 0


def test_known_answer_nadeau_bengio_by_hand():
    """10 folds, 90 images to train and 10 to test: (1/10 + 1/9) * s^2."""
    values = np.array([0.8, 0.9, 0.7, 0.8, 0.85, 0.75, 0.9, 0.7, 0.8, 0.8])
    variance = corrected_variance(values, 90, 10)
    assert variance == pytest.approx((0.1 + 1 / 9) * values.var(ddof=1))
    statistic, p = corrected_t_test(values - 0.7, 90, 10)
    assert statistic == pytest.approx(0.1 / np.sqrt(variance))
    assert p == pytest.approx(2 * t.sf(statistic, 9))
    # With next to no images to test, it is the ordinary t-test.
    assert corrected_t_test(values - 0.7, 1e12, 1)[1] == pytest.approx(ttest_1samp(values - 0.7, 0).pvalue)


def test_known_answer_fold_interval_stays_within_its_bounds():
    found = fold_mean_interval([1.0, 1.0, 1.0, 0.9, 1.0], 80, 20)
    assert found.high == 1.0 and found.low < 0.98 and found.counts == "5 folds"
    loss = fold_mean_interval([0.01, 0.02, 3.0, 0.02, 0.01], 80, 20, bounds=(0.0, np.inf))
    assert loss.low == 0.0 and loss.high > 3
    with pytest.raises(UndefinedError, match="use the interval of the pooled predictions"):
        fold_mean_interval([1.0] * 5, 80, 20)


def test_known_answer_predictive_counts_of_scipy():
    """Five runs with 45 of 90 images right: the smallest set of Beta-binomial(18, 45.5, 45.5) with 95 %."""
    low, high = predictive_counts([9, 9, 9, 9, 9], 18)
    chances = betabinom.pmf(np.arange(19), 18, 45.5, 45.5)
    assert (low, high) == (5, 13)
    assert chances[low : high + 1].sum() >= 0.95 > chances[low + 1 : high + 1].sum()


def test_known_answer_predictive_counts_are_wider_than_the_spread_of_the_runs():
    assert predictive_counts([18] * 5, 18) == (17, 18)  # not [1, 1]
    assert predictive_counts([0] * 20, 36) == (0, 0)
    # mean 14, s = sqrt(10): 14 -+ 2.776 * 3.162 * 1.0954 = 4.4 to 23.6
    assert predictive_counts([10, 12, 14, 16, 18], 36) == (4, 24)
    with pytest.raises(UndefinedError, match="at least two runs"):
        predictive_counts([9], 18)


def test_known_answer_predictive_loss_does_not_begin_at_minus_1_2():
    """Losses of five published seeds; the ends are (m -+ t s sqrt(1 + 1/n))^2 for the square roots, cut at 0."""
    losses = np.array([0.003132, 0.200215, 1.13776, 0.982521, 0.012973])
    assert prediction_interval(losses)[0] == pytest.approx(-1.204, abs=0.001)
    low, high = predictive_loss(losses)
    roots = np.sqrt(losses)
    assert low == 0
    assert high == pytest.approx((roots.mean() + 2.776445 * roots.std(ddof=1) * np.sqrt(1.2)) ** 2, rel=1e-6)
    with pytest.raises(UndefinedError, match="same loss"):
        predictive_loss([0.5, 0.5, 0.5])
    with pytest.raises(UndefinedError, match="below 0"):
        predictive_loss([0.5, -0.1])
