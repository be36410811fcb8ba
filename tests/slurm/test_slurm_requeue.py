"""Jobs that Slurm requeues: Snakemake waits for them and submits no second job."""

import re
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from slurm_runs import EPOCH, GOES_ON, KEPT, RUN, Run, differing, run_locally, squeue, submitted, trainings

pytestmark = pytest.mark.slow
TRAINED = KEPT[:2]
URGENT = "urgent"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training on this machine without Slurm."""
    folder = tmp_path_factory.mktemp("local")
    run_locally(folder, "train_all")
    return folder


def scontrol(*words: str) -> str:
    return subprocess.run(["scontrol", *words], capture_output=True, text=True, check=True).stdout


def restarts(job: str) -> int:
    found = re.search(r"Restarts=(\d+)", scontrol("show", "job", job))
    return int(found[1]) if found else 0


def end_what_the_node_left(folder: Path, job: str) -> None:
    """End the Snakemake of the job: the node was not really down, and without cgroups Slurm leaves it running."""
    assert trainings(folder) == {}
    for process in psutil.process_iter():
        try:
            if process.environ().get("SLURM_JOB_ID") == job and Path(process.cwd()) == folder:
                process.kill()
        except psutil.Error:  # it has ended
            continue


def training_jobs(run: Run) -> set[str]:
    """Return the Slurm jobs that were submitted for the training."""
    return {job for job in submitted(run.text()) if "train_model" in squeue(job, "%k")}


def test_outside_problem_slurm_requeues_a_preempted_training_and_it_is_trained_once(
    start: Any, tmp_path: Path, local: Path
) -> None:
    """A partition of higher priority takes the node; the training saves a checkpoint and resumes later in the same job."""
    run: Run = start(tmp_path, "train_all")
    job = run.wait_for_training(0)
    run.wait_for_line(job, EPOCH)
    scontrol("create", f"PartitionName={URGENT}", f"Nodes={squeue(job, '%N')}", "PriorityTier=10", "State=UP")
    try:
        urgent = ["sbatch", "--partition", URGENT, "--exclusive", "--output", "/dev/null", "--wrap", "sleep 5"]
        subprocess.run(urgent, check=True)
        run.wait_for(lambda: restarts(job) == 1)
        run.wait_for_line(job, GOES_ON)
        assert run.wait() == 0, run.text()
    finally:
        subprocess.run(["scancel", "--partition", URGENT], check=True)
        scontrol("delete", f"PartitionName={URGENT}")
    assert training_jobs(run) == {job}
    assert differing(tmp_path, local, RUN.format(0), TRAINED) == []


@pytest.mark.long
def test_outside_problem_slurm_requeues_a_training_of_a_failed_node_and_it_is_trained_once(
    start: Any, tmp_path: Path, local: Path
) -> None:
    """Accounting reports NODE_FAIL for some seconds, and Snakemake must not submit another job than the requeued one."""
    run: Run = start(tmp_path, "train_all", site={"STATUS": "sacct"})
    job = run.wait_for_training(0)
    run.wait_for_line(job, EPOCH)
    scontrol("update", f"NodeName={squeue(job, '%N')}", "State=DOWN", "Reason=test")  # it comes back automatically
    try:
        run.wait_for(lambda: restarts(job) == 1)
        run.wait_for_line(job, GOES_ON)
        assert run.wait() == 0, run.text()
    finally:
        end_what_the_node_left(tmp_path, job)
    assert training_jobs(run) == {job}
    assert differing(tmp_path, local, RUN.format(0), TRAINED) == []
