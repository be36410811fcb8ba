"""How well classes separate in the full feature space, which a two-dimensional map shows only in part."""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_chunked, silhouette_score
from sklearn.preprocessing import StandardScaler

from cxrflow.io.errors import UserError

ROUNDING = 2e-6
"""Values of a feature that differ by less than this share of the largest value are equal: 32-bit sums differ by as much."""
SAME = 1e-5
"""Two values of a feature, or two distances between images, that differ by less are equal; in standard deviations."""


def separation_of(features: NDArray[Any], classes: NDArray[np.str_], k: int = 5) -> dict[str, Any]:
    """Compute shares of neighbours and the silhouette, by Euclidean distance on standardised features.

    Args:
        features: shape (n, units).
        classes: the class of each row.
        k: number of neighbours, without the point itself. Equally distant neighbours share the remaining places.

    Returns:
        A JSON value: `images`, `k`, `not_judged` (see `why_not_judged`), `neighbour_shares` (class to the mean share of each
        class among the neighbours of its images), `same_class_share` (over all images), `silhouette` (-1 to 1),
        `mostly_other_neighbours` (images with more than half of their neighbours in other classes), `pairs` (for each pair of
        classes, the same-class share among the images of these two only). Numbers are None if the features cannot be judged.

    Raises:
        UserError: all images are of one class, or each of another; or there are fewer than k + 1 images in a pair of classes.
    """
    names = sorted(set(classes.tolist()))
    if len(names) < 2:
        only = f"all {len(classes)} images are {names[0]}" if names else "there are no images"
        raise UserError(f"features: {only}; how classes separate needs images of at least two classes")
    if len(names) == len(classes):
        raise UserError(
            f"features: each of the {len(classes)} images is of another class; a class needs at least two images"
        )
    fewest = min(int(np.isin(classes, pair).sum()) for pair in combinations(names, 2))
    if fewest <= k:
        raise UserError(f"features: {fewest} images are too few for {k} neighbours; at least {k + 1} are needed")
    reason = why_not_judged(features, classes)
    separation: dict[str, Any] = {
        "images": len(classes),
        "k": k,
        "not_judged": reason,
        "neighbour_shares": {name: dict.fromkeys(names) for name in names},
        "same_class_share": None,
        "silhouette": None,
        "mostly_other_neighbours": None,
        "pairs": {
            f"{first}|{second}": _share_among(features[chosen], classes[chosen], k)
            for first, second in combinations(names, 2)
            for chosen in [np.isin(classes, [first, second])]
        },
    }
    if reason is None:
        points = _standardised(features)
        counts = _neighbour_counts(points, classes, names, k)
        for name in names:
            of_class = counts[classes == name]
            shares = {other: float(of_class[:, at].sum() / (k * len(of_class))) for at, other in enumerate(names)}
            separation["neighbour_shares"][name] = shares
        same = counts[np.arange(len(classes)), np.searchsorted(names, classes)]
        separation["same_class_share"] = float(same.sum() / (k * len(same)))
        separation["silhouette"] = float(silhouette_score(points, classes))
        separation["mostly_other_neighbours"] = int((same / k < 0.5).sum())
    return separation


def why_not_judged(features: NDArray[Any], classes: NDArray[np.str_]) -> str | None:
    """Why distances between these features mean nothing, or None if they mean something.

    Args:
        features: shape (n, units).
        classes: the class of each row.
    """
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        return f"the features of {np.sum(~finite):,} of {len(finite):,} images are not finite numbers"
    values = features.astype(np.float64)
    tolerance = np.maximum(ROUNDING * np.abs(values).max(axis=0), SAME * values.std(axis=0))
    if _is_constant(values, tolerance):
        return "all images have the same features"
    if all(_is_constant(values[classes == name], tolerance) for name in set(classes.tolist())):
        return "all images of a class have the same features"
    return None


def _is_constant(values: NDArray[np.float64], tolerance: NDArray[np.float64]) -> bool:
    return bool((np.ptp(values, axis=0) <= tolerance).all())


def _standardised(features: NDArray[Any]) -> NDArray[np.float64]:
    """Scale features to mean 0 and standard deviation 1; those that are the same for all images are dropped."""
    values = features.astype(np.float64)
    varied = np.ptp(values, axis=0) > ROUNDING * np.abs(values).max(axis=0)
    return StandardScaler().fit_transform(values[:, varied])


def _share_among(features: NDArray[Any], classes: NDArray[np.str_], k: int) -> float | None:
    """The same-class share among these images only; None if their features cannot be judged."""
    if why_not_judged(features, classes) is not None:
        return None
    names = sorted(set(classes.tolist()))
    counts = _neighbour_counts(_standardised(features), classes, names, k)
    return float(counts[np.arange(len(classes)), np.searchsorted(names, classes)].sum() / (k * len(classes)))


def _neighbour_counts(
    points: NDArray[np.float64], classes: NDArray[np.str_], names: list[str], k: int
) -> NDArray[np.float64]:
    """Count the k nearest neighbours of each point by class, shape (n, classes).

    Equally distant neighbours count the same fraction, so that the order of the rows has no influence.
    """
    is_of = (classes[:, None] == np.array(names)).astype(np.float64)

    def counted(distances: NDArray[np.float64], start: int) -> NDArray[np.float64]:
        rows = np.arange(len(distances))
        distances[rows, start + rows] = np.inf
        last = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
        nearer, equal = distances < last - SAME, np.abs(distances - last) <= SAME
        left = k - nearer.sum(axis=1, keepdims=True)
        return nearer @ is_of + (equal @ is_of) * (left / equal.sum(axis=1, keepdims=True))

    return np.concatenate(list(pairwise_distances_chunked(points, reduce_func=counted, working_memory=64)))
