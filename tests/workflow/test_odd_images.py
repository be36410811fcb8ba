"""Real-world images through Snakemake: odd names, several formats, one that cannot be used."""

import json
import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.images.pixels import open_pixels
from PIL import Image
from tiny_run import TINY

ODD_NAME = "2 a b'c\"d {wildcards.x} {e}; $(touch GOT_OUT) `touch GOT_OUT` <script> & %i \\ -- é 胸.png"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes of six and two pictures; one has an odd name, one is a 16-bit TIFF."""
    root = tmp_path / "images {of} <mine> 'x'; $(touch GOT_OUT)"
    for number, place in enumerate(f"{subset}/{name}" for subset in ("train", "test") for name in ("covid", "normal")):
        (root / place).mkdir(parents=True)
        for image in range(6 if place.startswith("train") else 2):
            pixels = np.random.default_rng([number, image]).integers(0, 256, (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(root / place / f"{image}.png")
    Image.fromarray(pixels.astype(np.uint16) * 16).save(root / "test/normal/deep.tif")
    (root / "train/covid/0.png").rename(root / "train/covid" / ODD_NAME)
    return root


def config_of(images: Path, **changes: Any) -> list[str]:
    config = {**TINY, "phantoms": None, "images": str(images), "only": ["binary_inception_v3"], **changes}
    file = images.parent / "odd.yaml"
    file.write_text(json.dumps(config))
    return ["--cores", "2", "--configfile", str(file)]


WANTED = [f"results/tiny/{name}" for name in ("data_audit.json", "split/binary.csv", "pixels/32/train/covid.npy")]


@pytest.mark.slow
def test_odd_names_reach_no_shell(snakemake: Any, project: Path, images: Path, tmp_path: Path) -> None:
    (images / "train/covid/loop.png").symlink_to("loop.png")
    (images / "train/covid" / os.fsdecode(b"x\xe9\n.png")).write_bytes(b"")
    run = snakemake(tmp_path, *WANTED, *config_of(images))
    assert run.returncode != 0 and "Traceback" not in run.stderr
    reported = [line for line in run.stderr.splitlines() if line.startswith("error: ") or ".log: error: " in line]
    assert len([line for line in reported if r"x\xe9\n.png: unreadable: its name is not UTF-8" in line]) > 0
    assert "on_bad_image: skip" in run.stderr

    run = snakemake(tmp_path, *WANTED, *config_of(images, on_bad_image="skip"))
    assert run.returncode == 0, run.stdout + run.stderr
    audit = json.loads((tmp_path / WANTED[0]).read_text())
    assert len(audit["faults"]) == 2 and audit["images"] == 17
    assert audit["conversions"] == {"more than 8 bits, by its own range": 1}
    name = f"train/covid/{ODD_NAME}"
    assert name in set(pd.read_csv(tmp_path / WANTED[1])["image"])
    assert name in set(pd.read_csv((tmp_path / WANTED[2]).with_suffix(".csv"))["image"])
    assert not [*tmp_path.rglob("GOT_OUT"), *project.glob("GOT_OUT")]


@pytest.mark.slow
@pytest.mark.long
def test_odd_names_up_to_the_report(snakemake: Any, project: Path, images: Path, tmp_path: Path) -> None:
    """They are on the page, in its pictures and in all tables; the image that cannot be used is listed."""
    (images / "train/covid/<script>alert(2)<.png").write_bytes(b"")
    small = {"like": "binary_inception_v3", "backbone": "MobileNet", "frozen_layers": 0}
    changes = {"experiments": {"small": small}, "only": ["small"], "on_bad_image": "skip", "embed_images": "all"}
    run = snakemake(tmp_path, *config_of(images, **changes))
    assert run.returncode == 0, run.stdout + run.stderr
    results = tmp_path / "results/tiny"
    page = (results / "report/index.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;alert(2)&lt;.png: empty (0 bytes)" in page
    assert "Patients are not known" in page
    shown = json.loads((results / "plots/augmentation/binary.json").read_text())["shown"]
    assert f"train/covid/{ODD_NAME}" in {one["image"] for one in shown}
    for file in results.rglob("*.svg"):
        assert "<script" not in file.read_text(encoding="utf-8")
    assert not [*tmp_path.rglob("GOT_OUT"), *project.glob("GOT_OUT")]


@pytest.mark.slow
def test_a_list_of_odd_names(snakemake: Any, project: Path, images: Path, tmp_path: Path) -> None:
    """Classes, split and patients come from a CSV, which also has an odd name; the name of one image is a number."""
    image_list = tmp_path / "list %i 'q' \"r\"; $(touch GOT_OUT) & \\ é.csv"
    (images / "007").write_bytes((images / "train/covid/4.png").read_bytes())
    rows = [("007", "a", "training", "p <script>"), (f"train/covid/{ODD_NAME}", "a", "validation", "p <script>")]
    rows += [(f"train/covid/{n}.png", "a", subset, "") for n, subset in ((1, "training"), (2, "training"), (3, "test"))]
    rows += [
        (f"train/normal/{n}.png", "b", subset, f"q{n}") for n, subset in enumerate(("training", "validation", "test"))
    ]
    table = pd.DataFrame(rows, columns=["path", "label", "split", "subject"])
    table.to_csv(image_list, index=False)
    task = {"mine": {"classes": ["a", "b"]}}
    changes = {"layout": "listed", "image_list": str(image_list), "split": "listed", "patients": {"column": "subject"}}
    changes |= {
        "tasks": task,
        "experiments": {"mine": {"like": "binary_inception_v3", "task": "mine"}},
        "only": ["mine"],
    }
    wanted = [f"results/tiny/{name}" for name in ("data_audit.json", "split/mine.csv", "pixels/32/a.npy")]
    run = snakemake(tmp_path, *wanted, *config_of(images, **changes))
    assert run.returncode == 0, run.stdout + run.stderr
    split = pd.read_csv(tmp_path / wanted[1], dtype=str, keep_default_na=False).set_index("image")
    assert split["subset"].to_dict() == dict(zip(table["path"], table["split"], strict=True))
    assert split.loc["007", "patient"] == "p <script>"
    assert "007" in open_pixels([tmp_path / wanted[2]])
    log = (tmp_path / "results/tiny/logs/split_images/mine.log").read_text()
    assert "warning: patient p <script> has images in training and validation" in log
    audit = json.loads((tmp_path / wanted[0]).read_text())
    assert (audit["images"], audit["patients"], audit["without_patient"]) == (8, 4, 3)
    assert not [*tmp_path.rglob("GOT_OUT"), *project.glob("GOT_OUT")]


ODD_CLASSES = ["Kein Befund (Röntgen) [x] & mehr", "健康", "a, b: c? 50%"]


@pytest.mark.slow
def test_outside_problem_23_classes_of_any_letters_up_to_the_report(
    snakemake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In folders named Train, Valid and Test, in a shell that supports only ASCII."""
    monkeypatch.setenv("LC_ALL", "C")
    root = tmp_path / "odd classes"
    for number, (subset, name) in enumerate(product(("Train", "Valid", "Test"), ODD_CLASSES)):
        (root / subset / name).mkdir(parents=True)
        for image in range(6 if subset == "Train" else 2):
            pixels = np.random.default_rng([number, image]).integers(0, 256, (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(root / subset / name / f"{image}.png")
    experiment = {"like": "multiclass_mobilenet", "task": "mine"}
    changes = {"tasks": {"mine": {"classes": ODD_CLASSES, "positive": "健康"}}, "experiments": {"mine": experiment}}
    run = snakemake(tmp_path, *config_of(root, **changes, only=["mine"]))
    assert run.returncode == 0, run.stdout + run.stderr
    results = tmp_path / "results/tiny"
    page = (results / "report/index.html").read_text(encoding="utf-8")
    assert all(name.replace("&", "&amp;") in page for name in ODD_CLASSES)
    split = pd.read_csv(results / "split/mine.csv", dtype=str, keep_default_na=False)
    counts = split.groupby(["subset", "class"]).size()
    assert {subset: set(counts[subset]) for subset in counts.index.levels[0]} == {
        "training": {6},
        "validation": {2},
        "test": {2},
    }
    assert {file.name for file in (results / "pixels/32/train").glob("*.npy")} == {
        f"{name}.npy" for name in (*ODD_CLASSES[:2], "a, b%3A c%3F 50%25")
    }
    predictions = pd.read_csv(results / "runs/mine/seed_0/predictions.csv")
    assert {f"p_{name}" for name in ODD_CLASSES} <= set(predictions)
    assert "Glyph" not in "".join(file.read_text(encoding="utf-8") for file in (results / "logs").rglob("*.log"))


@pytest.mark.slow
def test_outside_problem_23_labels_with_a_slash(snakemake: Any, tmp_path: Path) -> None:
    """As in a public metadata.csv, with other column names; up to the pixels."""
    root, rows = tmp_path / "images", ["patientid;finding;filename;"]
    root.mkdir()
    for place, name in enumerate(("No Finding", "Pneumonia/Viral/COVID-19")):
        for number in range(8):
            pixels = np.random.default_rng([place, number]).integers(0, 256, (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"{place}_{number}.png")
            rows.append(f"{place}-{number // 2};{name};{place}_{number}.png;")
    (tmp_path / "metadata.csv").write_text("\n".join(rows), encoding="cp1252")
    changes = {
        "layout": "listed",
        "image_list": str(tmp_path / "metadata.csv"),
        "columns": {"path": "filename", "label": "finding"},
        "split": "stratified",
        "tasks": {"mine": {"classes": ["No Finding", "Pneumonia/Viral/COVID-19"]}},
        "experiments": {"mine": {"like": "binary_inception_v3", "task": "mine"}},
        "only": ["mine"],
    }
    wanted = [f"results/tiny/{name}" for name in ("split/mine.csv", "pixels/32/Pneumonia%2FViral%2FCOVID-19.npy")]
    run = snakemake(tmp_path, *wanted, *config_of(root, **changes))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "column `patientid` is used as `patient`" in run.stdout + run.stderr
    split = pd.read_csv(tmp_path / wanted[0], dtype=str)
    assert split.groupby("patient")["subset"].nunique().max() == 1 and len(split) == 16
    assert len(open_pixels([tmp_path / wanted[1]])) == 8
