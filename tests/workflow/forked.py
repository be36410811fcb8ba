"""Processes that start with Snakemake loaded, for the many runs that have no jobs: half of a dry run is the start of Python."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

CONTEXT = multiprocessing.get_context("forkserver")
# Loaded once for all dry runs; not cxrflow, since each copy of the project has its own.
SNAKEMAKE = ["snakemake.cli", "snakemake.workflow", "snakemake.report.html_reporter", "requests", "smart_open"]
CONTEXT.set_forkserver_preload([*SNAKEMAKE, "pydantic", "numpy", "PIL.Image", "psutil"])


def forked_snakemake(cwd: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run Snakemake with the environment of this process, like `subprocess.run` with captured output."""
    with TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("stdout", "stderr")]
        process = CONTEXT.Process(target=_run, args=(str(cwd), list(arguments), dict(os.environ), [*map(str, files)]))
        process.start()
        process.join()
        assert process.exitcode is not None
        texts = [file.read_text() for file in files]
    return subprocess.CompletedProcess(["snakemake", *arguments], process.exitcode, *texts)


def _run(cwd: str, arguments: list[str], environment: dict[str, str], files: list[str]) -> None:
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["snakemake", *arguments]
    from snakemake.cli import main

    main()
