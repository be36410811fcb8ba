"""The picture that the network sees in an epoch, and errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.augmentation import show_augmentation
from cxrflow.augmentation.draw import NUMBERS, UNCHANGED
from cxrflow.augmentation.manifest import read_epoch, write_manifest
from cxrflow.augmentation.transform import transform_image, transformed_picture
from cxrflow.io.errors import UserError
from cxrflow.stages.plan_augmentation import plan_augmentation
from cxrflow.study.images import Augmentation
from PIL import Image

IMAGES = [f"train/covid/covid_{number}.png" for number in range(4)]
RANGES = Augmentation().model_dump(exclude={"without_effect"})
SHIFTED = {**UNCHANGED, "flip_horizontal": False, "flip_vertical": False}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """A manifest of three epochs, and the pixels of its four images; the last one is a validation image."""
    split = pd.DataFrame({"image": IMAGES, "subset": ["training"] * 3 + ["validation"]})
    write_manifest(tmp_path / "epochs_3.parquet", plan_augmentation(split, 0, 3, RANGES, "study"))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), dtype=np.uint8)
    np.save(tmp_path / "covid.npy", pixels)
    split[["image"]].to_csv(tmp_path / "covid.csv", index=False)
    return {
        "manifest": tmp_path / "epochs_3.parquet",
        "pixels": tmp_path / "covid.npy",
        "image": IMAGES[1],
        "epoch": 2,
        "picture": tmp_path / "out.png",
    }


def show(monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any], *more: str) -> None:
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    monkeypatch.setattr("sys.argv", ["show_augmentation.py", *words, *more])
    show_augmentation.main()


def test_the_picture_is_what_training_gets_rounded(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, files)
    rows = read_epoch(files["manifest"], 2).set_index("image")
    given = transform_image(np.load(files["pixels"])[1], rows.loc[IMAGES[1], list(NUMBERS)].to_dict())
    with Image.open(files["picture"]) as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"
        seen = np.asarray(picture)
    assert seen.shape == given.shape
    assert np.abs(seen - given).max() <= 0.5
    assert not np.array_equal(seen, np.load(files["pixels"])[1])


def test_halves_are_rounded_to_the_even_number() -> None:
    image = np.zeros((1, 6, 3), np.uint8)
    image[0, :, :] = np.array([10, 11, 12, 13, 200, 0])[:, None]
    seen = transformed_picture(image, {**SHIFTED, "channel_shift": 0.5})
    np.testing.assert_array_equal(seen[0, :, 0], [10, 12, 12, 14, 200, 0])  # 10.5, 11.5, 12.5, 13.5; clipped; 0.5


def test_the_original_is_on_the_left(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, files)
    single = np.asarray(Image.open(files["picture"]))
    show(monkeypatch, files, "--original")
    both = np.asarray(Image.open(files["picture"]))
    assert both.shape == (20, 40, 3)
    np.testing.assert_array_equal(both[:, :20], np.load(files["pixels"])[1])
    np.testing.assert_array_equal(both[:, 20:], single)


def test_the_numbers_are_reported(
    files: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show(monkeypatch, {**files, "image": IMAGES[3], "subset": "validation"})
    row = read_epoch(files["manifest"], 2).set_index("image").loc[IMAGES[3]]
    reported = capsys.readouterr().out
    assert reported.startswith(f"{IMAGES[3]} in epoch 2, validation, position 0: theta {row['theta']:g}, ")


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        (
            {"image": "train/covid/covid_9.png"},
            r"no image 'train/covid/covid_9\.png'; did you mean 'train/covid/covid_\d\.png'\? \(it contains the training",
        ),
        ({"epoch": 4}, r"epochs_3\.parquet: has no epoch 4; it has the epochs 1 to 3"),
        ({"epoch": 0}, r"has no epoch 0; it has the epochs 1 to 3"),
        ({"subset": "validation"}, r"--subset: train/covid/covid_1\.png is not a validation image; it is a training"),
        ({"picture": "out.jpg"}, r"out\.jpg: pictures are written as PNG"),
    ],
)
def test_errors(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], reported: str) -> None:
    with pytest.raises(UserError, match=reported):
        show(monkeypatch, {**files, **changes})
    assert not files["picture"].exists()


def test_pixels_of_another_folder(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    np.save(tmp_path / "normal.npy", np.zeros((1, 20, 20, 3), np.uint8))
    (tmp_path / "normal.csv").write_text("image\ntrain/normal/a.png\n")
    with pytest.raises(UserError, match=r"these files do not contain .*; use those of train/covid, train/covid\.npy"):
        show(monkeypatch, {**files, "pixels": tmp_path / "normal.npy"})
