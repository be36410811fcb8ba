"""Existing manifests do not change when seeds or epochs are added; real runs, up to the manifests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cxrflow.augmentation.manifest import read_epoch

ONLY = ["multiclass_inception_v3", "multiclass_mobilenet"]


def epochs(inception: int, mobilenet: int) -> dict[str, Any]:
    return {"multiclass_inception_v3": {"epochs": inception}, "multiclass_mobilenet": {"epochs": mobilenet}}


def manifests(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Name of each manifest to its bytes and its time."""
    root = folder / "results/tiny/augmentation"
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_more_seeds_or_epochs_change_no_other_manifest(
    snakemake: Any, overlay: Callable[..., str], tmp_path: Path
) -> None:
    def planned(**changes: Any) -> dict[str, tuple[bytes, int]]:
        config = overlay(only=ONLY, override={"image_size": 32}, **changes)
        run = snakemake(tmp_path, "--cores", "2", "--until", "plan_augmentation", "--configfile", config)
        assert run.returncode == 0, run.stderr
        return manifests(tmp_path)

    first = planned(experiments=epochs(2, 2))
    assert list(first) == ["multiclass/seed_0/epochs_2.parquet"], "both backbones of a task share one"
    second = planned(experiments=epochs(2, 4), seeds=2)
    assert list(second) == [f"multiclass/seed_{seed}/epochs_{count}.parquet" for seed in (0, 1) for count in (2, 4)]
    assert {name: second[name] for name in first} == first
    seed_0 = tmp_path / "results/tiny/augmentation/multiclass/seed_0"
    for epoch in (1, 2):
        pd.testing.assert_frame_equal(
            read_epoch(seed_0 / "epochs_4.parquet", epoch), read_epoch(seed_0 / "epochs_2.parquet", epoch)
        )
