"""Tests of how the report writes values."""

import pytest
from cxrflow.report import words
from cxrflow.report.scorecard import stated
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest


@given(st.integers(1, 500).flatmap(lambda images: st.tuples(st.integers(0, images), st.just(images))))
def test_the_interval_is_that_of_scipy(counts):
    correct, images = counts
    peer = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    assert words.wilson_interval(correct, images) == pytest.approx((peer.low, peer.high), abs=1e-6)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "empty"),
        (True, "true"),
        (1e-5, "1e-05"),
        (0.0, "0"),
        (128, "128"),
        ([512, 128], "512, 128"),
        ([], "none"),
        ({"a": 1, "b": None}, "a 1, b empty"),
        ("/home/x/weights.h5", "weights.h5"),
        ("C:\\x\\weights.h5", "weights.h5"),
        ("nearest", "nearest"),
    ],
)
def test_config_values(value, told):
    assert words.shown(value) == told


def test_numbers():
    assert words.number(0.26314) == "0.2631"
    assert words.number(None) == words.number(float("nan")) == words.number(float("inf")) == "–"
    assert words.percent(16 / 18) == "88.9\N{NO-BREAK SPACE}%"
    assert words.percent(None) == "–"
    assert words.percent_range(0.61, 0.944, 0) == "61 to 94\N{NO-BREAK SPACE}%"
    assert words.percent_range(0.5, 0.5001) == "50.0\N{NO-BREAK SPACE}%"
    assert words.thousands(22069217) == "22,069,217"
    assert words.shape([5, 5, 2048]) == "5 × 5 × 2048"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (3.14, "3.1 s"),
        (59.4, "59.4 s"),
        (60, "1 min 00 s"),
        (754, "12 min 34 s"),
        (3599.6, "1 h 00 min"),
        (7_260, "2 h 01 min"),
    ],
)
def test_durations(seconds, told):
    assert words.duration(seconds) == told


def test_lists():
    assert words.joined(["a"]) == "a"
    assert words.joined(["a", "b", "c"]) == "a, b and c"
    assert words.counted(1, "image") == "1 image"
    assert words.counted(2000, "image") == "2,000 images"
    assert words.few_of(["a", "b"], 2) == "a, b"
    assert words.few_of(["a", "b", "c", "d"], 2) == "a, b and 2 more"


def test_names_break_behind_underscores_and_are_escaped():
    assert words.breakable("a_b<i>") == "a_<wbr>b&lt;i&gt;"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("21802784", "21,802,784"),
        ("0.13325662910938263", "0.1333"),
        ("0.00001", "0.00001"),
        ("5x5x2048", "5x5x2048"),
        ("", ""),
    ],
)
def test_values_of_the_study(value, told):
    assert stated(value) == told
