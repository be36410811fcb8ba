"""The registry of measures: plain functions, found by name, that compute a claim's value and judge it.

A measure is written once, with its thresholds and epochs as keyword arguments; the claims CSV gives these, so that a user's
own claims can use the same measures. The annotations of the arguments are what a claims CSV is checked against.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, Field, ValidationInfo

from cxrflow.claims.model import Claim, Finding, UndecidedError
from cxrflow.claims.runs import Runs
from cxrflow.config.suggest import did_you_mean


def _in_order(epochs: tuple[int, int]) -> tuple[int, int]:
    if epochs[0] > epochs[1]:
        raise ValueError(f"{list(epochs)} is not a range: its first epoch comes after its last")
    return epochs


def _known(key: str, what: str) -> Callable[[str, ValidationInfo], str]:
    def check(value: str, info: ValidationInfo) -> str:
        allowed = (info.context or {})[key]
        if value not in allowed:
            raise ValueError(f"'{value}' is not {what}{did_you_mean(value, allowed)}")
        return value

    return check


Epoch = Annotated[int, Field(ge=1)]
EpochRange = Annotated[tuple[Epoch, Epoch], AfterValidator(_in_order)]
Curve = Literal["loss", "accuracy", "val_loss", "val_accuracy"]
Names = Annotated[list[str], Field(min_length=1)]
Curves = Annotated[list[Curve], Field(min_length=1)]
RowExperiment = Annotated[str, AfterValidator(_known("experiments", "an experiment of this claim"))]
RowId = Annotated[str, AfterValidator(_known("ids", "the id of a claim"))]

Judge = Callable[..., Finding]


@dataclass(frozen=True)
class Measure:
    """A registered measure."""

    name: str
    kind: str
    experiments: int | None
    """How many experiments its claims must name, or None."""
    numeric: bool
    """Whether the value of its claims must be a number."""
    judge: Judge
    """Takes a claim, the runs, and the claim's arguments by name."""
    fields: dict[str, tuple[Any, Any]]
    """Argument to its type and default (... where it must be given)."""


MEASURES: dict[str, Measure] = {}


def measure(
    kind: str, by: Judge | None = None, experiments: int | None = None, numeric: bool = False
) -> Callable[[Any], Any]:
    """Register a function as the measure of its name.

    Args:
        kind: the kind of claims that it judges.
        by: for measures that see one run at a time: what applies them to the runs. It is called with the function, the
            claim, the runs and the arguments. Without it the function is called with the claim, the runs and the arguments.
        experiments: how many experiments a claim must name, if that matters.
        numeric: the value of a claim must be a number.
    """

    def register(function: Any) -> Any:
        name = function.__name__
        if name in MEASURES:
            raise ValueError(f"two measures are called {name}")
        judge = partial(by, function) if by else function
        fields = {**(_fields(by) if by else {}), **_fields(function)}
        MEASURES[name] = Measure(name, kind, experiments, numeric, judge, fields)
        return function

    return register


def finding_of(claim: Claim, runs: Runs) -> Finding:
    """Judge one claim by its measure."""
    try:
        return MEASURES[claim.measure].judge(claim, runs, **claim.arguments)
    except UndecidedError as undecided:
        return undecided.finding


def _fields(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    hints = get_type_hints(function, include_extras=True)
    return {
        name: (hints[name], ... if parameter.default is inspect.Parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
