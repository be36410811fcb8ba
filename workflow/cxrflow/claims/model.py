"""A claim and its judgement, and how their values are read and written."""

from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite, isinf
from typing import Any, Literal

KINDS = (
    "setting",
    "architecture",
    "data",
    "outcome",
    "curve",
    "comparison",
    "features",
    "text",
    "search",
)
"""What a claim can be about."""
RESULT_KINDS = ("outcome", "curve", "comparison", "features")
"""The kinds that are results of training. The scorecard counts the others separately."""

EXACT, AS_CONFIGURED, CONSISTENT, NOT_EXCLUDED, DIFFERS, CONTRADICTED, UNDECIDED, NOT_RUN = VERDICTS = (
    "exact",
    "as configured",
    "consistent",
    "not excluded",
    "differs",
    "contradicted",
    "undecided",
    "not run",
)


Null = Literal["shuffled", "no_learning", "random_walk", "last_resampled", "validation_at_chance", "learner"]
"""Kinds of null runs, see `cxrflow.claims.null_runs`."""


@dataclass(frozen=True)
class Claim:
    """One statement of a study, or of a user: a row of a claims CSV."""

    id: str
    experiments: tuple[str, ...]
    kind: str
    value: str
    unit: str
    quantity: str
    rule: str
    place: str
    statement: str
    measure: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def number(self) -> float | None:
        """The stated value as a number; None if it is not a number."""
        return as_number(self.value)

    def other_experiment(self, experiment: str) -> str:
        """The experiment that a claim about two experiments compares with this one."""
        (other,) = (name for name in self.experiments if name != experiment)
        return other


@dataclass(frozen=True)
class Seal:
    """The seal of a claim."""

    hash: str
    """16 hexadecimal digits."""
    commit: str
    """The git commit of the checkout in which it was sealed, `-changed` if files differed from it; empty without git."""
    existing: frozenset[str]
    """The identities of the trainings that existed before."""


@dataclass(frozen=True)
class Judgement:
    """The result of a measure: verdict, the run's value in words, its difference from the stated one, and the reason."""

    verdict: str
    this_run: str = ""
    difference: float | None = None
    reason: str = ""
    null: str = ""
    """The kind of null runs that contradicts the claim; empty if its measure is not tried on null runs."""
    null_rate: float | None = None
    """The share of these in which the rule holds, 0 to 1; of several experiments, the highest."""
    learner_rate: float | None = None
    """The same for null runs that learn."""
    control_rate: float | None = None
    """The share of positive controls in which the rule fails, 0 to 1; of several experiments, the highest."""
    distance: float | None = None
    """How far the verdict is from where it would flip, in standard deviations of its own noise; None if unknown."""


@dataclass(frozen=True)
class Observation:
    """One training under a rule: whether the rule holds, and the numbers that decide it, by name.

    Infinity means an epoch that was never reached. A single number with an empty name is the quantity of the claim itself.
    `distance` is how far it is from the edge of the rule, in standard deviations of its own noise; None if unknown.
    """

    holds: bool
    numbers: dict[str, float]
    distance: float | None = None


class UndecidedError(Exception):
    """A rule cannot be applied. `judgement` has the verdict, `not run` or `undecided`, and the reason."""

    def __init__(self, verdict: str, reason: str, this_run: str = "", distance: float | None = None) -> None:
        self.judgement = Judgement(verdict, this_run, None, reason, distance=distance)
        super().__init__(reason)


def as_number(text: str) -> float | None:
    """A text such as `0.9` or `21,802,784` as a finite number; None for any other text."""
    number = _as_float(text)
    return number if number is not None and isfinite(number) else None


def is_infinite_or_nan(text: str) -> bool:
    """Whether a text is nan, infinity or a number too large for a float."""
    number = _as_float(text)
    return number is not None and not isfinite(number)


def in_words(value: Any) -> str:
    """A value in words: numbers with four significant digits, whole numbers in full with commas, infinity as `never`."""
    if isinstance(value, list | tuple):
        return " ".join(map(in_words, value))
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, str):
        return value or "none"
    number = float(value)
    if isinf(number):
        return "never"
    if number.is_integer():
        return f"{int(number):,}"
    text = format(Decimal(f"{number:.4g}"), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def stated_in_words(value: str) -> str:
    """A stated value in words: numbers like `in_words`, other texts unchanged."""
    number = as_number(value)
    return value if number is None else in_words(number)


def _as_float(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None
