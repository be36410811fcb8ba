"""What a claim, a finding and a verdict are."""

from dataclasses import dataclass, field
from typing import Any

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
"""What a claim is about. Only outcome, curve, comparison and features are results of training."""

EXACT, AS_CONFIGURED, CONSISTENT, DIFFERS, CONTRADICTED, CANNOT_BE_TOLD, NOT_RUN = VERDICTS = (
    "exact",
    "as configured",
    "consistent",
    "differs",
    "contradicted",
    "cannot be told",
    "not run",
)


@dataclass(frozen=True)
class Claim:
    """One statement of the study, or of the user: a row of a claims CSV."""

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
        """The stated value as a number, or None where it is a word."""
        return as_number(self.value)


@dataclass(frozen=True)
class Finding:
    """What a measure found: its verdict, this run's value in words, its difference from the stated one, and why."""

    verdict: str
    this_run: str = ""
    difference: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Seen:
    """What a rule saw in one run: whether it holds, and the numbers that decide, by name.

    A number of infinity is an epoch that never came. A single number without a name is the claim's own quantity.
    """

    holds: bool
    numbers: dict[str, float]


class UndecidedError(Exception):
    """A rule cannot be applied: `not run` or `cannot be told`, with the reason in words."""

    def __init__(self, verdict: str, reason: str, this_run: str = "") -> None:
        self.finding = Finding(verdict, this_run, None, reason)
        super().__init__(reason)


def as_number(text: str) -> float | None:
    """A text such as `0.9` or `21,802,784` as a number, or None."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None
