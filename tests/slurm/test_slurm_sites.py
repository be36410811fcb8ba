"""cxrflow on other clusters: with accounting, for a user who is not root, and the doctor's checks."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cxrflow.run.cluster import examine_cluster
from slurm_runs import PROJECT, SITE, STUDY, THROUGH_SLURM, Run, of_site, submitted, write_study

pytestmark = [pytest.mark.slow, pytest.mark.long]
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
SPLIT = "results/tiny/split/binary.csv"  # one Slurm job prepares all data


def runs_for_nobody(python: str) -> bool:
    command = [*NOBODY, "sh", "-c", '"$0" -c "import snakemake"', python]  # as in the script of a job
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def python_for_nobody(cluster: Path, open_folder: Callable[[str], Path]) -> str:
    """A Python with the packages of the tests that every user may run: theirs, or the system's if it is the same version."""
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
        pytest.skip(f"only root may run {sys.executable}, and /usr/bin/python3 is another version")
    return python


def test_slurm_works_for_a_user_who_is_not_root(python_for_nobody: str, open_folder: Callable[[str], Path]) -> None:
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


def test_slurm_is_asked_through_accounting_and_redrawn_phantoms_are_indexed_once(start: Any, tmp_path: Path) -> None:
    """The node reads the rules while phantoms are drawn, the next run much later: both agree with the first run's plan."""
    for seed in (0, 1):
        phantoms = {**STUDY["phantoms"], "seed": seed}
        run: Run = start(tmp_path, SPLIT, site={"STATUS": "sacct"}, phantoms=phantoms)
        assert run.wait() == 0, run.text()
        assert len(submitted(run.text())) == 1
    again: Run = start(tmp_path, SPLIT, "--dry-run", phantoms=phantoms)
    assert again.wait() == 0
    assert "Nothing to be done" in again.text()


@pytest.mark.usefixtures("cluster")
def test_slurm_doctor_sees_the_cluster_as_it_is() -> None:
    found = examine_cluster({**of_site(SITE), "CXRFLOW_SLURM_GPUS": "2"})
    assert [finding.level for finding in found] == ["ok"] * 3, found
    assert "2 per node in partition main" in found[1].text
    wrong = examine_cluster(of_site({**SITE, "PARTITION": "big"}))
    assert [finding.level for finding in wrong] == ["error", "ok"]
    assert "no partition big; choose one of main" in wrong[0].text
    (few,) = [finding for finding in examine_cluster(of_site({**SITE, "GPUS": "3"})) if finding.level == "error"]
    assert "3 requested per training, but a node of partition main has 2" in few.text
