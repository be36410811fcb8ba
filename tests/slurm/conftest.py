"""A Slurm cluster on this machine, and Snakemake on it. Only with CXRFLOW_TEST_SLURM=1, since it installs daemons."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from slurm_runs import PROJECT, SITE, STUDY, THROUGH_SLURM, Run, cancel_all, of_site, snakemake_command

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cluster of two nodes, the first with two made-up GPUs, and accounting; taken down in the end."""
    if os.environ.get("CXRFLOW_TEST_SLURM") != "1":
        pytest.skip("CXRFLOW_TEST_SLURM is not 1: these tests install and start Slurm")
    assert os.geteuid() == 0 and shutil.which("apt-get"), "CXRFLOW_TEST_SLURM=1 needs root and apt"
    assert "PYTEST_XDIST_WORKER" not in os.environ, "a machine has one Slurm: pytest -n 0 tests/slurm"
    folder = tmp_path_factory.mktemp("cluster")
    for parent in (folder, *folder.parents[:2]):  # daemons of other users go through it
        parent.chmod(0o755)
    environment = {**os.environ, "FOLDER": str(folder), "ACCOUNTING": "1"}
    try:
        subprocess.run(["bash", str(HERE / "up.sh")], env=environment, check=True)
        yield folder
    finally:
        subprocess.run(["bash", str(HERE / "down.sh")], env=environment, check=False)


Start = Callable[..., Run]


@pytest.fixture(scope="module")
def start(cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """`start(folder, *flags, site={}, **config)` starts Snakemake on the cluster; what still runs in the end is ended."""
    runs: list[Run] = []

    def begin(folder: Path, *flags: str, site: dict[str, str] | None = None, **config: Any) -> Run:
        folder.mkdir(exist_ok=True)
        number = len(runs)
        overlay = tmp_path_factory.mktemp("config") / "study.yaml"
        overlay.write_text(yaml.safe_dump({**STUDY, **config}))
        environment = of_site({**SITE, **(site or {})})
        screen = folder / f"screen_{number}.txt"
        with screen.open("w") as out:
            process = subprocess.Popen(
                [*snakemake_command(folder, overlay), *THROUGH_SLURM, *flags],
                cwd=PROJECT, env={**os.environ, **environment}, stdout=out, stderr=out, text=True, start_new_session=True,
            )  # fmt: skip
        runs.append(Run(folder, process, screen))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.interrupt()
            run.ends()
    cancel_all()
