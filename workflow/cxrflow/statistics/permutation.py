"""Permutation tests of several classifiers at once: p-values that allow for choosing the best of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MOST_FLIPS = 2**12
"""Up to this number, all flips are enumerated."""
DRAWS = 10_000
"""Number of random flips otherwise."""
ROUNDING = 1e-9
"""Differences by less are rounding errors."""


def paired_max_test(network: NDArray[Any], rivals: NDArray[Any], groups: NDArray[Any]) -> tuple[Numbers, Numbers]:
    """Test whether a network and each of several rivals classify the same images equally well.

    Under the hypothesis, a network and its rivals could be exchanged for each group (patient): the sign of all differences of
    its images is flipped together, for all rivals. Each adjusted p-value is the share of flips in which the largest absolute
    mean difference of any rival is at least as large as the observed one (single-step maxT of P. H. Westfall and S. S. Young,
    "Resampling-based multiple testing", 1993). All flips are enumerated if there are at most 4096, otherwise 10,000 are drawn,
    the same in each call; the observed one then counts as one of them.

    Args:
        network: shape (images,), 0 to 1: the share of its seeds that classify each image correctly.
        rivals: shape (rivals, images), 0 or 1: whether each rival classifies each image correctly.
        groups: shape (images,), the group of each image.

    Returns:
        For each rival, the mean difference (network - rival, -1 to 1), and the two-sided p-value, adjusted for the number of
        rivals. Both have the shape (rivals,).

    Raises:
        ValueError: there are no images.
    """
    images = len(network)
    if images == 0:
        raise ValueError("a test needs at least one image")
    _, group_of_image = np.unique(groups, return_inverse=True)
    differences = np.asarray(network, np.float64) - np.asarray(rivals, np.float64)
    by_group = (
        np.array([np.bincount(group_of_image, row) for row in differences]).reshape(len(differences), -1) / images
    )
    observed = by_group.sum(axis=1)
    by_group = by_group[:, np.any(np.abs(by_group) > ROUNDING, axis=0)]  # flipping the others changes nothing
    is_exact = 2 ** by_group.shape[1] <= MOST_FLIPS
    reached, flips = np.zeros(len(observed)), 0
    for signs in _all_signs(by_group.shape[1]) if is_exact else _random_signs(by_group.shape[1]):
        largest = np.abs(signs @ by_group.T).max(axis=1, initial=0.0)
        reached += np.sum(largest[:, None] >= np.abs(observed) - ROUNDING, axis=0)
        flips += len(signs)
    return observed, reached / flips if is_exact else (1 + reached) / (1 + flips)


def _all_signs(groups: int) -> Iterator[Numbers]:
    bits = np.arange(2**groups)[:, None] >> np.arange(groups) & 1
    yield (1 - 2 * bits).astype(np.float64)


def _random_signs(groups: int) -> Iterator[Numbers]:
    random = np.random.default_rng(0)
    for _ in range(DRAWS // 1000):
        yield (1 - 2 * random.integers(0, 2, size=(1000, groups))).astype(np.float64)


def permuted_labels(labels: NDArray[Any], groups: NDArray[Any], seed: int) -> NDArray[Any]:
    """Permute the labels of groups (patients): images of a group that share a label also share the permuted one.

    Args:
        labels: shape (images,).
        groups: shape (images,), the group of each image. A group with images of several labels is permuted as several groups.
        seed: of the permutation.

    Returns:
        Shape (images,). As many groups as before have each label; groups differ in size, so the number of images may change.
    """
    names, number_of_label = np.unique(labels, return_inverse=True)
    _, number_of_group = np.unique(groups, return_inverse=True)
    pairs, part = np.unique(number_of_group * len(names) + number_of_label, return_inverse=True)
    label_of_part = names[pairs % len(names)]
    return np.random.default_rng(seed).permutation(label_of_part)[part]


def max_test_against_chance(excess: NDArray[Any], permuted: NDArray[Any]) -> Numbers:
    """Test whether each of several rivals classifies better than chance in cross-validation.

    The complete cross-validation is repeated with permuted labels (`permuted_labels`), since permuting labels against fixed
    predictions is wrong here: predictions depend on the labels of the other folds, which nearly doubles the variance of the
    number correct (benchmarks/coverage.py measures both). Each adjusted p-value is (1 + b)/(1 + B): in b of B permutations, the
    largest excess of any rival is at least as large as the observed one.

    Sources: M. Ojala and G. C. Garriga, "Permutation tests for studying classifier performance", J. Mach. Learn. Res. 11
    (2010); P. H. Westfall and S. S. Young, "Resampling-based multiple testing", 1993.

    Args:
        excess: shape (rivals,): accuracy - share of the largest class.
        permuted: shape (permutations, rivals): the same for permuted labels, of which the share is taken, too.

    Returns:
        One-sided p-values, adjusted for the number of rivals, shape (rivals,).
    """
    largest = np.asarray(permuted, np.float64).max(axis=1, initial=-1.0)
    reached = np.sum(largest[:, None] >= np.asarray(excess, np.float64) - ROUNDING, axis=0)
    return (1 + reached) / (1 + len(largest))
