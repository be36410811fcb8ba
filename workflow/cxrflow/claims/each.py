"""How a rule about one run, or about two, is applied to all the runs of a claim."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from cxrflow.claims.judge import judge_seen
from cxrflow.claims.model import NOT_RUN, Claim, Finding, Seen, UndecidedError
from cxrflow.claims.registry import Epoch, RowExperiment
from cxrflow.claims.runs import Run, Runs

Rule = Callable[..., Seen]


def each_run(rule: Rule, claim: Claim, runs: Runs, *, epochs: Epoch | None = None, **arguments: Any) -> Finding:
    """Apply a rule to every run of a claim's experiments. Runs whose tested network had fewer epochs are left out."""

    def case(run: Run) -> Seen:
        run.needs_tested(epochs)
        return rule(run, **arguments)

    return _judge_runs(case, claim, runs)


def each_history(rule: Rule, claim: Claim, runs: Runs, **arguments: Any) -> Finding:
    """Apply a rule to the history of every run of a claim's experiments."""
    return _judge_runs(lambda run: rule(run.history, **arguments), claim, runs)


def each_separation(
    rule: Rule,
    claim: Claim,
    runs: Runs,
    *,
    epochs: Epoch | None = None,
    of: Literal["training_folder", "test_folder"] = "training_folder",
    **arguments: Any,
) -> Finding:
    """Apply a rule to the separation of features of every run of a claim's experiments.

    Runs whose tested network had fewer epochs than `epochs`, or with features of other images than those in `of`, are left out.
    """

    def case(run: Run) -> Seen:
        run.needs_tested(epochs)
        if run.separation["of"] != of:
            raise UndecidedError(
                NOT_RUN, f"the features are of the {_words(run.separation['of'])}, not the {_words(of)}"
            )
        return rule(run.separation, **arguments)

    return _judge_runs(case, claim, runs)


def each_pair(
    rule: Rule,
    claim: Claim,
    runs: Runs,
    *,
    experiment: RowExperiment,
    epochs: dict[RowExperiment, Epoch] | None = None,
    **arguments: Any,
) -> Finding:
    """Apply a rule to the histories of `experiment` and of the claim's other experiment, seed by seed.

    With `epochs`, each history is taken as if its run had ended there.
    """
    (other,) = (name for name in claim.experiments if name != experiment)
    last = epochs or {}

    def case(own_run: Run, other_run: Run) -> Seen:
        return rule(own_run.history.first(last.get(experiment)), other_run.history.first(last.get(other)), **arguments)

    pairs = runs.paired([experiment, other])
    return judge_seen(claim, [partial(case, *pair) for pair in pairs])


def _judge_runs(case: Callable[[Run], Seen], claim: Claim, runs: Runs) -> Finding:
    runs.require(claim.experiments)
    cases = [partial(case, run) for name in claim.experiments for run in runs.of(name)]
    return judge_seen(claim, cases, "seed" if len(claim.experiments) == 1 else "run")


def _words(name: str) -> str:
    return name.replace("_", " ")
