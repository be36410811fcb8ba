"""Comparisons of two networks, and corrections for several, against published examples, SciPy and statsmodels."""

import numpy as np
import pytest
from cxrflow.statistics.association import holm
from cxrflow.statistics.comparison import (
    compare_over_seeds,
    exact_mcnemar,
    images_needed,
    independent_difference,
    least_significant_discordance,
    mcnemar_power,
    power_sentence,
)
from cxrflow.statistics.intervals import Interval, UndefinedError, wilson_interval
from cxrflow.statistics.permutation import paired_max_test
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep


def pair(only_first: int, only_second: int, both: int = 3, neither: int = 2) -> tuple[np.ndarray, np.ndarray]:
    first = [True] * only_first + [False] * only_second + [True] * both + [False] * neither
    second = [False] * only_first + [True] * only_second + [True] * both + [False] * neither
    return np.array(first, dtype=bool), np.array(second, dtype=bool)


NEWCOMBE = {  # R. G. Newcombe, Stat. Med. 17 (1998) 873, table II: method 10, the hybrid score interval
    (56, 70, 48, 80): (0.0524, 0.3339),
    (9, 10, 3, 10): (0.1705, 0.8090),
    (6, 7, 2, 7): (0.0582, 0.8062),
    (5, 56, 0, 29): (-0.0381, 0.1926),
    (0, 10, 0, 20): (-0.1611, 0.2775),
    (0, 10, 0, 10): (-0.2775, 0.2775),
    (10, 10, 0, 20): (0.6791, 1.0),
    (10, 10, 0, 10): (0.6075, 1.0),
}


@pytest.mark.parametrize("counts", NEWCOMBE)
def test_known_answer_difference_of_newcombe(counts):
    first, of_first, second, of_second = counts
    one, other = (
        Interval(*wilson_interval(right, images), "Wilson", f"{images} images")
        for right, images in ((first, of_first), (second, of_second))
    )
    found = independent_difference(first / of_first, one, second / of_second, other)
    assert (found.low, found.high) == pytest.approx(NEWCOMBE[counts], abs=5e-5)
    theirs = confint_proportions_2indep(first, of_first, second, of_second, method="newcomb", compare="diff")
    assert (found.low, found.high) == pytest.approx(theirs, abs=1e-6)
    assert found.counts == f"{of_first} images; {of_second} images"


@given(st.integers(0, 30), st.integers(0, 30))
def test_known_answer_mcnemar_of_statsmodels(only_first, only_second):
    found = exact_mcnemar(*pair(only_first, only_second))
    theirs = mcnemar([[3, only_first], [only_second, 2]], exact=True).pvalue if only_first + only_second else 1.0
    assert found == (only_first, only_second, pytest.approx(min(theirs, 1.0)))


def test_known_answer_mcnemar_of_a_published_table():
    """Approval of the prime minister, A. Agresti, "Categorical data analysis", table 10.1: 150 against 86."""
    assert exact_mcnemar(*pair(150, 86, 794, 570))[2] == pytest.approx(3.7e-5, rel=0.03)


def test_known_answer_5_against_0_is_not_significant_and_6_against_0_is():
    assert exact_mcnemar(*pair(5, 0))[2] == 0.0625
    assert exact_mcnemar(*pair(6, 0))[2] == 0.03125
    assert least_significant_discordance() == 6
    assert [least_significant_discordance(against) for against in (1, 2, 3)] == [8, 10, 12]


def test_known_answer_mcnemar_is_the_permutation_test_of_images():
    first, second = pair(7, 2)
    _, p = paired_max_test(first.astype(float), second[None].astype(float), np.arange(len(first)))
    assert p[0] == pytest.approx(exact_mcnemar(first, second)[2])


def test_known_answer_power_by_simulation():
    random = np.random.default_rng(0)
    found = 0
    for _ in range(1000):
        found += exact_mcnemar(random.random(60) < 0.9, random.random(60) < 0.7)[2] <= 0.05
    assert mcnemar_power(60, 0.9, 0.7) == pytest.approx(found / 1000, abs=0.04)


def test_known_answer_power_of_equal_networks_is_the_size_of_the_test():
    assert 0.01 < mcnemar_power(100, 0.7, 0.7) <= 0.05
    assert mcnemar_power(5, 0.99, 0.01) == 0.0  # 5 against 0 is not significant
    assert mcnemar_power(6, 1.0, 0.0) == 1.0
    assert mcnemar_power(40, 1.0, 1.0) == 0.0


def test_known_answer_images_needed_to_tell_72_from_58_percent():
    assert images_needed(0.72, 0.58) == pytest.approx(195, abs=2)
    assert images_needed(26 / 36, 21 / 36) == pytest.approx(195, abs=4)
    needed = images_needed(0.9, 0.6)
    assert needed is not None
    assert mcnemar_power(needed, 0.9, 0.6) >= 0.8 > mcnemar_power(needed - 1, 0.9, 0.6)
    assert images_needed(0.7, 0.7) is None and images_needed(0.7, 0.701) is None


def test_known_answer_power_sentences():
    text = "36 images cannot tell 72% from 58%: even 5 against 0 gives p = 0.06; 80% power needs about 196."
    assert power_sentence(36, 0.72, 0.58) == text
    assert power_sentence(500, 0.72, 0.58) == "500 images can tell 72% from 58%: 80% power needs about 196."
    assert "too similar" in power_sentence(36, 0.7, 0.7)


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_known_answer_holm_of_statsmodels(count):
    p_values = np.random.default_rng(count).random(count) ** 3
    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1], atol=1e-12)


def test_known_answer_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])


def test_known_answer_comparison_of_equal_seeds_is_the_permutation_test_of_images():
    first, second = pair(7, 0, 1, 2)
    differences = first.astype(float) - second
    found = compare_over_seeds(np.tile(differences, (5, 1)))
    theirs = permutation_test(
        (first.astype(float), second.astype(float)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert found.is_significant and found.difference == pytest.approx(0.7)


def test_known_answer_5_against_0_in_all_seeds_is_not_significant():
    """A bootstrap over seeds and images would exclude 0."""
    differences = np.tile([1.0] * 5 + [0.0] * 31, (5, 1))
    found = compare_over_seeds(differences)
    assert found.p_value == 0.0625 and not found.is_significant


def test_known_answer_two_seeds_are_too_few():
    with pytest.raises(UndefinedError, match="2 seeds; at least 3 are needed to know the spread"):
        compare_over_seeds(np.ones((2, 20)))


def test_known_answer_differences_without_spread_have_an_interval():
    always = compare_over_seeds(np.ones((3, 20)))
    assert (always.interval.low, always.interval.high) == (pytest.approx(2 * 0.025 ** (1 / 20) - 1), 1.0)
    assert always.p_value == pytest.approx(2 / 2**20, abs=1e-3) and always.is_significant
    never = compare_over_seeds(-np.ones((3, 20)))
    assert (never.interval.low, never.interval.high) == (-1.0, -always.interval.low)
    same = compare_over_seeds(np.zeros((3, 20)))
    assert -same.interval.low == same.interval.high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert same.p_value == 1.0


def test_known_answer_a_comparison_counts_patients():
    """Two of twelve patients have all the images that differ: 18 of 36 images, but 2 against 0 patients."""
    differences = np.r_[np.ones(18), np.zeros(18)]
    patients = np.r_[np.repeat([0, 1], 9), np.arange(10, 28)]
    assert compare_over_seeds(np.tile(differences, (4, 1))).p_value < 0.001
    found = compare_over_seeds(np.tile(differences, (4, 1)), patients)
    assert found.p_value == 0.5 and found.interval.counts == "36 images of 20 patients, 4 seeds"
