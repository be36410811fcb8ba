"""Did you mean …: the nearest of the allowed names."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the allowed name nearest to a misspelt one, or an empty text when none is near."""
    allowed = list(allowed)
    by_lower = {one.lower(): one for one in allowed}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean '{by_lower[near[0]]}'?" if near else ""
