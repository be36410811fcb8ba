"""Measures of features: how well the classes separate in the last hidden layer.

The numbers are from the separation.json of each training: shares of the 5 nearest neighbours, by Euclidean distance on
standardised features. The network was trained on most of these images.
"""

from typing import Any

from cxrflow.claims.judge import each_separation
from cxrflow.claims.model import NOT_RUN, UNDECIDED, Observation, UndecidedError
from cxrflow.claims.registry import Names, measure
from cxrflow.statistics.intervals import at_least, at_most

Separation = dict[str, Any]


@measure("features", by=each_separation)
def clusters_separate(separation: Separation, *, share: float, silhouette: float) -> Observation:
    """The same-class share of all neighbours is at least `share`, and the silhouette is above `silhouette`."""
    numbers = {"same-class share": separation["same_class_share"], "silhouette": separation["silhouette"]}
    return Observation(at_least(numbers["same-class share"], share) and numbers["silhouette"] > silhouette, numbers)


@measure("features", by=each_separation)
def neighbours_at_least(separation: Separation, *, share: float) -> Observation:
    """The same-class share of all neighbours is at least `share`."""
    value = separation["same_class_share"]
    return Observation(at_least(value, share), {"": value})


@measure("features", by=each_separation)
def few_among_others(separation: Separation, *, least: int, most: int) -> Observation:
    """The number of points with most of their neighbours in other classes is at least `least` and at most `most`."""
    points = separation["mostly_other_neighbours"]
    return Observation(least <= points <= most, {"points": points, "of": separation["images"]})


@measure("features", by=each_separation)
def pair_overlaps(separation: Separation, *, first: str, second: str, share: float) -> Observation:
    """The same-class share of neighbours, among the images of two classes only, is at most `share`."""
    value = _share_of_pair(separation, first, second)
    return Observation(at_most(value, share), {"": value})


@measure("features", by=each_separation)
def pair_separates(separation: Separation, *, first: str, second: str, share: float) -> Observation:
    """The same-class share of neighbours, among the images of two classes only, is at least `share`."""
    value = _share_of_pair(separation, first, second)
    return Observation(at_least(value, share), {"": value})


@measure("features", by=each_separation)
def separate_better(separation: Separation, *, better: Names, worse: Names) -> Observation:
    """The same-class share of neighbours is higher for each of the `better` classes than for any of the `worse` ones."""
    shares = {name: _share(separation, name, name) for name in [*better, *worse]}
    holds = min(shares[name] for name in better) > max(shares[name] for name in worse)
    return Observation(holds, shares)


@measure("features", by=each_separation)
def neighbours_mostly(separation: Separation, *, neighbours_of: str, among: str, over: Names) -> Observation:
    """More neighbours of one class are in the class `among` than in any of the classes `over`."""
    shares = {name: _share(separation, neighbours_of, name) for name in [among, *over]}
    return Observation(all(shares[among] > shares[name] for name in over), shares)


def _share_of_pair(separation: Separation, first: str, second: str) -> float:
    pairs = separation["pairs"]
    pair = next((name for name in (f"{first}|{second}", f"{second}|{first}") if name in pairs), None)
    if pair is None:
        raise UndecidedError(NOT_RUN, f"there are no features of {first} and {second}")
    value = pairs[pair]
    if value is None:
        raise UndecidedError(UNDECIDED, f"all images of {first} have the same features, and so have those of {second}")
    return float(value)


def _share(separation: Separation, of: str, other: str) -> float:
    shares = separation["neighbour_shares"]
    if of not in shares or other not in shares:
        raise UndecidedError(NOT_RUN, f"there are no features of {of if of not in shares else other}")
    return shares[of][other]
