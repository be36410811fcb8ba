"""The lines of the doctor: each is ok, a note or an error."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cxrflow.io.errors import one_line

SHORT_FACTS = ("images", "time")
"""Subjects whose text is in the short list even if they are ok."""


@dataclass(frozen=True)
class Check:
    """The result of one check.

    `ok`: as it should be. `note`: good to know; a run starts anyway. `error`: no run can succeed; the text ends with how to fix
    it.
    """

    level: Literal["ok", "note", "error"]
    subject: str
    text: str


def ok(subject: str, text: str) -> Check:
    """Make a check of level ok."""
    return Check("ok", subject, text)


def note(subject: str, text: str) -> Check:
    """Make a check of level note."""
    return Check("note", subject, text)


def error(subject: str, text: str) -> Check:
    """Make a check of level error."""
    return Check("error", subject, text)


def long_list(checks: Sequence[Check]) -> list[str]:
    """Format one line per check. An error replaces the notes on the same subject."""
    wrong = {check.subject for check in checks if check.level == "error"}
    shown = [check for check in checks if check.level != "note" or check.subject not in wrong]
    return [one_line(f"{check.level:5}  {check.subject}: {check.text}") for check in shown]


def short_list(checks: Sequence[Check]) -> list[str]:
    """Format everything that is ok in at most two lines, and notes and errors as in `long_list`."""
    fine = [check for check in checks if check.level == "ok"]
    facts = "; ".join(f"{check.subject} {check.text}" for check in fine if check.subject in SHORT_FACTS)
    others = ", ".join(check.subject for check in fine if check.subject not in SHORT_FACTS)
    lines = [one_line(f"ok     {text}") for text in (facts, others) if text]
    return lines + long_list([check for check in checks if check.level != "ok"])
