"""cxrflow on a real Slurm cluster: the whole flow, and jobs that are stopped from outside."""

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from slurm_runs import (
    EPOCH,
    GOES_ON,
    KEPT,
    RUN,
    STOPPED,
    Run,
    differing,
    jobs,
    of_epochs,
    place,
    run_locally,
    squeue,
    submitted,
    trainings,
    wait_for_empty_queue,
)

pytestmark = pytest.mark.slow
TRAINED = KEPT[:2]
ENDLESS = of_epochs(3000)


def scancel(job: str) -> None:
    subprocess.run(["scancel", job], check=True)


class Whole:
    """A run of the whole flow with two seeds, one of which was cancelled during its training."""

    def __init__(self, start: Any, folder: Path) -> None:
        self.folder = folder
        run: Run = start(folder, seeds=2)
        both = run.wait_for(lambda: trainings_of_both(folder))
        self.gpus = {seed: environment.get("CUDA_VISIBLE_DEVICES") for seed, environment in both.items()}
        self.jobs = {seed: environment["SLURM_JOB_ID"] for seed, environment in both.items()}
        run.wait_for_line(self.jobs[1], EPOCH)
        scancel(self.jobs[1])
        self.cancelled = place(run.wait_for_line(self.jobs[1], STOPPED))
        again = run.wait_for_training(1, but=self.jobs[1])
        self.went_on = place(run.wait_for_line(again, GOES_ON))
        self.status, self.screen = run.wait(), run.text()


def trainings_of_both(folder: Path) -> dict[int, dict[str, str]] | None:
    found = trainings(folder)
    return found if set(found) == {0, 1} else None


@pytest.fixture(scope="module")
def whole(start: Any, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(start, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def local(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same two seeds on this machine without Slurm, after that run, since there are few cores."""
    folder = tmp_path_factory.mktemp("local")
    run_locally(folder, seeds=2)
    return folder


def test_slurm_runs_the_whole_flow_and_nothing_twice(start: Any, whole: Whole) -> None:
    assert whole.status == 0, whole.screen
    assert (whole.folder / "results/tiny/report/index.html").is_file()
    again: Run = start(whole.folder, "--dry-run", seeds=2)
    assert again.wait() == 0
    assert "Nothing to be done" in again.text()


def test_slurm_gives_each_of_two_trainings_its_own_gpu(whole: Whole) -> None:
    assert sorted(whole.gpus.values()) == ["0", "1"], "both ran at the same time"
    assert whole.jobs[0] != whole.jobs[1]


def test_slurm_lets_a_cancelled_training_save_its_checkpoint_and_resume(whole: Whole) -> None:
    assert whole.cancelled >= (1, 0)
    assert whole.went_on == whole.cancelled


def test_slurm_cancelled_training_ends_with_the_same_bytes_as_on_one_machine(whole: Whole, local: Path) -> None:
    for seed in (0, 1):
        assert differing(whole.folder, local, RUN.format(seed), KEPT) == []


def test_slurm_time_limit_does_not_end_a_training_and_ctrl_c_leaves_no_job(
    start: Any, whole: Whole, local: Path
) -> None:
    run: Run = start(whole.folder, "train_all", site={"TRAINING_MINUTES": "45"}, seeds=[2], **ENDLESS)
    first = run.wait_for_training(2)
    run.wait_for_line(first, EPOCH)
    assert squeue(first, "%l") == "45:00"
    # As if 45 minutes were nearly over: Slurm sends its signal 60 to 120 s before the end.
    minutes = 2 + sum(int(part) * 60**power for power, part in enumerate(squeue(first, "%M").split(":")[::-1])) // 60
    subprocess.run(["scontrol", "update", f"JobId={first}", f"TimeLimit={minutes}"], check=True)
    stopped = place(run.wait_for_line(first, STOPPED))
    second = run.wait_for_training(2, but=first)
    assert place(run.wait_for_line(second, GOES_ON)) == stopped
    run.wait_for_line(second, EPOCH)

    run.interrupt()
    assert run.wait() != 0
    wait_for_empty_queue()
    interrupted = re.search(STOPPED, run.log_of(second), re.MULTILINE)
    assert interrupted, run.log_of(second)

    epochs = place(interrupted)[0] + 2  # three parts give the same bytes as one
    last: Run = start(whole.folder, "train_all", seeds=[2], **of_epochs(epochs))
    assert place(last.wait_for_line(last.wait_for_training(2), GOES_ON)) == place(interrupted)
    assert last.wait() == 0, last.text()
    run_locally(local, "train_all", seeds=[2], **of_epochs(epochs))
    assert differing(whole.folder, local, RUN.format(2), TRAINED) == []


def test_slurm_out_of_memory_is_reported_and_the_next_attempt_has_more(start: Any, whole: Whole) -> None:
    site = {"TRAINING_MB": "300", "RETRIES": "1"}  # 600 MB are also not enough
    run: Run = start(whole.folder, site=site, seeds=[3])
    requested = set()

    def ended() -> bool:
        listed = subprocess.run(["squeue", "-h", "-o", "%k %m"], capture_output=True, text=True, check=True).stdout
        requested.update(re.findall(r"train_model\S* (\d+M)", listed))
        return run.process.poll() is not None

    run.wait_for(ended)
    assert requested == {"300M", "600M"}
    assert run.wait() != 0
    assert "error: train_model" in run.text()
    assert "CXRFLOW_SLURM_TRAINING_MB" in run.text()


def test_slurm_killed_snakemake_leaves_no_second_writer(start: Any, whole: Whole, local: Path) -> None:
    """Its job is paused until a second Snakemake waits for it, and then finishes."""
    first: Run = start(whole.folder, "train_all", seeds=[4])
    orphan = first.wait_for_training(4)
    training = int(trainings(whole.folder)[4]["PROCESS"])
    first.wait_for_line(orphan, EPOCH)
    os.kill(training, signal.SIGSTOP)
    try:
        first.process.kill()
        assert first.wait() == -signal.SIGKILL
        assert jobs("train_model") == [orphan], "its job still runs"
        second: Run = start(whole.folder, "train_all", seeds=[4])
        second.wait_for(lambda: "of a killed run is still writing results/tiny" in second.text())
        assert jobs("train_model") == [orphan]
    finally:
        os.kill(training, signal.SIGCONT)
    assert second.wait() == 0, second.text()
    wait_for_empty_queue()
    assert re.findall(EPOCH, second.log_of(orphan), re.MULTILINE) == [str(epoch) for epoch in range(1, 41)]
    (other,) = submitted(second.text())
    behind = second.log_of(other)
    assert re.findall(EPOCH, behind, re.MULTILINE) == []
    assert "already trained for 40 epochs; writing the outputs" in behind
    run_locally(local, "train_all", seeds=[4])
    assert differing(whole.folder, local, RUN.format(4), TRAINED) == []


def test_slurm_runs_several_groups_as_one_job(start: Any, whole: Whole) -> None:
    """The t-SNE maps of two seeds are rebuilt; with only the profile, there would be a job for each."""
    run: Run = start(whole.folder, "--group-components", "evaluation=6", seeds=2, tsne={"perplexity": 4})
    assert run.wait() == 0, run.text()
    (job,) = [job for job in submitted(run.text()) if squeue(job, "%k").startswith("rule_evaluation")]
    for seed in (0, 1):
        assert f"Plot the t-SNE map of binary_mobilenet, seed {seed}." in run.log_of(job)
