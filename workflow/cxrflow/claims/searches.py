"""Measures of searches for a setting: an experiment is compared with extras that differ from it in this setting.

A search is judged once all the extras that it names have results.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from cxrflow.claims.comparisons import judge_accuracies
from cxrflow.claims.model import NOT_RUN, Claim, Judgement, Observation, UndecidedError
from cxrflow.claims.noise import observe_histories
from cxrflow.claims.registry import Epoch, Names, RowExperiment, measure
from cxrflow.claims.results import History, Results, TrainingResults
from cxrflow.claims.verdict import judge_observations
from cxrflow.io.words import joined

Others = dict[RowExperiment, Names]
"""Experiment to the extras that it is compared with."""


@measure("search")
def validation_loss_not_worse(
    claim: Claim, results: Results, *, others: Others, epochs: dict[RowExperiment, Epoch] | None = None
) -> Judgement:
    """The lowest m5 of the validation loss is not higher than that of any of the extras."""
    return _least(claim, results, others, epochs, lambda history: float(history.smooth("val_loss").min()))


@measure("search")
def rise_not_greater(
    claim: Claim, results: Results, *, others: Others, last: Epoch, epochs: dict[RowExperiment, Epoch] | None = None
) -> Judgement:
    """The validation loss rises by not more than with any of the extras: from its lowest m5 to its mean over the `last` epochs.

    Training losses are not compared, since they are measured with dropout on.
    """

    def rise(history: History) -> float:
        return float(np.mean(history.curve("val_loss")[-last:]) - history.smooth("val_loss").min())

    return _least(claim, results, others, epochs, rise)


@measure("search", experiments=1)
def smaller_gap_later(claim: Claim, results: Results, *, other: str, epochs: Epoch | None = None) -> Judgement:
    """At the epoch of the lowest m5 of the validation loss, the gap between validation and training loss is smaller.

    The gap is m5 of the validation loss minus m5 of the training loss. That epoch must also be later than that of the extra.
    """
    (own,) = claim.experiments
    _require_extras(results, [own], [other])

    def rule(*pair: History) -> Observation:
        histories = [history.first(epochs) for history in pair]
        best = {one.experiment: int(np.argmin(one.smooth("val_loss"))) for one in histories}
        gaps = {
            one.experiment: float((one.smooth("val_loss") - one.smooth("loss"))[best[one.experiment]])
            for one in histories
        }
        numbers = {f"gap of {name}": gap for name, gap in gaps.items()}
        numbers.update({f"epoch of {name}": place + 1 for name, place in best.items()})
        return Observation(gaps[own] < gaps[other] and best[own] > best[other], numbers)

    return _judge(claim, results, {own: results.paired([own, other])}, rule)


@measure("search")
def extra_less_accurate(
    claim: Claim, results: Results, *, experiment: RowExperiment, extra: str, epochs: Epoch | None = None
) -> Judgement:
    """The test accuracy of an extra is lower than that of the experiment, paired over images and over seeds."""
    _require_extras(results, [experiment], [extra])
    return judge_accuracies(results, experiment, extra, _same(epochs, experiment, extra))


@measure("search")
def extra_more_accurate(
    claim: Claim,
    results: Results,
    *,
    experiment: RowExperiment,
    extra: str,
    classes: Names,
    epochs: Epoch | None = None,
) -> Judgement:
    """The extra is more accurate on the test images of these classes, paired; each network chooses among them only."""
    _require_extras(results, [experiment], [extra])
    return judge_accuracies(results, extra, experiment, _same(epochs, experiment, extra), classes)


def _least(
    claim: Claim,
    results: Results,
    others: Mapping[str, list[str]],
    epochs: Mapping[str, int] | None,
    value: Callable[[History], float],
) -> Judgement:
    """Judge, seed by seed, whether a value of each experiment is not higher than that of any of its extras."""
    _require_extras(results, list(others), [name for extras in others.values() for name in extras])

    def rule(*together: History) -> Observation:
        own = together[0].experiment
        last = (epochs or {}).get(own)
        values = {history.experiment: value(history.first(last)) for history in together}
        return Observation(values[own] <= min(values.values()), values)

    return _judge(claim, results, {own: results.paired([own, *extras]) for own, extras in others.items()}, rule)


def _judge(
    claim: Claim,
    results: Results,
    trainings: Mapping[str, Sequence[tuple[TrainingResults, ...]]],
    rule: Callable[..., Observation],
) -> Judgement:
    """Judge a rule about the histories of trainings with the same seed: experiment to those of each seed."""
    cases = {
        name: [partial(observe_histories, rule, of_seed, results.noisy_copies) for of_seed in seeds]
        for name, seeds in trainings.items()
    }
    return judge_observations(claim, cases)


def _require_extras(results: Results, experiments: list[str], extras: list[str]) -> None:
    """Raise UndecidedError, which names what to run, unless all have results."""
    absent = [name for name in extras if not results.has(name)]
    if absent and all(name in results.settings["experiments"] for name in [*experiments, *extras]):
        raise UndecidedError(NOT_RUN, f"no runs of {joined(absent)}; run these extras (`only:` or `with_extras: true`)")
    results.require([*experiments, *extras])


def _same(epochs: int | None, *experiments: str) -> dict[str, int]:
    return {} if epochs is None else dict.fromkeys(experiments, epochs)
