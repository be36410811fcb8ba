"""The scorecard in a few numbers."""

from typing import Any

import pandas as pd

from cxrflow.claims.model import KINDS, VERDICTS

RESULT_KINDS = ("outcome", "curve", "comparison", "features")
"""Kinds that are results of training. Settings, architecture, data, text and searches are counted apart."""


def headline(scorecard: pd.DataFrame) -> dict[str, Any]:
    """Count claims by verdict.

    Returns:
        `claims` (all of them), `results` (those of `RESULT_KINDS`), `apart` (the others), `verdicts` (verdict to number of
        results, every verdict there, in the order of `VERDICTS`), `by_kind` (kind to the same; kinds without a claim left
        out, those of results first).
    """
    kinds = [*RESULT_KINDS, *(kind for kind in KINDS if kind not in RESULT_KINDS)]
    is_result = scorecard["kind"].isin(RESULT_KINDS)
    return {
        "claims": len(scorecard),
        "results": int(is_result.sum()),
        "apart": int((~is_result).sum()),
        "verdicts": _by_verdict(scorecard[is_result]),
        "by_kind": {
            kind: _by_verdict(scorecard[scorecard["kind"] == kind])
            for kind in kinds
            if (scorecard["kind"] == kind).any()
        },
    }


def _by_verdict(rows: pd.DataFrame) -> dict[str, int]:
    return {verdict: int((rows["verdict"] == verdict).sum()) for verdict in VERDICTS}
