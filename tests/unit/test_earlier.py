"""Settings and audits that earlier versions published, converted to the current names."""

from pathlib import Path
from typing import Any

import pytest
from cxrflow.io.files import read_json, write_json
from cxrflow.study.earlier import in_current_form, read_published_audit, read_published_config
from cxrflow.study.head import head_as_text
from cxrflow.study.merging import merge_keys
from cxrflow.study.read import read_config
from cxrflow.study.settings import experiment_settings
from cxrflow.study.yaml_files import read_yaml
from made_results import ROOT
from study_config import study_config


@pytest.mark.parametrize(
    ("head", "current"),
    [
        (
            {"pooling": "average", "dense_units": [128], "dropout": 0.05, "last_hidden_units": 32},
            "[average_pooling, {dense: 128}, {dropout: 0.05}, {dense: 32}]",
        ),
        (
            {"pooling": "flatten", "dense_units": [512, 128], "dropout": 0.0, "last_hidden_units": 16},
            "[flatten, {dense: 512}, {dropout: 0.0}, {dense: 128}, {dense: 16}]",
        ),
    ],
)
def test_a_mapping_becomes_a_list_of_layers(head: dict[str, Any], current: str) -> None:
    assert head_as_text(in_current_form({"head": head})["head"]) == current


def test_names_of_values_and_keys() -> None:
    earlier = {"input_scaling": "study", "early_stopping": {"patience": 3, "min_delta": 0.0}, "epochs": 5}
    current = in_current_form(earlier)
    assert current == {
        "input_scaling": "double",
        "early_stopping": {"monitor": "val_loss", "patience": 3, "min_delta": 0.0},
        "epochs": 5,
    }
    assert in_current_form({"input_scaling": "imagenet"}) == {"input_scaling": "backbone"}
    assert in_current_form(current) == current


@pytest.mark.parametrize(("share", "images"), [(0.0, 0), (0.3333, 1), (1.0, 3)])
def test_the_share_of_one_kind_of_files_becomes_their_number(tmp_path: Path, share: float, images: int) -> None:
    write_json(tmp_path / "data_audit.json", {"images": 3, "share_png_224_rgb": share})
    assert read_published_audit(tmp_path) == {"audits": {}, "images": 3, "file_kinds": {"PNG 224x224 RGB": images}}
    present = {"images": 3, "file_kinds": {"JPEG 9x9 L": 3}}
    write_json(tmp_path / "data_audit.json", present)
    assert read_published_audit(tmp_path) == {**present, "audits": {}}


def test_current_settings_are_not_changed(project: Path) -> None:
    config = read_config({**study_config(), "images": "x"})
    for name in config.experiments:
        settings = experiment_settings(config, name)
        assert in_current_form(settings) == settings


def test_the_published_study_has_the_settings_of_the_config(project: Path) -> None:
    """All settings of an experiment; threads and the like are not part of it."""
    config = read_config(
        merge_keys(study_config(), {**read_yaml(project / "studies/sha_2021/full_run.yaml"), "images": "x"})
    )
    published = read_published_config(ROOT / "studies/sha_2021/results/full_run")["settings"]["experiments"]
    as_written = read_json(ROOT / "studies/sha_2021/results/full_run/config.json")["settings"]["experiments"]
    assert isinstance(as_written["multiclass_vgg16"]["head"], dict)
    for name in config.experiments:
        assert published[name] == {**experiment_settings(config, name), "weights": "file"}
