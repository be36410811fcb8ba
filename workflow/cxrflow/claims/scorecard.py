"""The scorecard: the judgement of every claim, and the number of claims for each verdict."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from cxrflow.claims.model import KINDS, RESULT_KINDS, VERDICTS, Claim, Seal
from cxrflow.claims.registry import judge_claim
from cxrflow.claims.results import Results

SCORECARD = (
    *("id", "experiment", "kind", "statement", "study_value", "this_run", "unit"),
    *("difference", "verdict", "reason", "null", "null_rate", "learner_rate", "control_rate", "distance", "quantity"),
    *("rule", "place", "seal"),
)
"""Columns of a scorecard."""


def score(claims: Sequence[Claim], results: Results) -> pd.DataFrame:
    """Judge all claims.

    Returns:
        One row per claim, in the order of the claims. All cells are text; `difference` is a number or empty.
    """
    results = replace(results, claims={claim.id: claim for claim in claims})
    return pd.DataFrame([_row(claim, results) for claim in claims], columns=list(SCORECARD), dtype="str")


def _row(claim: Claim, results: Results) -> dict[str, str]:
    judgement = judge_claim(claim, results)
    return {
        "id": claim.id,
        "experiment": " ".join(claim.experiments),
        "kind": claim.kind,
        "statement": claim.statement,
        "study_value": claim.value,
        "this_run": judgement.this_run,
        "unit": claim.unit,
        "difference": "" if judgement.difference is None else _without_exponent(judgement.difference),
        "verdict": judgement.verdict,
        "reason": "; ".join(filter(None, (judgement.reason, _on_the_edge(judgement.distance)))),
        "null": judgement.null,
        "null_rate": _share(judgement.null_rate),
        "learner_rate": _share(judgement.learner_rate),
        "control_rate": _share(judgement.control_rate),
        "distance": "" if judgement.distance is None else _without_exponent(round(judgement.distance, 1)),
        "quantity": claim.quantity,
        "rule": claim.rule,
        "place": claim.place,
        "seal": "" if results.seals is None else _seal_in_words(results.seals[claim.id]),
    }


def _on_the_edge(distance: float | None) -> str:
    """What to say of a verdict within one standard deviation of its noise from another one; empty for others."""
    if distance is None or distance >= 1:
        return ""
    return f"on the edge: {distance:.1f} standard deviations of its noise away from the other answer"


def _seal_in_words(seal: Seal) -> str:
    return f"{seal.hash}, commit {seal.commit}" if seal.commit else seal.hash


def _share(rate: float | None) -> str:
    return "" if rate is None else _without_exponent(round(rate, 3))


def _without_exponent(difference: float) -> str:
    """A number with at most six decimals; whole numbers without any."""
    rounded = round(float(difference), 6)
    return str(int(rounded)) if rounded.is_integer() else f"{rounded:.6f}".rstrip("0")


def headline(scorecard: pd.DataFrame) -> dict[str, Any]:
    """Count the claims of a scorecard by verdict.

    Returns:
        `claims` (number of all claims), `results` (number of those of `RESULT_KINDS`), `apart` (number of the others),
        `verdicts` (every verdict of `VERDICTS` to its number of results), `by_kind` (each kind in the scorecard to the same
        counts, the result kinds first).
    """
    is_result = scorecard["kind"].isin(RESULT_KINDS)
    by_kind = {kind: scorecard[scorecard["kind"] == kind] for kind in dict.fromkeys([*RESULT_KINDS, *KINDS])}
    return {
        "claims": len(scorecard),
        "results": int(is_result.sum()),
        "apart": int((~is_result).sum()),
        "verdicts": _by_verdict(scorecard[is_result]),
        "by_kind": {kind: _by_verdict(rows) for kind, rows in by_kind.items() if len(rows)},
    }


def verdicts_in_words(counts: dict[str, Any]) -> str:
    """The results of `headline` by verdict, such as `3 consistent, 1 differs`; `none` if there are no results."""
    return ", ".join(f"{count} {verdict}" for verdict, count in counts["verdicts"].items() if count) or "none"


def _by_verdict(rows: pd.DataFrame) -> dict[str, int]:
    return {verdict: int((rows["verdict"] == verdict).sum()) for verdict in VERDICTS}
