"""The demo, as `make demo` runs it: from an empty folder to the report, with networks that have learnt."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny_run import planned_jobs

EXPERIMENTS = ("binary_inception_v3", "multiclass_inception_v3", "multiclass_mobilenet")


@pytest.fixture(scope="module")
def demo(snakemake: Any, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo has run."""
    folder = tmp_path_factory.mktemp("demo")
    run = snakemake(folder, "--cores", "2", "--config", "study=demo")
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_demo_networks_tell_the_phantoms_apart(demo: Path, experiment: str) -> None:
    metrics = json.loads((demo / f"results/demo/runs/{experiment}/seed_0/metrics.json").read_text())
    assert metrics["accuracy"] >= 0.9, metrics["confusion_matrix"]
    history = pd.read_csv(demo / f"results/demo/runs/{experiment}/seed_0/history.csv")
    assert history["accuracy"].iloc[-1] > history["accuracy"].iloc[0] + 0.1, "it has learnt while training"


@pytest.mark.slow
def test_demo_ends_in_a_report_and_a_scorecard(demo: Path, project: Path) -> None:
    page = (demo / "results/demo/report/index.html").read_text()
    for text in (*EXPERIMENTS, "phantom", "not for clinical use"):
        assert text in page
    scorecard = pd.read_csv(demo / "results/demo/scorecard.csv")
    claims = pd.read_csv(project / "studies/demo/claims.csv")
    assert scorecard["id"].tolist() == claims["id"].tolist()
    assert set(scorecard.loc[scorecard["verdict"] == "not run", "experiment"]) == {"binary_mobilenet"}
    assert "exploratory" not in scorecard["reason"].str.cat()
    assert scorecard["seal"].str.match("[0-9a-f]{16}").all()


@pytest.mark.slow
def test_demo_leaves_nothing_to_do(snakemake: Any, demo: Path, project: Path) -> None:
    again = snakemake(demo, "-n", "--config", "study=demo")
    assert planned_jobs(again) == {}


@pytest.mark.slow
def test_demo_as_a_snakemake_report(snakemake: Any, demo: Path, project: Path) -> None:
    """`snakemake --report` also works, with our captions."""
    run = snakemake(demo, "--config", "study=demo", "--report", "report.html")
    assert run.returncode == 0, run.stdout + run.stderr
    text = (demo / "report.html").read_text()
    assert "not for clinical use" in text


@pytest.mark.slow
@pytest.mark.long
def test_six_seeds_decide_the_claims_of_the_demo(snakemake: Any, tmp_path: Path) -> None:
    run = snakemake(tmp_path, "--cores", "2", "--config", "study=demo", "only=binary_mobilenet")
    assert run.returncode == 0, run.stdout + run.stderr
    verdicts = pd.read_csv(tmp_path / "results/demo/scorecard.csv").set_index("id")["verdict"]
    of_six_seeds = ("six_seeds_accuracy", "six_seeds_learn", "six_seeds_features", "six_seeds_steps")
    # Random features of the phantoms separate the classes as well.
    assert [verdicts[name] for name in of_six_seeds] == ["consistent", "consistent", "undecided", "differs"]
