"""How well classes separate in the full feature space, which a two-dimensional map shows only in part."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_chunked, silhouette_score
from sklearn.preprocessing import StandardScaler

from cxrflow.io.errors import UserError
from cxrflow.statistics.bootstrap import WEIGHTED_PATIENTS, mean_interval
from cxrflow.statistics.intervals import counted_images

ROUNDING = 2e-6
"""Values of a feature that differ by less than this share of the largest value are equal: 32-bit sums differ by as much."""
SAME = 1e-5
"""Two values of a feature, or two distances between images, that differ by less are equal; in standard deviations."""
FEW = 2
"""A unit that is the same for all but this many images is nearly constant. Standardised, it would place these few images far
from all others: by sqrt(n / 2) standard deviations or more, of n images."""


def separation_of(features: NDArray[Any], classes: NDArray[np.str_], k: int = 5) -> dict[str, Any]:
    """Compute shares of neighbours and the silhouette, by Euclidean distance on standardised features.

    Args:
        features: shape (n, units).
        classes: the class of each row.
        k: number of neighbours, without the point itself. Equally distant neighbours share the remaining places.

    Returns:
        A JSON value: `images`, `k`, `not_judged` (why there are no numbers, or None), `units` (see `counted_units`),
        `neighbour_shares` (class to the mean share of each class among the neighbours of its images), `same_class_share` (over
        all images), `silhouette` (-1 to 1), `mostly_other_neighbours` (images with more than half of their neighbours in other
        classes), `pairs` (for each pair of classes, the same-class share among the images of these two only). Numbers are None
        if the features cannot be judged.

    Raises:
        UserError: all images are of one class, or each of another; or there are fewer than k + 1 images in a pair of classes.
    """
    return separation_and_counts(features, classes, k)[0]


def separation_and_counts(
    features: NDArray[Any], classes: NDArray[np.str_], k: int = 5
) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """Compute `separation_of`, and the numbers of neighbours of each image, for `intervals_of`.

    Returns:
        The separation; and by name: `all`, shape (n, classes), how many of the k neighbours of each image are of each class, in
        alphabetical order; `first|second`, shape (images of these classes,), how many are of the same class. Those that cannot
        be judged are left out.
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
    points, reason = _standardised(features, classes)
    separation: dict[str, Any] = {
        "images": len(classes),
        "k": k,
        "not_judged": reason,
        "units": counted_units(features),
        "neighbour_shares": {name: dict.fromkeys(names) for name in names},
        "same_class_share": None,
        "silhouette": None,
        "mostly_other_neighbours": None,
        "pairs": {},
    }
    counts: dict[str, NDArray[np.float64]] = {}
    for first, second in combinations(names, 2):
        chosen = np.isin(classes, [first, second])
        pair, of_pair = f"{first}|{second}", classes[chosen]
        points_of_pair, reason_of_pair = _standardised(features[chosen], of_pair)
        if reason_of_pair is None:
            counts[pair] = same_class(_neighbour_counts(points_of_pair, of_pair, [first, second], k), of_pair)
        separation["pairs"][pair] = None if reason_of_pair else _share(counts[pair], k)
    if reason is None:
        counts["all"] = _neighbour_counts(points, classes, names, k)
        for name in names:
            of_class = counts["all"][classes == name]
            shares = {other: _share(of_class[:, at], k) for at, other in enumerate(names)}
            separation["neighbour_shares"][name] = shares
        same = same_class(counts["all"], classes)
        separation["same_class_share"] = _share(same, k)
        separation["silhouette"] = float(silhouette_score(points, classes))
        separation["mostly_other_neighbours"] = int((same / k < 0.5).sum())
    return separation, counts


def _share(counts: NDArray[np.float64], k: int) -> float:
    return float(counts.sum() / (k * len(counts)))


def same_class(counts: NDArray[np.float64], classes: NDArray[np.str_]) -> NDArray[np.float64]:
    """Select the count of each image's own class from those of all classes in alphabetical order, shape (n, classes)."""
    return counts[np.arange(len(classes)), np.unique(classes, return_inverse=True)[1]]


def chance_of(classes: NDArray[np.str_]) -> dict[str, Any]:
    """Compute the shares that `separation_of` has on average if the classes of the images are permuted.

    The neighbours of an image of class c are then any of the other n - 1 images: (n_c - 1) / (n - 1) of the same class, and
    n_d / (n - 1) of another class d, for any number of neighbours.

    Returns:
        A JSON value: `same_class_share`, `neighbour_shares` and `pairs`, as in `separation_of`.
    """
    names, counts = np.unique(classes, return_counts=True)
    of: dict[str, int] = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return {
        "same_class_share": _same_class_by_chance(counts.tolist()),
        "neighbour_shares": {
            name: {other: (of[other] - (other == name)) / (len(classes) - 1) for other in of} for name in of
        },
        "pairs": {f"{one}|{other}": _same_class_by_chance([of[one], of[other]]) for one, other in combinations(of, 2)},
    }


def _same_class_by_chance(counts: Sequence[int]) -> float:
    images = sum(counts)
    return sum(count * (count - 1) for count in counts) / (images * (images - 1))


def intervals_of(
    counts: Mapping[str, NDArray[np.float64]], classes: NDArray[np.str_], k: int, groups: NDArray[Any] | None
) -> dict[str, Any]:
    """Compute 95 % intervals of the shares of `separation_of`, see `cxrflow.statistics.bootstrap.mean_interval`.

    They say how well the shares would be known from other images of as many patients, among the same neighbours.

    Args:
        counts: from `separation_and_counts`.
        classes: the class of each image.
        k: number of neighbours.
        groups: the patient of each image; None if no patient is known, so that each image counts as its own.

    Returns:
        A JSON value: `method`, `counts` (`9 images of 5 patients`); `same_class_share`, `neighbour_shares` and `pairs`, as in
        `separation_of`, each a list of both ends, or None if the share is.
    """

    names = sorted(set(classes.tolist()))

    def interval(of_counts: str, of_classes: Sequence[str], of: str | None = None) -> list[float] | None:
        """The interval of a pair, or of all: the share of the class `of`, or of each image's own class."""
        if of_counts not in counts:
            return None
        chosen = np.isin(classes, of_classes)
        numbers = counts[of_counts]
        if of_counts == "all":
            numbers = same_class(numbers, classes) if of is None else numbers[:, names.index(of)]
            numbers = numbers[chosen]
        found = mean_interval(numbers / k, classes[chosen], None if groups is None else groups[chosen])
        return [found.low, found.high]

    return {
        "method": WEIGHTED_PATIENTS,
        "counts": counted_images(len(classes), groups),
        "same_class_share": interval("all", names),
        "neighbour_shares": {name: {other: interval("all", [name], other) for other in names} for name in names},
        "pairs": {f"{one}|{other}": interval(f"{one}|{other}", [one, other]) for one, other in combinations(names, 2)},
    }


def counted_units(features: NDArray[Any]) -> dict[str, int]:
    """Count the units: `total`, `constant` (the same for all images), `nearly_constant` (the same for all but one or two)."""
    constant, nearly = _constant_units(features.astype(np.float64))
    return {"total": len(constant), "constant": int(constant.sum()), "nearly_constant": int(nearly.sum())}


def _constant_units(values: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mark the units that are the same for all images, and those that are the same for all but one or two; shape (units,).

    Of five images or fewer, the others may be no majority, so no unit is nearly constant.
    """
    finite = np.isfinite(values).all(axis=0)
    values = np.where(finite, values, 0)
    tolerance = ROUNDING * np.abs(values).max(axis=0)
    kept = len(values) - FEW
    constant = np.ptp(values, axis=0) <= tolerance
    if kept <= FEW + 1:
        return constant & finite, np.zeros_like(constant)
    places = [*range(FEW + 1), *range(kept - 1, len(values))]
    ordered = np.partition(values, places, axis=0)[places]
    spread = (ordered[FEW + 1 :] - ordered[: FEW + 1]).min(axis=0)
    return constant & finite, ~constant & (spread <= tolerance)


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


def _standardised(features: NDArray[Any], classes: NDArray[np.str_]) -> tuple[NDArray[np.float64], str | None]:
    """Scale features to mean 0 and standard deviation 1, without units that are constant or nearly so.

    Returns:
        The points, shape (n, kept units), and None; or no points, shape (n, 0), and why they cannot be judged.
    """
    values, reason = features.astype(np.float64), why_not_judged(features, classes)
    nothing = np.zeros((len(values), 0))
    if reason is not None:
        return nothing, reason
    constant, nearly = _constant_units(values)
    kept = values[:, ~(constant | nearly)]
    if nearly.any() and (not kept.size or why_not_judged(kept, classes) is not None):
        return (
            nothing,
            f"all differences between images are in units that are the same for all but {FEW} images at most",
        )
    return StandardScaler().fit_transform(kept), None


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
