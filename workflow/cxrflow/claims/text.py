"""Measures of statements in the study's text: whether its own tables contradict them.

The study's other rows decide; where the networks were built, the reason says what they have.
"""

from cxrflow.claims.model import CANNOT_BE_TOLD, CONSISTENT, CONTRADICTED, EXACT, Claim, Finding, UndecidedError
from cxrflow.claims.registry import RowId, finding_of, measure
from cxrflow.claims.runs import Runs
from cxrflow.claims.words import listed, shown


@measure("text", numeric=True)
def same_as_row(claim: Claim, runs: Runs, *, row: RowId, rather: RowId | None = None) -> Finding:
    """The claim's number is that of another row. `rather` names the row that really has it."""
    theirs = _number(runs, row)
    if theirs == claim.number:
        return Finding(CONSISTENT, *_built(runs, [row], f"{row} says the same"))
    elsewhere = (
        f"; it is {rather} that has {shown(claim.number)}" if rather and _number(runs, rather) == claim.number else ""
    )
    rows = [row, rather] if rather else [row]
    return Finding(CONTRADICTED, *_built(runs, rows, f"{row} says {shown(theirs)}{elsewhere}"))


@measure("text", numeric=True)
def units_as_row(claim: Claim, runs: Runs, *, row: RowId, inputs: int) -> Finding:
    """The claim's units are those that the parameters of a row need: a Dense layer has (inputs + 1) for each unit."""
    parameters = _number(runs, row)
    units = parameters / (inputs + 1)
    text = f"the {shown(parameters)} parameters of {row} are those of {shown(units)} units"
    return Finding(CONSISTENT if units == claim.number else CONTRADICTED, *_built(runs, [row], text))


@measure("text")
def rows_the_same(claim: Claim, runs: Runs, *, first: RowId, second: RowId) -> Finding:
    """Two rows have the same number."""
    numbers = [_number(runs, first), _number(runs, second)]
    text = f"{first} says {shown(numbers[0])}, {second} {shown(numbers[1])}"
    return Finding(CONSISTENT if numbers[0] == numbers[1] else CONTRADICTED, *_built(runs, [first, second], text))


@measure("text")
def fewer_backbone_parameters(claim: Claim, runs: Runs, *, backbone: str, than: str) -> Finding:
    """A backbone has fewer parameters than another without its top, as it is used; with its top is told too."""
    counts = runs.networks["backbones"]
    if backbone not in counts or than not in counts:
        raise UndecidedError(CANNOT_BE_TOLD, f"the parameters of {backbone} and {than} were not counted")
    used, other = counts[backbone]["without_top"], counts[than]["without_top"]
    text = f"{shown(used)} against {shown(other)} without top, as used"
    whole = f"with top it is {shown(counts[backbone]['with_top'])} against {shown(counts[than]['with_top'])}"
    return Finding(CONSISTENT if used < other else CONTRADICTED, text, None, f"{text}; {whole}")


def _number(runs: Runs, row: str) -> float:
    number = runs.claims[row].number
    if number is None:
        raise UndecidedError(CANNOT_BE_TOLD, f"the value of {row} is not a number")
    return number


def _built(runs: Runs, rows: list[str], reason: str) -> tuple[str, None, str]:
    """What this run's own networks have for the rows, and the reason with it; nothing where they were not built."""
    findings = {row: finding_of(runs.claims[row], runs) for row in rows if runs.claims[row].kind == "architecture"}
    told = {row: finding.this_run for row, finding in findings.items() if finding.this_run}
    if not told:
        return "", None, reason
    this_run = "; ".join(f"{row}: {text}" for row, text in told.items()) if len(rows) > 1 else next(iter(told.values()))
    if all(findings[row].verdict == EXACT for row in told):
        return this_run, None, f"{reason}; so do the networks built here"
    other = [row for row in told if findings[row].verdict != EXACT]
    return this_run, None, f"{reason}; the networks built here differ in {listed(other)}"
