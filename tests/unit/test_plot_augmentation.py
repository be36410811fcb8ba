"""The augmentation sheet: the right pictures, and only those that may be shown."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.augmentation.manifest import read_epoch, write_manifest
from cxrflow.augmentation.transform import transformed_picture
from cxrflow.io.files import read_json, write_table
from cxrflow.plotting.style import styled, write_figure
from cxrflow.stages import plot_augmentation
from cxrflow.stages.plan_augmentation import plan_augmentation
from cxrflow.stages.plot_augmentation import EPOCHS, PER_CLASS, TILE, choose_images, credit_line, sheet_figure, tiles_of
from cxrflow.study.images import Augmentation
from PIL import Image

RANGES = Augmentation().model_dump(exclude={"without_effect"})
LICENCES = {"covid": ["CC BY-NC-SA", None, "CC BY-SA", "", "CC BY-NC-ND"], "normal": ["CC BY 4.0"] * 5}


def an_index() -> pd.DataFrame:
    """Two classes of five images; four of covid must not be shown. Names are in the opposite order of the rows."""
    rows = [
        {"image": f"train/{name}/{9 - place}.png", "class": name, "source": f"{name} source", "licence": licence}
        for name in ("normal", "covid")
        for place, licence in enumerate(LICENCES[name])
    ]
    table = pd.DataFrame(rows)
    table[["source", "licence"]] = table[["source", "licence"]].astype("string")
    return table


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """Flags of the stage: index, a manifest of eight epochs, and pixels with the size of a tile."""
    index = an_index()
    validation = pd.DataFrame({"image": ["train/normal/1.png"], "subset": ["validation"]})
    split = pd.concat([index[["image"]].assign(subset="training"), validation])
    write_table(tmp_path / "images.parquet", index)
    write_manifest(tmp_path / "epochs_8.parquet", plan_augmentation(split, 3, 8, RANGES, "study"))
    random = np.random.default_rng(0)
    for name in LICENCES:
        images = index.loc[index["class"] == name, ["image"]]
        # Smooth like X-rays, so that JPEG preserves it.
        coarse = random.integers(0, 256, (len(images), 5, 5), dtype=np.uint8)
        pixels = [Image.fromarray(one).resize((TILE, TILE), Image.Resampling.BICUBIC).convert("RGB") for one in coarse]
        np.save(tmp_path / f"{name}.npy", np.stack([np.asarray(one) for one in pixels]))
        write_table(tmp_path / f"{name}.csv", images)
    return {
        "images": tmp_path / "images.parquet",
        "manifest": tmp_path / "epochs_8.parquet",
        "task": "binary",
        "seed": 3,
        "embed-images": "licence",
        "figure": tmp_path / "binary.svg",
        "shown": tmp_path / "binary.json",
    }


def draw(monkeypatch: pytest.MonkeyPatch, files: dict[str, Any], *more: str, **changes: str) -> tuple[str, Any]:
    """Run the stage; return its SVG and JSON."""
    flags = [word for name, value in {**files, **changes}.items() for word in (f"--{name}", str(value))]
    pixels = [str(files["images"].with_name(f"{name}.npy")) for name in LICENCES]
    monkeypatch.setattr("sys.argv", ["plot_augmentation.py", *flags, "--pixels", *pixels, *more])
    plot_augmentation.main()
    return files["figure"].read_text(), read_json(files["shown"])


def pictures_in(svg: str) -> list[np.ndarray]:
    found = re.findall(r'href="data:image/jpeg;base64,([^"]+)"', svg)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))).astype(float) for one in found]


def test_by_licence_only_free_images_are_chosen() -> None:
    shown, withheld = choose_images(an_index(), by_licence=True)
    assert shown["image"].tolist() == [
        "train/covid/7.png",
        *(f"train/normal/{number}.png" for number in (5, 6, 7)),
    ]
    assert withheld == {"covid": 4}


def test_all_images_are_chosen_if_no_licence_is_required() -> None:
    shown, withheld = choose_images(an_index(), by_licence=False)
    assert shown["image"].tolist() == [f"train/{c}/{n}.png" for c in ("covid", "normal") for n in (5, 6, 7)]
    assert shown.groupby("class").size().tolist() == [PER_CLASS, PER_CLASS]
    assert withheld == {}


def test_tiles_are_the_original_and_what_each_epoch_shows(files: dict[str, Any]) -> None:
    pixels = {"train/normal/5.png": np.load(files["images"].with_name("normal.npy"))[4]}
    epochs = {epoch: read_epoch(files["manifest"], epoch) for epoch in (1, 4)}
    tiles = tiles_of(list(pixels), pixels, epochs)
    assert tiles.shape == (1, 3, TILE, TILE, 3)
    np.testing.assert_array_equal(tiles[0, 0], pixels["train/normal/5.png"])
    for column, rows in enumerate(epochs.values(), start=1):
        row = rows.set_index("image").loc["train/normal/5.png"].to_dict()
        np.testing.assert_array_equal(tiles[0, column], transformed_picture(pixels["train/normal/5.png"], row))


def test_larger_pictures_are_transformed_first_and_then_shrunk(files: dict[str, Any]) -> None:
    image = np.asarray(Image.fromarray(np.load(files["images"].with_name("normal.npy"))[4]).resize((200, 200)))
    rows = read_epoch(files["manifest"], 2)
    tile = tiles_of(["train/normal/5.png"], {"train/normal/5.png": image}, {2: rows})[0, 1]
    whole = transformed_picture(image, rows.set_index("image").loc["train/normal/5.png"].to_dict())
    shrunk = Image.fromarray(whole).resize((TILE, TILE), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(tile, np.asarray(shrunk))


def test_the_pictures_are_in_the_file_row_by_row(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    svg, record = draw(monkeypatch, files)
    assert record["epochs"] == list(range(1, EPOCHS + 1))
    originals, epochs = pictures_in(svg)[0::2], pictures_in(svg)[1::2]
    assert [one.shape for one in originals] == [(TILE, TILE), (3 * TILE, TILE)]
    assert [one.shape for one in epochs] == [(TILE, 6 * TILE), (3 * TILE, 6 * TILE)]
    normal = np.load(files["images"].with_name("normal.npy"))[::-1]  # the rows are in the opposite order of the names
    for place in range(3):
        part = slice(place * TILE, (place + 1) * TILE)
        assert np.abs(originals[1][part] - normal[place][..., 0]).mean() < 3
        for column in range(EPOCHS):
            row = read_epoch(files["manifest"], column + 1).set_index("image").loc[f"train/normal/{5 + place}.png"]
            seen = transformed_picture(normal[place], row.to_dict())[..., 0].astype(float)
            assert np.abs(epochs[1][part, column * TILE : (column + 1) * TILE] - seen).mean() < 4


def test_shown_and_withheld_images_are_recorded(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    svg, record = draw(monkeypatch, files)
    assert (record["task"], record["seed"], record["withheld"]) == ("binary", 3, {"covid": 4})
    assert record["shown"][0] == {
        "image": "train/covid/7.png",
        "class": "covid",
        "source": "covid source",
        "licence": "CC BY-SA",
    }
    assert len(record["shown"]) == 4
    credit = (
        "Pictures: covid source (CC BY-SA); normal source (CC BY 4.0). "
        "Reduced in size; changed by augmentation from epoch 1 on."
    )
    assert record["credit"] == credit
    assert " ".join(re.findall(r">([^<>]+)</(?:text|tspan)>", svg)[-2:]) == credit  # broken into lines of its width
    assert "binary, seed 3" in svg and "epoch 6" in svg and "epoch 7" not in svg


def test_all_licences(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    svg, record = draw(monkeypatch, files, **{"embed-images": "all"})
    assert [one["image"] for one in record["shown"][:3]] == [f"train/covid/{number}.png" for number in (5, 6, 7)]
    assert record["withheld"] == {} and "covid source (licence not given)" in record["credit"]
    assert [one.shape[0] for one in pictures_in(svg)] == [3 * TILE] * 4


def test_phantoms_have_no_licence_and_are_shown(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    _, record = draw(monkeypatch, files, "--phantoms")
    assert len(record["shown"]) == 6 and record["withheld"] == {}
    assert record["credit"] == "Phantoms drawn by cxrflow, not X-rays."


def test_if_no_image_may_be_shown_none_is(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A list without licences, as with `image_list: null`."""
    write_table(files["images"], an_index().assign(licence=pd.NA))
    svg, record = draw(monkeypatch, files)
    assert record["shown"] == [] and record["withheld"] == {"covid": 5, "normal": 5}
    assert "<image" not in svg and record["credit"] == "The licences of this task's images do not allow showing them."


def test_a_manifest_of_few_epochs_has_few_columns(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    write_manifest(files["manifest"], [read_epoch(files["manifest"], epoch) for epoch in (1, 2)])
    svg, record = draw(monkeypatch, files)
    assert record["epochs"] == [1, 2] and "epoch 3" not in svg


def test_equal_files_give_equal_bytes(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert draw(monkeypatch, files) == draw(monkeypatch, files)


def test_names_are_drawn_letter_by_letter(tmp_path: Path) -> None:
    shown = pd.DataFrame(
        {"image": [r"train/a_$x^2$/$\frac$.png"], "class": [r"a_$x^2$"], "source": ["$s"], "licence": [""]}
    )
    with styled():
        figure = sheet_figure(shown, np.zeros((1, 2, TILE, TILE, 3), np.uint8), [1], credit_line(shown, False), "$t")
        write_figure(figure, tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    assert r"a_$x^2$" in svg and r"$\frac$" in svg and "$s (licence not given)" in svg
