"""Predictions for new images are those of the run itself, with warnings for unlike images; no model with code is loaded."""

import contextlib
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from cxrflow.evaluation.predict import logit_network
from cxrflow.evaluation.predict_images import (
    NOT_COMPARED,
    images_named,
    main,
    predict_images,
    reference_of,
    unlike,
    values_named,
)
from cxrflow.images.decode import decode_image, read_image
from cxrflow.images.facts import LOOKS, looks_of
from cxrflow.io.errors import UserError
from cxrflow.networks.load import load_network
from cxrflow.statistics.intervals import wilson_interval
from made_images import index_images
from PIL import Image, ImageDraw

CLASSES = ["covid", "normal"]
SIZE = 24


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A tiny network with one sigmoid."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(x))
    return keras.Model(pixels, keras.layers.Dense(1, activation="sigmoid")(x))


def test_probabilities_are_those_of_the_runs_own_pixels(model: keras.Model, image_folder: Path) -> None:
    files = images_named([image_folder / "test", image_folder / "train/covid/covid_0.png"])
    assert len(files) == 5
    table = predict_images(logit_network(model), CLASSES, SIZE, "bilinear", files, None)
    pixels = np.stack([decode_image(file, SIZE, "bilinear") for file in files]).astype(np.float32)
    expected = model.predict_on_batch(pixels)[:, 0].astype(np.float64)
    np.testing.assert_allclose(table["p_normal"], expected, rtol=1e-6)
    np.testing.assert_allclose(table["p_covid"], 1 - expected, rtol=1e-6)
    assert (table["predicted"] == np.where(expected > 0.5, "normal", "covid")).all()
    assert set(table["warning"]) == {NOT_COMPARED}


def test_unlike_the_training(model: keras.Model, image_folder: Path, draw: Callable[..., None]) -> None:
    reference = reference_of(index_images(image_folder, CLASSES)[0], CLASSES)
    new = image_folder / "new"
    draw(new / "a_large.png", 5, size=(400, 30))
    draw(new / "b_alpha.png", 6, mode="RGBA")
    keras.utils.save_img(new / "c_dark.png", np.random.default_rng(0).integers(0, 4, (30, 40, 3)), scale=False)
    (new / "d_same.png").write_bytes((image_folder / "test/covid/covid_t1.png").read_bytes())
    (new / "e_broken.png").write_bytes(b"\x89PNG")
    table = predict_images(logit_network(model), CLASSES, SIZE, "nearest", images_named([new]), reference)
    large, alpha, dark, same, broken = table["warning"]
    assert "400 px wide, not 40 to 40" in large
    assert "colour mode RGBA, not L or RGB" in alpha
    assert "brightness" in dark and "contrast" in dark and "colour mode" not in dark
    assert same == ""
    assert broken.startswith("unreadable: ") and table.iloc[4][["predicted", "p_covid", "p_normal"]].isna().all()


def test_outside_problem_an_image_that_was_trained_on_is_reported(model: keras.Model, image_folder: Path) -> None:
    """Recognised by its bytes, or by its pixels in other bytes; without a split, by its folder."""
    index, _ = index_images(image_folder, CLASSES)
    with Image.open(image_folder / "train/normal/normal_0.png") as image:
        image.save(image_folder / "again.bmp")
    paths = ["train/covid/covid_3.png", "train/normal/normal_0.png", "again.bmp", "test/covid/covid_t0.png"]
    files = [image_folder / path for path in paths]

    def said(**roles: Any) -> list[str]:
        table = predict_images(
            logit_network(model), CLASSES, SIZE, "nearest", files, reference_of(index, CLASSES, **roles)
        )
        assert table["is_known"].tolist() == [warning != "" for warning in table["warning"]]
        return table["warning"].tolist()

    assert said() == [
        "is in the training folder, as train/covid/covid_3.png",
        "is in the training folder, as train/normal/normal_0.png",
        "looks the same as train/normal/normal_0.png, which is in the training folder",
        "",
    ]
    subsets = index["image"].map({paths[0]: "training", paths[1]: "validation"}).fillna("test")
    assert said(split=index[["image"]].assign(subset=subsets)) == [
        "was trained on, as train/covid/covid_3.png",
        "was validated on, as train/normal/normal_0.png",
        "looks the same as train/normal/normal_0.png, which was validated on",
        "",
    ]
    flat = index.assign(subset_folder="")
    assert (
        "is an image of the run, and may have been trained on" in reference_of(flat, CLASSES)["known"].popitem()[1][1]
    )


def screenshot(xray: Image.Image | None, dark: bool) -> Image.Image:
    """A viewer's window of 1280 x 800 pixels: lists of words, buttons, and an X-ray or a report."""
    page, ink = ((30, 30, 30), (220, 220, 220)) if dark else ((255, 255, 255), (20, 20, 20))
    picture = Image.new("RGB", (1280, 800), page)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 1280, 40), fill=(60, 90, 160))
    for row, count in enumerate(np.random.default_rng(0).integers(3, 20, 34)):
        draw.text((250, 60 + 22 * row), "finding " * int(count), fill=ink)
        draw.text((20, 60 + 22 * row), f"patient {row}", fill=ink)
    if xray is not None:
        picture.paste(xray.resize((560, 680)), (600, 80))
    return picture


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("with_xray", [False, True])
def test_outside_problem_a_screenshot_is_unlike_the_training_images(
    study_data: Path, dark: bool, with_xray: bool
) -> None:
    """The images of the study have all sizes, some in colour: only the flatness of a screenshot differs from theirs."""
    files = sorted((study_data / "train/covid").iterdir())[:40] + sorted((study_data / "train/normal").iterdir())[:20]
    looks = [looks_of(read_image(file)[0]) for file in files]
    wide = {"modes": ["RGB"], "width": (255, 3342), "height": (249, 4095), "known": {}}
    reference = {**wide, **{name: (min(one[name] for one in looks), max(one[name] for one in looks)) for name in LOOKS}}
    assert reference["flatness"][1] < 35
    picture = screenshot(read_image(files[-1])[0] if with_xray else None, dark)
    found = {"mode": "RGB", "width": picture.width, "height": picture.height, **looks_of(picture)}
    reported = unlike(found, reference)
    assert [one for one in reported if one.startswith("flatness ") and " %, not " in one]
    others = [unlike({"mode": "RGB", "width": 500, "height": 500, **one}, reference) for one in looks]
    assert others == [[]] * len(files)


def test_colour_is_reported_if_the_training_was_grey() -> None:
    reference = {"modes": ["RGB"], **dict.fromkeys(("width", "height"), (1, 9)), "brightness": (90, 120)}
    reference |= {"contrast": (30, 60), "colour": (0.0, 0.0), "flatness": (0, 9)}
    found = {
        "mode": "RGB",
        "width": 5,
        "height": 5,
        "brightness": 100.0,
        "contrast": 40.0,
        "colour": 12.5,
        "flatness": 4.0,
    }
    assert unlike(found, reference) == ["colour 12.5 of 255, not 0 to 0"]


def test_paths_in_a_csv_are_relative_to_it(image_folder: Path, tmp_path: Path) -> None:
    (image_folder / "some.csv").write_text("path,x\ntest/covid/covid_t0.png,1\ntest/covid/covid_t1.png,2\n")
    assert images_named([image_folder / "some.csv"]) == [image_folder / f"test/covid/covid_t{n}.png" for n in (0, 1)]
    (tmp_path / "none.csv").write_text("file\na\n")
    with pytest.raises(UserError, match="no column `path`; to use `file`: rename `file`; it has file"):
        images_named([tmp_path / "none.csv"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image in it"):
        images_named([tmp_path / "empty"])


@pytest.mark.slow
def test_outside_problem_labels_of_a_csv_give_an_accuracy_with_its_denominator(
    model: keras.Model, image_folder: Path, tmp_path: Path
) -> None:
    """With new images, an image that was trained on, a broken one, and one whose label is not a class."""
    model.save(tmp_path / "model.keras")
    (tmp_path / "training.json").write_text(json.dumps(MADE_BY))
    index, _ = index_images(image_folder, CLASSES)
    index.to_parquet(tmp_path / "images.parquet")
    index[["image"]].assign(subset="training").to_csv(tmp_path / "split.csv", index=False)
    names = [f"new/{number}.png" for number in range(4)] + [
        "train/covid/covid_0.png",
        "new/broken.png",
        "new/4.png",
        "new/5.png",
    ]
    (image_folder / "new").mkdir()
    for number in (0, 1, 2, 3, 4, 5):
        pixels = np.random.default_rng(5000 + number).integers(0, 256, (30, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(image_folder / f"new/{number}.png")
    (image_folder / "new/broken.png").write_bytes(b"")
    predicted = predict_images(
        logit_network(model), CLASSES, SIZE, "nearest", [image_folder / name for name in names], None
    )["predicted"]
    labels = [
        *predicted[:3],
        {"covid": "normal", "normal": "covid"}[predicted[3]],
        predicted[4],
        "covid",
        "Covid19",
        "",
    ]
    rows = "".join(f"{name},{label}\n" for name, label in zip(names, labels, strict=True))
    (image_folder / "mine.csv").write_text("path,label\n" + rows)

    def run(*more: str) -> str:
        command = [sys.executable, "-m", "cxrflow.evaluation.predict_images", "--model", str(tmp_path / "model.keras")]
        command += ["--training", str(tmp_path / "training.json"), "--images", str(image_folder / "mine.csv")]
        command += ["--on-bad-image", "skip", "--table", str(tmp_path / "new.csv"), *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    reference = ["--reference", str(tmp_path / "images.parquet"), "--split", str(tmp_path / "split.csv")]
    reported = run(*reference)
    assert "warning: 1 labelled images are images of the run and do not count (1 are right)\n" in reported
    low, high = wilson_interval(3, 4)
    interval = f"95 % interval {low:.1%} to {high:.1%}, Wilson, 4 images"
    assert f"accuracy: 3 of 4 (75.0%; {interval}) labelled images are right\n" in reported
    assert (
        "warning: 1 labels are not classes of the training and do not count: Covid19; did you mean 'covid'?" in reported
    )
    table = pd.read_csv(tmp_path / "new.csv", keep_default_na=False)
    assert list(table.columns) == ["image", "label", "predicted", "p_covid", "p_normal", "warning"]
    assert table["label"].tolist() == labels
    assert "was trained on, as train/covid/covid_0.png" in table["warning"][4]
    assert "accuracy: 4 of 5 (80.0%; 95 % interval " in run("--metrics", str(tmp_path / "metrics.csv"))
    metrics = pd.read_csv(tmp_path / "metrics.csv").set_index(["metric", "class"])
    accuracy = metrics.loc["accuracy"].iloc[0]
    assert (accuracy["right"], accuracy["of"], accuracy["method"]) == (4, 5, "Wilson")
    (image_folder / "mine.csv").write_text(
        "path,label,patient\n"
        + "".join(f"{name},{label},p\n" for name, label in zip(names[:3], labels[:3], strict=True))
    )
    assert "3 of 3 (100.0%; 95 % interval 2.5% to 100.0%, Clopper-Pearson, patients, 3 images of 1 patient)" in run()
    (image_folder / "mine.csv").write_text("path\n" + "".join(f"{name}\n" for name in names[:3]))
    assert "accuracy" not in run()
    (image_folder / "mine.csv").write_text(f"path,label\n{names[0]},covid\n{names[0]},normal\n")
    with pytest.raises(UserError, match=r"mine\.csv: new/0\.png: has the labels covid and normal"):
        values_named([image_folder / "mine.csv"], "label")


MADE_BY = {"classes": CLASSES, "settings": {"image_size": SIZE}, "resampling": "nearest"}


def test_odd_names_are_predicted_or_reported(model: keras.Model, tmp_path: Path, draw: Callable[..., None]) -> None:
    odd = tmp_path / "new/a 'b\" {c}; $(touch GOT_OUT), <script> é.png"
    draw(odd, 1)
    table = predict_images(logit_network(model), CLASSES, SIZE, "nearest", images_named([tmp_path / "new"]), None)
    table.to_csv(tmp_path / "new.csv", index=False)
    assert pd.read_csv(tmp_path / "new.csv")["image"].tolist() == [str(odd)]
    for name in ("x\ny.png", os.fsdecode(b"x\xe9.png")):
        odd.with_name(name).write_bytes(odd.read_bytes())
    odd.with_name("loop").symlink_to(".")
    with pytest.raises(UserError) as caught:
        images_named([tmp_path / "new"])
    reported = ["a link to a folder", "line break or another control character; rename it", "not UTF-8; rename it"]
    assert len(caught.value.messages) == 3
    assert all(any(words in message for message in caught.value.messages) for words in reported)


@pytest.mark.slow
def test_as_a_command(model: keras.Model, image_folder: Path, tmp_path: Path) -> None:
    model.save(tmp_path / "model.keras")
    training = tmp_path / "training.json"
    training.write_text(json.dumps(MADE_BY))
    index_images(image_folder, CLASSES)[0].to_parquet(tmp_path / "images.parquet")
    (image_folder / "test/covid/x.png").write_bytes(b"")

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cxrflow.evaluation.predict_images", "--model", str(tmp_path / "model.keras")]
        command += ["--training", str(training), "--images", str(image_folder / "test")]
        command += ["--reference", str(tmp_path / "images.parquet"), "--table", str(tmp_path / "new.csv"), *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    stopped = run()
    assert stopped.returncode == 1 and "x.png: unreadable: empty (0 bytes)" in stopped.stderr
    assert "Traceback" not in stopped.stderr and not (tmp_path / "new.csv").exists()
    done = run("--on-bad-image", "skip")
    assert done.returncode == 0 and "4 images predicted, 1 left out" in done.stdout, done.stderr
    assert len(pd.read_csv(tmp_path / "new.csv")) == 5
    for name, flag in (("training.json", "--training"), ("images.parquet", "--reference")):
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(b"PAR1[[[[")
        damaged = run()
        assert damaged.returncode == 1 and f"error: {flag}: {tmp_path / name}: " in damaged.stderr
        assert "Traceback" not in damaged.stderr
        (tmp_path / name).write_bytes(kept)
    (tmp_path / "images.parquet").unlink()
    assert f"error: --reference: {tmp_path / 'images.parquet'}: no such file; run Snakemake again" in run().stderr
    with pytest.warns(UserWarning, match="not yet been built"):
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)]).save(tmp_path / "model.keras")
    shapeless = run()
    assert "error: --model: the network has no fixed input shape" in shapeless.stderr


@pytest.mark.parametrize(
    ("training", "reported"),
    [
        ({**MADE_BY, "settings": {"image_size": 32}}, "--training: 32 px and 2 classes, but the network takes"),
        ({key: MADE_BY[key] for key in ("classes", "settings")}, "--training: no `resampling`"),
    ],
    ids=["of another network", "without resampling"],
)
def test_the_trainings_record_must_fit(
    model: keras.Model,
    image_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    training: dict[str, Any],
    reported: str,
) -> None:
    model.save(tmp_path / "model.keras")
    (tmp_path / "training.json").write_text(json.dumps(training))
    files = {"model": "model.keras", "training": "training.json", "table": "new.csv"}
    named = [part for flag, name in files.items() for part in (f"--{flag}", str(tmp_path / name))]
    monkeypatch.setattr(sys, "argv", ["predict_images.py", *named, "--images", str(image_folder / "test")])
    monkeypatch.setattr(
        "cxrflow.evaluation.predict_images.set_up_device", lambda *_: "cpu"
    )  # already set up in this process
    with pytest.raises(UserError, match=re.escape(reported)):
        main()
    assert not (tmp_path / "new.csv").exists()


# ---- models with code -------------------------------------------------------------------------------------------------


def changed_config(model: keras.Model, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A saved model with a changed description."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def test_a_network_of_keras_own_layers_is_loaded(model: keras.Model, tmp_path: Path) -> None:
    model.save(tmp_path / "model.keras")
    loaded = load_network(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict_on_batch(pixels), model.predict_on_batch(pixels))


def test_a_lambda_is_refused(tmp_path: Path) -> None:
    pixels = keras.Input((4,))
    marker = str(tmp_path / "GOT_OUT")
    layer = keras.layers.Lambda(lambda x: (open(marker, "w"), x)[1], output_shape=(4,))  # noqa: PTH123, SIM115
    keras.Model(pixels, layer(pixels)).save(tmp_path / "model.keras")
    (tmp_path / "GOT_OUT").unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"holds keras.layers.Lambda, which can run code from the file"):
        load_network(tmp_path / "model.keras")
    assert not (tmp_path / "GOT_OUT").exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "function"),
        ("keras.layers", "TFSMLayer"),
        ("keras.layers", "TorchModuleWrapper"),
        ("keras.src.layers.layer", "function"),
        ("keras.utils", "get_file"),
        ("keras.config", "enable_unsafe_deserialization"),
        ("keras", "get_file"),
        ("kerasevil", "Dense"),
        (None, "__lambda__"),
        (None, "MyLayer"),
    ],
)
def test_parts_that_are_not_layers_of_keras_are_refused(
    model: keras.Model, tmp_path: Path, module: str | None, name: str
) -> None:
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][1] |= {"module": module, "class_name": name, "registered_name": None}

    with pytest.raises(UserError, match="which can run code"):
        load_network(changed_config(model, tmp_path / "model.keras", change))


@pytest.mark.parametrize("name", ["../GOT_OUT", "assets/../../GOT_OUT", "/GOT_OUT", "assets/link/GOT_OUT"])
def test_a_network_writes_no_files(model: keras.Model, tmp_path: Path, name: str) -> None:
    path = tmp_path / "inner/model.keras"
    path.parent.mkdir()
    model.save(path)
    link = zipfile.ZipInfo("assets/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, str(tmp_path))
        archive.writestr(f"{tmp_path}{name}" if name.startswith("/") else name, b"x")
    with contextlib.suppress(UserError), warnings.catch_warnings(action="ignore"):
        load_network(path)
    assert not [*tmp_path.rglob("GOT_OUT")] and not Path("/GOT_OUT").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", pickle.dumps(print), b"{}"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(UserError, match=r"not a network in Keras' own format \(\.keras\), the only supported one"):
        load_network(tmp_path / "model.keras")


def test_a_damaged_network_is_reported(model: keras.Model, tmp_path: Path) -> None:
    path = changed_config(model, tmp_path / "model.keras", lambda config: config["config"].pop("layers"))
    with pytest.raises(UserError, match="cannot be loaded as a network"):
        load_network(path)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        load_network(tmp_path / "nowhere.keras")
