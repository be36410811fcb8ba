"""The verdict on a rule that is judged seed by seed, from the share of seeds in which it holds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from statistics import median
from typing import Literal

from cxrflow.claims.model import (
    CONSISTENT,
    DIFFERS,
    UNDECIDED,
    Claim,
    Judgement,
    Null,
    Observation,
    UndecidedError,
    in_words,
)
from cxrflow.claims.noise import distance_of_verdict
from cxrflow.io.words import counted, joined
from cxrflow.statistics.intervals import clopper_pearson
from cxrflow.statistics.predictive import decided

MOST_CONTROLS_FAIL = 0.2
"""A rule that fails in a larger share of its positive controls cannot give `differs`."""
NOT_SPECIFIC = 0.8
"""A rule that holds in this share of generic learners, or in more, says nothing specific about a network."""


@dataclass(frozen=True)
class RuleRates:
    """How often a rule holds in made-up runs of an experiment, 0 to 1."""

    null: Null | Literal["random_features"]
    """The null runs that contradict the claim."""
    rate: float
    """The share of these in which the rule holds."""
    learner: float | None
    """The same for null runs that learn; None if there are none."""
    control: float | None
    """The share of positive controls in which the rule fails; None if there are too few."""
    rivals: tuple[str, ...] = ()
    """What else the rule holds for."""


def judge_observations(
    claim: Claim,
    cases: Mapping[str, Sequence[Callable[[], Observation]]],
    rates_of: Callable[[str], RuleRates | None] | None = None,
) -> Judgement:
    """Judge how often a rule holds in the seeds of each experiment, by the exact 95 % interval of that share.

    The claim is `consistent` if, in every experiment, the lower end is above one half (6 of 6 seeds, 8 of 9) and above the
    share of null runs in which the rule holds. It is `differs` if the upper end is below one half in any experiment, unless the
    rule fails in more than 20 % of its positive controls there. Otherwise it is `undecided`: one seed decides nothing. The
    interval is that of Clopper and Pearson, for further seeds on the same split. It says nothing about other patients.

    Args:
        claim: the claim that the rule judges.
        cases: experiment to one function for each seed, which raises UndecidedError if the rule cannot be applied to it.
        rates_of: gives the rates in made-up runs of an experiment, or None if there are none; itself None if there are none for
            the rule.

    Raises:
        UndecidedError: that of the first case, if the rule cannot be applied to any of an experiment.
    """
    found = {name: _observations(of_experiment) for name, of_experiment in cases.items()}
    shares = {name: _Share.of(observations) for name, (observations, _) in found.items()}
    found_rates = {name: rates_of(name) for name in cases} if rates_of else {}
    rates = {name: one for name, one in found_rates.items() if one is not None}
    observations = [one for seen, _ in found.values() for one in seen]
    undecided = [error for _, errors in found.values() for error in errors]
    names = dict.fromkeys(name for each in observations for name in each.numbers)
    values = {name: [each.numbers[name] for each in observations if name in each.numbers] for name in names}
    numbers = ", ".join(f"{name} {summary(numbers_of_name)}".strip() for name, numbers_of_name in values.items())
    counts = _for_each({name: str(share) for name, share in shares.items()})
    parts = [f"the rule holds in {_for_each({name: share.with_interval() for name, share in shares.items()})}"]
    if undecided:
        parts.append(f"{counted(len(undecided), 'seed')} left out: {'; '.join(dict.fromkeys(map(str, undecided)))}")
    difference = None
    if len(values) == 1 and claim.number is not None:
        middle = median(next(iter(values.values())))
        difference = middle - claim.number if isfinite(middle) else None
    verdict = _verdict([(share, rates.get(name)) for name, share in shares.items()])
    distances = [
        distance_of_verdict(seen, rates[name].rate if name in rates else 0.0) for name, (seen, _) in found.items()
    ]
    distance = None if None in distances else min(one for one in distances if one is not None)
    judgement = Judgement(verdict, f"{numbers}; holds in {counts}", difference, "; ".join(parts), distance=distance)
    if not rates:
        return judgement
    null = next(iter(rates.values())).null
    rate = max(one.rate for one in rates.values())
    learner = max((one.learner for one in rates.values() if one.learner is not None), default=None)
    control = max((one.control for one in rates.values() if one.control is not None), default=None)
    parts.append(f"it also holds in {rate:.0%} of null runs ({null.replace('_', ' ')})".replace("%", " %"))
    if rivals := list(dict.fromkeys(name for one in rates.values() for name in one.rivals)):
        parts.append(f"not specific: it also holds for {joined(rivals)}")
    if learner is not None and learner >= NOT_SPECIFIC:
        parts.append(f"not specific: {learner:.0%} of generic learners pass".replace("%", " %"))
    if control is not None and control > MOST_CONTROLS_FAIL:
        parts.append(f"cannot differ: it fails in {control:.0%} of positive controls".replace("%", " %"))
    return replace(
        judgement, reason="; ".join(parts), null=null, null_rate=rate, learner_rate=learner, control_rate=control
    )


@dataclass(frozen=True)
class _Share:
    """In how many of the seeds of an experiment a rule holds."""

    holds: int
    seeds: int

    @classmethod
    def of(cls, observations: Sequence[Observation]) -> "_Share":
        return cls(sum(each.holds for each in observations), len(observations))

    def __str__(self) -> str:
        return f"{self.holds} of {counted(self.seeds, 'seed')}"

    def with_interval(self) -> str:
        low, high = (in_words(round(end, 2)) for end in clopper_pearson(self.holds, self.seeds))
        return f"{self} (95 % interval {low} to {high})"


def _observations(
    cases: Sequence[Callable[[], Observation]],
) -> tuple[list[Observation], list[UndecidedError]]:
    """Apply a rule to the seeds of an experiment.

    Returns:
        What it found, at least one, and why it could not be applied to the others.
    """
    observations: list[Observation] = []
    undecided: list[UndecidedError] = []
    for case in cases:
        try:
            observations.append(case())
        except UndecidedError as error:
            undecided.append(error)
    if not observations:
        raise undecided[0]
    return observations, undecided


def _for_each(texts: Mapping[str, str]) -> str:
    """The text of one experiment, or those of several with their names."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    return joined([f"{text} of {name}" for name, text in texts.items()])


def _verdict(shares: Sequence[tuple[_Share, RuleRates | None]]) -> str:
    """The verdict from the shares of seeds, each with the rates of the rule in made-up runs."""
    answers = set()
    for share, rates in shares:
        answer = decided(share.holds, share.seeds, rates.rate if rates else 0.0)
        can_differ = rates is None or rates.control is None or rates.control <= MOST_CONTROLS_FAIL
        answers.add(answer if answer != "few" or can_differ else None)
    if "few" in answers:
        return DIFFERS
    return CONSISTENT if answers == {"most"} else UNDECIDED


def summary(values: Sequence[float]) -> str:
    """A single value, or the median and the range of several."""
    lowest, middle, highest = map(in_words, (min(values), median(values), max(values)))
    return middle if lowest == highest else f"median {middle} ({lowest} to {highest})"
