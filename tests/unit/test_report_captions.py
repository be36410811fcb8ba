"""Tests of the captions that `snakemake --report` shows."""

import re
from types import SimpleNamespace

import pytest
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined
from made_results import ROOT

CAPTIONS = sorted((ROOT / "workflow/report").glob("*.rst"))


@pytest.mark.parametrize("caption", CAPTIONS, ids=lambda path: path.stem)
def test_a_caption_is_valid_and_says_research_only(caption):
    snakemake = SimpleNamespace(
        config={"name": "the_run"},
        wildcards=SimpleNamespace(experiment="binary_inception_v3", seed="7", task="bac_vir"),
    )
    text = Environment(undefined=StrictUndefined).from_string(caption.read_text("utf-8")).render(snakemake=snakemake)
    # Anything that docutils finds wrong is an error here.
    html = publish_parts(text, writer="html", settings_overrides={"halt_level": 2})["body"]
    assert "Research only, not for clinical use." in html
    assert "reproduc" not in text
    if "wildcards.task" in caption.read_text("utf-8"):
        assert "<strong>bac_vir</strong>" in html
    elif "wildcards" in caption.read_text("utf-8"):
        of_seed = ", seed 7" if "wildcards.seed" in caption.read_text("utf-8") else ""
        assert f"<strong>binary_inception_v3</strong>{of_seed}" in html


def test_every_caption_in_the_rules_exists():
    rules = "".join(path.read_text("utf-8") for path in (ROOT / "workflow/rules").glob("*.smk"))
    named = set(re.findall(r'caption="\.\./report/([\w.]+)"', rules))
    assert named and {path.name for path in CAPTIONS} == {*named, "workflow.rst"}
