"""How far an observation is from the edge of its rule, in units of its own noise.

The rule is applied again to noisy copies of what it was applied to. If it gives the same answer in a share p of them, the
distance is the p quantile of the standard normal distribution: the standard deviations between the observed value and the edge,
if the noise is normal. It is 0 if half of the copies give the other answer, and at most `MOST`, since more than that cannot
be told from a limited number of copies.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from cxrflow.claims.model import Observation, UndecidedError
from cxrflow.claims.results import CURVES, History, TrainingResults
from cxrflow.statistics.predictive import decided

MOST = 2.5
WINDOW = 10
"""Noise of an epoch is drawn from epochs at most this far away, since early epochs are noisier than late ones."""


@lru_cache(maxsize=32)  # claims about the same experiment follow each other
def noisy_histories(training: TrainingResults, draws: int) -> tuple[History, ...]:
    """Copy a history with other noise: m5 of its curves, and residuals from m5 of epochs nearby.

    All curves take the residuals of the same epoch. The copies are the same in every call.

    Args:
        training: its history is copied.
        draws: the number of copies.
    """
    history, last = training.history, training.history.trained - 1
    random = np.random.default_rng([*training.experiment.encode(), training.seed])
    places = np.abs(np.arange(last + 1) + random.integers(-WINDOW, WINDOW + 1, (draws, last + 1)))
    places = np.maximum(last - np.abs(last - places), 0)  # reflected at both ends
    copies = {}
    for name in CURVES:
        smooth = history.smooth(name)
        residuals = history.curve(name) - smooth
        copies[name] = np.clip(smooth + residuals[places], 0, 1 if name.endswith("accuracy") else None)
    return tuple(replace(history, curves={name: copies[name][draw] for name in CURVES}) for draw in range(draws))


def noisy_separations(separation: Mapping[str, Any], draws: int) -> list[dict[str, Any]]:
    """Copy the separation of classes with other neighbours: as if all neighbours were drawn independently.

    Classes count as equally large. The silhouette stays the same.
    """
    if not draws:
        return []
    random = np.random.default_rng(0)
    images = int(separation["images"])
    shares = separation["neighbour_shares"]
    neighbours = 5 * images
    of_class = neighbours // len(shares)

    def drawn(share: float | None, of: int) -> NDArray[np.float64] | list[None]:
        return [None] * draws if share is None else random.binomial(of, share, draws) / of

    same_class = drawn(separation["same_class_share"], neighbours)
    others = random.binomial(images, separation["mostly_other_neighbours"] / images, draws)
    pairs = {name: drawn(share, 2 * of_class) for name, share in separation["pairs"].items()}
    by_class = {}
    for name, row in shares.items():
        chances = np.array(list(row.values()))
        by_class[name] = random.multinomial(of_class, chances / chances.sum(), draws) / of_class
    return [
        {
            **separation,
            "same_class_share": same_class[draw],
            "mostly_other_neighbours": int(others[draw]),
            "pairs": {name: values[draw] for name, values in pairs.items()},
            "neighbour_shares": {
                name: dict(zip(row, by_class[name][draw].tolist(), strict=True)) for name, row in shares.items()
            },
        }
        for draw in range(draws)
    ]


def observe_histories(
    rule: Callable[..., Observation], trainings: Sequence[TrainingResults], draws: int
) -> Observation:
    """Apply a rule to the histories of some trainings, and find its distance from the edge.

    Args:
        rule: takes the histories.
        trainings: one, or several of the same seed.
        draws: the number of noisy copies; 0: the distance is not computed.

    Raises:
        UndecidedError: the rule cannot be applied.
    """
    copies = list(zip(*(noisy_histories(training, draws) for training in trainings), strict=True)) if draws else []
    return observe_with_distance(rule, [training.history for training in trainings], copies)


def observe_with_distance(rule: Callable[..., Observation], seen: Sequence[Any], copies: Sequence[Any]) -> Observation:
    """Apply a rule to what was seen, and find its distance from the edge.

    Args:
        rule: takes the elements of `seen`.
        seen: such as the histories of two experiments.
        copies: noisy copies of `seen`; empty: the distance is not computed.

    Raises:
        UndecidedError: the rule cannot be applied.
    """
    observation = rule(*seen)
    if not copies:
        return observation
    return Observation(observation.holds, observation.numbers, _distance(rule, observation.holds, copies))


def _distance(rule: Callable[..., Observation], holds: bool, copies: Sequence[Any]) -> float:
    same = 0
    for copy in copies:
        with suppress(UndecidedError):  # such as a minimum that comes too early in this copy: another answer
            same += rule(*copy).holds == holds
    return float(np.clip(norm.ppf((same + 0.5) / (len(copies) + 1)), 0, MOST))


def distance_of_verdict(observations: Sequence[Observation], rate: float = 0.0) -> float | None:
    """The distance to where the verdict on the seeds of an experiment would flip.

    That is the distance of the last seed which must change for another verdict, if the seeds nearest to the edge change first.
    Where no change of seeds gives another verdict, as with fewer than six, it is that of the seed nearest to the edge.

    Args:
        observations: one for each seed.
        rate: the share of null runs in which the rule holds.

    Returns:
        At least 0; None if the distance of a seed is unknown.
    """
    seeds, holding = len(observations), sum(one.holds for one in observations)
    now = decided(holding, seeds, rate)
    found = []
    for holds, step in ((True, -1), (False, 1)):
        distances = [one.distance for one in observations if one.holds == holds]
        if any(distance is None for distance in distances):
            return None
        for changed, distance in enumerate(sorted(d for d in distances if d is not None), start=1):
            if decided(holding + step * changed, seeds, rate) != now:
                found.append(distance)
                break
    known = [one.distance for one in observations if one.distance is not None]
    return min(found or known)
