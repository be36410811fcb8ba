"""How single values and single runs become one finding."""

from collections.abc import Callable, Mapping, Sequence
from math import isclose, isfinite
from statistics import median
from typing import Any

from cxrflow.claims.model import CONSISTENT, DIFFERS, Claim, Finding, Seen, UndecidedError, as_number
from cxrflow.claims.runs import Runs
from cxrflow.claims.words import counted, listed, shown, summary


def judge_equal(claim: Claim, found: Mapping[str, Sequence[Any]], verdict: str, because: str, runs: Runs) -> Finding:
    """`verdict` where the claim's value is found everywhere, else `differs` with both values.

    Args:
        claim: its value may be several words, such as `adam 0.0001`.
        found: place to the values found there, one for each word of the claim's value.
        verdict: exact or as configured.
        because: the reason of that verdict.
        runs: tell which experiments of the claim have no runs.
    """
    wanted = claim.value.split()
    other = [
        place
        for place, values in found.items()
        if len(values) != len(wanted) or not all(map(same_value, wanted, values))
    ]
    told = {place: shown(list(values)) for place, values in found.items()}
    one = len(set(told.values())) == 1
    this_run = next(iter(told.values())) if one else "; ".join(f"{place}: {text}" for place, text in told.items())
    absent = [name for name in claim.experiments if not runs.has(name)]
    reason = f"{shown_value(claim)} stated, {this_run} found" if other else because
    if absent:
        reason += f"; {listed(absent)} not run"
    return Finding(DIFFERS if other else verdict, this_run, _difference(claim, next(iter(found.values())), one), reason)


def same_value(word: str, value: Any) -> bool:
    """Whether a word of a claim means a value: as numbers where both are, else as text."""
    number = as_number(word)
    if number is not None and isinstance(value, int | float) and not isinstance(value, bool):
        return isclose(number, value, rel_tol=1e-9)
    return word == shown(value)


def shown_value(claim: Claim) -> str:
    """A claim's value in words."""
    return claim.value if claim.number is None else shown(claim.number)


def judge_seen(claim: Claim, cases: Sequence[Callable[[], Seen]], noun: str = "seed") -> Finding:
    """Consistent when a rule holds in more than half of the cases that it can be applied to.

    Args:
        claim: whose rule it is.
        cases: one function for each seed; it raises UndecidedError where the rule cannot be applied.
        noun: what the cases are called.

    Raises:
        UndecidedError: the rule can be applied to none of them; that of the first.
    """
    seen: list[Seen] = []
    undecided: list[UndecidedError] = []
    for case in cases:
        try:
            seen.append(case())
        except UndecidedError as error:
            undecided.append(error)
    if not seen:
        raise undecided[0]
    holds = sum(one.holds for one in seen)
    names = dict.fromkeys(name for one in seen for name in one.numbers)
    values = {name: [one.numbers[name] for one in seen if name in one.numbers] for name in names}
    numbers = ", ".join(f"{name} {summary(of)}".strip() for name, of in values.items())
    reason = f"holds in {holds} of {counted(len(seen), noun)}"
    left_out = f"; {counted(len(undecided), noun)} left out: {undecided[0]}" if undecided else ""
    difference = None
    if len(values) == 1 and claim.number is not None:
        middle = median(next(iter(values.values())))
        difference = middle - claim.number if isfinite(middle) else None
    verdict = CONSISTENT if 2 * holds > len(seen) else DIFFERS
    return Finding(verdict, f"{numbers}; {reason}", difference, f"the rule {reason}{left_out}")


def _difference(claim: Claim, values: Sequence[Any], one: bool) -> float | None:
    value = values[0]
    if claim.number is None or not one or len(values) != 1 or isinstance(value, bool):
        return None
    return value - claim.number if isinstance(value, int | float) else None
