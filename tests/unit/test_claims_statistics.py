"""The statistics of the rules, against definitions, other implementations and textbook numbers."""

import runpy

import numpy as np
import pandas as pd
import pytest
from cxrflow.statistics.intervals import (
    at_least,
    at_most,
    clustered_mean_interval,
    clustered_wilson,
    crossed_bootstrap,
    prediction_interval,
    running_median,
    spearman,
    spread,
    wilson_interval,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import sem, t

CURVES = st.lists(st.floats(-100, 100), min_size=1, max_size=60).map(np.array)
WINDOWS = st.sampled_from([1, 3, 5, 21])


@given(CURVES, WINDOWS)
def test_running_median_is_that_of_pandas(curve, window):
    theirs = pd.Series(curve).rolling(window, center=True, min_periods=1).median()
    np.testing.assert_allclose(running_median(curve, window), theirs, atol=1e-12)


@given(CURVES)
def test_m5_is_the_median_of_the_values_in_its_window(curve):
    smooth = running_median(curve, 5)
    for place in range(len(curve)):
        assert smooth[place] == np.median(curve[max(place - 2, 0) : place + 3])


@given(st.floats(-100, 100), st.integers(1, 60), WINDOWS)
def test_a_constant_curve_stays_as_it_is(value, epochs, window):
    curve = np.full(epochs, value)
    np.testing.assert_array_equal(running_median(curve, window), curve)
    assert spread(curve) == 0
    assert spearman(curve) == 0


@given(CURVES, WINDOWS)
def test_a_running_median_stays_within_its_curve(curve, window):
    smooth = running_median(curve, window)
    assert curve.min() <= smooth.min() and smooth.max() <= curve.max()


def test_m5_removes_one_outlier_and_shrinks_at_the_ends():
    np.testing.assert_array_equal(running_median(np.array([1, 2, 90, 4, 5, 6, 7.0]), 5), [2, 3, 4, 5, 6, 5.5, 6])


def test_spread_ignores_a_slow_trend():
    epochs = np.arange(200)
    assert spread(0.01 * epochs) < 0.01 < np.std(0.01 * epochs)
    noise = np.random.default_rng(0).normal(size=200)
    assert spread(0.01 * epochs + noise) == pytest.approx(np.std(noise), rel=0.1)


def test_spearman_depends_on_order_only():
    assert spearman(np.array([1, 2, 40, 50.0])) == 1
    assert spearman(np.array([9, 3, 2, 1.0])) == -1
    assert spearman(np.array([1.0])) == 0


def test_prediction_interval_of_five_values_by_hand():
    # mean 3, s = sqrt(2.5), t(0.975, 4) = 2.776 445 (tables), sqrt(1 + 1/5) = 1.095 445
    low, high = prediction_interval(np.array([1, 2, 3, 4, 5.0]))
    half = 2.776445 * 1.5811388 * 1.0954451
    assert low == pytest.approx(3 - half, abs=1e-5)
    assert high == pytest.approx(3 + half, abs=1e-5)


def test_prediction_interval_of_equal_values_is_that_value():
    assert prediction_interval(np.full(6, 0.25)) == (0.25, 0.25)


def test_prediction_interval_contains_the_next_value_95_times_of_100():
    random = np.random.default_rng(1)
    samples = random.normal(10, 3, size=(4000, 6))
    inside = [low <= row[5] <= high for row in samples for low, high in [prediction_interval(row[:5])]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)


def test_thresholds_tolerate_single_precision():
    assert at_least(float(np.float32(0.9)), 0.9)
    assert at_most(float(np.float32(0.6)), 0.6)
    assert not at_least(0.8999, 0.9)
    assert not at_most(0.6001, 0.6)


def test_bootstrap_is_the_same_every_time_and_near_the_normal_interval():
    values = np.random.default_rng(2).normal(1, 1, size=(1, 400))
    assert crossed_bootstrap(values) == crossed_bootstrap(values)
    half = 1.96 * values.std() / 20
    assert crossed_bootstrap(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_bootstrap_counts_the_spread_of_rows_too():
    """All columns are equal: only rows differ, and 400 columns do not make the interval smaller."""
    rows = np.array([0.0, 1, 0, 1, 0, 1])[:, None]
    low, high = crossed_bootstrap(np.repeat(rows, 400, axis=1))
    assert low <= 0.17 and high >= 0.83


def test_bootstrap_of_equal_values_is_that_value():
    assert crossed_bootstrap(np.full((3, 4), 0.5)) == (0.5, 0.5)


def test_clustered_interval_of_single_images_is_nearly_wilsons():
    correct = np.arange(1000) % 4 != 0
    low, high = clustered_wilson(correct, np.arange(1000))
    assert (low, high) == pytest.approx(wilson_interval(750, 1000), abs=1e-4)


def test_images_that_are_copies_count_once():
    correct = np.arange(30) % 3 != 0
    patients = np.arange(30)
    once = clustered_wilson(correct, patients)
    assert clustered_wilson(np.tile(correct, 5), np.tile(patients, 5)) == pytest.approx(once)


def test_clustered_interval_by_hand():
    """4 patients of 2 images, right in 2, 2, 1 and 0: share 5/8, sums of deviations 0.75, 0.75, -0.25, -1.25.

    Variance 4/3 * (0.5625 + 0.5625 + 0.0625 + 1.5625) / 64 = 0.057292; effective images 0.234375 / 0.057292 = 4.0909,
    times (1.959964 / 3.182446)^2 = 0.379294: 1.551653.
    """
    low, high = clustered_wilson(np.array([1, 1, 1, 1, 1, 0, 0, 0]), np.repeat(np.arange(4), 2))
    assert (low, high) == pytest.approx(wilson_interval(0.625 * 1.551653, 1.551653), abs=1e-5)


def test_perfect_and_empty_shares_count_patients():
    patients = np.repeat(np.arange(5), 3)
    assert clustered_wilson(np.ones(15), patients) == (pytest.approx(0.478, abs=0.001), 1)  # Clopper-Pearson's, 5 of 5
    assert clustered_wilson(np.zeros(15), patients) == (0, pytest.approx(0.522, abs=0.001))
    assert clustered_wilson(np.ones(9), np.zeros(9)) == (pytest.approx(0.025), 1)
    with pytest.raises(ValueError, match="at least one image"):
        clustered_wilson(np.zeros(0), np.zeros(0))


@given(
    st.lists(st.tuples(st.sampled_from([0, 0.1, 1 / 3, 0.5, 1]), st.integers(0, 6)), min_size=1, max_size=40),
    st.integers(1, 4),
)
def test_clustered_intervals_contain_their_share(images, copies):
    correct, patients = (np.array(column) for column in zip(*images * copies, strict=True))
    low, high = clustered_wilson(correct, patients)
    assert 0 <= low < high <= 1 and low - 1e-9 <= correct.mean() <= high + 1e-9
    narrowest = wilson_interval(float(correct.sum()), len(correct))
    assert high - low >= min(narrowest[1] - narrowest[0], 1) - 1e-6
    turned = clustered_wilson(1 - correct, patients)
    assert turned == pytest.approx((1 - high, 1 - low), abs=1e-6)


def test_means_over_seeds_and_comparisons_hold_what_they_promise(project):
    names = runpy.run_path(str(project / "benchmarks/coverage.py"))
    sizes, runs = names["IMAGES_OF_PATIENTS"][36], names["RUNS"]["lucky seeds"]
    patients = np.repeat(np.arange(len(sizes)), sizes)
    drawn = names["right_predictions"](sizes, 3, 0.85, runs, 400, experiments=2)
    inside = [names["contains"](0.85, names["seed_mean_interval"], one, patients) for one, _ in drawn]
    assert np.mean(inside) >= 0.93
    found = [names["compare_over_seeds"](one - other, patients).is_significant for one, other in drawn]
    assert np.mean(found) <= 0.05


@pytest.mark.parametrize("images", [18, 36, 150])
@pytest.mark.parametrize("alike", [0.0, 1.0])
def test_clustered_intervals_contain_the_true_share_95_times_of_100(project, images, alike):
    names = runpy.run_path(str(project / "benchmarks/coverage.py"))
    for share in (0.7, 0.95):
        covered, _ = names["coverage"](names["IMAGES_OF_PATIENTS"][images], share, alike, draws=400)
        assert 0.92 <= covered <= 0.99  # 93 to 98 % in 1,500 draws


def test_clustered_mean_of_single_images_is_students():
    values = np.random.default_rng(0).normal(size=20)
    found = clustered_mean_interval(values, np.arange(20))
    assert found == pytest.approx(t.interval(0.95, 19, loc=values.mean(), scale=sem(values)))
    assert clustered_mean_interval(values, np.zeros(20)) is None
    copies = clustered_mean_interval(np.tile(values, 3), np.tile(np.arange(20), 3))
    assert copies == pytest.approx(found)


def test_clustered_mean_intervals_contain_the_true_mean_95_times_of_100():
    random = np.random.default_rng(1)
    patients = np.repeat(np.arange(12), [1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5])
    inside = 0
    for _ in range(2000):
        values = 0.3 + random.normal(size=12)[patients] + random.normal(0, 0.5, len(patients))
        low, high = clustered_mean_interval(values, patients)
        inside += low <= 0.3 <= high
    assert 0.91 <= inside / 2000 <= 0.97
