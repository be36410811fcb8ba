"""The scorecard as the page shows it: counts by verdict, then every claim, grouped by kind."""

from collections.abc import Hashable
from typing import Any, NamedTuple

import pandas as pd

from cxrflow.claims.model import (
    AS_CONFIGURED,
    CONSISTENT,
    CONTRADICTED,
    DIFFERS,
    EXACT,
    KINDS,
    NOT_EXCLUDED,
    NOT_RUN,
    RESULT_KINDS,
    UNDECIDED,
    VERDICTS,
)
from cxrflow.claims.scorecard import headline
from cxrflow.io.errors import UserError
from cxrflow.report.inputs import Inputs
from cxrflow.report.words import last_part

COLUMNS = (
    *("id", "experiment", "kind", "statement", "study_value", "this_run", "unit"),
    *("verdict", "reason", "quantity", "rule"),
)


class Style(NamedTuple):
    """How a verdict is shown: a sign, a CSS class whose colour is only an aid, and words for one and for several claims."""

    sign: str
    tone: str
    singular: str
    plural: str


STYLES = {
    EXACT: Style("✓", "good", "is exact", "are exact"),
    AS_CONFIGURED: Style("✓", "good", "is as configured", "are as configured"),
    CONSISTENT: Style("✓", "good", "is consistent with this run", "are consistent with this run"),
    NOT_EXCLUDED: Style("?", "open", "is not excluded", "are not excluded"),
    DIFFERS: Style("✗", "bad", "differs", "differ"),
    CONTRADICTED: Style("✗", "bad", "is contradicted", "are contradicted"),
    UNDECIDED: Style("?", "open", "is undecided", "are undecided"),
    NOT_RUN: Style("–", "none", "was not run", "were not run"),
}
TITLES = {
    "outcome": "Outcomes: test accuracy and loss",
    "curve": "Curves: training and validation by epoch",
    "comparison": "Comparisons: one backbone against another",
    "features": "Features: how the classes separate",
    "setting": "Settings: how the networks were trained",
    "architecture": "Architecture: layers, shapes and parameters",
    "data": "Data: number and format of the images",
    "text": "Text: statements of the study compared with its own tables",
    "search": "Searches: settings that the study compared",
}


def scorecard_view(inputs: Inputs) -> dict[str, Any] | None:
    """What the page shows of the scorecard; None if there is none.

    Returns:
        `claims` (number of all claims), `results` (number of those of `RESULT_KINDS`), `judged` (counts of the results by
        verdict), `apart` (each other kind to its counts) and `groups` (kind, title, counts, rows), the results first.

    Raises:
        UserError: a column is missing, or a kind or verdict is unknown.
    """
    table = inputs.scorecard
    if table is None:
        return None
    _check(table)
    counts = headline(table)
    return {
        "claims": counts["claims"],
        "results": counts["results"],
        "judged": shown_counts(counts["verdicts"]),
        "apart": {kind: shown_counts(many) for kind, many in counts["by_kind"].items() if kind not in RESULT_KINDS},
        "groups": [_group(table, kind, shown_counts(many)) for kind, many in counts["by_kind"].items()],
    }


def shown_counts(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Counts above 0, in the order of the verdicts."""
    return [
        {
            "verdict": verdict,
            "sign": style.sign,
            "tone": style.tone,
            "count": counts[verdict],
            "words": f"{counts[verdict]} {style.singular if counts[verdict] == 1 else style.plural}",
        }
        for verdict, style in STYLES.items()
        if counts.get(verdict)
    ]


def claims_file(inputs: Inputs) -> str | None:
    """The name of the claims file, if it is not that of the study."""
    claims = inputs.settings["claims"]
    own = inputs.study["claims"] if inputs.study is not None else None
    return last_part(claims) if claims not in (None, own) else None


def stated_outcomes(inputs: Inputs, experiment: str) -> list[dict[Hashable, Any]]:
    """Test results of an experiment that the study states; an empty list if this run cannot be compared with them."""
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
            {**row, "sign": STYLES[row["verdict"]].sign, "tone": STYLES[row["verdict"]].tone}
            for row in rows.to_dict("records")
        ],
    }


def _check(table: pd.DataFrame) -> None:
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise UserError(f"--scorecard: column {', '.join(missing)} is missing")
    for column, allowed in {"kind": KINDS, "verdict": VERDICTS}.items():
        unknown = sorted(set(table[column]) - set(allowed))
        if unknown:
            raise UserError(f"--scorecard: unknown {column} {', '.join(unknown)}; allowed: {', '.join(allowed)}")
