"""Rows of the rerun table for real: what ran, by Snakemake's own records, how many epochs were trained and images decoded.

One row for each class of changes, on copies of one finished run; afterwards there is nothing to be done.
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
from importlib.metadata import version
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
    made_with,
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
    """A change, the jobs that really run, and the epochs trained and images decoded by them."""

    change: str
    jobs: set[str]
    epochs: int = 0
    decoded: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    edit: Callable[[Path], None] | None = None


def touched_and_commented(folder: Path) -> None:
    change_text("workflow/cxrflow/training/engine.py", "import", "# x\nimport")(folder)
    touch_all(folder)


def weights_replaced_by_older_ones(folder: Path) -> None:
    (file,) = folder.glob("workflow/resources/weights/*.h5")
    with h5py.File(file, "r+") as weights:
        datasets: list[Any] = []
        weights.visititems(lambda _, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
        datasets[0][...] *= 0.5
    os.utime(file, (1e9, 1e9))


def one_claim_less(folder: Path) -> None:
    file = folder / "examples/demo_claims.csv"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))


ROWS = [
    Real("everything touched, and a comment in training's code", set(), edit=touched_and_commented),
    Real("the code of embed_features.py", onwards("embed_features"), edit=body_changed("embed_features")),
    Real("t-SNE's perplexity", onwards("embed_features"), config={"tsne": {"perplexity": 4}}),
    Real(
        "epochs: 2 to 3",
        retrained("binary") | onwards("plot_augmentation binary") | {"plan_augmentation binary 0 3"},
        epochs=1,
        config={"experiments": {"binary": {"epochs": 3}}},
    ),
    Real(
        "a training image replaced",
        onwards("index_images"),
        epochs=2,
        decoded=1,
        edit=replace_image("train/covid/4.png"),
    ),
    Real("a test image replaced", onwards("index_images"), decoded=1, edit=replace_image("test/covid/0.png")),
    Real("weights replaced by older ones", retrained("binary"), epochs=2, edit=weights_replaced_by_older_ones),
    Real("one claim less", REPORTS, edit=one_claim_less),
    Real(".snakemake deleted, and a fresh clone laid over the results", set(READS), edit=moved_below_a_fresh_clone),
]

# A module that Python loads in each job before all others: it writes down each image file that is decoded.
TELLS_DECODING = """
from pathlib import Path
from PIL.ImageFile import ImageFile

load = ImageFile.load

def load_and_tell(image):
    if image.tile and hasattr(image.fp, "name"):  # not decoded yet, and in a file, not in memory
        with Path(__file__).with_name("decoded.txt").open("a") as told:
            told.write(f"{image.fp.name}\\n")
    return load(image)

ImageFile.load = load_and_tell
"""


@pytest.fixture(scope="module")
def real(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which one small training has run, with all that follows."""
    folder = tmp_path_factory.mktemp("real")
    copy_project(project, folder)
    (folder / "workflow/sitecustomize.py").write_text(TELLS_DECODING)
    draw_images(folder / "images")
    write_config(folder / "table.yaml", {**CONFIG, "only": ["binary"]})
    assert run(folder) == (JOBS, 2, 16)
    return folder


def run(folder: Path, *configs: str, program: str = "snakemake", says: str = "") -> tuple[set[str], int, int]:
    """Run it: the jobs that ran, the epochs that were trained, the images that were decoded."""
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
    """Snakemake's records: output to file. An output's name in base64 is the record's, in folders where it is long."""
    top = folder / ".snakemake/metadata"
    files = [file for file in top.rglob("*") if file.is_file()]
    names = ["".join(part.removeprefix("@") for part in file.relative_to(top).parts) for file in files]
    return {base64.urlsafe_b64decode(name).decode(): file for name, file in zip(names, files, strict=True)}


@pytest.mark.parametrize("row", [pytest.param(row, id=row.change) for row in ROWS])
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


def trained_with(keras: str) -> Callable[[Path], None]:
    """The training is another one, with a state of its own, as an older Keras would have made it."""

    def edit(folder: Path) -> None:
        made_with("keras")(folder)
        (file,) = folder.glob("results/table/runs/*/*/training.json")
        record = json.loads(file.read_text())
        (folder / "results/states" / record["identity"]).rename(folder / "results/states/of_old_versions")
        record["what_identifies_it"]["versions"]["keras"] = record["versions"]["keras"] = keras
        status = file.stat()
        file.write_text(json.dumps({**record, "identity": "of_old_versions"}))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))

    return edit


OUTDATED = [
    (
        Real("scikit-learn", onwards("embed_features", "evaluate_model"), edit=made_with("scikit-learn")),
        f"embed_features: scikit-learn 0.1, now {version('scikit-learn')}",
    ),
    (
        Real("keras", onwards("check_network", "train_model"), epochs=2, edit=trained_with("3.0.0")),
        f"train_model: keras 3.0.0, now {version('keras')}",
    ),
]


@pytest.mark.parametrize(("row", "says"), [pytest.param(*one, id=one[0].change) for one in OUTDATED])
def test_rebuild_outdated_for_real(real: Path, tmp_path: Path, row: Real, says: str) -> None:
    """What other versions made runs by itself no more than before; when it is asked for, it is told and made again, once."""
    folder, rebuild = tmp_path / "copy", "cxrflow.rebuild_outdated"
    shutil.copytree(real, folder, symlinks=True)
    assert row.edit
    row.edit(folder)
    assert dry_run(folder, "table.yaml").jobs == frozenset()
    ran, epochs, decoded = run(folder, program=rebuild, says=says)
    assert sorted(ran) == sorted(row.jobs & JOBS)
    assert (epochs, decoded) == (row.epochs, 0)
    assert dry_run(folder, "table.yaml").jobs == frozenset()
    assert run(folder, program=rebuild, says="Nothing was made with other versions") == (set(), 0, 0)
