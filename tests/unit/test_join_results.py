"""Joined results equal those of a single run; results that do not fit are refused."""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json, write_json, write_table, write_text
from cxrflow.publication.folder import changed_files, whole_folder
from cxrflow.publication.join_results import join_results, main
from cxrflow.publication.publish_results import publish_results
from cxrflow.publication.reference_training import record_reference
from cxrflow.publication.verify_results import differing_cells, score_published
from cxrflow.study.settings import whole_settings
from cxrflow.training.environment import training_code_hash
from made_results import ROOT, made_config, make_results
from study_config import study_config

CLAIMS = ROOT / "studies/sha_2021/claims.csv"
BINARY, MOBILENET = "binary_inception_v3", "multiclass_mobilenet"

Publish = Callable[..., Path]


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Return a function that publishes generated results under a name."""

    def published(name: str, experiments: Sequence[str], seeds: int = 1, **changes: Any) -> Path:
        results, folder = tmp_path / "results" / name, tmp_path / name
        of_config = {**study_config()["experiments"]}
        for experiment in experiments:
            of_config[experiment] = {**of_config[experiment], "seeds": seeds}
        config = made_config(only=list(experiments), experiments=of_config, **changes)
        selected = make_results(results, config)
        write_text(results / "report/index.html", "<p>a part</p>")
        write_table(results / "scorecard.csv", pd.DataFrame({"id": []}))
        publish_results(results, folder, whole_settings(config), selected)
        return folder

    return published


def run_main(monkeypatch: pytest.MonkeyPatch, folders: Sequence[Path], folder: Path) -> None:
    arguments = ["--folders", *map(str, folders), "--folder", str(folder), "--study", "studies/sha_2021/study.yaml"]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["join_results", *arguments])
    main()


def test_two_joined_parts_equal_the_whole(publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [publish("a", [BINARY], remarks=["One."]), publish("b", [MOBILENET], remarks=["One.", "Two."])]
    whole = publish("whole", [BINARY, MOBILENET], remarks=["One.", "Two."])
    run_main(monkeypatch, parts, tmp_path / "joined")
    joined = tmp_path / "joined"
    assert changed_files(joined) == []
    for path in (path for path in whole.rglob("*") if path.is_file()):
        name = path.relative_to(whole).as_posix()
        if name.startswith(("runs/", "plots/", "split/")) or name in ("data_audit.json", "audits/rivals.csv"):
            assert (joined / name).read_bytes() == path.read_bytes(), name
    scorecard = pd.read_csv(joined / "scorecard.csv", dtype=str, keep_default_na=False)
    assert differing_cells(scorecard, score_published(whole, CLAIMS)) == []
    # Judged only after joining, since it compares experiments of both parts.
    verdicts = [score_published(folder, CLAIMS)["verdict"].value_counts()["not run"] for folder in parts]
    assert (scorecard["verdict"] == "not run").sum() < min(verdicts)
    config = read_json(joined / "config.json")
    assert config["selected"] == {BINARY: [0], MOBILENET: [0]}
    assert config["settings"]["remarks"] == ["One.", "Two."]
    page = (joined / "report/index.html").read_text()
    assert BINARY in page and MOBILENET in page and "One." in page and "Two." in page


def test_seeds_of_one_experiment_are_joined(publish: Publish, tmp_path: Path) -> None:
    first, more = publish("first", [BINARY]), publish("more", [BINARY], seeds=3)
    assert join_results([first, more], tmp_path / "joined") == {BINARY: [0, 1, 2]}


def test_results_of_other_settings_or_images_are_refused(publish: Publish, tmp_path: Path) -> None:
    first = publish("first", [BINARY])
    other = publish("other", [MOBILENET], split_seed=7, resampling="bilinear")
    audit = read_json(other / "data_audit.json")
    write_json(other / "data_audit.json", {**audit, "images": 3})
    sums = (other / "SHA256SUMS").read_text().splitlines()
    write_text(other / "SHA256SUMS", "\n".join(line for line in sums if "data_audit" not in line) + "\n")
    with pytest.raises(UserError) as error:
        join_results([first, other], tmp_path / "joined")
    assert error.value.messages == [
        f"{other}: resampling differs from that of {first}; join results with the same settings",
        f"{other}: split_seed differs from that of {first}; join results with the same settings",
        f"{other}: the images differ from those of {first}; join results of the same images",
    ]


def test_another_run_of_the_same_seed_is_refused(publish: Publish, tmp_path: Path) -> None:
    first, second = publish("first", [BINARY]), publish("second", [BINARY])
    timing = second / f"runs/{BINARY}/seed_0/timing.csv"
    write_text(timing, timing.read_text() + "\n")
    sums = (second / "SHA256SUMS").read_text().splitlines()
    write_text(second / "SHA256SUMS", "\n".join(line for line in sums if "timing" not in line) + "\n")
    with pytest.raises(UserError, match=r"timing\.csv: differs from the same file in another folder"):
        join_results([first, second], tmp_path / "joined")


def test_a_folder_that_was_changed_is_refused(publish: Publish, tmp_path: Path) -> None:
    first = publish("first", [BINARY])
    (first / "split/binary.csv").unlink()
    with pytest.raises(UserError, match=r"split/binary\.csv is missing"):
        join_results([first], tmp_path / "joined")


def test_a_failed_join_changes_nothing(publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = publish("first", [BINARY])
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    other = publish("other", [MOBILENET], split_seed=7)
    with pytest.raises(UserError, match="split_seed"):
        run_main(monkeypatch, [first, other], first)
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before
    assert not list(tmp_path.glob(".part-*"))


def test_the_joined_folder_may_be_one_of_the_parts(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = publish("first", [BINARY]), publish("second", [MOBILENET])
    run_main(monkeypatch, [first, second], first)
    assert read_json(first / "config.json")["selected"] == {BINARY: [0], MOBILENET: [0]}
    assert changed_files(first) == []


def trained_by(folder: Path, code: str) -> None:
    """Publish the folder once more, as trained by another version of the training code."""
    with whole_folder(folder) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns("SHA256SUMS"))
        for file in part.glob("runs/*/*/training.json"):
            record = read_json(file)
            write_json(file, {**record, "what_identifies_it": {**record["what_identifies_it"], "code": code}})


def with_reference(folder: Path, weights: dict[str, dict[str, str]]) -> None:
    with whole_folder(folder) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns("SHA256SUMS"))
        write_json(part / "reference_training.json", weights)


def test_results_of_two_versions_need_reference_trainings_with_the_same_bytes(publish: Publish, tmp_path: Path) -> None:
    first, other = publish("first", [BINARY]), publish("other", [MOBILENET])
    trained_by(first, "1" * 16)
    trained_by(other, "2" * 16)
    with pytest.raises(UserError) as error:
        join_results([first, other], tmp_path / "joined")
    assert [
        f"--folder {folder} --backbones InceptionV3 MobileNet`" in m
        for folder, m in zip((first, other), error.value.messages, strict=True)
    ] == [True, True]
    same = {"InceptionV3": "a", "MobileNet": "b"}
    with_reference(first, {"1" * 16: same})
    with_reference(other, {"2" * 16: {**same, "MobileNet": "c"}})
    with pytest.raises(UserError, match="reference trainings of MobileNet end with other weights"):
        join_results([first, other], tmp_path / "joined")
    with_reference(other, {"2" * 16: same})
    join_results([first, other], tmp_path / "joined")
    assert read_json(tmp_path / "joined/reference_training.json") == {"1" * 16: same, "2" * 16: same}


def test_the_report_of_two_versions_names_both(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [publish("a", [BINARY]), publish("b", [MOBILENET])]
    for folder, code in zip(folders, ("1" * 16, "2" * 16), strict=True):
        trained_by(folder, code)
        with_reference(folder, {code: {"InceptionV3": "a", "MobileNet": "b"}})
    run_main(monkeypatch, folders, tmp_path / "joined")
    assert (
        f"2 versions of the training code ({'1' * 16} and {'2' * 16})"
        in (tmp_path / "joined/report/index.html").read_text()
    )


def test_reference_trainings_of_one_version_are_put_together(publish: Publish, tmp_path: Path) -> None:
    first, other = publish("first", [BINARY]), publish("other", [MOBILENET])
    with_reference(first, {"1" * 16: {"InceptionV3": "a"}})
    with_reference(other, {"1" * 16: {"MobileNet": "b"}})
    join_results([first, other], tmp_path / "joined")
    together = {"1" * 16: {"InceptionV3": "a", "MobileNet": "b"}}
    assert read_json(tmp_path / "joined/reference_training.json") == together


def test_a_reference_training_is_recorded_for_its_own_version_only(publish: Publish, tmp_path: Path) -> None:
    folder = publish("first", [MOBILENET])
    with pytest.raises(UserError, match="check out the commit that trained them and run this command there"):
        record_reference(folder, ["MobileNet"])


@pytest.mark.slow
def test_a_reference_training_gives_the_same_bytes_each_time(publish: Publish, tmp_path: Path) -> None:
    folder = publish("first", [MOBILENET])
    trained_by(folder, training_code_hash())
    first = record_reference(folder, ["MobileNet"])
    assert changed_files(folder) == []
    assert record_reference(folder, ["MobileNet"]) == first == read_json(folder / "reference_training.json")
