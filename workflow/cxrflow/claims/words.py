"""How values are written in the scorecard: short, readable, no digits that mean nothing."""

from collections.abc import Sequence
from decimal import Decimal
from math import isinf
from statistics import median
from typing import Any


def shown(value: Any) -> str:
    """A value in words: numbers to four significant digits, whole ones in full with commas; infinity is `never`."""
    if isinstance(value, list | tuple):
        return " ".join(map(shown, value))
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


def summary(values: Sequence[float]) -> str:
    """One value as it is; several by their median and range."""
    lowest, middle, highest = map(shown, (min(values), median(values), max(values)))
    return middle if lowest == highest else f"median {middle} ({lowest} to {highest})"


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 seed`, `2 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(words: Sequence[str]) -> str:
    """A list in words: `a, b and c`."""
    *front, last = words
    return f"{', '.join(front)} and {last}" if front else last


def ordinal(place: int) -> str:
    """`1st`, `2nd`, `3rd`, `4th`."""
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending}"
