"""The scorecard as the page shows it: counts first, then every claim, grouped by kind."""

from typing import Any

import pandas as pd

from cxrflow.claims.headline import headline
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
)
from cxrflow.report.inputs import Inputs
from cxrflow.stage.faults import Fault

COLUMNS = ("id", "experiment", "kind", "value", "unit", "quantity", "rule", "reproduced", "verdict", "reason")

# A verdict is told by word and sign; the colour, by class name, only helps.
SIGNS = {EXACT: "✓", AS_CONFIGURED: "✓", CONSISTENT: "✓", DIFFERS: "✗", CONTRADICTED: "✗", CANNOT_BE_TOLD: "?", NOT_RUN: "–"}
TONES = {
    EXACT: "good",
    AS_CONFIGURED: "good",
    CONSISTENT: "good",
    DIFFERS: "bad",
    CONTRADICTED: "bad",
    CANNOT_BE_TOLD: "open",
    NOT_RUN: "none",
}
TITLES = {
    "outcome": "Outcomes: test accuracy and loss",
    "curve": "Curves: how training and validation went",
    "comparison": "Comparisons: InceptionV3 against MobileNet",
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
        `judged` (counts by verdict of outcomes, curves, comparisons and features together), `apart` (kind to counts by
        verdict) and `groups` (kind, title, counts, rows), results of training first.

    Raises:
        Fault: a column is missing, or a kind or verdict is unknown.
    """
    table = inputs.scorecard
    if table is None:
        return None
    _check(table)
    counts = headline(table)
    kinds = [kind for kind in TITLES if kind in set(table["kind"])]
    return {
        "judged": told(counts["judged"]),
        "apart": {kind: told(counts["apart"][kind]) for kind in kinds if kind in counts["apart"]},
        "groups": [_group(table, kind) for kind in kinds],
        "claims": len(table),
    }


def told(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Counts by verdict, in the order of verdicts, none left out that is above 0."""
    return [
        {"verdict": verdict, "sign": SIGNS[verdict], "tone": TONES[verdict], "count": counts[verdict]}
        for verdict in VERDICTS
        if counts.get(verdict)
    ]


def _group(table: pd.DataFrame, kind: str) -> dict[str, Any]:
    rows = table[table["kind"] == kind]
    return {
        "kind": kind,
        "title": TITLES[kind],
        "counts": told(rows["verdict"].value_counts().to_dict()),
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
