"""Snakemake, run as a user runs it, in folders of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tiny_run import TINY

Snakemake = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def snakemake(project: Path) -> Snakemake:
    """`snakemake(folder, *arguments)` runs Snakemake in a folder, with cxrflow's Snakefile and default profile."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snakemake", "-s", str(project / "Snakefile"), "-d", str(folder), *arguments]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def overlay(tmp_path: Path) -> Callable[..., str]:
    """`overlay(key=value, …)` writes TINY with some keys changed, and gives the file's name."""

    def write(**changes: object) -> str:
        path = tmp_path / "overlay.yaml"
        path.write_text(yaml.safe_dump({**TINY, **changes}))
        return str(path)

    return write
