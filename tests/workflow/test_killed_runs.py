"""Killed by SIGKILL, Snakemake or a job, a run goes on by the same command; jobs that were left never get a second writer."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from background_runs import stages, started

pytestmark = pytest.mark.slow

# Two classes, and nothing behind the predictions: as few jobs as a training needs.
BINARY = {
    "only": ["binary_mobilenet"],
    "experiments": {
        "binary_mobilenet": {"like": "multiclass_mobilenet", "task": "binary", "loss": "binary_crossentropy"}
    },
    "override": {"image_size": 32, "epochs": 8, "batch_size": 5},
}
RUN = "results/tiny/runs/binary_mobilenet/seed_0"
SAME_BYTES = ("model.weights.h5", "history.csv", "predictions.csv", "metrics.json")
TRAINED = f"{RUN}/predictions.csv"
PHANTOMS = "results/tiny/phantoms/phantoms.csv"


def results(folder: Path) -> dict[str, bytes]:
    """The files of a finished run that have the same bytes each time."""
    return {name: (folder / RUN / name).read_bytes() for name in SAME_BYTES}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to kill runs in; jobs that they leave end with the test."""
    yield tmp_path / "killed"
    for stage in ("train_model", "make_phantoms"):
        for process in stages(tmp_path / "killed", stage):
            process.kill()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the run was never killed."""
    folder = tmp_path_factory.mktemp("never killed")
    with started(folder, TRAINED, **BINARY) as run:
        assert run.ends() == 0, run.text()
    return folder


def test_killed_snakemake_goes_on_by_the_same_command(whole: Path, folder: Path) -> None:
    """Its training lives on; the second run waits for it, though nothing else would keep it from starting jobs."""
    with started(folder, TRAINED, **BINARY) as first:
        first.until(lambda: "epoch 2/8" in first.text())
        (orphan,) = stages(folder, "train_model")
        orphan.send_signal(signal.SIGSTOP)
        first.process.kill()
        assert first.ends() == -signal.SIGKILL
        with started(folder, TRAINED, **BINARY) as second:
            waits = (
                f"waits: process {orphan.pid} (cxrflow.train_model) of a run that was killed still makes results/tiny"
            )
            second.until(lambda: waits in second.text())
            assert stages(folder, "train_model") == [orphan]
            orphan.send_signal(signal.SIGCONT)
            assert second.ends() == 0, second.text()
        assert "trained already, 8 epochs: its state is written out" in second.text()
        assert "unlock" not in second.text()
    assert results(folder) == results(whole)


def test_where_a_stopped_training_goes_on_stands_at_the_end(folder: Path) -> None:
    with started(folder, TRAINED, **BINARY) as run:
        run.until(lambda: "epoch 2/8" in run.text())
        (training,) = stages(folder, "train_model")
        training.send_signal(signal.SIGINT)
        assert run.ends() == 1
    told = "logs/train_model/binary_mobilenet/seed_0.log: stopped by SIGINT behind epoch "
    assert told in run.text().partition("Error in rule train_model")[2]


def test_killed_job_goes_on_and_a_second_run_is_turned_away(snakemake: Any, whole: Path, folder: Path) -> None:
    with started(folder, TRAINED, **BINARY) as first:
        first.until(lambda: "epoch 2/8" in first.text())
        (training,) = stages(folder, "train_model")
        training.send_signal(signal.SIGSTOP)
        with started(folder, TRAINED, **BINARY) as second:
            assert second.ends() == 1
            assert f"process {first.process.pid} on {socket.gethostname()}, since " in second.text()
            assert ", makes results/tiny already\n" in second.text() and "unlock" not in second.text()
        plan = snakemake(folder, "-n", "--configfile", str(folder / "tiny.yaml"))
        assert plan.returncode == 0 and "waits: " not in plan.stderr
        # Another name makes other files: it is not kept waiting.
        with started(folder, "results/other/phantoms/phantoms.csv", name="other", **BINARY) as other:
            assert other.ends() == 0, other.text()
        assert first.process.poll() is None and stages(folder, "train_model") == [training]
        training.kill()
        assert first.ends() == 1
    with started(folder, TRAINED, **BINARY) as again:
        assert again.ends() == 0, again.text()
    assert "goes on behind epoch " in again.text()
    assert results(folder) == results(whole)


def test_orphan_that_does_not_train_is_waited_for(whole: Path, folder: Path) -> None:
    with started(folder, PHANTOMS, **BINARY) as first:
        (orphan,) = first.until(lambda: stages(folder, "make_phantoms"))
        orphan.send_signal(signal.SIGSTOP)
        first.process.kill()
        first.ends()
        with started(folder, PHANTOMS, **BINARY) as second:
            waits = f"waits: process {orphan.pid} (cxrflow.make_phantoms) of a run that was killed"
            second.until(lambda: waits in second.text())
            assert stages(folder, "make_phantoms") == [orphan]
            orphan.kill()  # Whoever does not want to wait ends it.
            assert second.ends() == 0, second.text()
    assert (folder / PHANTOMS).read_bytes() == (whole / PHANTOMS).read_bytes()
