"""A Slurm cluster on this machine, and Snakemake on it; only with CXRFLOW_TEST_SLURM=1, since it installs daemons."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import open_folders
import pytest
from slurm_runs import PROJECT, SITE, THROUGH_SLURM, Run, cancel_all, of_site, snakemake_command, write_study

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Callable[[str], Path]]:
    """`open_folder(name)` creates a folder that other users can access; those of pytest are private."""
    with ExitStack() as folders:
        yield lambda name: folders.enter_context(open_folders.open_folder(f"{name}-"))


@pytest.fixture(scope="session")
def cluster(open_folder: Callable[[str], Path]) -> Iterator[Path]:
    """Set up a cluster of two nodes, the first with two fake GPUs, and accounting; it is shut down at the end."""
    if os.environ.get("CXRFLOW_TEST_SLURM") != "1":
        pytest.skip("CXRFLOW_TEST_SLURM is not 1: these tests install and start Slurm")
    assert os.geteuid() == 0 and shutil.which("apt-get"), "CXRFLOW_TEST_SLURM=1 needs root and apt"
    assert "PYTEST_XDIST_WORKER" not in os.environ, "a machine has one Slurm: pytest -n 0 tests/slurm"
    folder = open_folder("cluster")  # for daemons of other users
    environment = {**os.environ, "FOLDER": str(folder), "ACCOUNTING": "1"}
    try:
        subprocess.run(["bash", str(HERE / "up.sh")], env=environment, check=True)
        yield folder
    finally:
        subprocess.run(["bash", str(HERE / "down.sh")], env=environment, check=False)


Start = Callable[..., Run]


@pytest.fixture(scope="module")
def start(cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start Snakemake on the cluster: `start(folder, *flags, site={}, **config)`; what still runs at the end is stopped.

    The config is STUDY with some keys changed, or a `configfile`.
    """
    runs: list[Run] = []

    def begin(
        folder: Path,
        *flags: str,
        site: dict[str, str] | None = None,
        configfile: Path | None = None,
        **config: Any,
    ) -> Run:
        folder.mkdir(exist_ok=True)
        number = len(runs)
        configfile = configfile or write_study(tmp_path_factory.mktemp("config") / "study.yaml", **config)
        environment = of_site({**SITE, **(site or {})})
        screen = folder / f"screen_{number}.txt"
        with screen.open("w") as out:
            process = subprocess.Popen(
                [*snakemake_command(folder, configfile), *THROUGH_SLURM, *flags],
                cwd=PROJECT, env={**os.environ, **environment}, stdout=out, stderr=out, text=True, start_new_session=True,
            )  # fmt: skip
        runs.append(Run(folder, process, screen))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.interrupt()
            run.wait()
    cancel_all()
