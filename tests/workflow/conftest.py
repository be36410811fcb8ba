"""Snakemake, run as a user runs it, in folders of its own."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

# One small network on few phantoms: the whole flow in about a minute.
TINY = {
    "name": "tiny",
    "phantoms": {"train_per_class": 6, "test_per_class": 2},
    "image_list": None,
    "weights": "random",
    "claims": None,
    "feature_images": "both",
    "only": ["multiclass_mobilenet"],
    "override": {"image_size": 32, "epochs": 2, "batch_size": 5},
    "tsne": {"perplexity": 5},
}

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


def planned_jobs(run: subprocess.CompletedProcess[str]) -> Counter[str]:
    """Rule to number of jobs, from the table that a dry run prints."""
    assert run.returncode == 0, run.stdout + run.stderr
    text = run.stdout + run.stderr
    if "Nothing to be done" in text:
        return Counter()
    table = text[text.index("Job stats:") :]
    table = table[: table.index("\ntotal")]
    return Counter({name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)})
