"""The failure column of the rerun table: on a finished run, a job of each rule fails in one of four ways, and is repaired.

Until the repair, the same command fails again. Afterwards, the results have the same bytes as those of a fresh run.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from background_runs import stages
from finished_run import copy_project, dry_run, write_config
from test_rerun_table import CONFIG, STAGES, draw_images, replace_image

pytestmark = pytest.mark.slow

RESULTS = "results/table"
# Files that differ between two runs with the same inputs: clocks, paths and stamps.
VOLATILE = ("logs/", "benchmarks/", "images_seen.json", "images_known.parquet", ".keras", "timing.csv")
WAYS = ("error", "kill of the job", "Ctrl-C", "kill of the group")
BROKEN = 'import sys; sys.exit("error: this stage is broken")'
HANGS = "import time; time.sleep(600)"


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of the results that has the same bytes in every run."""
    files = [file for file in sorted((folder / RESULTS).rglob("*")) if file.is_file()]
    names = {file.relative_to(folder / RESULTS).as_posix(): file for file in files}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in names.items()
        if not name.startswith(VOLATILE) and not name.endswith(VOLATILE) and not name.endswith("progress.png")
    }


@contextmanager
def begun(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start Snakemake in a separate process group."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "table.yaml"]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def run(folder: Path) -> tuple[int, str]:
    """Run Snakemake to its end; return its exit status and output."""
    with begun(folder) as process:
        text, _ = process.communicate(timeout=600)
    return process.returncode, text


def interrupt(folder: Path, stage: str, way: str) -> None:
    """Start a run, and end one of its jobs, or all of it, during a stage."""
    with begun(folder) as process:
        end = time.monotonic() + 300
        while not (found := stages(folder, stage)):
            assert process.poll() is None and time.monotonic() < end, process.communicate()[0]
            time.sleep(0.02)
        if way == "kill of the job":
            for job in found:
                job.kill()
        else:
            os.killpg(process.pid, signal.SIGINT if way == "Ctrl-C" else signal.SIGKILL)
        process.communicate(timeout=300)
    assert process.returncode != 0
    for orphan in stages(folder, stage):
        orphan.kill()


@contextmanager
def edited(folder: Path, stage: str, code: str) -> Iterator[None]:
    """Change the code of a stage that runs when the stage is started as a program."""
    file = folder / f"workflow/cxrflow/stages/{stage}.py"
    text = file.read_text()
    guarded = f'if __name__ == "__main__":\n    {code}\n'
    file.write_text(re.sub(r"^(import|from) ", rf"{guarded}\g<0>", text, count=1, flags=re.MULTILINE))
    try:
        yield
    finally:
        file.write_text(text)


@pytest.fixture(scope="module")
def finished(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a finished run in it. Every test leaves it finished, with the same results."""
    folder = tmp_path_factory.mktemp("failures")
    copy_project(project, folder)
    draw_images(folder / "images")
    write_config(folder / "table.yaml", {**CONFIG, "only": ["binary"]})
    status, text = run(folder)
    assert status == 0, text
    return folder


@pytest.fixture(scope="module")
def fresh(finished: Path) -> dict[str, str]:
    """The results of an undisturbed run."""
    found = digests(finished)
    assert {"report/index.html", "runs/binary/seed_0/model.weights.h5", "scorecard.csv"} <= set(found)
    return found


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[] if way in ("error", "Ctrl-C") else pytest.mark.long) for way in WAYS]
)
def test_outside_problem_01_failed_jobs_run_again(finished: Path, fresh: dict[str, str], way: str) -> None:
    """Every fourth rule fails in this way, in the order of the flow; each run repairs what failed before."""
    for stage in STAGES[WAYS.index(way) :: len(WAYS)]:
        with edited(finished, stage, BROKEN if way == "error" else HANGS):
            if way == "error":
                for _ in range(2):
                    status, text = run(finished)
                    assert status == 1 and "error: this stage is broken" in text, stage
            else:
                interrupt(finished, stage, way)
    status, text = run(finished)
    assert status == 0, text
    assert digests(finished) == fresh
    assert dry_run(finished, "table.yaml").jobs == frozenset()


def broken_image(folder: Path) -> Any:
    file = folder / "images/train/covid/new.png"
    file.write_bytes(b"no picture")
    return file.unlink


def bad_split(folder: Path) -> Any:
    (folder / "split.csv").write_text("image,subset\ntrain/covid/0.png,sometimes\n")
    write_config(folder / "table.yaml", {**CONFIG, "only": ["binary"], "split": "split.csv"})
    return lambda: write_config(folder / "table.yaml", {**CONFIG, "only": ["binary"]})


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (broken_image, "images/train/covid/new.png: unreadable"),
        pytest.param(bad_split, "split: train/covid/0.png: subset 'sometimes' is not allowed", marks=pytest.mark.long),
    ],
)
def test_outside_problem_01_bad_input_is_reported_by_every_run(
    finished: Path, fresh: dict[str, str], breaks: Any, says: str
) -> None:
    repair = breaks(finished)
    for _ in range(2):
        status, text = run(finished)
        assert status == 1 and says in text
    repair()
    status, text = run(finished)
    assert status == 0, text
    assert digests(finished) == fresh


@pytest.mark.parametrize(
    ("image", "stage"),
    [
        ("train/covid/4.png", "train_model"),
        pytest.param("test/normal/0.png", "evaluate_model", marks=pytest.mark.long),
    ],
)
def test_outside_problem_02_a_replaced_image_reaches_the_results_after_a_kill(
    finished: Path, tmp_path: Path, image: str, stage: str
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        shutil.copytree(finished, folder, symlinks=True)
        replace_image(image)(folder)
    interrupt(killed, stage, "kill of the job")
    for folder in (killed, whole):
        status, text = run(folder)
        assert status == 0, text
    after, wanted, before = digests(killed), digests(whole), digests(finished)
    assert before["report/index.html"] not in (after.pop("report/index.html"), wanted.pop("report/index.html"))
    assert after == wanted  # the reports contain the duration of each of the two trainings
    assert after["runs/binary/seed_0/predictions.csv"] != before["runs/binary/seed_0/predictions.csv"]


def test_outside_problem_03_a_setting_that_was_tried_and_taken_back(finished: Path, fresh: dict[str, str]) -> None:
    write_config(finished / "table.yaml", {**CONFIG, "only": ["binary"], "tsne": {"perplexity": 4}})
    with edited(finished, "embed_features", HANGS):
        interrupt(finished, "embed_features", "Ctrl-C")
    write_config(finished / "table.yaml", {**CONFIG, "only": ["binary"]})
    status, text = run(finished)
    assert status == 0, text
    assert digests(finished) == fresh


def test_outside_problem_18_a_failed_experiment_is_a_line_in_the_report_of_the_others(
    finished: Path, fresh: dict[str, str]
) -> None:
    broken = {"like": "binary", "frozen_layers": 5000}
    experiments = {**CONFIG["experiments"], "broken": broken}
    write_config(finished / "table.yaml", {**CONFIG, "only": ["binary", "broken"], "experiments": experiments})
    status, text = run(finished)
    assert status == 1 and f"report of the finished runs: {RESULTS}/report/index.html" in text
    page = (finished / RESULTS / "report/index.html").read_text()
    assert "Failed, and not part of this report: broken, seed 0 (frozen_layers: 5000 is more than the" in page
    assert "1 experiment (MobileNet; 1 seed)" in page
    write_config(finished / "table.yaml", {**CONFIG, "only": ["binary"]})
    status, text = run(finished)
    assert status == 0, text
    assert digests(finished) == fresh
