"""Compare single values, and apply rules to trainings, their histories or the separation of their features."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import isclose
from typing import Any, Literal

import numpy as np

from cxrflow.claims.control_runs import control_failures
from cxrflow.claims.model import (
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
    noisy_separations,
    observe_histories,
    observe_with_distance,
)
from cxrflow.claims.null_runs import null_histories
from cxrflow.claims.registry import Epoch, RowExperiment
from cxrflow.claims.results import History, Results, TrainingResults
from cxrflow.claims.verdict import RuleRates, judge_observations
from cxrflow.io.words import joined

Rule = Callable[..., Observation]


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
    """Apply a rule to the separation of the classes in every training of the claim's experiments, and to that of rivals.

    Trainings whose evaluated network was trained for fewer than `epochs` epochs, or whose features are not those of the
    images in `of`, are left out. The null runs are random features of the same images (`cxrflow.evaluation.rivals`).
    """

    def separation_of(training: TrainingResults) -> dict[str, Any]:
        training.require_evaluated(epochs)
        separation = training.separation
        if separation["of"] != of:
            images, needed = (name.replace("_", " ") for name in (separation["of"], of))
            raise UndecidedError(NOT_RUN, f"the features are of the {images}, not the {needed} (set `feature_images`)")
        if separation["silhouette"] is None:
            # Files of earlier versions have no key `not_judged`.
            raise UndecidedError(UNDECIDED, separation.get("not_judged") or "all images have the same features")
        return separation

    def observe(training: TrainingResults) -> Observation:
        separation = separation_of(training)
        copies = [(copy,) for copy in noisy_separations(separation, results.noisy_copies)]
        return observe_with_distance(partial(rule, **arguments), (separation,), copies)

    def holds(rival: Mapping[str, Any]) -> bool:
        try:
            return rival["not_judged"] is None and rule(rival, **arguments).holds
        except UndecidedError:  # such as two classes whose features are all the same
            return False

    def rates(experiment: str) -> RuleRates | None:
        found: list[dict[str, Any]] = []
        for training in results.of(experiment):
            with suppress(UndecidedError):
                found.append(separation_of(training).get("rivals", {}))
        if not all("neighbour_shares" in rivals.get("random", {}) for rivals in found):  # of an earlier version
            return None
        passed = [name for name in found[0] if name != "random" and all(holds(rivals[name]) for rivals in found)]
        rate = float(np.mean([holds(rivals["random"]) for rivals in found]))
        return RuleRates("random_features", rate, None, None, tuple(found[0][name]["description"] for name in passed))

    return _judge_trainings(observe, claim, results, rates)


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


def _judge_trainings(
    observe: Callable[[TrainingResults], Observation],
    claim: Claim,
    results: Results,
    rates_of: "Callable[[str], RuleRates | None] | None" = None,
) -> Judgement:
    results.require(claim.experiments)
    cases = {name: [partial(observe, training) for training in results.of(name)] for name in claim.experiments}
    return judge_observations(claim, cases, rates_of)
