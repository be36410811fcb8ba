"""cxrflow on a real Slurm: the whole flow, and what becomes of jobs that are ended from outside."""

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
    run_alone,
    submitted,
    told_of,
    trainings,
    until_no_job,
)

pytestmark = pytest.mark.slow
TRAINED = KEPT[:2]
ENDLESS = of_epochs(3000)


def scancel(job: str) -> None:
    subprocess.run(["scancel", job], check=True)


class Whole:
    """What was seen of a run of the whole flow with two seeds, one of which was cancelled in mid-training."""

    def __init__(self, start: Any, folder: Path) -> None:
        self.folder = folder
        run: Run = start(folder, seeds=2)
        both = run.until(lambda: trainings_of_both(folder))
        self.gpus = {seed: environment.get("CUDA_VISIBLE_DEVICES") for seed, environment in both.items()}
        self.jobs = {seed: environment["SLURM_JOB_ID"] for seed, environment in both.items()}
        run.until_said_by(self.jobs[1], EPOCH)
        scancel(self.jobs[1])
        self.cancelled = place(run.until_said_by(self.jobs[1], STOPPED))
        again = run.until_training(1, but=self.jobs[1])
        self.went_on = place(run.until_said_by(again, GOES_ON))
        self.status, self.screen = run.ends(), run.text()


def trainings_of_both(folder: Path) -> dict[int, dict[str, str]] | None:
    found = trainings(folder)
    return found if set(found) == {0, 1} else None


@pytest.fixture(scope="module")
def whole(start: Any, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(start, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def alone(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same two seeds on one machine, without Slurm, once that has ended: not beside it, on few cores."""
    folder = tmp_path_factory.mktemp("alone")
    run_alone(folder, seeds=2)
    return folder


def test_slurm_runs_the_whole_flow_and_nothing_twice(start: Any, whole: Whole) -> None:
    assert whole.status == 0, whole.screen
    assert (whole.folder / "results/tiny/report/index.html").is_file()
    again: Run = start(whole.folder, "--dry-run", seeds=2)
    assert again.ends() == 0
    assert "Nothing to be done" in again.text()


def test_slurm_gives_each_of_two_trainings_a_gpu_of_its_own(whole: Whole) -> None:
    assert sorted(whole.gpus.values()) == ["0", "1"], "both ran at one time"
    assert whole.jobs[0] != whole.jobs[1]


def test_slurm_lets_a_cancelled_training_save_its_state_and_go_on_from_it(whole: Whole) -> None:
    assert whole.cancelled >= (1, 0)
    assert whole.went_on == whole.cancelled


def test_slurm_cancelled_training_ends_with_the_same_bytes_as_on_one_machine(whole: Whole, alone: Path) -> None:
    for seed in (0, 1):
        assert differing(whole.folder, alone, RUN.format(seed), KEPT) == []


def test_slurm_time_limit_is_no_end_and_ctrl_c_leaves_no_job(start: Any, whole: Whole, alone: Path) -> None:
    run: Run = start(whole.folder, "train_all", site={"TRAINING_MINUTES": "45"}, seeds=[2], **ENDLESS)
    first = run.until_training(2)
    run.until_said_by(first, EPOCH)
    assert told_of(first, "%l") == "45:00"
    # As if 45 minutes were nearly over: Slurm warns up to 60 s earlier than 60 s before the end.
    minutes = 2 + sum(int(part) * 60**power for power, part in enumerate(told_of(first, "%M").split(":")[::-1])) // 60
    subprocess.run(["scontrol", "update", f"JobId={first}", f"TimeLimit={minutes}"], check=True)
    stopped = place(run.until_said_by(first, STOPPED))
    second = run.until_training(2, but=first)
    assert place(run.until_said_by(second, GOES_ON)) == stopped
    run.until_said_by(second, EPOCH)

    run.interrupt()
    assert run.ends() != 0
    until_no_job()
    interrupted = re.search(STOPPED, run.said_by(second), re.MULTILINE)
    assert interrupted, run.said_by(second)

    epochs = place(interrupted)[0] + 2  # three parts make the same as one
    last: Run = start(whole.folder, "train_all", seeds=[2], **of_epochs(epochs))
    assert place(last.until_said_by(last.until_training(2), GOES_ON)) == place(interrupted)
    assert last.ends() == 0, last.text()
    run_alone(alone, "train_all", seeds=[2], **of_epochs(epochs))
    assert differing(whole.folder, alone, RUN.format(2), TRAINED) == []


def test_slurm_out_of_memory_is_told_and_the_next_attempt_has_more(start: Any, whole: Whole) -> None:
    site = {"TRAINING_MB": "300", "RETRIES": "1"}  # 600 MB are too few, too
    run: Run = start(whole.folder, site=site, seeds=[3])
    asked = set()

    def ended() -> bool:
        told = subprocess.run(["squeue", "-h", "-o", "%k %m"], capture_output=True, text=True, check=True).stdout
        asked.update(re.findall(r"train_model\S* (\d+M)", told))
        return run.process.poll() is not None

    run.until(ended)
    assert asked == {"300M", "600M"}
    assert run.ends() != 0
    assert "error: train_model" in run.text()
    assert "CXRFLOW_SLURM_TRAINING_MB" in run.text()


def test_slurm_killed_snakemake_leaves_no_second_writer(start: Any, whole: Whole, alone: Path) -> None:
    """Its job is held still until a second Snakemake waits for it, and then goes on to the end."""
    first: Run = start(whole.folder, "train_all", seeds=[4])
    orphan = first.until_training(4)
    training = int(trainings(whole.folder)[4]["PROCESS"])
    first.until_said_by(orphan, EPOCH)
    os.kill(training, signal.SIGSTOP)
    try:
        first.process.kill()
        assert first.ends() == -signal.SIGKILL
        assert jobs("train_model") == [orphan], "its job goes on"
        second: Run = start(whole.folder, "train_all", seeds=[4])
        second.until(lambda: "of a run that was killed still makes results/tiny" in second.text())
        assert jobs("train_model") == [orphan]
    finally:
        os.kill(training, signal.SIGCONT)
    assert second.ends() == 0, second.text()
    until_no_job()
    assert re.findall(EPOCH, second.said_by(orphan), re.MULTILINE) == [str(epoch) for epoch in range(1, 41)]
    (other,) = submitted(second.text())
    behind = second.said_by(other)
    assert re.findall(EPOCH, behind, re.MULTILINE) == []
    assert "trained already, 40 epochs: its state is written out" in behind
    run_alone(alone, "train_all", seeds=[4])
    assert differing(whole.folder, alone, RUN.format(4), TRAINED) == []


def test_slurm_takes_several_groups_as_one_job(start: Any, whole: Whole) -> None:
    """The t-SNE maps of two seeds are made anew; the profile alone would hand in a job for each."""
    run: Run = start(whole.folder, "--group-components", "evaluation=6", seeds=2, tsne={"perplexity": 4})
    assert run.ends() == 0, run.text()
    (job,) = [job for job in submitted(run.text()) if told_of(job, "%k").startswith("rule_evaluation")]
    for seed in (0, 1):
        assert f"t-SNE of binary_mobilenet, seed {seed}." in run.said_by(job)
