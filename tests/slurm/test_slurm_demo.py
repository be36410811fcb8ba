"""The demo, once through Slurm and once without it on the same machine: the same bytes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slurm_runs import KEPT, LONG, PROJECT, Run, differing, run_alone, submitted, told_of

pytestmark = pytest.mark.slow
DEMO = PROJECT / "examples/demo.yaml"
EXPERIMENTS = ("binary_inception_v3", "multiclass_inception_v3", "multiclass_mobilenet")


@dataclass
class Demo:
    """The demo that has run through Slurm, and what each of its jobs was there."""

    folder: Path
    jobs: list[str]


def folder_for_demo(folder: Path) -> Path:
    """A folder in which files are found that the demo names by their place in the checkout."""
    for name in ("examples", "workflow"):
        (folder / name).symlink_to(PROJECT / name)
    return folder


@pytest.fixture(scope="module")
def through_slurm(start: Any, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = folder_for_demo(tmp_path_factory.mktemp("demo_through_slurm"))
    # Enough for InceptionV3 at the first attempt; the node with the GPUs has room for two such trainings.
    run: Run = start(folder, configfile=DEMO, site={"TRAINING_MB": "3500"})
    assert run.ends(within=2 * LONG) == 0, run.text()
    return Demo(folder, [told_of(job, "%k") for job in submitted(run.text())])


@pytest.fixture(scope="module")
def alone(through_slurm: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo on this machine without Slurm, once that has ended: not beside it, on few cores."""
    folder = folder_for_demo(tmp_path_factory.mktemp("demo_alone"))
    run_alone(folder, configfile=DEMO)
    return folder


def test_slurm_trains_each_network_of_the_demo_in_a_job_of_its_own(through_slurm: Demo) -> None:
    trainings = [job for job in through_slurm.jobs if job.startswith("rule_train_model")]
    assert sorted(trainings) == [f"rule_train_model_wildcards_{name}_0" for name in EXPERIMENTS]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_slurm_gives_the_same_bytes_as_one_machine(through_slurm: Demo, alone: Path, experiment: str) -> None:
    run = f"results/demo/runs/{experiment}/seed_0"
    told = [json.loads((folder / run / "training.json").read_text()) for folder in (through_slurm.folder, alone)]
    # Both have trained, from the same: equal bytes are asked of one identity alone, and threads are part of it.
    assert [training["threads"] for training in told] == [2, 2]
    assert told[0]["identity"] == told[1]["identity"]
    assert differing(through_slurm.folder, alone, run, KEPT) == []


def test_slurm_gives_the_same_scorecard_as_one_machine(through_slurm: Demo, alone: Path) -> None:
    assert differing(through_slurm.folder, alone, "results/demo", ("scorecard.csv",)) == []
