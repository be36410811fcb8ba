"""Measures of statements in a study's text: whether other claims of the same study contradict them.

If the networks were built, the reason also says which value they have.
"""

from typing import Annotated

from pydantic import Field

from cxrflow.claims.model import (
    CONSISTENT,
    CONTRADICTED,
    EXACT,
    UNDECIDED,
    Claim,
    Judgement,
    UndecidedError,
    in_words,
)
from cxrflow.claims.registry import RowId, judge_claim, measure
from cxrflow.claims.results import Results
from cxrflow.io.words import joined


@measure("text", numeric=True)
def same_as_row(claim: Claim, results: Results, *, row: RowId, rather: RowId | None = None) -> Judgement:
    """The number of the claim is that of another row. `rather` is the row that the number may belong to instead."""
    theirs = _number(results, row)
    if theirs == claim.number:
        return Judgement(CONSISTENT, *_built(results, [row], f"{row} says the same"))
    elsewhere = (
        f"; it is {rather} that has {in_words(claim.number)}"
        if rather and _number(results, rather) == claim.number
        else ""
    )
    rows = [row, rather] if rather else [row]
    return Judgement(CONTRADICTED, *_built(results, rows, f"{row} says {in_words(theirs)}{elsewhere}"))


@measure("text", numeric=True)
def units_as_row(claim: Claim, results: Results, *, row: RowId, inputs: Annotated[int, Field(ge=1)]) -> Judgement:
    """The number of units fits the parameters of a row: a Dense layer has (inputs + 1) parameters per unit."""
    parameters = _number(results, row)
    units = parameters / (inputs + 1)
    text = f"the {in_words(parameters)} parameters of {row} are those of {in_words(units)} units"
    return Judgement(CONSISTENT if units == claim.number else CONTRADICTED, *_built(results, [row], text))


@measure("text")
def rows_the_same(claim: Claim, results: Results, *, first: RowId, second: RowId) -> Judgement:
    """Two rows have the same number."""
    numbers = [_number(results, first), _number(results, second)]
    text = f"{first} says {in_words(numbers[0])}, {second} {in_words(numbers[1])}"
    return Judgement(CONSISTENT if numbers[0] == numbers[1] else CONTRADICTED, *_built(results, [first, second], text))


@measure("text")
def fewer_backbone_parameters(claim: Claim, results: Results, *, backbone: str, than: str) -> Judgement:
    """A backbone has fewer parameters than another, with top or without. The reason gives both.

    With top, a backbone is the whole network of its authors; without, the part that is used here.
    """
    counts = results.networks["backbones"]
    if backbone not in counts or than not in counts:
        raise UndecidedError(UNDECIDED, f"the parameters of {backbone} and {than} were not counted")
    used, other = counts[backbone]["without_top"], counts[than]["without_top"]
    whole, other_whole = counts[backbone]["with_top"], counts[than]["with_top"]
    text = f"{in_words(used)} against {in_words(other)} without top, as used"
    reason = f"{text}; with top it is {in_words(whole)} against {in_words(other_whole)}"
    return Judgement(CONSISTENT if used < other or whole < other_whole else CONTRADICTED, text, None, reason)


def _number(results: Results, row: str) -> float:
    number = results.claims[row].number
    if number is None:
        raise UndecidedError(UNDECIDED, f"the value of {row} is not a number")
    return number


def _built(results: Results, rows: list[str], reason: str) -> tuple[str, None, str]:
    """The values of the rows in the networks that were built, and the reason extended by them; without networks, nothing."""
    judgements = {row: judge_claim(results.claims[row], results) for row in rows if _is_architecture(results, row)}
    found = {row: judgement.this_run for row, judgement in judgements.items() if judgement.this_run}
    if not found:
        return "", None, reason
    this_run = (
        "; ".join(f"{row}: {text}" for row, text in found.items()) if len(rows) > 1 else next(iter(found.values()))
    )
    other = [row for row in found if judgements[row].verdict != EXACT]
    if not other:
        return this_run, None, f"{reason}; so do the networks built here"
    return this_run, None, f"{reason}; the networks built here differ in {joined(other)}"


def _is_architecture(results: Results, row: str) -> bool:
    return results.claims[row].kind == "architecture"
