"""Measures of the searches that the study tells of: an experiment against extras that differ from it in one setting.

A search is judged once all the extras that it names have runs.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from cxrflow.claims.judge import judge_seen
from cxrflow.claims.model import NOT_RUN, Claim, Finding, Seen, UndecidedError
from cxrflow.claims.paired import judge_accuracies
from cxrflow.claims.registry import Epoch, Names, RowExperiment, measure
from cxrflow.claims.runs import History, Run, Runs
from cxrflow.claims.words import listed

Others = dict[RowExperiment, Names]
"""Experiment to the extras that it is held against."""


@measure("search")
def validation_loss_not_worse(
    claim: Claim, runs: Runs, *, others: Others, epochs: dict[RowExperiment, Epoch] | None = None
) -> Finding:
    """The lowest m5 of the validation loss is not above that of any of the extras."""
    return _least(claim, runs, others, epochs, lambda history: float(history.smooth("val_loss").min()))


@measure("search")
def gap_not_greater(
    claim: Claim, runs: Runs, *, others: Others, last: Epoch, epochs: dict[RowExperiment, Epoch] | None = None
) -> Finding:
    """The validation loss minus the training loss, mean over the last epochs, is not above that of any of the extras."""

    def gap(history: History) -> float:
        return float(np.mean(history.curve("val_loss")[-last:] - history.curve("loss")[-last:]))

    return _least(claim, runs, others, epochs, gap)


@measure("search", experiments=1)
def smaller_gap_later(claim: Claim, runs: Runs, *, other: str, epochs: Epoch | None = None) -> Finding:
    """The gap of m5 of validation minus training loss, at the epoch of the lowest m5 of the validation loss, is smaller
    than that of the extra, and that epoch is later.
    """
    (own,) = claim.experiments
    _require_extras(runs, [own], [other])

    def case(pair: tuple[Run, ...]) -> Seen:
        histories = [run.history.first(epochs) for run in pair]
        best = {one.experiment: int(np.argmin(one.smooth("val_loss"))) for one in histories}
        gaps = {
            one.experiment: float((one.smooth("val_loss") - one.smooth("loss"))[best[one.experiment]])
            for one in histories
        }
        numbers = {f"gap of {name}": gap for name, gap in gaps.items()}
        numbers.update({f"epoch of {name}": place + 1 for name, place in best.items()})
        return Seen(gaps[own] < gaps[other] and best[own] > best[other], numbers)

    pairs = runs.paired([own, other])
    return judge_seen(claim, [partial(case, pair) for pair in pairs])


@measure("search")
def extra_less_accurate(
    claim: Claim, runs: Runs, *, experiment: RowExperiment, extra: str, epochs: Epoch | None = None
) -> Finding:
    """The test accuracy of an extra is below that of the experiment: paired, the 95 % interval excluding 0."""
    _require_extras(runs, [experiment], [extra])
    return judge_accuracies(runs, experiment, extra, _same(epochs, experiment, extra))


@measure("search")
def extra_more_accurate(
    claim: Claim, runs: Runs, *, experiment: RowExperiment, extra: str, classes: Names, epochs: Epoch | None = None
) -> Finding:
    """On the test images of these classes, each network choosing among them alone, the extra is more accurate: paired."""
    _require_extras(runs, [experiment], [extra])
    return judge_accuracies(runs, extra, experiment, _same(epochs, experiment, extra), classes)


def _least(
    claim: Claim,
    runs: Runs,
    others: Mapping[str, list[str]],
    epochs: Mapping[str, int] | None,
    value: Callable[[History], float],
) -> Finding:
    """Judge, seed by seed, whether a value of each experiment is not above that of any of its extras."""
    _require_extras(runs, list(others), [name for extras in others.values() for name in extras])

    def case(own: str, together: tuple[Run, ...]) -> Seen:
        values = {run.experiment: value(run.history.first((epochs or {}).get(own))) for run in together}
        return Seen(values[own] <= min(values.values()), values)

    cases = [partial(case, own, together) for own, extras in others.items() for together in runs.paired([own, *extras])]
    return judge_seen(claim, cases, "seed" if len(others) == 1 else "run")


def _require_extras(runs: Runs, experiments: list[str], extras: list[str]) -> None:
    """Raise UndecidedError, naming what to run, unless all have runs."""
    absent = [name for name in extras if not runs.has(name)]
    if absent and all(name in runs.settings["experiments"] for name in [*experiments, *extras]):
        raise UndecidedError(NOT_RUN, f"no runs of {listed(absent)}; run these extras (`only:` or `with_extras: true`)")
    runs.require([*experiments, *extras])


def _same(epochs: int | None, *experiments: str) -> dict[str, int]:
    return {} if epochs is None else dict.fromkeys(experiments, epochs)
