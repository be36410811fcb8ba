"""The stages that explain a network and draw the explanations, on a small network made by hand."""

import base64
import io
import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from cxrflow.evaluation.metrics import prediction_table
from cxrflow.explanations.corruption import CORRUPTIONS
from cxrflow.explanations.occlusion import OCCLUSIONS
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json, write_json, write_table
from cxrflow.stages import explain_model, plot_explanations
from cxrflow.stages.plot_explanations import credit_line, overlay, text_below
from PIL import Image

SIZE, CLASSES = 32, ["covid", "normal"]
IMAGES = [f"test/{name}/{number}.png" for name in CLASSES for number in range(6)]
WRONG = "test/normal/0.png"
ALL = '{"explained_right": 11}'
LICENCES = ["CC BY 4.0", "CC BY-NC", None]


def bright_corner_network() -> keras.Model:
    """P(normal) grows with the brightness at the top left, 8 x 8 pixels."""
    pixels = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.AveragePooling2D(4)(x)
    x = keras.layers.Cropping2D(((0, 6), (0, 6)))(x)
    x = keras.layers.ZeroPadding2D(((0, 6), (0, 6)), name="corner")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    output = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(pixels, output(x))
    output.set_weights([np.full((3, 1), 60.0), np.array([-5.0])])
    return model


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Flags of explain_model. Normal images have a bright corner, except for one; covid images have a dark one."""
    monkeypatch.setattr(explain_model, "set_up_device_of", lambda args: None)
    random = np.random.default_rng(0)
    pictures = random.integers(90, 110, (len(IMAGES), SIZE, SIZE, 3), dtype=np.uint8)
    classes = [image.split("/")[1] for image in IMAGES]
    for place, image in enumerate(IMAGES):
        pictures[place, :8, :8] = 250 if classes[place] == "normal" and image != WRONG else 5
    table = pd.DataFrame({"image": IMAGES, "class": classes, "subset": "test"})
    for name in CLASSES:
        np.save(tmp_path / f"{name}.npy", pictures[table["class"] == name])
        write_table(tmp_path / f"{name}.csv", table.loc[table["class"] == name, ["image"]])
    write_table(tmp_path / "split.csv", table)
    index = table.assign(source="a source", licence=[LICENCES[place % 3] for place in range(len(IMAGES))])
    write_table(tmp_path / "images.parquet", index)
    write_json(tmp_path / "training.json", {"classes": CLASSES, "identity": "0123"})
    model = bright_corner_network()
    model.save(tmp_path / "model.keras")
    output = model.predict_on_batch(pictures.astype(np.float32))
    write_table(tmp_path / "predictions.csv", prediction_table(table, np.hstack([1 - output, output]), CLASSES))
    return {
        **{"model": tmp_path / "model.keras", "training": tmp_path / "training.json", "split": tmp_path / "split.csv"},
        **{"pixels": [tmp_path / f"{name}.npy" for name in CLASSES], "threads": 1, "device": "cpu"},
        **{"predictions": tmp_path / "predictions.csv", "settings": '{"explained_right": 4}'},
        **{"explanations": tmp_path / "explanations.json", "heat": tmp_path / "heat.npz"},
    }


def run(stage: Any, flags: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [
        str(word)
        for name, value in flags.items()
        for word in (f"--{name}", *(value if isinstance(value, list) else [value]))
        if word is not True
    ]
    monkeypatch.setattr(sys, "argv", ["stage", *arguments])
    stage.main()


def test_a_network_that_looks_at_the_corner(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run(explain_model, files, monkeypatch)
    record = read_json(files["explanations"])
    assert (record["layer"], record["map"], record["training"]) == ("corner", [8, 8], "0123")
    assert record["chosen"] == {
        **{"test_images": 12, "errors": 1, "errors_explained": 1, "right": 11, "right_explained": 4}
    }
    explained = record["images"]
    assert (explained[0]["image"], explained[0]["chosen_as"]) == (WRONG, "error")
    assert [one["chosen_as"] for one in explained[1:]] == ["sample"] * 4
    for one in explained:
        # Brightness is no evidence for covid: there is no heat, and nothing that depends on it.
        assert one["heat_is_constant"] == (one["predicted"] == "covid")
        assert (one["curves"] is None) == one["heat_is_constant"]
        if one["predicted"] == "normal":
            assert one["heat_in_border"] > 0.5
            assert one["heat_outside_lungs"] == 1 - 5 * 4 / 64  # of the corner's 8 x 8 pixels, 5 x 4 are in a fixed box
            assert one["curves"]["deletion"]["area"] < min(one["curves"]["deletion"]["random_areas"])
    assert {one["predicted"] for one in explained} == set(CLASSES)
    with np.load(files["heat"]) as heat:
        assert heat["images"].tolist() == [one["image"] for one in explained]
        assert heat["heat"].dtype == np.uint8 and heat["heat"].shape == (5, SIZE, SIZE)
        assert heat["heat"].max() == 255 and heat["heat"][:, 12:, 12:].max() == 0
    occlusions = {row["name"]: row for row in record["occlusions"]}
    assert list(occlusions) == list(OCCLUSIONS) and record["unaltered"]["correct"] == 11
    # Most of the corner is in the border: the network is right without the centre, and wrong without the border.
    assert (occlusions["centre_black"]["lost"], occlusions["border_black"]["lost"]) == (0, 5)
    assert len(record["corruptions"]) == sum(len(strengths) for _, strengths in CORRUPTIONS.values())
    first = (files["explanations"].read_bytes(), files["heat"].read_bytes())
    run(explain_model, files, monkeypatch)
    assert files["explanations"].read_bytes() == first[0]


def test_own_lung_boxes(files: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lungs.csv").write_text(
        "image,left,top,right,bottom\n" + "".join(f"{image},0,0,0.5,0.5\n" for image in IMAGES[:-1])
    )
    run(explain_model, {**files, "lungs": tmp_path / "lungs.csv", "settings": ALL}, monkeypatch)
    record = read_json(files["explanations"])
    assert record["lungs"]["images_with_own_boxes"] == 11
    outside = {one["image"]: one["heat_outside_lungs"] for one in record["images"] if one["predicted"] == "normal"}
    assert outside.pop(IMAGES[-1]) > 0.5 and set(outside.values()) == {0}


def test_predictions_of_another_network_or_split(files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = pd.read_csv(files["predictions"])
    write_table(files["predictions"], predictions.assign(p_covid=0.5, p_normal=0.5))
    with pytest.raises(
        UserError, match=r"--predictions: probabilities differ from those of the network by up to 0\.\d"
    ):
        run(explain_model, files, monkeypatch)
    write_table(files["predictions"], predictions.drop(columns="p_covid"))
    with pytest.raises(UserError, match="--predictions: no column p_covid"):
        run(explain_model, files, monkeypatch)
    write_table(files["predictions"], predictions[1:])
    with pytest.raises(UserError, match="--predictions: the images are not the test images of --split"):
        run(explain_model, files, monkeypatch)


def test_the_plot_has_only_images_whose_licence_allows_it(
    files: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(explain_model, {**files, "settings": ALL}, monkeypatch)
    flags = {name: files[name] for name in ("explanations", "heat", "pixels")}
    flags |= {"images": tmp_path / "images.parquet", "title": "binary, seed 0", "figure": tmp_path / "explanations.svg"}
    flags["heat-maps"] = tmp_path / "heat_maps.json"
    run(plot_explanations, {**flags, "embed-images": "licence"}, monkeypatch)
    assert "12 images in the plot, 8 of them without the picture" in capsys.readouterr().out
    svg = flags["figure"].read_text()
    assert svg.count("<image") == 12
    for text in ("binary, seed 0", "predicted covid", "wrong", "no heat: constant map", "a source (CC BY 4.0)"):
        assert text in svg
    assert "Only the heat map is shown of 8" in re.sub(r"<[^>]*>|\s+", " ", svg).replace("  ", " ")
    assert "licence not given" not in svg
    # The error is under CC BY 4.0: its picture is beside the heat. Withheld pictures are even grey.
    maps = read_json(flags["heat-maps"])
    assert list(maps["errors"]) == [WRONG] and maps["training"] == "0123"
    picture = panel_of(maps["errors"][WRONG])[:, : plot_explanations.TILE]
    assert picture.std() > 0 and "a source (CC BY 4.0)" in maps["credit"]
    index = pd.read_parquet(flags["images"])
    index.assign(licence="CC BY-NC").to_parquet(flags["images"])
    run(plot_explanations, {**flags, "embed-images": "licence"}, monkeypatch)
    maps = read_json(flags["heat-maps"])
    picture = panel_of(maps["errors"][WRONG])[:, : plot_explanations.TILE]
    assert (picture == plot_explanations.WITHHELD).all()
    assert maps["credit"] == "Only the heat map is shown of 1 image whose licence does not allow showing them."
    run(plot_explanations, {**flags, "embed-images": "licence", "phantoms": True}, monkeypatch)
    assert "Phantoms drawn by cxrflow" in flags["figure"].read_text()
    write_json(files["explanations"], {**read_json(files["explanations"]), "training": "4567"})
    with pytest.raises(UserError, match="heat maps of another training"):
        run(plot_explanations, {**flags, "embed-images": "all"}, monkeypatch)


def panel_of(address: str) -> np.ndarray:
    encoded = address.removeprefix("data:image/jpeg;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


def test_a_plot_without_images(files: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(explain_model, {**files, "settings": '{"explained_right": 0, "explained_errors": 0}'}, monkeypatch)
    record = read_json(files["explanations"])
    assert record["images"] == [] and record["summary"]["heat_outside_lungs"]["mean"] is None
    flags = {name: files[name] for name in ("explanations", "heat", "pixels")}
    flags |= {"images": tmp_path / "images.parquet", "figure": tmp_path / "explanations.svg", "embed-images": "all"}
    flags["heat-maps"] = tmp_path / "heat_maps.json"
    run(plot_explanations, flags, monkeypatch)
    assert "<image" not in flags["figure"].read_text()


def test_heat_covers_a_picture_only_where_it_is() -> None:
    picture = np.full((16, 16, 3), 120, np.uint8)
    heat = np.zeros((16, 16), np.uint8)
    assert (overlay(picture, heat) == 120).all() and (overlay(None, heat) == 0).all()
    heat[:8] = 255
    laid = overlay(picture, heat)
    assert (laid[-32:] == 120).all() and laid[0, 0, 0] > laid[0, 0, 2]


def test_the_text_names_what_is_not_shown() -> None:
    index = pd.DataFrame({"source": ["b", "a", "c"], "licence": ["CC0", None, "CC BY-NC"]})
    credit = credit_line(index, pd.Series([True, True, False]), phantoms=False)
    assert "a (licence not given); b (CC0)" in credit and "shown of 1 image " in credit and "c (" not in credit
    text = text_below([7, 7], credit, left_out=2)
    assert "A map has 7 x 7 values" in text and credit in text
    assert text.endswith("2 further explained images are not in the plot.")
