"""The published results of sha_2021 are complete, have the same verdicts in this version, and are in the README."""

import html
import re
from pathlib import Path

import pandas as pd
import pytest
from cxrflow.io.files import read_json
from cxrflow.publication.folder import changed_files
from cxrflow.publication.tabulate_results import remarks_of, with_table
from cxrflow.publication.verify_results import differing_cells, score_published
from made_results import ROOT

README = Path("studies/sha_2021/results/README.md")
STUDY = Path("studies/sha_2021/results/full_run")
OTHER_READINGS = Path("studies/sha_2021/results/other_readings")

published = pytest.mark.parametrize("folder", [STUDY, OTHER_READINGS], ids=str)


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def scorecard() -> pd.DataFrame:
    return pd.read_csv(ROOT / STUDY / "scorecard.csv", dtype=str, keep_default_na=False)


@published
def test_the_published_files_are_complete(folder: Path) -> None:
    assert changed_files(folder) == []


def test_the_scorecard_is_unchanged(scorecard: pd.DataFrame) -> None:
    assert differing_cells(scorecard, score_published(STUDY, Path("studies/sha_2021/claims.csv"))) == []


@published
def test_the_readme_has_its_table(folder: Path) -> None:
    readme = README.read_text(encoding="utf-8")
    assert with_table(readme, folder, str(README)) == readme


@published
def test_readme_and_page_state_the_deviations_of_the_run(folder: Path) -> None:
    remarks = remarks_of(folder)
    assert len(remarks) == 4
    assert "covid-19-pneumonia-14-PA.png" in remarks[-1]
    assert "stand-ins" in remarks[0]
    readme = README.read_text(encoding="utf-8")
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


def test_all_but_searches_and_epochs_after_350_were_judged(scorecard: pd.DataFrame) -> None:
    not_run = scorecard[scorecard["verdict"] == "not run"]
    assert set(not_run["kind"]) <= {"search", "curve"}
    assert not_run.loc[not_run["kind"] == "curve", "id"].tolist() == ["multi_mobilenet_minimum_350"]
    assert len(not_run) <= 10


def test_other_readings_differ_from_the_study_only_in_their_key() -> None:
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


RENAMED = {"pneumonia_bac": "c_three", "pneumonia_vir": "d_four", "covid": "a_one", "normal": "b_two"}


@pytest.mark.slow
def test_verdicts_do_not_depend_on_the_names_of_study_classes_and_files(tmp_path: Path) -> None:
    """The study under another name, with other names of classes and files: the same values and verdicts."""
    claims = renamed(Path("studies/sha_2021/claims.csv"), tmp_path / "claims.csv")
    for file in (file for file in STUDY.rglob("*") if file.suffix in (".csv", ".json")):
        renamed(file, tmp_path / "other_2022" / renamed_text(file.relative_to(STUDY).as_posix()))
    again = score_published(tmp_path / "other_2022", claims)
    published = pd.read_csv(STUDY / "scorecard.csv", dtype=str, keep_default_na=False)
    assert "covid" not in again.to_csv() and "a_one" in again.to_csv()
    expected = published.map(renamed_text)
    assert again[["id", "verdict", "this_run"]].to_dict("records") == expected[["id", "verdict", "this_run"]].to_dict(
        "records"
    )


def renamed_text(text: str) -> str:
    for old, new in RENAMED.items():
        text = text.replace(old, new)
    return text


def renamed(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(renamed_text(source.read_text(encoding="utf-8")), encoding="utf-8")
    return target


def test_the_version_that_trained_published_results_is_named() -> None:
    results = ROOT / "studies/sha_2021/results"
    codes = {read_json(file)["what_identifies_it"]["code"] for file in results.glob("*/runs/*/*/training.json")}
    text = (results / "README.md").read_text()
    assert codes
    assert [code for code in sorted(codes) if f"`{code}`" not in text] == []
