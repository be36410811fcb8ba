"""Text for people: counts with their nouns, sizes, durations, lists cut short, and names with every character visible."""

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

from cxrflow.io.errors import one_line


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """Format a count with its noun: `1 image`, `2,000 images`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def joined(words: Iterable[str]) -> str:
    """Join words to a list: `a, b and c`."""
    *front, last = words
    return f"{', '.join(front)} and {last}" if front else last


def some_of(names: Iterable[str], most: int = 6, separator: str = ", ") -> str:
    """List the first names, and the number of the others: `a, b and 3 more`."""
    listed = list(names)
    more = len(listed) - most
    return separator.join(listed[:most]) + (f"{separator.rstrip(', ')} and {more:,} more" if more > 0 else "")


def size(byte_count: float) -> str:
    """Format bytes in GB, or in MB below one GB."""
    return f"{byte_count / 1e9:.1f} GB" if byte_count >= 1e9 else f"{byte_count / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """Format a time span in the one or two units that matter: 40 s, 25 min, 3 h 20 min, 2 days 4 h."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h"


def visible(text: str) -> str:
    r"""Escape control characters, direction marks and other unprintable characters, such as \u202e.

    Line breaks, tabs, spaces of all kinds and letters of any script are kept.
    """
    return "".join(character if _is_kept(character) else one_line(character) for character in text)


def _is_kept(character: str) -> bool:
    return character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Suggest the allowed name closest to a misspelt one: `; did you mean 'x'?`, or an empty text if none is close."""
    by_lower = {one.lower(): one for one in allowed}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean '{by_lower[near[0]]}'?" if near else ""
