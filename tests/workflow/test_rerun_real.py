"""Real rows of the rerun table: jobs that ran, by Snakemake's own records, and numbers of trained epochs and decoded images.

There is one row for each class of changes, on copies of one finished run; afterwards there is nothing to be done.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import pytest
from finished_run import copy_project, dry_run, write_config
from test_rerun_table import (
    CONFIG,
    READS,
    REPORTS,
    body_changed,
    change_text,
    draw_images,
    moved_below_a_fresh_clone,
    onwards,
    replace_image,
    retrained,
    touch_all,
)

pytestmark = pytest.mark.slow
JOBS = {job for job in READS if not re.search("multiclass|pneumonia", job)}


@dataclass(frozen=True)
class Real:
    """A change, the jobs that really run, and the epochs and images that they train and decode."""

    change: str
    jobs: set[str]
    epochs: int = 0
    decoded: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    edit: Callable[[Path], None] | None = None
    is_long: bool = False


def touched_and_commented(folder: Path) -> None:
    change_text("workflow/cxrflow/training/engine.py", "import", "# x\nimport")(folder)
    touch_all(folder)


def weights_replaced_by_older_ones(folder: Path) -> None:
    (file,) = folder.glob("studies/demo/weights/*.h5")
    with h5py.File(file, "r+") as weights:
        datasets: list[Any] = []
        weights.visititems(lambda _, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
        datasets[0][...] *= 0.5
    os.utime(file, (1e9, 1e9))


def one_claim_less(folder: Path) -> None:
    file = folder / "studies/demo/claims.csv"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))


def caches_damaged(folder: Path) -> None:
    for name in ("images_seen.json", "images_known.parquet"):
        file = folder / "results/table" / name
        file.write_bytes(file.read_bytes()[:-9])


ROWS = [
    Real("everything touched, and a comment in training's code", set(), edit=touched_and_commented),
    Real("the code of embed_features.py", onwards("embed_features"), edit=body_changed("stages/embed_features")),
    Real("t-SNE's perplexity", onwards("embed_features"), config={"tsne": {"perplexity": 4}}, is_long=True),
    Real(
        "epochs: 2 to 3",
        retrained("binary") | onwards("plot_augmentation binary") | {"plan_augmentation binary 0 3"},
        epochs=1,
        config={"experiments": {"binary": {"epochs": 3}}},
        is_long=True,
    ),
    Real(
        "a training image replaced",
        onwards("index_images"),
        epochs=2,
        decoded=1,
        edit=replace_image("train/covid/4.png"),
    ),
    Real(
        "a test image replaced",
        onwards("index_images"),
        decoded=1,
        edit=replace_image("test/covid/0.png"),
        is_long=True,
    ),
    Real(
        "weights replaced by older ones",
        retrained("binary"),
        epochs=2,
        edit=weights_replaced_by_older_ones,
        is_long=True,
    ),
    Real("one claim fewer", REPORTS, edit=one_claim_less),
    Real("outside_problem_19: caches damaged", onwards("index_images"), decoded=16, edit=caches_damaged, is_long=True),
    Real(
        ".snakemake deleted, and a fresh clone copied over the results",
        set(READS),
        edit=moved_below_a_fresh_clone,
        is_long=True,
    ),
]

# A module that Python loads first in each job: it records each image file that is decoded.
TELLS_DECODING = """
from pathlib import Path
from PIL.ImageFile import ImageFile

load = ImageFile.load

def load_and_tell(image):
    if image.tile and hasattr(image.fp, "name"):  # not decoded yet, and in a file, not in memory
        with Path(__file__).with_name("decoded.txt").open("a") as decoded:
            decoded.write(f"{image.fp.name}\\n")
    return load(image)

ImageFile.load = load_and_tell
"""


@pytest.fixture(scope="module")
def real(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one small training and everything that follows from it."""
    folder = tmp_path_factory.mktemp("real")
    copy_project(project, folder)
    (folder / "workflow/sitecustomize.py").write_text(TELLS_DECODING)
    draw_images(folder / "images")
    write_config(folder / "table.yaml", {**CONFIG, "only": ["binary"]})
    assert run(folder) == (JOBS, 2, 16)
    return folder


def run(folder: Path, *configs: str, program: str = "snakemake", says: str = "") -> tuple[set[str], int, int]:
    """Run Snakemake; return the jobs that ran, the epochs that were trained, and the images that were decoded."""
    jobs = dry_run(folder, "table.yaml", *configs, arguments=["--forceall"]).outputs
    begin, decoded = time.time(), folder / "workflow/decoded.txt"
    decoded.write_text("")
    command = [sys.executable, "-m", program, "--cores", "2", "--configfile", "table.yaml", *configs]
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert says in done.stdout, done.stdout
    records = {output: json.loads(file.read_text()) for output, file in metadata(folder).items()}
    ran = {job for job, outputs in jobs.items() if records.get(outputs[0], {"starttime": 0})["starttime"] >= begin}
    logs = {job: (folder / records[jobs[job][0]]["log"][0]).read_text() for job in ran}
    epochs = sum(len(re.findall(r"^epoch \d+/\d+  loss ", log, re.MULTILINE)) for log in logs.values())
    return ran, epochs, len(decoded.read_text().splitlines())


def metadata(folder: Path) -> dict[str, Path]:
    """Map outputs to Snakemake's records, whose names are those of the outputs in base64, with folders for long names."""
    top = folder / ".snakemake/metadata"
    files = [file for file in top.rglob("*") if file.is_file()]
    names = ["".join(part.removeprefix("@") for part in file.relative_to(top).parts) for file in files]
    return {base64.urlsafe_b64decode(name).decode(): file for name, file in zip(names, files, strict=True)}


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.change, marks=pytest.mark.long if row.is_long else []) for row in ROWS]
)
def test_rerun_table_for_real(real: Path, tmp_path: Path, row: Real) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(real, folder, symlinks=True)
    if row.edit:
        row.edit(folder)
    write_config(tmp_path / "change.yaml", row.config)
    change = str(tmp_path / "change.yaml")
    wanted = {job for job in row.jobs if job in JOBS or job.endswith(" 0 3")}
    ran, epochs, decoded = run(folder, change)
    assert sorted(ran) == sorted(wanted)
    assert (epochs, decoded) == (row.epochs, row.decoded)
    assert dry_run(folder, "table.yaml", change).jobs == frozenset()
