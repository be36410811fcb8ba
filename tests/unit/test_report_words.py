"""Tests of how the report writes values."""

import pytest
from cxrflow.claims.model import stated_in_words
from cxrflow.io.words import counted, duration, joined, some_of, visible
from cxrflow.report import words
from cxrflow.statistics.intervals import wilson_interval
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest


@given(st.integers(1, 500).flatmap(lambda images: st.tuples(st.integers(0, images), st.just(images))))
def test_the_interval_is_that_of_scipy(counts):
    correct, images = counts
    peer = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    assert wilson_interval(correct, images) == pytest.approx((peer.low, peer.high), abs=1e-6)


@pytest.mark.parametrize(
    ("value", "expected"),
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
def test_config_values(value, expected):
    assert words.shown(value) == expected


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
    ("seconds", "expected"),
    [
        (3.14, "3 s"),
        (59.4, "59 s"),
        (90, "2 min"),
        (754, "13 min"),
        (5400, "1 h 30 min"),
        (7_260, "2 h 1 min"),
    ],
)
def test_durations(seconds, expected):
    assert duration(seconds) == expected


def test_lists():
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert counted(1, "image") == "1 image"
    assert counted(2000, "image") == "2,000 images"
    assert some_of(["a", "b"], 2) == "a, b"
    assert some_of(["a", "b", "c", "d"], 2) == "a, b and 2 more"


def test_names_break_after_underscores_and_are_escaped():
    assert words.breakable("a_b<i>") == "a_<wbr>b&lt;i&gt;"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("21802784", "21,802,784"),
        ("0.13325662910938263", "0.1333"),
        ("0.00001", "0.00001"),
        ("5x5x2048", "5x5x2048"),
        ("", ""),
    ],
)
def test_values_of_the_study(value, expected):
    assert stated_in_words(value) == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Übersicht 肺 Лёгкие ريه", "Übersicht 肺 Лёгкие ريه"),
        ("12\u00a0% of\u3000all\n\tlines", "12\u00a0% of\u3000all\n\tlines"),
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("a\x00\x1b[31m\r\x85", r"a\x00\x1b[31m\r\x85"),
        ("co\u00advid\u200b\ufeff\u2028\ue000", r"co\xadvid\u200b\ufeff\u2028\ue000"),
        ("caf\udce9", r"caf\xe9"),
    ],
)
def test_outside_problem_every_character_shows(text, shown):
    assert visible(text) == shown
    assert visible(shown) == shown
