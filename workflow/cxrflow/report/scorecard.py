"""The scorecard as the page shows it: counts first, then every claim, grouped by kind."""

from collections.abc import Hashable
from typing import Any

import pandas as pd

from cxrflow.claims.headline import RESULT_KINDS, headline
from cxrflow.claims.model import (
    AS_CONFIGURED,
    CANNOT_BE_TOLD,
    CONSISTENT,
    CONTRADICTED,
    DIFFERS,
    EXACT,
    KINDS,
    NOT_RUN,
    VERDICTS,
    as_number,
)
from cxrflow.claims.words import shown
from cxrflow.report.inputs import Inputs
from cxrflow.report.words import last_part
from cxrflow.stage.faults import Fault

COLUMNS = (
    *("id", "experiment", "kind", "statement", "study_value", "this_run", "unit"),
    *("verdict", "reason", "quantity", "rule"),
)

# A verdict is told by word and sign; the colour, by class name, only helps.
SIGNS = {
    EXACT: "✓",
    AS_CONFIGURED: "✓",
    CONSISTENT: "✓",
    DIFFERS: "✗",
    CONTRADICTED: "✗",
    CANNOT_BE_TOLD: "?",
    NOT_RUN: "–",
}
TONES = {
    EXACT: "good",
    AS_CONFIGURED: "good",
    CONSISTENT: "good",
    DIFFERS: "bad",
    CONTRADICTED: "bad",
    CANNOT_BE_TOLD: "open",
    NOT_RUN: "none",
}
PHRASES = {
    EXACT: ("is exact", "are exact"),
    AS_CONFIGURED: ("is as configured", "are as configured"),
    CONSISTENT: ("is consistent with this run", "are consistent with this run"),
    DIFFERS: ("differs", "differ"),
    CONTRADICTED: ("is contradicted", "are contradicted"),
    CANNOT_BE_TOLD: ("cannot be told", "cannot be told"),
    NOT_RUN: ("was not run", "were not run"),
}
TITLES = {
    "outcome": "Outcomes: test accuracy and loss",
    "curve": "Curves: how training and validation went",
    "comparison": "Comparisons: one backbone against another",
    "features": "Features: how the classes separate",
    "setting": "Settings: how the networks were trained",
    "architecture": "Architecture: layers, shapes and parameters",
    "data": "Data: what the images are",
    "text": "Text: statements of the study that contradict its own tables",
    "search": "Searches that the study tells of",
}


def scorecard_view(inputs: Inputs) -> dict[str, Any] | None:
    """What the page shows of the scorecard, or None when there is none.

    Returns:
        `judged` (counts by verdict of outcomes, curves, comparisons and features together, and their sum `results`),
        `apart` (each other kind to its counts) and `groups` (kind, title, counts, rows), results of training first.

    Raises:
        Fault: a column is missing, or a kind or verdict is unknown.
    """
    table = inputs.scorecard
    if table is None:
        return None
    _check(table)
    counts = headline(table)
    return {
        "claims": counts["claims"],
        "results": counts["results"],
        "judged": told(counts["verdicts"]),
        "apart": {kind: told(many) for kind, many in counts["by_kind"].items() if kind not in RESULT_KINDS},
        "groups": [_group(table, kind, told(many)) for kind, many in counts["by_kind"].items()],
    }


def told(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Counts by verdict, in the order of verdicts, none left out that is above 0."""
    return [
        {
            "verdict": verdict,
            "sign": SIGNS[verdict],
            "tone": TONES[verdict],
            "count": counts[verdict],
            "words": f"{counts[verdict]} {PHRASES[verdict][counts[verdict] != 1]}",
        }
        for verdict in VERDICTS
        if counts.get(verdict)
    ]


def stated(value: str) -> str:
    """A value of the study as the page writes it: numbers to four significant digits, whole ones in full with commas."""
    number = as_number(value)
    return value if number is None else shown(number)


def claims_file(inputs: Inputs) -> str | None:
    """The file that the claims come from, or None where they are the study's."""
    claims = inputs.settings["claims"]
    return last_part(claims) if claims not in (None, "study") else None


def stated_outcomes(inputs: Inputs, experiment: str) -> list[dict[Hashable, Any]]:
    """What the study states as the test results of an experiment; nothing where this run cannot be held against it."""
    if inputs.scorecard is None or inputs.on_phantoms or claims_file(inputs):
        return []
    rows = inputs.scorecard[inputs.scorecard["kind"] == "outcome"].to_dict("records")
    return [row for row in rows if experiment in row["experiment"].split()]


def _group(table: pd.DataFrame, kind: str, counts: list[dict[str, Any]]) -> dict[str, Any]:
    rows = table[table["kind"] == kind]
    return {
        "kind": kind,
        "title": TITLES[kind],
        "counts": counts,
        "open": kind in RESULT_KINDS,
        "rows": [
            {**row, "sign": SIGNS[row["verdict"]], "tone": TONES[row["verdict"]]} for row in rows.to_dict("records")
        ],
    }


def _check(table: pd.DataFrame) -> None:
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise Fault(f"--scorecard: column {', '.join(missing)} is missing")
    for column, allowed in {"kind": KINDS, "verdict": VERDICTS}.items():
        unknown = sorted(set(table[column]) - set(allowed))
        if unknown:
            raise Fault(f"--scorecard: unknown {column} {', '.join(unknown)}; allowed: {', '.join(allowed)}")
