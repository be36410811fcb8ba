"""cxrflow on clusters that differ: with accounting, for a user who is not root, and with many small jobs in one."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cxrflow.machine.cluster import examine_cluster
from slurm_runs import PROJECT, SITE, STUDY, THROUGH_SLURM, Run, of_site, submitted, write_study

pytestmark = pytest.mark.slow
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
SPLIT = "results/tiny/split/binary.csv"  # one job of Slurm, for all that prepares the data


def runs_for_nobody(python: str) -> bool:
    command = [*NOBODY, "sh", "-c", '"$0" -c "import snakemake"', python]  # as the script of a job calls it
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def python_for_nobody(cluster: Path, open_folder: Callable[[str], Path]) -> str:
    """A Python with the packages of the tests that each user may run: theirs, or the system's where it is of that version."""
    if runs_for_nobody(sys.executable):
        return sys.executable
    folder = open_folder("python")
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", folder], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / f"lib/{version}/site-packages"
    packages.mkdir(parents=True, exist_ok=True)
    line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (packages / "tests.pth").write_text(line)
    python = str(folder / "bin/python")
    if not runs_for_nobody(python):
        pytest.skip(f"{sys.executable} is root's alone, and /usr/bin/python3 is of another version")
    return python


def test_slurm_serves_a_user_who_is_not_root(python_for_nobody: str, open_folder: Callable[[str], Path]) -> None:
    folder = open_folder("nobody")
    overlay = write_study(folder / "study.yaml")
    subprocess.run(["chown", "-R", "nobody:nogroup", str(folder)], check=True)
    environment = {**os.environ, **of_site(SITE), "HOME": str(folder), "TMPDIR": str(folder)}
    files = ["-s", str(PROJECT / "Snakefile"), "-d", str(folder), "--configfile", str(overlay)]
    command = [*NOBODY, python_for_nobody, "-m", "snakemake", *files, *THROUGH_SLURM, SPLIT]
    ended = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (job,) = submitted(ended.stdout + ended.stderr)
    users = subprocess.run(
        ["sacct", "-n", "-X", "-j", job, "-o", "User,State"], capture_output=True, text=True, check=True
    )
    assert users.stdout.split() == ["nobody", "COMPLETED"]
    assert (folder / SPLIT).owner() == "nobody"


def test_slurm_is_asked_through_accounting_and_looks_once_at_phantoms_that_are_drawn_anew(
    start: Any, tmp_path: Path
) -> None:
    """The node reads the rules when they are drawn, the next run long after: both go by what the first run planned."""
    for seed in (0, 1):
        phantoms = {**STUDY["phantoms"], "seed": seed}
        run: Run = start(tmp_path, SPLIT, site={"STATUS": "sacct"}, phantoms=phantoms)
        assert run.ends() == 0, run.text()
        assert len(submitted(run.text())) == 1
    again: Run = start(tmp_path, SPLIT, "--dry-run", phantoms=phantoms)
    assert again.ends() == 0
    assert "Nothing to be done" in again.text()


@pytest.mark.usefixtures("cluster")
def test_slurm_doctor_sees_the_cluster_as_it_is() -> None:
    found = examine_cluster({**of_site(SITE), "CXRFLOW_SLURM_GPUS": "2"})
    assert [finding.level for finding in found] == ["ok"] * 3, found
    assert "2 a node in partition main" in found[1].text
    wrong = examine_cluster(of_site({**SITE, "PARTITION": "big"}))
    assert [finding.level for finding in wrong] == ["fault", "ok"]
    assert "no partition big; name one of main" in wrong[0].text
    (few,) = [finding for finding in examine_cluster(of_site({**SITE, "GPUS": "3"})) if finding.level == "fault"]
    assert "3 asked for a training, a node of partition main has 2" in few.text
