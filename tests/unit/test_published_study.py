"""What came out of the study, in docs/study and docs/other_readings: whole, judged alike today, in the README as it is."""

import html
import re
from pathlib import Path

import pandas as pd
import pytest
from cxrflow.published.folder import changed_files
from cxrflow.published.judged import scorecard_again
from cxrflow.stage.files import read_json
from cxrflow.tabulate_results import remarks_of, with_table
from cxrflow.verify_results import differing_rows
from made_results import ROOT

STUDY = Path("docs/study")
OTHER_READINGS = Path("docs/other_readings")

published = pytest.mark.parametrize("folder", [STUDY, OTHER_READINGS], ids=str)


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def scorecard() -> pd.DataFrame:
    return pd.read_csv(ROOT / STUDY / "scorecard.csv", dtype=str, keep_default_na=False)


@published
def test_the_published_files_are_whole(folder: Path) -> None:
    assert changed_files(folder) == []


def test_the_scorecard_is_judged_alike(scorecard: pd.DataFrame) -> None:
    assert differing_rows(scorecard, scorecard_again(STUDY, Path("workflow/resources/claims.csv"))) == []


@published
def test_the_readme_has_its_table(folder: Path) -> None:
    readme = Path("README.md").read_text(encoding="utf-8")
    assert with_table(readme, folder, "README.md") == readme


@published
def test_readme_and_page_say_how_the_run_deviates(folder: Path) -> None:
    remarks = remarks_of(folder)
    assert len(remarks) == 4
    assert "covid-19-pneumonia-14-PA.png" in remarks[-1]
    assert "stand-ins" in remarks[0]
    readme = Path("README.md").read_text(encoding="utf-8")
    page = html.unescape((folder / "report/index.html").read_text(encoding="utf-8"))
    assert [remark for remark in remarks if f"* {remark}\n" not in readme] == []
    assert [remark for remark in remarks[:-1] if remark not in page] == []
    assert "covid-19-pneumonia-14-PA.png" in page


@published
def test_no_x_ray_is_published(folder: Path) -> None:
    pictures = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".npy", ".parquet", ".keras", ".h5"}
    assert [path for path in folder.rglob("*") if path.suffix in pictures] == []
    page = (folder / "report/index.html").read_text(encoding="utf-8")
    assert set(re.findall(r"data:image/([\w+]+)", page)) <= {"svg+xml"}


def test_the_whole_study_was_trained() -> None:
    trained = {
        run.relative_to(STUDY / "runs").as_posix(): (
            len(pd.read_csv(run / "history.csv")),
            read_json(run / "training.json")["selected_epoch"]["epoch"],
        )
        for run in sorted((STUDY / "runs").glob("*/*"))
    }
    assert trained == {
        **{f"binary_inception_v3/seed_{seed}": (90, 90) for seed in range(5)},
        "multiclass_inception_v3/seed_0": (350, 350),
        "multiclass_mobilenet/seed_0": (350, 220),
    }


def test_all_but_searches_and_epochs_behind_350_were_judged(scorecard: pd.DataFrame) -> None:
    not_run = scorecard[scorecard["verdict"] == "not run"]
    assert set(not_run["kind"]) <= {"search", "curve"}
    assert not_run.loc[not_run["kind"] == "curve", "id"].tolist() == ["multi_mobilenet_minimum_350"]
    assert len(not_run) <= 10


def test_other_readings_differ_from_the_study_in_what_they_say_alone() -> None:
    settings = {
        run.parent.name: read_json(run / "training.json")["settings"]
        for run in sorted((OTHER_READINGS / "runs").glob("*/*"))
    }
    first = settings.pop("binary_60")
    assert {
        name: {key: value for key, value in read.items() if value != first[key]} for name, read in settings.items()
    } == {
        "binary_60_batchnorm_inference": {"backbone_batchnorm": "inference"},
        "binary_60_scaling_imagenet": {"input_scaling": "imagenet"},
        "binary_60_inference_and_imagenet": {"backbone_batchnorm": "inference", "input_scaling": "imagenet"},
        "binary_60_incomplete_batch_kept": {"incomplete_batch": "kept"},
    }


def test_the_first_of_them_is_the_study_up_to_epoch_60() -> None:
    study = (STUDY / "runs/binary_inception_v3/seed_0/history.csv").read_text(encoding="utf-8").splitlines()
    first = (OTHER_READINGS / "runs/binary_60/seed_0/history.csv").read_text(encoding="utf-8").splitlines()
    assert len(first) == 61
    assert first == study[:61]
    assert (OTHER_READINGS / "split/binary.csv").read_bytes() == (STUDY / "split/binary.csv").read_bytes()
