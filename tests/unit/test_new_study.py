"""`cxrflow init`: a study for a folder of images that is ready to run, and describes the images correctly."""

import errno
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cxrflow.io.errors import UserError
from cxrflow.run import new_study
from cxrflow.run.image_survey import likely_positive, survey_images
from cxrflow.run.new_study import path_from, study_text, write_study
from cxrflow.stages.split_images import check_split, split_stratified
from cxrflow.study.folder import STUDY_FILE, with_paths
from cxrflow.study.images import Augmentation
from cxrflow.study.models import Config
from cxrflow.study.read import read_config
from cxrflow.study.run import with_study
from cxrflow.study.yaml_files import read_yaml
from made_images import index_images
from study_config import PROJECT


def text_for(folder: Path, image_list: Path | None = None) -> str:
    """Write the text of study.yaml for a folder of images; the study is named `mine`."""
    return study_text("mine", str(folder), str(image_list) if image_list else None, survey_images(folder, image_list))


def config_of(text: str, study: Path) -> Config:
    """Read the config of a run of a study with this text, with the keys of config.yaml as in every run."""
    (study / STUDY_FILE).write_text(text, encoding="utf-8")
    return read_config(with_study({**read_yaml(PROJECT / "config.yaml"), "study": str(study)}))


def written(study: Path, folder: Path, image_list: Path | None = None) -> tuple[dict[str, object], list[str]]:
    """Write the study for a folder, which must be valid; return its keys, and the lines of the survey."""
    text = text_for(folder, image_list)
    raw = yaml.safe_load(text)
    config = config_of(text, study)
    assert list(config.selected()) == ["mine_mobilenet"] and config.name == study.name
    assert (config.on_bad_image, config.missing_images) == (raw["on_bad_image"], raw.get("missing_images", "error"))
    assert "study" not in text.partition("\n")[2] and "claims" not in raw and "open_points" not in raw
    return raw, survey_images(folder, image_list).lines()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder for a study."""
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder


def test_train_and_test(study: Path, image_folder: Path) -> None:
    (image_folder / "val/covid").mkdir(parents=True)
    raw, lines = written(study, image_folder)
    assert (raw["layout"], raw["split"], raw["on_bad_image"]) == ("train_test", "stratified", "error")
    assert raw["tasks"] == {"mine": {"classes": ["covid", "normal"], "positive": "covid"}}
    assert lines == [
        "train: covid 7, normal 6",
        "test: covid 2, normal 2",
        "PNG L 13, PNG RGB 4; 30 to 40 pixels per side",
        "patients: unknown",
        "not used: val",
    ]
    assert "patients" not in raw, "patients are not invented"


def test_one_folder_with_names_and_errors(study: Path, tmp_path: Path, draw: Callable[..., None]) -> None:
    folder = tmp_path / "my: 'x' # {rays}"
    for name in ("on", "b c", "1.0"):
        for number in range(4):
            draw(folder / name / f"{number}.png", number)
    (folder / "on/9.png").write_bytes(b"")
    (folder / "notes").mkdir()
    draw(folder / "__MACOSX/on/._0.png", 0)
    draw(folder / ".thumbnails/0.png", 0)
    raw, lines = written(study, folder)
    assert raw["images"] == str(folder) and raw["layout"] == "classes"
    assert raw["tasks"] == {"mine": {"classes": ["1.0", "b c", "on"], "positive": None}}
    assert raw["experiments"]["mine_mobilenet"]["loss"] == "categorical_crossentropy"  # type: ignore[index]
    assert raw["on_bad_image"] == "skip" and lines[-2].startswith("cannot be used: 1 image, such as ")
    assert lines[-1] == "not used: notes"


def test_a_list(study: Path, image_folder: Path, tmp_path: Path) -> None:
    image_list = tmp_path / "list.csv"
    rows = [
        "train/covid/covid_0.png,a,training,p",
        "train/covid/covid_1.png,a,test,q",
        "test/normal/normal_t0.png,b,test,q",
    ]
    image_list.write_text("\n".join(["path,label,split,patient", *rows]))
    raw, lines = written(study, image_folder, image_list)
    assert (raw["layout"], raw["split"], raw["image_list"]) == ("listed", "listed", str(image_list))
    assert lines[:2] == ["training: a 1, b 0", "test: a 1, b 1"] and "patients: 2 in the list" in lines
    image_list.write_text("\n".join(["path,label", *(row[: row.index(",") + 2] for row in rows)]))
    assert written(study, image_folder, image_list)[0]["split"] == "stratified"


@pytest.mark.parametrize(
    ("numbers", "fractions", "lacking"),
    [
        ((5, 9), (0.2, 0.2), []),
        ((4, 20), (0.2, 0.2), []),
        ((3, 20), (0.25, 0.25), []),
        ((3, 4), (0.25, 0.25), ["fewer than 6 images of a and b outside the test set"]),
        ((2, 20), (0.2, 0.2), ["class a has no validation image", "class a has no test image"]),
    ],
)
def test_small_classes_have_larger_shares(
    study: Path,
    tmp_path: Path,
    draw: Callable[..., None],
    numbers: tuple[int, int],
    fractions: tuple[float, float],
    lacking: list[str],
) -> None:
    """The split of the config works for every class if any split does; otherwise, that is reported."""
    for name, number in zip("ab", numbers, strict=True):
        for image in range(number):
            draw(tmp_path / "x" / name / f"{image}.png", image)
    raw, lines = written(study, tmp_path / "x")
    assert (raw["test_fraction"], raw["validation_fraction"]) == fractions
    assert [line for line in lines if line.startswith("too few")] == [f"too few images: {line}" for line in lacking]
    index, _ = index_images(tmp_path / "x", ["a", "b"], layout="classes")
    if not lacking:
        check_split(split_stratified(index, ["a", "b"], *fractions, 0), ["a", "b"])


def test_a_class_without_test_images_is_not_used(study: Path, image_folder: Path) -> None:
    (image_folder / "train/other").mkdir()
    (image_folder / "train/covid/covid_0.png").rename(image_folder / "train/other/0.png")
    raw, lines = written(study, image_folder)
    assert raw["tasks"]["mine"]["classes"] == ["covid", "normal"]  # type: ignore[index]
    assert lines[-1] == "not used: other"


def test_images_that_are_only_in_the_list(study: Path, image_folder: Path, tmp_path: Path) -> None:
    rows = [f"train/{name}/{name}_{number}.png,{name}" for name in ("covid", "normal") for number in range(6)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows, "train/covid/gone.png,covid"]))
    raw, lines = written(study, image_folder, tmp_path / "list.csv")
    assert (raw["missing_images"], raw["on_bad_image"]) == ("warn", "error")
    assert f"missing: 1 image of the list, such as {image_folder}/train/covid/gone.png" in lines


def test_folders_that_are_not_data_sets(image_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"at least two folders with images .* found only covid"):
        (image_folder / "train/normal").rename(tmp_path / "elsewhere")
        survey_images(image_folder)
    with pytest.raises(UserError, match="no such folder"):
        survey_images(tmp_path / "nowhere")
    (tmp_path / "list.csv").write_text("path,clazz\na,b\n")
    with pytest.raises(UserError, match="no column `label`; it has path, clazz"):
        survey_images(image_folder, tmp_path / "list.csv")


def run_init(cwd: Path, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cxrflow.run.new_study", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "workflow")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_as_a_command(image_folder: Path, tmp_path: Path) -> None:
    run = run_init(tmp_path, image_folder, "mine")
    assert run.returncode == 0 and "mine/study.yaml is written" in run.stdout, run.stderr
    assert run.stdout.splitlines()[-4:] == [
        "mine/study.yaml is written. Check it, then run:",
        f"  cd {shlex.quote(str(PROJECT))}",
        f"  make doctor STUDY={tmp_path}/mine",
        f"  make study STUDY={tmp_path}/mine",
    ]
    assert "positive: covid (sensitivity and specificity refer to this class, since normal is" in run.stdout
    keys = yaml.safe_load((tmp_path / "mine/study.yaml").read_text())
    assert keys["images"] == "../images" and list(keys["experiments"]) == ["mine_mobilenet"]
    quoted = run_init(tmp_path, image_folder, "my folder.d/mine")
    assert quoted.stdout.splitlines()[-1].endswith(f"make study STUDY='{tmp_path}/my folder.d/mine'"), quoted.stderr
    assert yaml.safe_load((tmp_path / "my folder.d/mine/study.yaml").read_text())["images"] == str(image_folder)


def test_on_an_error_nothing_is_changed(image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/study.yaml").write_text("tasks: {}\n")
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    for study, message in (
        ("mine", "mine/study.yaml: already exists; choose another folder, or delete this file"),
        ("file", "file: not a folder; choose another name for the study's folder"),
        ("file/mine", "file/mine: Not a directory"),
        ("my folder", "'my folder' is not allowed as the name of a study's folder; allowed: letters, digits"),
        ("new/results/pixels", "name: 'pixels': results/pixels is shared by all results; choose another name"),
    ):
        run = run_init(tmp_path, image_folder, study)
        assert run.returncode == 1 and run.stderr.startswith(f"error: {message}"), run.stderr
        assert run.stderr.count("\n") == 1 and run.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "mine/study.yaml").read_text() == "tasks: {}\n"
    for place, name in (("train", "covid_0"), ("test", "covid_t0")):
        (image_folder / place / "a\nimages: x").mkdir()
        (image_folder / place / f"covid/{name}.png").rename(image_folder / place / "a\nimages: x/0.png")
    odd = run_init(tmp_path, image_folder, "odd")
    assert odd.returncode == 1 and odd.stderr.startswith("error: class 'a\\nimages: x': its name holds a line break")
    assert not (tmp_path / "odd").exists()


def test_a_full_disk_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True)
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(new_study, "write_text", fails)
    with pytest.raises(OSError, match="No space left"):
        write_study(tmp_path / "a/b/mine", "tasks: {}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("images", "written_as"),
    [
        ("mine/images", "images"),
        ("mine", "."),
        ("mine/published", "./published"),
        ("rays", "../rays"),
        ("elsewhere/rays", None),
        (".", None),
    ],
)
def test_paths_of_images_near_the_study_start_there(
    images: str, written_as: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = path_from(Path("mine"), Path(images))
    assert there == (written_as or str(tmp_path / images))
    keys = with_paths({"images": there}, Path("mine"))
    assert Path(keys["images"]).resolve() == (tmp_path / images).resolve()


# ---- layouts and columns ----------------------------------------------------------------------------------------------


def folders(
    root: Path, draw: Callable[..., None], names: dict[str, int], classes: tuple[str, ...] = ("a", "b")
) -> Path:
    for place, folder in enumerate(names):
        for name in classes:
            for number in range(names[folder]):
                draw(root / folder / name / f"{number}.png", 100 * place + number)
    return root


def test_outside_problem_08_folders_of_subsets_are_no_classes(
    study: Path, tmp_path: Path, draw: Callable[..., None]
) -> None:
    root = folders(tmp_path / "x", draw, {"Train": 6, "Valid": 3, "Test": 2})
    raw, lines = written(study, root)
    assert raw["layout"] == "train_test" and raw["tasks"]["mine"]["classes"] == ["a", "b"]  # type: ignore[index]
    assert lines[:3] == ["Train: a 6, b 6", "Valid: a 3, b 3", "Test: a 2, b 2"]
    assert "validation_fraction" not in raw and "test_fraction" not in raw
    text = text_for(root)
    assert re.search(r"^split: stratified +# Valid/ and Test/ stay as given$", text, re.MULTILINE)


def test_outside_problem_08_of_train_and_valid_the_test_is_made_of_train(
    study: Path, tmp_path: Path, draw: Callable[..., None]
) -> None:
    root = folders(tmp_path / "x", draw, {"train": 10, "valid": 3})
    raw, lines = written(study, root)
    assert (raw["layout"], raw["test_fraction"]) == ("train_test", 0.2) and "validation_fraction" not in raw
    assert lines[2] == "no folder of test images: the test set is split off from train/"
    index, _ = index_images(root, ["a", "b"])
    check_split(split_stratified(index, ["a", "b"], 0.2, 0.2, 0), ["a", "b"])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["train/a/1", "train/b/1"],
            "train/ is the folder of a subset, but there is none for the test; add it, or use",
        ),
        (["test/a/1", "test/b/1"], "test/ is the folder of a subset, but there is none for training"),
        (
            ["train/1", "test/1"],
            "test/ and train/: these are names of subsets, not of classes, and they contain no class folders.",
        ),
        (["train/a/1", "train/b/1", "test/1"], "test/ has no class folders, so its images have no labels"),
        (["a/1", "A/1", "b/1"], "the folders A and a differ only in case; if they are one class, use one name"),
        (["train/a/1", "train/b/1", "test/A/1", "test/b/1"], "the folders A and a differ only in case"),
        (["train/a/1", "Train/b/1", "test/a/1"], "Train/ and train/ all have a name of the train subset"),
    ],
)
def test_outside_problem_08_folders_that_are_not_clear(
    tmp_path: Path, draw: Callable[..., None], files: list[str], message: str
) -> None:
    for number, file in enumerate(files):
        draw(tmp_path / f"{file}.png", number)
    with pytest.raises(UserError) as caught:
        survey_images(tmp_path)
    assert message in str(caught.value)


def test_subsets_within_classes_are_reported(study: Path, tmp_path: Path, draw: Callable[..., None]) -> None:
    for place in ("a/train", "a/test", "b/train", "b/test"):
        for number in range(5):
            draw(tmp_path / "x" / place / f"{number}.png", number)
    assert (
        "not used as subsets, since they are inside class folders: a/test/, a/train/, b/test/, b/train/"
        in (written(study, tmp_path / "x")[1])
    )


def test_outside_problem_22_columns_of_a_public_table_are_found(
    study: Path, tmp_path: Path, draw: Callable[..., None]
) -> None:
    rows = []
    for place, name in enumerate(("No Finding", "Pneumonia/Viral/COVID-19")):
        for number in range(6):
            draw(tmp_path / f"x/{place}_{number}.png", 10 * place + number)
            rows.append(f"{number // 2};F;{name};{place}_{number}.png;PA;")
    rows.append("9;M;No Finding|Effusion;0_0.png;AP;")
    (tmp_path / "list.csv").write_text(
        "\n".join(["patientid;sex;finding;filename;view;", *rows[:-1]]), encoding="cp1252"
    )
    raw, lines = written(study, tmp_path / "x", tmp_path / "list.csv")
    assert raw["columns"] == {"path": "filename", "label": "finding", "patient": "patientid"}
    assert raw["tasks"]["mine"] == {  # type: ignore[index]
        "classes": ["No Finding", "Pneumonia/Viral/COVID-19"],
        "positive": "Pneumonia/Viral/COVID-19",
    }
    assert "columns: path is filename, label is finding, patient is patientid" in lines
    assert "patients: 3 in the list" in lines and "cells are separated by semicolons" in lines
    (tmp_path / "list.csv").write_text(
        "\n".join(["patientid;sex;finding;filename;view;", *rows]).replace(";0_0.png;AP", ";x;")
    )
    assert "not used: No Finding|Effusion (1)" in survey_images(tmp_path / "x", tmp_path / "list.csv").lines()


def test_outside_problem_10_labels_that_are_nearly_the_same_are_reported(
    tmp_path: Path, draw: Callable[..., None]
) -> None:
    for number in range(4):
        draw(tmp_path / f"{number}.png", number)
    (tmp_path / "list.csv").write_text("path,label\n0.png,covid\n1.png,Covid\n2.png,\n3.png,normal\n9.png,normal\n")
    with pytest.raises(UserError) as caught:
        survey_images(tmp_path, tmp_path / "list.csv")
    assert caught.value.messages == [
        "image list: no label (1 image, 2.png); add labels, or remove these rows",
        "image list: the labels 'Covid' (1) and 'covid' (1: 0.png) are nearly the same; use only one of them",
        f"image list: 1 file not found in {tmp_path}: 9.png",
    ]


def test_ambiguous_columns_are_reported(study: Path, image_folder: Path, tmp_path: Path) -> None:
    image_list = tmp_path / "list.csv"
    rows = [f"train/{name}/{name}_{n}.png,{name},x{n % 2}" for name in ("covid", "normal") for n in range(6)]
    image_list.write_text("\n".join(["file,finding,diagnosis", *rows]))
    with pytest.raises(
        UserError, match="finding and diagnosis may all contain the label; choose one: --columns label=f"
    ):
        survey_images(image_folder, image_list)
    seen = survey_images(image_folder, image_list, {"label": "diagnosis"})
    assert seen.found.classes == ["x0", "x1"] and seen.found.columns == {"path": "file", "label": "diagnosis"}


# ---- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "positive"),
    [
        (["covid", "normal"], "covid"),
        (["NEGATIVE", "tb"], "tb"),
        (["No Finding", "a"], "a"),
        (["healthy", "sick"], "sick"),
        (["Control", "Zoster"], "Zoster"),
        (["covid", "non-covid"], "covid"),
        (["not_TB", "TB"], "TB"),
        (["bacterial", "viral"], "bacterial"),
        (["a", "b", "normal"], None),
    ],
)
def test_outside_problem_of_two_classes_one_is_positive(classes: list[str], positive: str | None) -> None:
    assert likely_positive(sorted(classes))[0] == positive
    assert likely_positive(sorted(classes, reverse=True))[0] == positive


def test_outside_problem_a_config_says_what_the_run_says(tmp_path: Path, draw: Callable[..., None]) -> None:
    """With too few images: which subset has none, by the fractions in study.yaml."""
    root = folders(tmp_path / "x", draw, {"": 2})
    seen = survey_images(root)
    index, _ = index_images(root, ["a", "b"], layout="classes")
    with pytest.raises(UserError) as caught:
        check_split(split_stratified(index, ["a", "b"], *seen.fractions, 0), ["a", "b"])
    assert seen.lacking == [message.removeprefix("split: ").partition(";")[0] for message in caught.value.messages]


def test_outside_problem_own_data_have_the_settings_of_careful_practice(study: Path, image_folder: Path) -> None:
    """They are not those of the study, and each has a reason."""
    text = text_for(image_folder)
    config = config_of(text, study)
    experiment, augmentation = config.experiments["mine_mobilenet"], config.augmentation
    assert isinstance(augmentation, Augmentation)
    assert (experiment.learning_rate, experiment.head[0], experiment.input_scaling) == (
        1e-4,
        "average_pooling",
        "backbone",
    )
    assert (experiment.incomplete_batch, experiment.class_weights, experiment.selected_epoch) == (
        "kept",
        "balanced",
        "best",
    )
    assert (augmentation.rotation_range, augmentation.vertical_flip) == (10, False)
    assert (config.augment_validation, config.split, config.resampling) == (False, "stratified", "bilinear")
    reasons = dict(re.findall(r"^ *(\w+):.*?(?:  # (.*))?$", text, re.MULTILINE))
    for key in (
        "learning_rate",
        "head",
        "input_scaling",
        "incomplete_batch",
        "class_weights",
        "selected_epoch",
        "split",
    ):
        assert reasons[key], key
    for key in ("rotation_range", "vertical_flip", "augment_validation", "resampling", "backbone", "positive"):
        assert reasons[key], key


@pytest.mark.parametrize(
    ("classes", "positive"),
    [
        (["Befund", "Größe normal"], "Befund"),
        (["chest_normal", "abnormal chest"], "abnormal chest"),
        (["non normal", "normal"], "non normal"),
        (["covid", "pneumonia"], "covid"),
    ],
)
def test_the_positive_class_is_the_one_with_a_finding(classes: list[str], positive: str) -> None:
    assert likely_positive(classes)[0] == positive
