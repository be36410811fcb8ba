"""The index: the facts of all images, and all problems together."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from cxrflow.images.facts import header_facts
from cxrflow.images.listing import other_files
from cxrflow.io.errors import UserError
from cxrflow.io.files import sha256_of_file
from made_images import GREY, index_images
from PIL import Image

CLASSES = ["covid", "normal"]


def test_every_image_with_its_facts(image_folder: Path) -> None:
    index, errors = index_images(image_folder, CLASSES, workers=2)
    assert errors == []
    assert len(index) == 17
    assert index["image"].is_monotonic_increasing
    first = index.iloc[0]
    file = image_folder / "test/covid/covid_t0.png"
    assert first["image"] == "test/covid/covid_t0.png"
    assert first["sha256"] == sha256_of_file(file)
    assert (first["bytes"], first["width"], first["height"]) == (file.stat().st_size, 40, 30)
    assert (first["mode"], first["format"], first["status"]) == ("RGB", "PNG", "ok")
    assert index.groupby("folder").size().to_dict() == {
        "test/covid": 2,
        "test/normal": 2,
        "train/covid": 7,
        "train/normal": 6,
    }


def test_the_quantisation_of_jpegs_is_read_without_decoding(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for quality in (100, 50):
        picture = Image.fromarray(GREY)
        picture.save(image_folder / f"train/covid/quality_{quality}.jpg", quality=quality)
    known = tmp_path / "known.parquet"
    index = index_images(image_folder, CLASSES, cache=known)[0].set_index("image")["jpeg_quantisation"]
    assert index["train/covid/quality_100.jpg"] == 1
    # The luminance table of the JPEG standard (Annex K) is that of libjpeg's quality 50; its 64 numbers sum to 3688.
    assert index["train/covid/quality_50.jpg"] == 3688 / 64
    assert index.isna().sum() == 17
    assert header_facts(image_folder / "train/covid/quality_100.jpg", "")["jpeg_quantisation"] == 1
    for file in image_folder.rglob("*.jpg"):
        file.rename(file.with_stem(f"{file.stem}_renamed"))
    monkeypatch.setattr("cxrflow.images.facts.read_image", None)  # the second index decodes nothing
    again = index_images(image_folder, CLASSES, cache=known)[0].set_index("image")["jpeg_quantisation"]
    assert again["train/covid/quality_50_renamed.jpg"] == 3688 / 64


def test_other_classes_are_ignored(image_folder: Path, draw: Callable[..., None]) -> None:
    draw(image_folder / "train/other/a.png", 1)
    assert len(index_images(image_folder, CLASSES)[0]) == 17


def test_all_errors_of_images_are_reported_together(image_folder: Path) -> None:
    whole = (image_folder / "train/covid/covid_1.png").read_bytes()
    (image_folder / "train/covid/covid_1.png").write_bytes(whole[: len(whole) // 2])
    (image_folder / "train/normal/normal_2.png").write_bytes(b"")
    (image_folder / "test/normal/normal_t1.png").write_bytes(b"<html>not found</html>")
    index, errors = index_images(image_folder, CLASSES)
    reported = [error.split(": ")[0].rpartition("/")[2] for error in errors]
    assert reported == ["normal_t1.png", "covid_1.png", "normal_2.png"]
    assert all(": unreadable: " in error for error in errors)
    assert (index["status"] == "unreadable").sum() == 3


def test_files_that_are_not_images_are_named(image_folder: Path) -> None:
    others = ["test/normal/notes.txt", "train/covid/IM000001", "train/covid/a.gif"]
    for name in others:
        (image_folder / name).write_text("")
    assert other_files(image_folder, CLASSES) == others
    assert other_files(image_folder, ["normal"]) == others[:1]


def test_missing_class_folders_are_reported_with_existing_ones(image_folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        index_images(image_folder, ["covid", "nromal"])
    assert len(caught.value.messages) == 2
    assert "did you mean 'normal'? (found in train/: covid, normal)" in caught.value.messages[0]


def test_an_empty_class_folder(image_folder: Path) -> None:
    (image_folder / "train/empty").mkdir()
    (image_folder / "test/empty").mkdir()
    with pytest.raises(UserError, match=r"train/empty: contains no image \(\.png, \.jpg, \.jpeg, .*\.dicom\)"):
        index_images(image_folder, ["covid", "empty"])


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; `images` must be"):
        index_images(tmp_path / "nowhere", CLASSES)


def test_a_list_says_which_files_make_up_the_data_set(image_folder: Path) -> None:
    digest = sha256_of_file(image_folder / "train/covid/covid_0.png")
    listed = pd.DataFrame(
        {
            "path": [
                "train/covid/covid_0.png",
                "train/covid/gone.png",
                "test/normal/normal_t0.png",
                "test/other/x.png",
            ],
            "sha256": [digest, "", "0" * 64, ""],
            "patient": ["p1", None, "p2", None],
        }
    )
    index, errors = index_images(image_folder, CLASSES, listed)
    assert dict(zip(index["image"], index["status"], strict=True)) == {
        "test/normal/normal_t0.png": "changed",
        "train/covid/covid_0.png": "ok",
        "train/covid/gone.png": "missing",
    }
    assert index["patient"].fillna("-").tolist() == ["p2", "p1", "-"]
    assert len(errors) == 2
    assert "(SHA-256)" in errors[0] and errors[1].endswith("gone.png: missing")


@pytest.mark.parametrize(
    "path", ["train/covid/../../../etc/passwd", "elsewhere/covid/a.png", "train/a.png", "/a/b/c.png"]
)
def test_a_list_cannot_lead_out_of_the_folder(image_folder: Path, path: str) -> None:
    with pytest.raises(UserError, match="must be train/<class>/<file>"):
        index_images(image_folder, CLASSES, pd.DataFrame({"path": [path]}))


def test_a_list_without_paths_or_with_a_name_twice(image_folder: Path) -> None:
    with pytest.raises(UserError, match="no column `path`; it has name"):
        index_images(image_folder, CLASSES, pd.DataFrame({"name": ["a"]}))
    twice = pd.DataFrame({"path": ["train/covid/covid_0.png"] * 2})
    with pytest.raises(UserError, match=r"covid_0\.png: listed twice"):
        index_images(image_folder, CLASSES, twice)


def test_the_study(study_data: Path, project: Path) -> None:
    listed = pd.read_csv(project / "studies/sha_2021/images.csv", dtype="string")
    classes = ["covid", "normal", "pneumonia_bac", "pneumonia_vir"]
    index, errors = index_images(study_data, classes, listed, workers=2)
    assert len(index) == 306
    assert [error.rpartition("/")[2] for error in errors] == ["covid-19-pneumonia-14-PA.png: missing"]
    used = index[index["status"] == "ok"]
    assert used["bytes"].sum() == listed["bytes"].dropna().astype(int).sum()
    assert (used["width"].max(), used["height"].max()) == (3342, 4095)
