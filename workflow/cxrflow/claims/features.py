"""Measures of features: how the classes lie in the space of the last hidden layer.

The numbers come from each run's separation.json: shares of the 5 nearest neighbours by Euclidean distance on standardised
features. Most of these images the network was trained on.
"""

from typing import Any

from cxrflow.claims.each import each_separation
from cxrflow.claims.model import CANNOT_BE_TOLD, NOT_RUN, Seen, UndecidedError
from cxrflow.claims.registry import Names, measure
from cxrflow.claims.statistics import at_least, at_most

Separation = dict[str, Any]


@measure("features", by=each_separation)
def clusters_separate(separation: Separation, *, share: float, silhouette: float) -> Seen:
    """The same-class share of all neighbours is at least `share`, and the silhouette above `silhouette`."""
    if separation["silhouette"] is None:
        raise UndecidedError(CANNOT_BE_TOLD, "all features are the same")
    numbers = {"same-class share": separation["same_class_share"], "silhouette": separation["silhouette"]}
    return Seen(at_least(numbers["same-class share"], share) and numbers["silhouette"] > silhouette, numbers)


@measure("features", by=each_separation)
def neighbours_at_least(separation: Separation, *, share: float) -> Seen:
    """The same-class share of all neighbours is at least `share`."""
    value = separation["same_class_share"]
    return Seen(at_least(value, share), {"": value})


@measure("features", by=each_separation)
def few_among_others(separation: Separation, *, least: int, most: int) -> Seen:
    """The number of points with most of their neighbours in other classes lies between `least` and `most`."""
    points = separation["mostly_other_neighbours"]
    return Seen(least <= points <= most, {"points": points, "of": separation["images"]})


@measure("features", by=each_separation)
def pair_overlaps(separation: Separation, *, first: str, second: str, share: float) -> Seen:
    """Among the images of two classes alone, the same-class share of neighbours is at most `share`."""
    pairs = separation["pairs"]
    value = pairs.get(f"{first}|{second}", pairs.get(f"{second}|{first}"))
    if value is None:
        raise UndecidedError(NOT_RUN, f"there are no features of {first} and {second}")
    return Seen(at_most(value, share), {"": value})


@measure("features", by=each_separation)
def separate_better(separation: Separation, *, better: Names, worse: Names) -> Seen:
    """The same-class share of neighbours is higher for each of the better classes than for any of the others."""
    shares = {name: _share(separation, name, name) for name in [*better, *worse]}
    holds = min(shares[name] for name in better) > max(shares[name] for name in worse)
    return Seen(holds, shares)


@measure("features", by=each_separation)
def neighbours_mostly(separation: Separation, *, neighbours_of: str, among: str, over: Names) -> Seen:
    """Of the neighbours of one class, more are of the class `among` than of any of the classes `over`."""
    shares = {name: _share(separation, neighbours_of, name) for name in [among, *over]}
    return Seen(all(shares[among] > shares[name] for name in over), shares)


def _share(separation: Separation, of: str, other: str) -> float:
    shares = separation["neighbour_shares"]
    if of not in shares or other not in shares:
        raise UndecidedError(NOT_RUN, f"there are no features of {of if of not in shares else other}")
    return shares[of][other]
