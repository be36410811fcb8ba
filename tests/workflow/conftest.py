"""Snakemake, as a user runs it, in separate folders."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from forked import forked_snakemake
from tiny_run import TINY

Snakemake = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def snakemake(project: Path) -> Snakemake:
    """`snakemake(folder, *arguments)` runs Snakemake in a folder, with cxrflow's Snakefile and default profile."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        named = ["-s", str(project / "Snakefile"), "-d", str(folder), *arguments]
        if {"-n", "--touch"} & {*arguments}:
            return forked_snakemake(project, named)
        command = [sys.executable, "-m", "snakemake", *named]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def overlay(tmp_path: Path) -> Callable[..., str]:
    """`overlay(key=value, …)` writes TINY with some keys changed, and returns the file's name."""

    def write(**changes: object) -> str:
        path = tmp_path / "overlay.yaml"
        path.write_text(yaml.safe_dump({**TINY, **changes}))
        return str(path)

    return write
