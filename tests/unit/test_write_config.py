"""A config for a folder of one's own: ready to be run, and true about what is there."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cxrflow.config.read import laid_over, read_config, read_yaml
from cxrflow.index_images import index_images
from cxrflow.split_images import check_split, split_stratified
from cxrflow.stage.faults import Fault
from cxrflow.write_config import config_text, look_at


def written(project: Path, folder: Path, image_list: Path | None = None) -> tuple[dict[str, object], list[str]]:
    """The overlay for a folder, which must be a config that the workflow takes; and what was said."""
    seen = look_at(folder, image_list)
    raw = yaml.safe_load(config_text("mine", folder, image_list, seen))
    config = read_config(laid_over(read_yaml(project / "config.yaml"), raw))
    assert list(config.selected()) == ["mine_mobilenet"]
    return raw, seen.lines()


def test_train_and_test(project: Path, image_folder: Path) -> None:
    (image_folder / "val/covid").mkdir(parents=True)
    raw, lines = written(project, image_folder)
    assert (raw["layout"], raw["split"], raw["on_bad_image"]) == ("train_test", "stratified", "error")
    assert raw["tasks"] == {"mine": {"classes": ["covid", "normal"], "positive": None}}
    assert lines == [
        "train: covid 7, normal 6",
        "test: covid 2, normal 2",
        "PNG L 13, PNG RGB 4; 30 to 40 pixels a side",
        "patients: not known",
        "left alone: val",
    ]
    assert "patients" not in raw, "no patient is made up"


def test_one_folder_with_names_and_faults(project: Path, tmp_path: Path, draw: Callable[..., None]) -> None:
    folder = tmp_path / "my: 'x' # {rays}"
    for name in ("on", "b c", "1.0"):
        for number in range(4):
            draw(folder / name / f"{number}.png", number)
    (folder / "on/9.png").write_bytes(b"")
    (folder / "notes").mkdir()
    raw, lines = written(project, folder)
    assert raw["images"] == str(folder) and raw["layout"] == "classes"
    assert raw["tasks"] == {"mine": {"classes": ["1.0", "b c", "on"], "positive": None}}
    assert raw["experiments"]["mine_mobilenet"]["like"] == "multiclass_mobilenet"  # type: ignore[index]
    assert raw["on_bad_image"] == "skip" and lines[-2].startswith("cannot be used: 1 images, such as ")
    assert lines[-1] == "left alone: notes"


def test_a_list(project: Path, image_folder: Path, tmp_path: Path) -> None:
    image_list = tmp_path / "list.csv"
    rows = [
        "train/covid/covid_0.png,a,training,p",
        "train/covid/covid_1.png,a,test,q",
        "test/normal/normal_t0.png,b,test,q",
    ]
    image_list.write_text("\n".join(["path,label,split,patient", *rows]))
    raw, lines = written(project, image_folder, image_list)
    assert (raw["layout"], raw["split"], raw["image_list"]) == ("listed", "listed", str(image_list))
    assert lines[:2] == ["train: a 1, b 0", "test: a 1, b 1"] and "patients: 2 in the list" in lines
    image_list.write_text("\n".join(["path,label", *(row[: row.index(",") + 2] for row in rows)]))
    assert written(project, image_folder, image_list)[0]["split"] == "stratified"


@pytest.mark.parametrize(
    ("numbers", "fractions", "lacking"),
    [
        ((5, 9), (0.2, 0.2), []),
        ((4, 20), (0.25, 0.25), []),
        ((3, 20), (0.34, 0.5), []),
        ((3, 4), (0.34, 0.5), ["fewer than 6 of a and b that are not for the test"]),
        ((2, 20), (0.2, 0.2), ["class a has no validation image"]),
    ],
)
def test_small_classes_have_shares_of_their_own(
    project: Path,
    tmp_path: Path,
    draw: Callable[..., None],
    numbers: tuple[int, int],
    fractions: tuple[float, float],
    lacking: list[str],
) -> None:
    """The split that the config asks for is one, wherever there is one; where there is none, that is said."""
    for name, number in zip("ab", numbers, strict=True):
        for image in range(number):
            draw(tmp_path / "x" / name / f"{image}.png", image)
    raw, lines = written(project, tmp_path / "x")
    assert (raw["test_fraction"], raw["validation_fraction"]) == fractions
    assert [line for line in lines if line.startswith("too few")] == [f"too few images: {line}" for line in lacking]
    index, _ = index_images(tmp_path / "x", ["a", "b"], layout="classes")
    if not lacking:
        check_split(split_stratified(index, ["a", "b"], *fractions, 0), ["a", "b"])


def test_a_class_without_test_images_is_left_alone(project: Path, image_folder: Path) -> None:
    (image_folder / "train/other").mkdir()
    (image_folder / "train/covid/covid_0.png").rename(image_folder / "train/other/0.png")
    raw, lines = written(project, image_folder)
    assert raw["tasks"]["mine"]["classes"] == ["covid", "normal"]  # type: ignore[index]
    assert lines[-1] == "left alone: other"


def test_images_that_the_list_alone_has(project: Path, image_folder: Path, tmp_path: Path) -> None:
    rows = [f"train/{name}/{name}_{number}.png,{name}" for name in ("covid", "normal") for number in range(6)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows, "train/covid/gone.png,covid"]))
    raw, lines = written(project, image_folder, tmp_path / "list.csv")
    assert (raw["missing_images"], raw["on_bad_image"]) == ("warn", "error")
    assert f"missing: 1 images of the list, such as {image_folder}/train/covid/gone.png" in lines


def test_what_is_no_data_set(image_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"at least two folders with images .* found only covid"):
        (image_folder / "train/normal").rename(tmp_path / "elsewhere")
        look_at(image_folder)
    with pytest.raises(Fault, match="no such folder"):
        look_at(tmp_path / "nowhere")
    (tmp_path / "list.csv").write_text("path,class\na,b\n")
    with pytest.raises(Fault, match="no column label; it has path, class"):
        look_at(image_folder, tmp_path / "list.csv")


def test_as_a_command(project: Path, image_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cxrflow.write_config", str(image_folder), "--config", str(tmp_path / "mine.yaml")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0 and "mine.yaml is written" in run.stdout, run.stderr
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text())["name"] == "mine"
    command[-1] = str(tmp_path / "my folder.d" / "mine.yaml")
    quoted = subprocess.run(command, capture_output=True, text=True, check=False)
    assert quoted.stdout.splitlines()[-1].endswith(f"snakemake --configfile '{command[-1]}'"), quoted.stderr
    command[-1] = str(tmp_path / "mine.yaml")
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1 and "is there already; choose another name" in again.stderr
    command[-1] = str(tmp_path / "my config.yaml")
    named = subprocess.run(command, capture_output=True, text=True, check=False)
    assert named.returncode == 1 and "--config: 'my config': a name may hold" in named.stderr
    for place, name in (("train", "covid_0"), ("test", "covid_t0")):
        (image_folder / place / "a\nimages: x").mkdir()
        (image_folder / place / f"covid/{name}.png").rename(image_folder / place / "a\nimages: x/0.png")
    command[-1] = str(tmp_path / "odd.yaml")
    odd = subprocess.run(command, capture_output=True, text=True, check=False)
    assert odd.returncode == 1 and odd.stderr.startswith("error: class 'a\\nimages: x': rename it")
    assert not (tmp_path / "odd.yaml").exists()
