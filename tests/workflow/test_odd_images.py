"""Images as people bring them, through Snakemake: odd names, several formats, one that cannot be used."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_run import TINY

ODD_NAME = "a b'c\"d {wildcards.x} {e}; $(touch GOT_OUT) `touch GOT_OUT` <script> & %i \\ -- é 胸.png"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes of six and two pictures; one has an odd name, one is a deep TIFF."""
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


def test_odd_names_reach_no_shell(snakemake: Any, project: Path, images: Path, tmp_path: Path) -> None:
    (images / "train/covid/loop.png").symlink_to("loop.png")
    (images / "train/covid" / os.fsdecode(b"x\xe9\n.png")).write_bytes(b"")
    run = snakemake(tmp_path, *WANTED, *config_of(images))
    assert run.returncode != 0 and "Traceback" not in run.stderr
    told = [line for line in run.stderr.splitlines() if line.startswith("error: ") or ".log: error: " in line]
    assert len([line for line in told if r"x\xe9\n.png: unreadable: its name is not UTF-8" in line]) > 0
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
