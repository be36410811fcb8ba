"""The study's own X-rays and weights through the whole flow, small: one `--config` cuts size and epochs."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

EXPERIMENTS = {"binary_inception_v3": 18, "multiclass_inception_v3": 36, "multiclass_mobilenet": 36}


pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def results(snakemake: Any, study_data: Path, study_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the study at 96 px and 2 epochs."""
    folder = tmp_path_factory.mktemp("study")
    values = [
        f"images={study_data}",
        f"weights={study_weights}",
        "missing_images=warn",
        "override={epochs: 2, image_size: 96}",
    ]
    run = snakemake(folder, "--cores", "2", "--config", *values)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder / "results/sha_2021"


def test_study_numbers_of_images(results: Path) -> None:
    audit = json.loads((results / "data_audit.json").read_text())
    assert (audit["images"], audit["listed"]) == (305, 306)
    assert audit["missing"] == ["train/covid/covid-19-pneumonia-14-PA.png"]
    assert list(audit["audits"]["patients"]["details"]["tasks"]["binary"]["in_several_subsets"]) == ["cohen-13"]
    split = pd.read_csv(results / "split/multiclass.csv")
    assert split.groupby("subset").size().to_dict() == {"training": 215, "validation": 54, "test": 36}
    for experiment, images in EXPERIMENTS.items():
        metrics = json.loads((results / f"runs/{experiment}/seed_0/metrics.json").read_text())
        assert metrics["images"] == images


def test_study_weights_are_those_that_were_named(results: Path, study_weights: Path) -> None:
    seen = {
        experiment: json.loads((results / f"runs/{experiment}/seed_0/training.json").read_text())["weights"]["file"]
        for experiment in EXPERIMENTS
    }
    files = {
        "inception": "inception_v3_imagenet_notop.weights.h5",
        "mobilenet": "mobilenet_1_0_224_imagenet_notop.weights.h5",
    }
    assert seen == {
        "binary_inception_v3": files["inception"],
        "multiclass_inception_v3": files["inception"],
        "multiclass_mobilenet": files["mobilenet"],
    }


def test_study_scorecard_judges_every_claim(results: Path, project: Path) -> None:
    scorecard = pd.read_csv(results / "scorecard.csv").set_index("id")
    assert scorecard.index.tolist() == pd.read_csv(project / "studies/sha_2021/claims.csv")["id"].tolist()
    verdicts = set(scorecard["verdict"])
    assert verdicts <= {"exact", "as configured", "consistent", "differs", "contradicted", "undecided", "not run"}
    # Two epochs at 96 px: changed settings differ, others are as configured, and curves cannot be judged.
    assert scorecard.loc["image_size", "verdict"] == "differs"
    assert scorecard.loc["binary_batch", "verdict"] == "as configured"
    assert scorecard.loc["inception_layers", "verdict"] == "exact"
    assert (scorecard.loc[scorecard["kind"] == "curve", "verdict"] == "not run").all()


def test_study_report_says_how_it_deviates(results: Path) -> None:
    page = (results / "report/index.html").read_text()
    assert "covid-19-pneumonia-14-PA.png" in page
    assert "inception_v3_imagenet_notop.weights.h5" in page
    assert "featurewise_center" in page
