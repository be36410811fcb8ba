"""Studies: folders of keys that a run overrides."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from cxrflow.io.errors import UserError
from cxrflow.study.decides import keys_that_decide
from cxrflow.study.folder import read_study, study_keys
from cxrflow.study.models import Config
from cxrflow.study.run import read_run, with_study


def write_study(folder: Path, **keys: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(keys))
    return folder


def test_paths_of_a_study_start_at_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(
        tmp_path / "mine",
        image_list="lists/images.csv",
        images="../xrays",
        claims="/data/claims.csv",
        split="stratified",
        weights="imagenet",
        experiments={"one": {"weights": "own"}, "two": {"weights": "random"}},
        experiment_defaults={"weights": "shared.weights.h5"},
    )
    assert study_keys(Path("mine")) == {
        "image_list": "mine/lists/images.csv",
        "images": "xrays",
        "claims": "/data/claims.csv",
        "split": "stratified",
        "weights": "imagenet",
        "experiments": {"one": {"weights": "mine/own"}, "two": {"weights": "random"}},
        "experiment_defaults": {"weights": "mine/shared.weights.h5"},
    }


def test_a_run_overrides_its_study_and_is_named_after_it(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "mine", threads=1, tsne={"perplexity": 5, "seed": 7})
    run = with_study({"study": str(folder), "tsne": {"perplexity": 9}})
    assert run == {"study": str(folder), "name": "mine", "threads": 1, "tsne": {"perplexity": 9, "seed": 7}}
    assert with_study({"study": str(folder), "name": "other"})["name"] == "other"
    assert with_study({"study": None, "tasks": {}, "threads": 3}) == {"study": None, "tasks": {}, "threads": 3}
    with pytest.raises(UserError, match="study: missing; name a study"):
        with_study({"study": None, "threads": 3})


def test_a_study_may_use_the_data_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = {"image_list": "images.csv", "images": "published", "patients": {"column": "p"}, "claims": "claims.csv"}
    write_study(tmp_path / "first", **first, tasks={"a": {"classes": ["x", "y"]}}, split="keras")
    write_study(tmp_path / "second", data_of="first", split="stratified", patients={"pattern": "(.)"}, claims="own.csv")
    keys, files = read_study(Path("second"))
    assert keys == {
        "images": "published",
        "image_list": "first/images.csv",
        "tasks": {"a": {"classes": ["x", "y"]}},
        "patients": {"pattern": "(.)"},
        "split": "stratified",
        "claims": "second/own.csv",
    }
    assert files == [Path("second/study.yaml"), Path("first/study.yaml")]
    assert read_run({"study": "./second"}) == ({"study": "./second", "name": "second", **keys}, files)
    assert read_run({"experiments": {}}) == ({"experiments": {}}, [])


def test_data_of_must_not_lead_back(tmp_path: Path) -> None:
    write_study(tmp_path / "a", data_of="b")
    write_study(tmp_path / "b", data_of="a")
    with pytest.raises(UserError, match=r"b/study\.yaml: data_of: leads back to \S+a/study\.yaml; name a study"):
        study_keys(tmp_path / "a")
    write_study(tmp_path / "c", data_of="d")
    with pytest.raises(UserError, match=r"c/study\.yaml: data_of: there is no study 'd'.*; allowed: a, b, c"):
        study_keys(tmp_path / "c")


def test_keys_of_a_data_set_are_keys_of_the_config() -> None:
    assert {"images", "image_list", "tasks", "patients"} <= set(keys_that_decide(Config, "data", "index"))


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("sha2021", "study: there is no study 'sha2021'; did you mean 'sha_2021'?; allowed: demo, sha_2021"),
        ("./nowhere", "study: ./nowhere: no file study.yaml in this folder"),
        (3, "study: 3 is not allowed; allowed: the name of a study, or the path of its folder"),
    ],
)
def test_a_study_that_does_not_exist(study: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        with_study({"study": study})
    assert str(caught.value).startswith(message)


def test_the_yaml_of_a_study_is_read_strictly(tmp_path: Path) -> None:
    write_study(tmp_path / "mine")
    (tmp_path / "mine/study.yaml").write_text("seeds: 010\n")
    with pytest.raises(UserError, match=r"study\.yaml: line 1: seeds: 010: YAML 1\.1 reads this as a number to base 8"):
        with_study({"study": str(tmp_path / "mine")})
