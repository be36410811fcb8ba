"""The statistics of the rules, against definitions, other implementations and textbook numbers."""

import numpy as np
import pandas as pd
import pytest
from cxrflow.claims.statistics import (
    at_least,
    at_most,
    crossed_bootstrap,
    prediction_interval,
    running_median,
    spearman,
    spread,
)
from hypothesis import given
from hypothesis import strategies as st

CURVES = st.lists(st.floats(-100, 100), min_size=1, max_size=60).map(np.array)
WINDOWS = st.sampled_from([1, 3, 5, 21])


@given(CURVES, WINDOWS)
def test_running_median_is_that_of_pandas(curve, window):
    theirs = pd.Series(curve).rolling(window, center=True, min_periods=1).median()
    np.testing.assert_allclose(running_median(curve, window), theirs, atol=1e-12)


@given(CURVES)
def test_m5_is_the_median_of_the_values_of_its_window_that_there_are(curve):
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


def test_m5_takes_out_one_outlier_and_shrinks_at_the_ends():
    np.testing.assert_array_equal(running_median(np.array([1, 2, 90, 4, 5, 6, 7.0]), 5), [2, 3, 4, 5, 6, 5.5, 6])


def test_spread_takes_a_slow_trend_off():
    epochs = np.arange(200)
    assert spread(0.01 * epochs) < 0.01 < np.std(0.01 * epochs)
    noise = np.random.default_rng(0).normal(size=200)
    assert spread(0.01 * epochs + noise) == pytest.approx(np.std(noise), rel=0.1)


def test_spearman_knows_order_alone():
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


def test_prediction_interval_holds_the_next_value_95_times_of_100():
    random = np.random.default_rng(1)
    samples = random.normal(10, 3, size=(4000, 6))
    inside = [low <= row[5] <= high for row in samples for low, high in [prediction_interval(row[:5])]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)


def test_thresholds_forgive_single_precision():
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
    """Every column says the same: only the rows differ, and 400 columns make them no surer."""
    rows = np.array([0.0, 1, 0, 1, 0, 1])[:, None]
    low, high = crossed_bootstrap(np.repeat(rows, 400, axis=1))
    assert low <= 0.17 and high >= 0.83


def test_bootstrap_of_equal_values_is_that_value():
    assert crossed_bootstrap(np.full((3, 4), 0.5)) == (0.5, 0.5)
