"""Combine single values, or the observations of a rule in several trainings, into one judgement."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isclose, isfinite
from statistics import median
from typing import Any, Literal

import numpy as np

from cxrflow.claims.control_runs import control_failures
from cxrflow.claims.model import (
    CONSISTENT,
    DIFFERS,
    NOT_RUN,
    UNDECIDED,
    Claim,
    Judgement,
    Null,
    Observation,
    UndecidedError,
    as_number,
    in_words,
    stated_in_words,
)
from cxrflow.claims.noise import (
    distance_of_verdict,
    noisy_separations,
    observe_histories,
    observe_with_distance,
)
from cxrflow.claims.null_runs import null_histories
from cxrflow.claims.registry import Epoch, RowExperiment
from cxrflow.claims.results import History, Results, TrainingResults
from cxrflow.io.words import counted, joined
from cxrflow.statistics.intervals import clopper_pearson
from cxrflow.statistics.predictive import decided

Rule = Callable[..., Observation]
MOST_CONTROLS_FAIL = 0.2
"""A rule that fails in a larger share of its positive controls cannot give `differs`."""
NOT_SPECIFIC = 0.8
"""A rule that holds in this share of generic learners, or in more, says nothing specific about a network."""


def judge_equal(
    claim: Claim, found: Mapping[str, Sequence[Any]], verdict: str, reason_if_same: str, results: Results
) -> Judgement:
    """Return `verdict` if all places in `found` have the value that the claim states, else `differs` with both values.

    Args:
        claim: its value may be several words, such as `adam 0.0001`.
        found: place, such as an experiment, to the values found there: one for each word of the claim's value.
        verdict: exact or as configured.
        reason_if_same: the reason for `verdict`. That of `differs` names the stated value and the values found.
        results: of this run; experiments of the claim that it lacks are reported as not run.
    """
    stated = claim.value.split()
    has_other = any(len(values) != len(stated) or not all(map(same_value, stated, values)) for values in found.values())
    texts = {place: in_words(list(values)) for place, values in found.items()}
    all_same = len(set(texts.values())) == 1
    first = next(iter(found.values()))
    this_run = in_words(list(first)) if all_same else "; ".join(f"{place}: {text}" for place, text in texts.items())
    reason = f"{stated_in_words(claim.value)} stated, {this_run} found" if has_other else reason_if_same
    if absent := [name for name in claim.experiments if not results.has(name)]:
        reason += f"; {joined(absent)} not run"
    difference = None
    is_number = len(first) == 1 and isinstance(first[0], int | float) and not isinstance(first[0], bool)
    if claim.number is not None and all_same and is_number:
        difference = first[0] - claim.number
    return Judgement(DIFFERS if has_other else verdict, this_run, difference, reason)


def same_value(word: str, value: Any) -> bool:
    """Whether a word of a claim and a value are the same: compared as numbers if both are numbers, else as text."""
    number = as_number(word)
    if number is not None and isinstance(value, int | float) and not isinstance(value, bool):
        return isclose(number, value, rel_tol=1e-9)
    return word == in_words(value)


def each_training(
    rule: Rule, claim: Claim, results: Results, *, epochs: Epoch | None = None, **arguments: Any
) -> Judgement:
    """Apply a rule to every training of the claim's experiments.

    Trainings whose evaluated network was trained for fewer than `epochs` epochs are left out.
    """

    def observe(training: TrainingResults) -> Observation:
        training.require_evaluated(epochs)
        return rule(training, **arguments)

    return _judge_trainings(observe, claim, results)


def each_history(
    rule: Rule, claim: Claim, results: Results, *, null: Null = "no_learning", **arguments: Any
) -> Judgement:
    """Apply a rule to the history of every training of the claim's experiments, and to null runs of the kind `null`."""
    results.require(claim.experiments)
    trainings = {name: [(training,) for training in results.of(name)] for name in claim.experiments}
    return _judge_histories(claim, results, trainings, partial(rule, **arguments), null)


def each_separation(
    rule: Rule,
    claim: Claim,
    results: Results,
    *,
    epochs: Epoch | None = None,
    of: Literal["training_folder", "test_folder"] = "training_folder",
    **arguments: Any,
) -> Judgement:
    """Apply a rule to the separation of the classes in every training of the claim's experiments.

    Trainings whose evaluated network was trained for fewer than `epochs` epochs, or whose features are not those of the
    images in `of`, are left out.
    """

    def observe(training: TrainingResults) -> Observation:
        training.require_evaluated(epochs)
        separation = training.separation
        if separation["of"] != of:
            images, needed = (name.replace("_", " ") for name in (separation["of"], of))
            raise UndecidedError(NOT_RUN, f"the features are of the {images}, not the {needed} (set `feature_images`)")
        if separation["silhouette"] is None:
            # Files of earlier versions have no key `not_judged`.
            raise UndecidedError(UNDECIDED, separation.get("not_judged") or "all images have the same features")
        copies = [(copy,) for copy in noisy_separations(separation, results.noisy_copies)]
        return observe_with_distance(partial(rule, **arguments), (separation,), copies)

    return _judge_trainings(observe, claim, results)


def each_pair(
    rule: Rule,
    claim: Claim,
    results: Results,
    *,
    experiment: RowExperiment,
    epochs: dict[RowExperiment, Epoch] | None = None,
    null: Null = "learner",
    **arguments: Any,
) -> Judgement:
    """Apply a rule to the histories of `experiment` and of the claim's other experiment, seed by seed, and to null runs.

    With `epochs`, each history is cut after this number of epochs.
    """
    other = claim.other_experiment(experiment)
    last = epochs or {}

    def apply(own: History, others: History) -> Observation:
        return rule(own.first(last.get(experiment)), others.first(last.get(other)), **arguments)

    return _judge_histories(claim, results, {experiment: results.paired([experiment, other])}, apply, null)


def _judge_histories(
    claim: Claim,
    results: Results,
    trainings: Mapping[str, Sequence[tuple[TrainingResults, ...]]],
    apply: Callable[..., Observation],
    null: Null,
) -> Judgement:
    """Judge a rule about the histories of one training, or of several with the same seed.

    Args:
        claim: the claim that the rule judges.
        results: the results of this run.
        trainings: experiment to the trainings of each seed.
        apply: the rule, which takes their histories.
        null: the null runs that contradict the claim.
    """

    judged: dict[str, list[tuple[TrainingResults, ...]]] = {name: [] for name in trainings}

    def observe(experiment: str, of_seed: tuple[TrainingResults, ...]) -> Observation:
        observation = observe_histories(apply, of_seed, results.noisy_copies)
        judged[experiment].append(of_seed)
        return observation

    def pass_rate(experiment: str, kind: Null) -> float:
        """Of null runs like the seeds that the rule can be applied to: others may be too short for it."""
        of_each = [null_histories(same, kind, results.null_runs) for same in zip(*judged[experiment], strict=True)]
        return float(np.mean([apply(*histories).holds for histories in zip(*of_each, strict=True)]))

    def rates(experiment: str) -> RuleRates:
        rate = pass_rate(experiment, null)
        return RuleRates(
            null,
            rate,
            rate if null == "learner" else pass_rate(experiment, "learner"),
            control_failures(apply, list(zip(*judged[experiment], strict=True)), results.null_runs),
        )

    cases = {name: [partial(observe, name, of_seed) for of_seed in seeds] for name, seeds in trainings.items()}
    return judge_observations(claim, cases, rates if results.null_runs else None)


def _judge_trainings(observe: Callable[[TrainingResults], Observation], claim: Claim, results: Results) -> Judgement:
    results.require(claim.experiments)
    cases = {name: [partial(observe, training) for training in results.of(name)] for name in claim.experiments}
    return judge_observations(claim, cases)


@dataclass(frozen=True)
class RuleRates:
    """How often a rule holds in made-up runs of an experiment, 0 to 1."""

    null: Null
    """The null runs that contradict the claim."""
    rate: float
    """The share of these in which the rule holds."""
    learner: float
    """The same for null runs that learn."""
    control: float | None
    """The share of positive controls in which the rule fails; None if there are too few."""


def judge_observations(
    claim: Claim,
    cases: Mapping[str, Sequence[Callable[[], Observation]]],
    rates_of: Callable[[str], RuleRates] | None = None,
) -> Judgement:
    """Judge how often a rule holds in the seeds of each experiment, by the exact 95 % interval of that share.

    The claim is `consistent` if, in every experiment, the lower end is above one half (6 of 6 seeds, 8 of 9) and above the
    share of null runs in which the rule holds. It is `differs` if the upper end is below one half in any experiment, unless the
    rule fails in more than 20 % of its positive controls there. Otherwise it is `undecided`: one seed decides nothing. The
    interval is that of Clopper and Pearson, for further seeds on the same split. It says nothing about other patients.

    Args:
        claim: the claim that the rule judges.
        cases: experiment to one function for each seed, which raises UndecidedError if the rule cannot be applied to it.
        rates_of: gives the rates in made-up runs of an experiment; None if there are none for the rule.

    Raises:
        UndecidedError: that of the first case, if the rule cannot be applied to any of an experiment.
    """
    found = {name: _observations(of_experiment) for name, of_experiment in cases.items()}
    shares = {name: _Share.of(observations) for name, (observations, _) in found.items()}
    rates = {name: rates_of(name) for name in cases} if rates_of else {}
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
    rate, learner = (max(getattr(one, name) for one in rates.values()) for name in ("rate", "learner"))
    control = max((one.control for one in rates.values() if one.control is not None), default=None)
    parts.append(f"it also holds in {rate:.0%} of null runs ({null.replace('_', ' ')})".replace("%", " %"))
    if learner >= NOT_SPECIFIC:
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
