"""Number of simultaneous trainings on a machine: set by its GPUs, unless the command line sets it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# `--touch` of nothing: Snakemake prints its resources and runs no job.
TARGET = ("results/tiny/phantoms/phantoms.csv", "--touch", "--no-hooks", "--cores", "1")
ON_GPUS = {"environment": "gpu"}


@pytest.mark.parametrize(
    ("changes", "visible", "flags", "limit"),
    [
        pytest.param({}, "0,1", (), 1, id="packages without GPU support"),
        pytest.param(ON_GPUS, "", (), 1, id="no GPU"),
        pytest.param(ON_GPUS, "0,1", (), 2, id="one on each of two"),
        pytest.param({**ON_GPUS, "trainings_per_gpu": 3}, "0,1", (), 6, id="three on each"),
        pytest.param({**ON_GPUS, "device": "cpu"}, "0,1", (), 1, id="GPUs that are not requested"),
        pytest.param(ON_GPUS, "0,1", ("--resources", "training_slots=1"), 1, id="set on the command line"),
    ],
)
def test_simultaneous_trainings(
    snakemake: Any,
    overlay: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    visible: str,
    flags: tuple[str, ...],
    limit: int,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    run = snakemake(tmp_path, *TARGET, *flags, "--configfile", overlay(**changes))
    found = re.search(r"training_slots=\D*(\d+)", run.stdout + run.stderr)
    assert found and int(found[1]) == limit
