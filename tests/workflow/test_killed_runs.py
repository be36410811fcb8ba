"""After SIGKILL of Snakemake or a job, the same command continues the run; no second process writes with a leftover job."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from background_runs import stages, started

pytestmark = pytest.mark.slow

# Two classes, and nothing after the predictions: as few jobs as a training needs.
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
    """Read the files of a finished run that have the same bytes each time."""
    return {name: (folder / RUN / name).read_bytes() for name in SAME_BYTES}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to kill runs in; leftover jobs are ended with the test."""
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


def test_the_same_command_continues_after_snakemake_was_killed(whole: Path, folder: Path) -> None:
    """Its training continues. The second run waits for it; nothing else would keep it from starting jobs."""
    with started(folder, TRAINED, **BINARY) as first:
        first.until(lambda: "epoch 2/8" in first.text())
        (orphan,) = stages(folder, "train_model")
        orphan.send_signal(signal.SIGSTOP)
        first.process.kill()
        assert first.ends() == -signal.SIGKILL
        with started(folder, TRAINED, **BINARY) as second:
            waits = f"waiting: process {orphan.pid} (cxrflow.stages.train_model) of a killed run is still writing"
            second.until(lambda: waits in second.text())
            assert stages(folder, "train_model") == [orphan]
            orphan.send_signal(signal.SIGCONT)
            assert second.ends() == 0, second.text()
        assert "already trained for 8 epochs; writing the outputs" in second.text()
        assert "unlock" not in second.text()
    assert results(folder) == results(whole)


def test_the_last_lines_say_where_a_stopped_training_resumes(folder: Path) -> None:
    with started(folder, TRAINED, **BINARY) as run:
        run.until(lambda: "epoch 2/8" in run.text())
        (training,) = stages(folder, "train_model")
        training.send_signal(signal.SIGINT)
        assert run.ends() == 1
    reported = "logs/train_model/binary_mobilenet/seed_0.log: stopped by SIGINT after epoch "
    assert reported in run.text().partition("Error in rule train_model")[2]


def test_a_killed_job_resumes_and_a_second_run_is_refused(snakemake: Any, whole: Path, folder: Path) -> None:
    with started(folder, TRAINED, **BINARY) as first:
        first.until(lambda: "epoch 2/8" in first.text())
        (training,) = stages(folder, "train_model")
        training.send_signal(signal.SIGSTOP)
        with started(folder, TRAINED, **BINARY) as second:
            assert second.ends() == 1
            assert f"process {first.process.pid} on {socket.gethostname()} (since " in second.text()
            assert ") is writing results/tiny\n" in second.text() and "unlock" not in second.text()
        plan = snakemake(folder, "-n", "--configfile", str(folder / "tiny.yaml"))
        assert plan.returncode == 0 and "waiting: " not in plan.stderr
        # A run with another name writes other files, so it does not wait.
        with started(folder, "results/other/phantoms/phantoms.csv", name="other", **BINARY) as other:
            assert other.ends() == 0, other.text()
        assert first.process.poll() is None and stages(folder, "train_model") == [training]
        training.kill()
        assert first.ends() == 1
    with started(folder, TRAINED, **BINARY) as again:
        assert again.ends() == 0, again.text()
    assert "resumes after epoch " in again.text()
    assert results(folder) == results(whole)


def test_a_run_waits_for_an_orphan_that_does_not_train(whole: Path, folder: Path) -> None:
    with started(folder, PHANTOMS, **BINARY) as first:
        (orphan,) = first.until(lambda: stages(folder, "make_phantoms"))
        orphan.send_signal(signal.SIGSTOP)
        first.process.kill()
        first.ends()
        with started(folder, PHANTOMS, **BINARY) as second:
            waits = f"waiting: process {orphan.pid} (cxrflow.stages.make_phantoms) of a killed run"
            second.until(lambda: waits in second.text())
            assert stages(folder, "make_phantoms") == [orphan]
            orphan.kill()  # ends the wait
            assert second.ends() == 0, second.text()
    assert (folder / PHANTOMS).read_bytes() == (whole / PHANTOMS).read_bytes()
