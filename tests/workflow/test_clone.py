"""A clone and its environment in a folder with an apostrophe and blanks: a partial run, a full one, and Snakemake's report."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from tiny_run import TINY, planned_jobs

pytestmark = pytest.mark.slow
PARTS = ("Snakefile", "config.yaml", "workflow", "profiles", "envs", "studies")


class Clone:
    """A copy of the project, and an environment with the packages of this one."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.folder = folder
        for name in PARTS:
            copy = shutil.copytree if (project / name).is_dir() else shutil.copy
            folder.mkdir(parents=True, exist_ok=True)
            copy(project / name, folder / name)
        python = Path(sys.executable)
        self.python = folder / "my env/bin/python"
        self.python.parent.mkdir(parents=True)
        self.python.symlink_to(python.resolve())
        packages = Path(sysconfig.get_path("purelib"))
        (folder / "my env" / packages.relative_to(sys.prefix)).parent.mkdir(parents=True)
        (folder / "my env" / packages.relative_to(sys.prefix)).symlink_to(packages)
        (folder / "my env/pyvenv.cfg").write_text(f"home = {python.resolve().parent}\n")
        # A path of the config with the same signs.
        config = {**TINY, "weights": str(folder / "studies/demo/weights")}
        (folder / "tiny.yaml").write_text(yaml.safe_dump(config))

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.python), "-m", "snakemake", *arguments, "--cores", "2", "--configfile", "tiny.yaml"]
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=900
        )


@pytest.fixture(scope="module")
def clone(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(project, tmp_path_factory.mktemp("clone") / "it's my lab" / "cxr flow")


@pytest.fixture(scope="module")
def partial_run(clone: Clone) -> str:
    """The output of a run up to the split."""
    run = clone.snakemake("--until", "split_images")
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def test_outside_problem_a_partial_run_announces_no_report(partial_run: str) -> None:
    assert "Finished jobid" in partial_run and "(Rule: split_images)" in partial_run
    assert "report:" not in partial_run
    assert "localrules" not in partial_run


def test_outside_problem_snakemakes_report_of_a_partial_run(clone: Clone, partial_run: str) -> None:
    """It works for the targets that exist; for others it names the missing file."""
    whole = clone.snakemake("--report", "whole.html")
    assert whole.returncode != 0 and "Traceback" not in whole.stderr
    assert whole.stderr.strip().endswith("File results/tiny/report/index.html marked for report but does not exist.")
    part = clone.snakemake("results/tiny/split/multiclass.csv", "--report", "part.html")
    assert part.returncode == 0, part.stderr
    assert (clone.folder / "part.html").stat().st_size > 0


@pytest.mark.long
def test_outside_problem_a_clone_in_a_folder_with_an_odd_name_runs(clone: Clone, partial_run: str) -> None:
    run = clone.snakemake()
    assert run.returncode == 0, run.stdout + run.stderr
    assert "report: results/tiny/report/index.html\n" in run.stderr
    page = (clone.folder / "results/tiny/report/index.html").read_text(encoding="utf-8")
    assert "multiclass_mobilenet" in page
    assert planned_jobs(clone.snakemake("--dry-run")) == {}
    report = clone.snakemake("--report", "my report.html")
    assert report.returncode == 0, report.stderr
    assert "not for clinical use" in (clone.folder / "my report.html").read_text(encoding="utf-8")
