"""cxrflow on a real Slurm: the same bytes as on one machine, and what becomes of jobs that are ended from outside."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from slurm_runs import ENDLESS, STUDY, cancel_all, jobs, snakemake_command, trainings

pytestmark = pytest.mark.slow
RUN = "results/tiny/runs/binary_mobilenet/seed_{}"
KEPT = ("model.weights.h5", "history.csv", "predictions.csv", "metrics.json", "embedding.csv", "separation.json")
EPOCH = r"epoch +(\d+)/"
GOES_ON = r"goes on behind epoch (\d+)"


def scancel(job: str) -> None:
    subprocess.run(["scancel", job], check=True)


class Whole:
    """What was seen of a run of the whole flow with two seeds, one of which was cancelled in mid-training."""

    def __init__(self, start: Any, folder: Path) -> None:
        self.folder = folder
        run = start(folder, seeds=2)
        both = run.until(lambda: trainings_of_both(folder))
        self.gpus = {seed: environment.get("CUDA_VISIBLE_DEVICES") for seed, environment in both.items()}
        self.jobs = {seed: environment["SLURM_JOB_ID"] for seed, environment in both.items()}
        self.cancelled_at = int(run.until_log(1, EPOCH)[1])
        scancel(self.jobs[1])
        self.went_on_behind = int(run.until_log(1, GOES_ON)[1])
        self.status, self.screen = run.ends(), run.text()


def trainings_of_both(folder: Path) -> dict[int, dict[str, str]] | None:
    found = trainings(folder)
    return found if set(found) == {0, 1} else None


@pytest.fixture(scope="module")
def whole(start: Any, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(start, tmp_path_factory.mktemp("whole"))


def test_slurm_runs_the_whole_flow(whole: Whole) -> None:
    assert whole.status == 0, whole.screen
    assert (whole.folder / "results/tiny/report/index.html").is_file()


def test_slurm_gives_each_of_two_trainings_a_gpu_of_its_own(whole: Whole) -> None:
    assert sorted(whole.gpus.values()) == ["0", "1"], "both ran at one time"
    assert whole.jobs[0] != whole.jobs[1]


def test_slurm_lets_a_cancelled_training_go_on_from_its_last_state(whole: Whole) -> None:
    assert whole.went_on_behind >= whole.cancelled_at - 1
    assert whole.went_on_behind >= 1


def test_slurm_gives_the_same_bytes_as_one_machine(whole: Whole, tmp_path: Path) -> None:
    overlay = tmp_path / "study.yaml"
    overlay.write_text(yaml.safe_dump({**STUDY, "seeds": 2}))
    here = tmp_path / "here"
    local = subprocess.run(
        [*snakemake_command(here, overlay), "--cores", "2"], capture_output=True, text=True, check=False
    )
    assert local.returncode == 0, local.stdout + local.stderr
    for seed in (0, 1):
        for name in KEPT:
            file = f"{RUN.format(seed)}/{name}"
            assert (here / file).read_bytes() == (whole.folder / file).read_bytes(), file


def test_slurm_time_limit_is_no_end_and_ctrl_c_leaves_no_job(start: Any, whole: Whole) -> None:
    run = start(whole.folder, site={"TRAINING_MINUTES": "2"}, seeds=[2], **ENDLESS)
    first = run.until(lambda: trainings(whole.folder))[2]["SLURM_JOB_ID"]
    saved = int(run.until_log(2, r"stopped by SIGTERM behind epoch (\d+)")[1])
    assert int(run.until_log(2, GOES_ON)[1]) >= saved
    assert jobs("train_model") != [first]
    run.until_log(2, EPOCH)
    run.interrupt()
    assert run.ends(60) != 0
    assert jobs() == []


def test_slurm_out_of_memory_is_told_and_the_next_attempt_has_more(start: Any, whole: Whole) -> None:
    site = {"TRAINING_MB": "300", "RETRIES": "1"}  # 600 MB are too few, too
    run = start(whole.folder, site=site, seeds=[3])
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


def test_slurm_killed_snakemake_leaves_no_second_writer(start: Any, whole: Whole) -> None:
    first = start(whole.folder, seeds=[4], **ENDLESS)
    orphan = first.until(lambda: trainings(whole.folder))[4]["SLURM_JOB_ID"]
    first.until_log(4, EPOCH)
    first.process.kill()
    assert first.ends() == -9
    assert jobs("train_model") == [orphan], "its job goes on"

    second = start(whole.folder, seeds=[4], **ENDLESS)
    second.until(lambda: "of a run that was killed still makes results/tiny" in second.text())
    assert jobs("train_model") == [orphan]
    scancel(orphan)
    assert int(second.until_log(4, GOES_ON)[1]) >= 1
    second.interrupt()
    second.ends(60)
    assert jobs() == []
    cancel_all()
