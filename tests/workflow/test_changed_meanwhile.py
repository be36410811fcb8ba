"""Code or a config that is edited while a run is under way: no job makes anything by it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finished_run import copy_project
from tiny_run import planned_jobs

SPLIT = "results/tiny/split/multiclass.csv"


def copied(project: Path, folder: Path) -> Any:
    """A copy of the project, and Snakemake in it."""
    copy_project(project, folder)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    return run


def test_code_that_is_edited_meanwhile_is_not_run(project: Path, tmp_path: Path, overlay: Callable[..., str]) -> None:
    """The index's own code is the editor here: it runs before the split."""
    folder = tmp_path / "copy"
    run = copied(project, folder)
    index, split = (folder / f"workflow/cxrflow/{stage}.py" for stage in ("index_images", "split_images"))
    edit = f"def main() -> None:\n    with open({str(split)!r}, 'a') as code:\n        code.write('edited = 1\\n')\n"
    index.write_text(index.read_text().replace("def main() -> None:\n", edit))
    before = split.read_text()
    ended = run(SPLIT, "--configfile", overlay())
    assert ended.returncode == 1 and not (folder / SPLIT).exists()
    told = "error: the code of split_images has changed since this run was planned; give the command again"
    assert told in ended.stdout + ended.stderr
    again = run(SPLIT, "--configfile", overlay())
    assert again.returncode == 0, again.stdout + again.stderr
    # It was made by the edited code, and that is known: back to the other one.
    split.write_text(before)
    assert planned_jobs(run("-n", SPLIT, "--configfile", overlay())) == {"split_images": 1}


@pytest.fixture
def job(
    snakemake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`job(plan, config)` is what a job of a cluster reads, begun by a run of some plan; it runs nothing."""

    def begin(plan: dict[str, Any] | None, config: str) -> subprocess.CompletedProcess[str]:
        if plan is not None:
            monkeypatch.setenv("CXRFLOW_PLAN", json.dumps(plan))
        where = ("-n", "-p", "--mode", "remote", "--target-jobs", "index_images:")
        ended: subprocess.CompletedProcess[str] = snakemake(tmp_path, *where, "--configfile", config)
        return ended

    return begin


def test_a_clusters_job_goes_by_the_plan_of_its_run(job: Any, overlay: Callable[..., str]) -> None:
    """Its images have the fingerprint that is written down, though they were drawn meanwhile; no node looks at all of them."""
    ended = job({"images": "as planned", "code": {}}, overlay())
    assert ended.returncode == 0 and "--fingerprint 'as planned'" in ended.stdout + ended.stderr


def test_a_clusters_job_without_a_plan_looks_for_itself(
    job: Any, overlay: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXRFLOW_PLAN", raising=False)
    assert job(None, overlay()).returncode == 0


def test_a_config_that_is_edited_meanwhile_ends_a_clusters_jobs(
    project: Path, tmp_path: Path, overlay: Callable[..., str], job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = f"""
import os, sys
from snakemake.cli import main
try:
    main(["-s", {str(project / "Snakefile")!r}, "-d", {str(tmp_path)!r}, "-n", "--configfile", {overlay()!r}])
except SystemExit:
    open({str(tmp_path / "plan")!r}, "w").write(os.environ["CXRFLOW_PLAN"])
"""
    subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, check=True)
    plan = json.loads((tmp_path / "plan").read_text())
    assert job(plan, overlay()).returncode == 0
    ended = job(plan, overlay(tsne={"perplexity": 6}))
    assert ended.returncode == 1
    assert "the config has changed since this run was planned; give the command again" in ended.stdout + ended.stderr
