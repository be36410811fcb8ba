"""How values are written on the page."""

from collections.abc import Iterable
from math import isfinite, sqrt
from typing import Any

from markupsafe import Markup, escape

DASH = "–"
SPACE = "\N{NO-BREAK SPACE}"


def shown(value: Any) -> str:
    """A config value as a person writes it: `1e-05`, `true`, `128, 32`; a path by its last part, as folders are private."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {shown(inner)}" for key, inner in value.items())
    return last_part(str(value))


def last_part(path: str) -> str:
    """The last part of a path."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


def number(value: float | None, digits: int = 4) -> str:
    """A number to some digits behind the point; a dash for none."""
    return DASH if value is None or not isfinite(value) else f"{value:.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 in per cent; a dash for none."""
    return DASH if share is None or not isfinite(share) else f"{100 * share:.{digits}f}{SPACE}%"


def percent_range(low: float, high: float, digits: int = 1) -> str:
    """A range of shares in per cent: `61 to 94 %`, or one number where both are the same."""
    if f"{100 * low:.{digits}f}" == f"{100 * high:.{digits}f}":
        return percent(high, digits)
    return f"{100 * low:.{digits}f} to {percent(high, digits)}"


def thousands(count: int | float) -> str:
    """A count with commas between thousands."""
    return f"{count:,.0f}"


def shape(sides: Iterable[int]) -> str:
    """An output shape, such as 5 × 5 × 2048."""
    return " × ".join(map(str, sides))


def duration(seconds: float) -> str:
    """A time span in the two largest of hours, minutes and seconds."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{seconds:.1f} s"


def joined(words: Iterable[str]) -> str:
    """A list in words: `a, b and c`."""
    *front, last = words
    return f"{', '.join(front)} and {last}" if front else last


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """A count with its noun: `1 image`, `2 images`."""
    return f"{thousands(count)} {singular if count == 1 else plural or singular + 's'}"


def few_of(names: list[str], at_most: int = 12) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {thousands(more)} more" if more > 0 else "")


def breakable(name: str) -> Markup:
    """A name that may be broken behind its underscores, escaped."""
    return escape(name).replace("_", Markup("_<wbr>"))


def wilson_interval(correct: int, images: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share, after Wilson (1927): the images taken as a random sample.

    Returns:
        Lower and upper end, both in 0 to 1.
    """
    share = correct / images
    middle = (share + z * z / (2 * images)) / (1 + z * z / images)
    half = z / (1 + z * z / images) * sqrt(share * (1 - share) / images + z * z / (4 * images * images))
    return max(0.0, middle - half), min(1.0, middle + half)
