"""A network of the demo gives the same bytes through Slurm and without it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slurm_runs import KEPT, LONG, PROJECT, Run, differing, run_locally, squeue, submitted

pytestmark = [pytest.mark.slow, pytest.mark.long]
DEMO = PROJECT / "tests/slurm/demo.yaml"
EXPERIMENTS = ("multiclass_mobilenet",)


@dataclass
class Demo:
    """A finished run of the demo through Slurm, and the comments of its jobs."""

    folder: Path
    jobs: list[str]


@pytest.fixture(scope="module")
def through_slurm(start: Any, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo_through_slurm")
    run: Run = start(folder, configfile=DEMO)
    assert run.wait(within=2 * LONG) == 0, run.text()
    return Demo(folder, [squeue(job, "%k") for job in submitted(run.text())])


@pytest.fixture(scope="module")
def local(through_slurm: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo on this machine without Slurm, after that run, since there are few cores."""
    folder = tmp_path_factory.mktemp("demo_alone")
    run_locally(folder, configfile=DEMO)
    return folder


def test_slurm_trains_each_network_of_the_demo_in_a_separate_job(through_slurm: Demo) -> None:
    trainings = [job for job in through_slurm.jobs if job.startswith("rule_train_model")]
    assert sorted(trainings) == [f"rule_train_model_wildcards_{name}_0" for name in EXPERIMENTS]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_slurm_gives_the_same_bytes_as_one_machine(through_slurm: Demo, local: Path, experiment: str) -> None:
    run = f"results/demo/runs/{experiment}/seed_0"
    records = [json.loads((folder / run / "training.json").read_text()) for folder in (through_slurm.folder, local)]
    # Only trainings of the same identity, which includes the threads, must give the same bytes.
    assert [training["threads"] for training in records] == [2, 2]
    assert records[0]["identity"] == records[1]["identity"]
    assert differing(through_slurm.folder, local, run, KEPT) == []


def test_slurm_gives_the_same_scorecard_as_one_machine(through_slurm: Demo, local: Path) -> None:
    assert differing(through_slurm.folder, local, "results/demo", ("scorecard.csv",)) == []
