"""Association of a variable with classes: known answers, other libraries' answers, and the size of the tests."""

from itertools import permutations
from math import sqrt

import numpy as np
import pytest
from cxrflow.statistics.association import (
    auc_test,
    cramers_v,
    cramers_v_test,
    holm,
    one_versus_rest_auc,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from scipy.stats.contingency import association
from sklearn.metrics import roc_auc_score

labelled = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=2, max_size=40)


def test_cramers_v_computed_by_hand() -> None:
    """The table (3 1; 1 3) has chi2 = 2, so V = sqrt(2 / 8); a table of 2 x 3 without zeros is known, too."""
    assert cramers_v([0] * 4 + [1] * 4, [0, 0, 0, 1, 0, 1, 1, 1]) == pytest.approx(sqrt(2 / 8))
    assert cramers_v([0, 0, 1, 1], [0, 0, 1, 1]) == 1
    assert cramers_v([0, 0, 1, 1], [0, 1, 0, 1]) == 0


@given(labelled)
def test_cramers_v_is_that_of_scipy(rows: list[tuple[int, int]]) -> None:
    classes, values = np.array(rows).T
    table = np.zeros((4, 5), int)
    np.add.at(table, (classes, values), 1)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    expected = association(table, method="cramer") if min(table.shape) > 1 else 0
    assert cramers_v(classes, values) == pytest.approx(expected, abs=1e-7)


@given(labelled)
def test_the_auc_is_that_of_scikit_learn_and_scipy(rows: list[tuple[int, int]]) -> None:
    classes, values = np.array(rows).T
    found = one_versus_rest_auc(classes, values)
    assert len(found) == classes.max() + 1
    for place, auc in enumerate(found):
        is_own = classes == place
        if is_own.all() or not is_own.any():
            assert np.isnan(auc)
            continue
        assert auc == pytest.approx(roc_auc_score(is_own, values))
        pairs = is_own.sum() * (~is_own).sum()
        assert auc == pytest.approx(mannwhitneyu(values[is_own], values[~is_own]).statistic / pairs)


def test_p_values_agree_with_all_permutations() -> None:
    """Of the 20 ways to choose 3 of 6 units, 2 separate the values completely, so p is near 2/20."""
    classes, values = [0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6]
    auc, place, p = auc_test(classes, values, draws=9999)
    assert (auc, place) == (0, 0) and p == pytest.approx(0.1, abs=0.01)
    v, p = cramers_v_test(classes, [0, 0, 0, 1, 1, 1], draws=9999)
    assert v == 1 and p == pytest.approx(0.1, abs=0.01)
    classes, values = [0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 3]
    own = max(abs(one_versus_rest_auc(classes, values) - 0.5))
    exact = np.mean([max(abs(one_versus_rest_auc(one, values) - 0.5)) >= own - 1e-9 for one in permutations(classes)])
    auc, place, p = auc_test(classes, values, draws=9999)
    assert abs(auc - 0.5) == pytest.approx(own) and p == pytest.approx(exact, abs=0.015)


def test_the_smallest_p_value_and_the_same_p_value_in_each_call() -> None:
    classes, values = [0] * 30 + [1] * 30, [*range(60)]
    assert auc_test(classes, values) == (0, 0, 0.001) == auc_test(classes, values)
    assert cramers_v_test(classes, classes) == (1, 0.001)
    assert auc_test([0, 1] * 20, [*range(40)]) == auc_test([0, 1] * 20, [*range(40)])


@pytest.mark.parametrize(
    ("classes", "values"), [([], []), ([0], [1]), ([0, 0, 0], [1, 2, 3]), ([0, 1, 1], [2, 2, 2]), ([3, 3], [0, 1])]
)
def test_one_class_or_one_value_is_no_association(classes: list[int], values: list[int]) -> None:
    assert cramers_v(classes, values) == 0
    assert cramers_v_test(classes, values) == (0, 1)
    auc, _, p = auc_test(classes, values)
    assert (auc, p) == (0.5, 1)


def test_a_class_without_units_is_left_out() -> None:
    auc, place, p = auc_test([0] * 10 + [2] * 10, [*range(20)])
    assert (auc, place) == (0, 0) and p <= 0.002
    assert np.isnan(one_versus_rest_auc([0, 2], [1, 2])[1])


def test_holm_computed_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1, 1]
    assert holm([]).tolist() == []


def test_sizes_of_the_tests() -> None:
    """Without association, each test rejects at the level 0.05 in about 5 % of samples."""
    random = np.random.default_rng(1)
    rejected = np.zeros(2)
    samples = 400
    for sample in range(samples):
        classes = random.integers(0, 3, 40)
        rejected[0] += cramers_v_test(classes, random.integers(0, 4, 40), draws=199, seed=sample)[1] <= 0.05
        rejected[1] += auc_test(classes, random.integers(0, 20, 40), draws=199, seed=sample)[2] <= 0.05
    assert (rejected / samples <= 0.05 + 2 * sqrt(0.05 * 0.95 / samples)).all()
    assert (rejected / samples >= 0.02).all()
