"""Association of a variable with classes: Cramér's V and AUC, each with a permutation test, and Holm's correction.

Classes and categories are integers from 0. The units must be independent: one row per patient, not per image.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]

DRAWS = 999
"""Permutations of a test; the smallest p-value is 1 / (1 + DRAWS)."""
AT_ONCE = 5_000_000  # labels that are held in memory at a time
TOLERANCE = 1e-9
"""Statistics that differ by less are equal: the same table gives sums that differ in the last digits."""


def cramers_v(classes: ArrayLike, values: ArrayLike) -> float:
    """Compute Cramér's V of two categorical variables, without bias correction: 0 (independent) to 1.

    It equals `scipy.stats.contingency.association`. Classes and categories that do not occur are ignored.

    Args:
        classes: class of each unit, shape (n,), integers from 0.
        values: category of each unit, shape (n,), integers from 0.

    Returns:
        0 if one of the two variables is constant, or without units.
    """
    labels, one_hot = _places(classes), _one_hot(values)
    return float(_cramers_v(labels[None], one_hot)[0]) if one_hot.shape[1] > 1 else 0.0


def one_versus_rest_auc(classes: ArrayLike, values: ArrayLike) -> Numbers:
    """Compute each class's AUC against all others: the probability that a unit of it has the larger value.

    It is the Mann-Whitney statistic divided by the number of pairs; equal values count one half.

    Args:
        classes: class of each unit, shape (n,), integers from 0 to k - 1.
        values: value of each unit, shape (n,), finite.

    Returns:
        Shape (k,), 0 to 1; NaN for a class without units, and for one that has all of them.
    """
    labels = np.asarray(classes, dtype=np.int64)
    return _auc(labels[None], rankdata(values), int(labels.max(initial=-1)) + 1)[0]


def cramers_v_test(classes: ArrayLike, values: ArrayLike, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Test the independence of two categorical variables by permuting the classes.

    Args:
        classes: class of each unit, shape (n,), integers from 0.
        values: category of each unit, shape (n,), integers from 0.
        draws: number of permutations.
        seed: of the permutations; the same seed gives the same p-value.

    Returns:
        Cramér's V and its p-value, (1 + permutations with at least this V) / (1 + draws); 0 and 1 if a variable is constant.

    Source: B. Phipson and G. K. Smyth, "Permutation p-values should never be zero", Stat. Appl. Genet. Mol. Biol. 9 (2010).
    """
    labels, one_hot = _places(classes), _one_hot(values)
    if labels.max(initial=0) == 0 or one_hot.shape[1] < 2:
        return 0.0, 1.0
    return _permutation_test(labels, lambda some: _cramers_v(some, one_hot), draws, seed)


def auc_test(classes: ArrayLike, values: ArrayLike, draws: int = DRAWS, seed: int = 0) -> tuple[float, int, float]:
    """Test whether a numeric variable differs between classes, by permuting the classes.

    The statistic is the largest distance of a class's AUC against all others from 0.5, so that the p-value accounts for the
    choice of the class.

    Args:
        classes: class of each unit, shape (n,), integers from 0.
        values: value of each unit, shape (n,), finite.
        draws: number of permutations.
        seed: of the permutations; the same seed gives the same p-value.

    Returns:
        The AUC that is farthest from 0.5, its class (of two, the first), and the p-value as in `cramers_v_test`; 0.5, the
        first class and 1 if there are fewer than two classes or values.
    """
    labels, ranks = np.asarray(classes, dtype=np.int64), rankdata(values)
    count = int(labels.max(initial=-1)) + 1
    present = np.unique(labels)
    if len(present) < 2 or np.ptp(ranks) == 0:
        return 0.5, int(present[0]) if len(present) else 0, 1.0

    def distances(some: Integers) -> Numbers:
        return np.abs(_auc(some, ranks, count)[:, present] - 0.5)

    own = distances(labels[None])[0]
    place = int(present[np.argmax(own >= own.max() - TOLERANCE)])
    _, p = _permutation_test(labels, lambda some: distances(some).max(axis=1), draws, seed)
    return float(_auc(labels[None], ranks, count)[0, place]), place, p


def holm(p_values: ArrayLike) -> Numbers:
    """Adjust p-values by Holm's method, so that the chance of any false alarm among them is at most the level.

    Args:
        p_values: shape (m,), 0 to 1.

    Returns:
        Adjusted p-values in the same order, shape (m,), at most 1.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6 (1979).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def _permutation_test(
    labels: Integers, statistic: Callable[[Integers], Numbers], draws: int, seed: int
) -> tuple[float, float]:
    """The statistic of the labels, and the share of permutations with at least this statistic.

    `statistic` takes labels of shape (d, n) and returns shape (d,).
    """
    own = float(statistic(labels[None])[0])
    larger = sum(int((statistic(some) >= own - TOLERANCE).sum()) for some in _permuted(labels, draws, seed))
    return own, (1 + larger) / (1 + draws)


def _permuted(labels: Integers, draws: int, seed: int) -> Iterator[Integers]:
    """Permuted labels in parts of shape (d, n), `draws` in all."""
    random = np.random.default_rng(seed)
    part = max(1, AT_ONCE // len(labels))
    for start in range(0, draws, part):
        yield random.permuted(np.tile(labels, (min(part, draws - start), 1)), axis=1)


def _cramers_v(labels: Integers, one_hot: Numbers) -> Numbers:
    """Cramér's V of each row of labels, shape (d, n), with categories, shape (n, categories >= 2), all of which occur."""
    n, in_category = len(one_hot), one_hot.sum(axis=0)
    sums = np.zeros(len(labels))
    of_class = np.bincount(labels[0])
    for place, count in enumerate(of_class):
        observed = (labels == place).astype(np.float64) @ one_hot
        sums += (observed**2 / in_category).sum(axis=1) / count
    least = min(len(of_class), len(in_category)) - 1
    return np.sqrt(np.clip((sums - 1) / least, 0, 1)) if least and n else np.zeros(len(labels))


def _auc(labels: Integers, ranks: Numbers, count: int) -> Numbers:
    """AUC of each class against all others for each row of labels, shape (d, count)."""
    found = np.full((len(labels), count), np.nan)
    for place in range(count):
        is_own = labels == place
        size = int(is_own[0].sum())
        if 0 < size < len(ranks):
            found[:, place] = (is_own.astype(np.float64) @ ranks - size * (size + 1) / 2) / (size * (len(ranks) - size))
    return found


def _places(values: ArrayLike) -> Integers:
    """Number the values that occur from 0."""
    return np.asarray(np.unique(np.asarray(values), return_inverse=True)[1], dtype=np.int64)


def _one_hot(values: ArrayLike) -> Numbers:
    places = _places(values)
    return np.eye(int(places.max(initial=-1)) + 1)[places]
