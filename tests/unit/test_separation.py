"""Units, chance levels and intervals of separation.json, against known answers."""

from itertools import permutations

import numpy as np
import pytest
from cxrflow.evaluation.separation import (
    chance_of,
    counted_units,
    intervals_of,
    separation_and_counts,
    separation_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta


def clusters(distance: float = 1, units: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of 20, 10 and 10 images."""
    classes = np.repeat(["covid", "normal", "viral"], [20, 10, 10])
    centres = np.unique(classes, return_inverse=True)[1][:, None] * distance
    return np.random.default_rng(0).normal(size=(40, units)) + centres, classes


def spikes(images: int, rows: list[int], height: float = 1.0) -> np.ndarray:
    """A unit that is 0 for all but a few images, shape (images, 1)."""
    unit = np.zeros((images, 1))
    unit[rows, 0] = height * np.arange(1, len(rows) + 1)
    return unit


def test_known_answer_units_are_counted() -> None:
    features, _ = clusters()
    units = [
        features,
        np.full((40, 1), 7.0),
        spikes(40, []),
        spikes(40, [3]),
        spikes(40, [3, 9]),
        spikes(40, [0, 3, 9]),
    ]
    assert counted_units(np.hstack(units)) == {"total": 11, "constant": 2, "nearly_constant": 2}
    # One value above all others and one below them; and rounding errors of 32-bit sums.
    both_sides = spikes(40, [1], -5) + spikes(40, [2], 5) + 3
    rounded = np.float32(3) + np.random.default_rng(0).choice([0, 2.4e-7], (40, 1)).astype(np.float32)
    assert counted_units(np.hstack([both_sides, rounded])) == {"total": 2, "constant": 1, "nearly_constant": 1}
    assert counted_units(spikes(5, [0])) == {"total": 1, "constant": 0, "nearly_constant": 0}
    assert counted_units(np.full((40, 1), np.inf)) == {"total": 1, "constant": 0, "nearly_constant": 0}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 39), min_size=1, max_size=2, unique=True), st.floats(1e-3, 1e6), st.integers(1, 30))
def test_units_that_are_constant_but_for_two_images_change_nothing(rows: list[int], height: float, copies: int) -> None:
    features, classes = clusters()
    more = np.hstack([features, np.repeat(spikes(40, rows, height), copies, axis=1)])
    found, expected = separation_of(more, classes), separation_of(features, classes)
    assert found["units"] == {"total": 6 + copies, "constant": 0, "nearly_constant": copies}
    assert {**found, "units": None} == {**expected, "units": None}


def test_known_answer_features_with_nothing_else_are_not_judged() -> None:
    _, classes = clusters()
    found = separation_of(np.hstack([spikes(40, [0]), spikes(40, [1, 30])]), classes)
    reason = "all differences between images are in units that are the same for all but 2 images at most"
    assert found["not_judged"] == reason and found["same_class_share"] is None
    assert found["pairs"] == {"covid|normal": None, "covid|viral": None, "normal|viral": None}
    by_class = np.repeat([[1.0], [2.0], [3.0]], [20, 10, 10], axis=0)
    assert separation_of(np.hstack([by_class, spikes(40, [0])]), classes)["not_judged"] == reason


def test_known_answer_chance_is_the_mean_over_all_permutations_of_the_classes() -> None:
    features, classes = np.random.default_rng(1).normal(size=(7, 2)), np.array(list("aaaabbb"))
    orders = sorted(set(permutations(classes.tolist())))
    assert len(orders) == 35
    found = [separation_of(features, np.array(order), k=2) for order in orders]
    chance = chance_of(classes)
    assert chance["same_class_share"] == pytest.approx((4 * 3 + 3 * 2) / (7 * 6))
    assert np.mean([one["same_class_share"] for one in found]) == pytest.approx(chance["same_class_share"])
    assert chance["neighbour_shares"]["a"] == pytest.approx({"a": 3 / 6, "b": 3 / 6})
    assert chance["neighbour_shares"]["b"] == pytest.approx({"a": 4 / 6, "b": 2 / 6})
    for one in "ab":
        for other in "ab":
            mean = np.mean([separation["neighbour_shares"][one][other] for separation in found])
            assert mean == pytest.approx(chance["neighbour_shares"][one][other])


def test_known_answer_chance_of_pairs_is_of_their_images_only() -> None:
    chance = chance_of(clusters()[1])
    assert chance["pairs"]["normal|viral"] == pytest.approx(2 * 10 * 9 / (20 * 19))
    assert chance["pairs"]["covid|viral"] == pytest.approx((20 * 19 + 10 * 9) / (30 * 29))
    assert chance["same_class_share"] == pytest.approx((20 * 19 + 2 * 10 * 9) / (40 * 39))
    assert all(sum(shares.values()) == pytest.approx(1) for shares in chance["neighbour_shares"].values())


def test_known_answer_classes_that_are_apart_have_intervals_of_perfect_shares() -> None:
    """One class of a pair has 20 of 20 images right: Jeffreys' interval, with one half of the prior in each class."""
    features, classes = clusters(distance=50)
    separation, counts = separation_and_counts(features, classes)
    assert separation["same_class_share"] == 1
    found = intervals_of(counts, classes, 5, None)
    low, high = found["neighbour_shares"]["covid"]["covid"]
    assert high == 1 and low == pytest.approx(beta.ppf(0.025, 20.5, 0.5), abs=0.01)
    assert found["neighbour_shares"]["covid"]["viral"] == pytest.approx([0, 1 - low], abs=0.01)
    assert found["pairs"]["normal|viral"] == pytest.approx([beta.ppf(0.025, 20.5, 0.5), 1], abs=0.01)
    assert (found["method"], found["counts"]) == ("Bayesian patient bootstrap", "40 images")


def test_intervals_contain_the_shares_and_are_wider_for_few_patients() -> None:
    features, classes = clusters(distance=1)
    separation, counts = separation_and_counts(features, classes)
    alone, together = (intervals_of(counts, classes, 5, groups) for groups in (None, np.arange(40) // 5))
    assert together["counts"] == "40 images of 8 patients"
    width = {name: np.ptp(one["same_class_share"]) for name, one in (("alone", alone), ("together", together))}
    assert width["together"] > 1.2 * width["alone"]
    for found in (alone, together):
        assert found["same_class_share"][0] < separation["same_class_share"] < found["same_class_share"][1]
        for pair, (low, high) in found["pairs"].items():
            assert low <= separation["pairs"][pair] <= high
        for name, of_name in found["neighbour_shares"].items():
            for other, (low, high) in of_name.items():
                assert low <= separation["neighbour_shares"][name][other] <= high


def test_shares_that_cannot_be_judged_have_no_intervals() -> None:
    features, classes = clusters()
    features[classes != "covid"] = 0.5
    separation, counts = separation_and_counts(features, classes)
    found = intervals_of(counts, classes, 5, None)
    assert separation["pairs"]["normal|viral"] is None and found["pairs"]["normal|viral"] is None
    assert found["pairs"]["covid|normal"] is not None and found["same_class_share"] is not None
    nothing = intervals_of(separation_and_counts(np.ones((40, 3)), classes)[1], classes, 5, None)
    assert nothing["same_class_share"] is None and nothing["neighbour_shares"]["covid"]["viral"] is None
