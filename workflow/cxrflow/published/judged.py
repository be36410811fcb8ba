"""The scorecard of published results, judged from their files alone."""

from pathlib import Path

import pandas as pd

from cxrflow.claims.load import load_claims
from cxrflow.claims.runs import Runs
from cxrflow.claims.score import score
from cxrflow.stage.files import read_json


def scorecard_again(folder: Path, claims: Path) -> pd.DataFrame:
    """The scorecard of published results, by the claims and the rules of today."""
    config = read_json(folder / "config.json")
    runs = Runs(
        folder=folder / "runs",
        selected=config["selected"],
        settings=config["settings"],
        networks=read_json(folder / "networks.json"),
        audit=read_json(folder / "data_audit.json"),
    )
    return score(load_claims(claims), runs)
