"""The registry of measures: functions that compute the value of a claim and judge it, found by name.

The thresholds and epochs of a measure are keyword arguments that the claims CSV gives, so that different claims can use the
same measure. The annotations of these arguments are the types that a claims CSV is checked against.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, Field, ValidationInfo

from cxrflow.claims.model import RESULT_KINDS, UNDECIDED, Claim, Judgement, Null, UndecidedError
from cxrflow.claims.results import Results
from cxrflow.io.words import counted, did_you_mean


def _in_order(epochs: tuple[int, int]) -> tuple[int, int]:
    if epochs[0] > epochs[1]:
        raise ValueError(f"{list(epochs)} is not a range: its first epoch comes after its last")
    return epochs


def _one_of(key: str, what: str) -> Callable[[str, ValidationInfo], str]:
    def check(value: str, info: ValidationInfo) -> str:
        allowed = (info.context or {})[key]
        if value not in allowed:
            raise ValueError(f"'{value}' is not {what}{did_you_mean(value, allowed)}")
        return value

    return check


Epoch = Annotated[int, Field(ge=1, le=100_000)]
EpochRange = Annotated[tuple[Epoch, Epoch], AfterValidator(_in_order)]
Curve = Literal["loss", "accuracy", "val_loss", "val_accuracy"]
Names = Annotated[list[str], Field(min_length=1)]
Curves = Annotated[list[Curve], Field(min_length=1)]
RowExperiment = Annotated[str, AfterValidator(_one_of("experiments", "an experiment of this claim"))]
RowId = Annotated[str, AfterValidator(_one_of("ids", "the id of a claim"))]

Judge = Callable[..., Judgement]


@dataclass(frozen=True)
class Measure:
    """A registered measure."""

    name: str
    module: str
    """The module that defines it."""
    kind: str
    experiments: int | None
    """The number of experiments that a claim must name; None for any number."""
    numeric: bool
    """Whether the value of a claim must be a number."""
    judge: Judge
    """Takes a claim, the results, and the arguments of the claim by name."""
    fields: dict[str, tuple[Any, Any]]
    """Argument to its type and default; the default of a required argument is `...`."""


MEASURES: dict[str, Measure] = {}


def measure(
    kind: str,
    by: Judge | None = None,
    experiments: int | None = None,
    numeric: bool = False,
    null: Null | None = None,
) -> Callable[[Any], Any]:
    """Register a function as the measure with its name.

    Args:
        kind: the kind of claims that it judges.
        by: applies a rule about one training, or a pair of them, to the results. It takes the decorated function, the claim,
            the results and the arguments. Without `by`, the decorated function itself takes the claim, the results and the
            arguments.
        experiments: the number of experiments that a claim must name, if it matters.
        numeric: whether the value of a claim must be a number.
        null: the null runs that contradict its claims, unless they name others; by default that of `by`.
    """

    def register(function: Any) -> Any:
        name = function.__name__
        if name in MEASURES:
            raise ValueError(f"two measures are called {name}")
        judge = partial(by, function, **({"null": null} if null else {})) if by else function
        fields = {**(_fields(by) if by else {}), **_fields(function)}
        MEASURES[name] = Measure(name, function.__module__, kind, experiments, numeric, judge, fields)
        return function

    return register


def judge_claim(claim: Claim, results: Results) -> Judgement:
    """Judge a claim by its measure, on the seeds that were trained after its rule was sealed.

    Earlier seeds are exploratory: the reason says what they show, but they do not count.
    """
    later, earlier = results.by_seal(claim)
    if earlier is None or claim.kind not in (*RESULT_KINDS, "search"):
        return _judge(claim, results)
    count = counted(sum(len(earlier.selected[name]) for name in claim.experiments if earlier.has(name)), "seed")
    shown = _judge(claim, earlier).this_run
    exploratory = f"exploratory, {count} trained before the rule was sealed" + (f": {shown}" if shown else "")
    if not any(map(later.has, claim.experiments)):
        return Judgement(UNDECIDED, reason=f"no seed was trained after the rule was sealed; {exploratory}")
    judgement = _judge(claim, later)
    return replace(judgement, reason=f"{judgement.reason}; {exploratory}")


def _judge(claim: Claim, results: Results) -> Judgement:
    try:
        return MEASURES[claim.measure].judge(claim, results, **claim.arguments)
    except UndecidedError as undecided:
        return undecided.judgement


def _fields(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    hints = get_type_hints(function, include_extras=True)
    return {
        name: (hints[name], ... if parameter.default is inspect.Parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
