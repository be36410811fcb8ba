"""Permutation tests: hand-computed cases, other implementations, and how often they find what is not there."""

import runpy
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cxrflow.statistics.permutation import max_test_against_chance, paired_max_test, permuted_labels
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test


@pytest.fixture
def simulations(project: Path) -> SimpleNamespace:
    """The functions of benchmarks/coverage.py."""
    return SimpleNamespace(**runpy.run_path(str(project / "benchmarks/coverage.py")))


def test_four_images_by_hand():
    """Differences of 1 in all four images: 2 of 16 flips, all plus and all minus, reach a mean of 1."""
    differences, p_values = paired_max_test(np.ones(4), np.zeros((1, 4)), np.arange(4))
    assert differences == [1] and p_values == [2 / 16]


def test_images_of_a_patient_are_flipped_together():
    differences, p_values = paired_max_test(np.ones(4), np.zeros((1, 4)), np.array([7, 7, 7, 9]))
    assert differences == [1] and p_values == [2 / 4]


def test_a_second_rival_raises_the_p_value_by_hand():
    """Flipped sums of rival 1 are s1 + s3, of rival 2 s1 - s2: 4 of 8 flips have |s1 + s3| = 2, and 2 more |s1 - s2| = 2."""
    rivals = np.array([[0, 0, 0], [0, 1, 1]])
    network = np.array([1, 0, 1.0])
    differences, p_values = paired_max_test(network, rivals, np.arange(3))
    np.testing.assert_allclose(differences, [2 / 3, 0])
    np.testing.assert_allclose(p_values, [6 / 8, 1])


@given(st.integers(0, 10_000))
def test_one_rival_agrees_with_scipy(seed):
    random = np.random.default_rng(seed)
    network, rival = random.integers(0, 5, size=8) / 4, random.integers(0, 2, size=8)
    theirs = permutation_test(
        (network, rival), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    difference, p_value = paired_max_test(network, rival[None], np.arange(8))
    assert difference[0] == pytest.approx(theirs.statistic)
    means = [np.mean(np.array(signs) * (network - rival)) for signs in product((-1, 1), repeat=8)]
    assert p_value[0] == pytest.approx(np.mean(np.abs(means) >= abs(difference[0]) - 1e-9))
    if difference[0]:  # with 0, SciPy doubles a tail and cuts it off at 1, too
        assert p_value[0] == pytest.approx(theirs.pvalue)


def test_drawn_flips_agree_with_enumerated_ones():
    random = np.random.default_rng(5)
    network, rivals = random.integers(0, 2, size=40), random.integers(0, 2, size=(3, 40))
    groups = np.arange(40) % 12
    _, exact = paired_max_test(network, rivals, groups)
    # Two more groups, whose differences are too small to change anything: 2^14 flips are drawn.
    more = np.r_[network, 1e-6, 1e-6], np.c_[rivals, np.zeros((3, 2))], np.r_[groups, 90, 91]
    _, drawn = paired_max_test(*more)
    np.testing.assert_allclose(drawn, exact, atol=0.015)


def test_equal_predictions_do_not_differ():
    network = np.array([1, 0, 1.0])
    differences, p_values = paired_max_test(network, np.stack([network, network]), np.arange(3))
    assert list(differences) == [0, 0] and list(p_values) == [1, 1]
    with pytest.raises(ValueError, match="at least one image"):
        paired_max_test(np.zeros(0), np.zeros((2, 0)), np.zeros(0))


def test_many_rivals_as_good_as_the_network_hardly_ever_seem_different(simulations):
    assert simulations.size_of_paired_test(simulations.IMAGES_OF_PATIENTS[18], rivals=11, draws=150) <= 0.05


def test_permuted_labels_keep_images_of_patients_together():
    labels, groups = np.array(["a", "a", "b", "b", "a", "b"]), np.array([1, 1, 2, 3, 4, 4])
    seen = set()
    for seed in range(50):
        permuted = permuted_labels(labels, groups, seed)
        assert permuted[0] == permuted[1]
        first_of_each = permuted[[0, 2, 3, 4, 5]]
        assert sorted(first_of_each) == ["a", "a", "b", "b", "b"]
        seen.add("".join(permuted))
    assert len(seen) == 10  # 5 choose 2
    assert list(permuted_labels(labels, groups, 3)) == list(permuted_labels(labels, groups, 3))


def test_p_values_against_chance_by_hand():
    permuted = np.array([[0.0, 0.1], [0.3, -0.2], [0.1, 0.1], [0.0, -0.1]])  # largest: 0.1, 0.3, 0.1, 0
    np.testing.assert_allclose(max_test_against_chance(np.array([0.1, 0.2, 0.4]), permuted), [4 / 5, 2 / 5, 1 / 5])


@pytest.mark.slow
def test_labels_against_fixed_predictions_would_find_too_much(simulations):
    """The reason for repeating the cross-validation."""
    fixed, repeated = simulations.sizes_of_chance_test([1] * 20, rivals=8, draws=60)
    assert repeated <= 0.05 < fixed
