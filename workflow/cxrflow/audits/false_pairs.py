"""How many pairs of different pictures reach a correlation, estimated from the data set itself."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAIL = 0.1
"""Share of the pairs that the tail is fitted to."""
TOP = 0.5
"""Share of the tail of which only the number counts, not how far it reaches: copies may hide there."""
FEWEST = 500
"""Pairs that a fit needs; with fewer, `TYPICAL` is used."""
TYPICAL = (0.45, 0.1)
"""Start and scale of the tail that are assumed of small data sets: those of phantoms, above those of radiographs."""
LARGEST = 4.0
"""Largest Fisher z: a correlation of 0.9993."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tail:
    """The most similar pairs of different pictures: pairs that exceed Fisher's z, exponentially distributed."""

    start: float
    scale: float
    pairs: int
    """Pairs in the whole data set, of which `TAIL` exceed the start."""


def fit_tail(correlations: Array, are_different: NDArray[np.bool_], pairs: int) -> Tail:
    """Estimate how similar pairs of different pictures are in a data set.

    Fisher's z of a correlation, maximised over many alignments, has a tail that is at most exponential (domain of attraction
    of Gumbel: a generalised Pareto tail of shape 0; Pickands, 1975). Its scale is fitted by maximum likelihood to the top
    `TAIL` of the pairs, with the top `TOP` of these censored. So one pair in a hundred may be a copy, or show a patient whose
    name is unknown. All candidates of a data set, which are its most similar pairs at low resolution, are registered, and other
    pairs are no candidates. So the tail is extrapolated only from one in some hundred candidates to a twentieth of one, however
    many pairs the data set has.

    Args:
        correlations: registered correlations of the candidates that are least similar at low resolution, 0 to 1.
        are_different: whether each of them is known, or assumed, to be of different patients.
        pairs: all candidates of the data set.
    """
    z = fisher_z(correlations[are_different])
    if len(z) < FEWEST:
        return Tail(*TYPICAL, pairs)
    begins = float(np.quantile(z, 1 - TAIL))
    above = np.sort(z[z > begins]) - begins
    seen = above[: int(np.ceil(len(above) * (1 - TOP)))]
    scale = float((seen.sum() + (len(above) - len(seen)) * seen[-1]) / len(seen)) if len(seen) else 0.0
    return Tail(begins, max(scale, TYPICAL[1] / 4), pairs)


def expected_false(correlations: Array, tail: Tail) -> Array:
    """Expected number of pairs of different pictures in the data set with at least each correlation, 0 to `tail.pairs`."""
    z = fisher_z(correlations)
    above = tail.pairs * TAIL * np.exp(-np.maximum(z - tail.start, 0) / tail.scale)
    return np.where(z < tail.start, float(tail.pairs), above)


def correlation_at(false_pairs: float, tail: Tail) -> float:
    """Correlation that this number of pairs of different pictures is expected to exceed."""
    above = np.log(max(tail.pairs * TAIL / false_pairs, 1.0))
    return float(np.tanh(tail.start + tail.scale * above))


def fisher_z(correlations: Array) -> Array:
    """Fisher's transformation, limited to `LARGEST`."""
    return np.arctanh(np.clip(correlations, 0, np.tanh(LARGEST)))
