"""Judge all claims: the scorecard."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from cxrflow.claims.model import Claim
from cxrflow.claims.registry import finding_of
from cxrflow.claims.runs import Runs

SCORECARD = (
    *("id", "experiment", "kind", "statement", "study_value", "this_run", "unit"),
    *("difference", "verdict", "reason", "quantity", "rule", "place"),
)


def score(claims: Sequence[Claim], runs: Runs) -> pd.DataFrame:
    """The scorecard: one row a claim, in their order, all cells text (`difference` a number in text, or empty)."""
    runs = replace(runs, claims={claim.id: claim for claim in claims})
    return pd.DataFrame([_row(claim, runs) for claim in claims], columns=list(SCORECARD), dtype="str")


def _row(claim: Claim, runs: Runs) -> dict[str, str]:
    finding = finding_of(claim, runs)
    return {
        "id": claim.id,
        "experiment": " ".join(claim.experiments),
        "kind": claim.kind,
        "statement": claim.statement,
        "study_value": claim.value,
        "this_run": finding.this_run,
        "unit": claim.unit,
        "difference": "" if finding.difference is None else _plain(finding.difference),
        "verdict": finding.verdict,
        "reason": finding.reason,
        "quantity": claim.quantity,
        "rule": claim.rule,
        "place": claim.place,
    }


def _plain(difference: float) -> str:
    """A difference to six digits, without exponent; whole numbers as such."""
    rounded = round(float(difference), 6)
    return str(int(rounded)) if rounded.is_integer() else f"{rounded:.6f}".rstrip("0")
