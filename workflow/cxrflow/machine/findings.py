"""What the doctor finds: single lines, each ok, a note or a fault."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's list.

    `ok`: as it should be. `note`: worth knowing; a run starts all the same. `fault`: the run cannot go well; the text ends
    with what to do.
    """

    level: Literal["ok", "note", "fault"]
    subject: str
    text: str


def ok(subject: str, text: str) -> Finding:
    """A finding of level ok."""
    return Finding("ok", subject, text)


def note(subject: str, text: str) -> Finding:
    """A finding of level note."""
    return Finding("note", subject, text)


def fault(subject: str, text: str) -> Finding:
    """A finding of level fault."""
    return Finding("fault", subject, text)


def some_of(names: Iterable[str], most: int = 6) -> str:
    """The first few of some names, and how many more there are."""
    listed = list(names)
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")


def size(byte_count: float) -> str:
    """Bytes as GB, or MB below one GB."""
    return f"{byte_count / 1e9:.1f} GB" if byte_count >= 1e9 else f"{byte_count / 1e6:.0f} MB"
