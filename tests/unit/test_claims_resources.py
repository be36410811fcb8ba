"""The claims and open points of the study are complete and fit the config."""

import csv
import json
import re
from pathlib import Path
from typing import Any

from cxrflow.claims.load import load_claims
from cxrflow.claims.model import KINDS
from cxrflow.study.layers import named_layers
from cxrflow.study.read import read_config
from study_config import study_config

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = ROOT / "studies/sha_2021/claims.csv"
ASSUMPTIONS = ROOT / "studies/sha_2021/open_points.csv"
CONFIG = read_config({**study_config(), "images": "."})


def test_the_claims_of_the_study():
    rows = list(csv.DictReader(CLAIMS.read_text(encoding="utf-8").splitlines(keepends=True)))
    claims = load_claims(CLAIMS)
    assert len(claims) == 117
    assert "quote" not in rows[0]
    assert {claim.kind for claim in claims} == set(KINDS)
    assert {name for claim in claims for name in claim.experiments} == set(CONFIG.experiments)
    assert all(claim.statement.endswith(".") and len(claim.statement) < 120 for claim in claims)
    assert len({claim.statement for claim in claims}) == 117
    for claim in claims:  # the value that is shown is the threshold that judges
        if claim.unit in ("at least", "at most"):
            assert claim.number in claim.arguments.values(), claim.id


def test_extras_named_by_claims_are_in_the_config():
    for claim in load_claims(CLAIMS):
        named = [claim.arguments.get("extra"), claim.arguments.get("other") if claim.kind == "search" else None]
        named += [name for extras in claim.arguments.get("others", {}).values() for name in extras]
        assert {name for name in named if name} <= set(CONFIG.extras), claim.id


def test_every_rule_names_the_epochs_of_the_arguments():
    """Epochs in a claim's rule are those in its arguments."""
    for claim in load_claims(CLAIMS):
        if claim.kind == "curve":
            given = set(re.findall(r"\d+", json.dumps(claim.arguments)))
            for first, last in re.findall(r"(?<![\d.])(\d{1,3})-(\d{1,3})(?!\d)", claim.rule):
                assert {first, last} <= given, claim.id


def test_the_open_points_name_keys_of_the_study():
    raw = {"missing_images": "error", **study_config()}
    rows = list(csv.DictReader(ASSUMPTIONS.read_text(encoding="utf-8").splitlines(keepends=True)))
    assert len(rows) == 15
    keys = [key for row in rows for key in row["config_key"].split()]
    for key in keys:
        place: Any = raw
        for step in key.split("."):
            if isinstance(place, list):
                place = {layer.name: layer for layer in named_layers(place)}
            assert step in place, key
            place = place[step]
    text = (ROOT / "studies/sha_2021/study.yaml").read_text(encoding="utf-8")
    marked = re.findall(r"^ *(\w+):[^\n]*\[open\]", text, re.MULTILINE)
    assert set(marked) <= {key.partition(".head.")[0].rpartition(".")[2] for key in keys} | {"head"}
    assert len(marked) == len(rows) - 1  # `versions` is a key of the run, not of the study
