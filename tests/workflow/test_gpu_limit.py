"""How many trainings a machine runs at one time: by its GPUs, unless the command line says otherwise."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# `--touch` of nothing: Snakemake tells its resources and runs no job.
TARGET = ("results/tiny/phantoms/phantoms.csv", "--touch", "--no-hooks", "--cores", "1")
ON_GPUS = {"environment": "gpu"}


@pytest.mark.parametrize(
    ("changes", "visible", "flags", "limit"),
    [
        pytest.param({}, "0,1", (), 1, id="packages for the processor alone"),
        pytest.param(ON_GPUS, "", (), 1, id="no GPU"),
        pytest.param(ON_GPUS, "0,1", (), 2, id="one on each of two"),
        pytest.param({**ON_GPUS, "trainings_per_gpu": 3}, "0,1", (), 6, id="three on each"),
        pytest.param({**ON_GPUS, "device": "cpu"}, "0,1", (), 1, id="GPUs that are not asked for"),
        pytest.param(ON_GPUS, "0,1", ("--resources", "gpu=1"), 1, id="the command line has it otherwise"),
    ],
)
def test_trainings_at_one_time(
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
    told = re.search(r"Provided resources: gpu=\D*(\d+)", run.stdout + run.stderr)
    assert told and int(told[1]) == limit
