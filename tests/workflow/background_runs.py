"""Run Snakemake in the background of a test, and find the processes of its stages."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from tiny_run import TINY

PROJECT = Path(__file__).resolve().parents[2]


def stages(folder: Path, stage: str) -> list[psutil.Process]:
    """List the processes that run a stage in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cmdline()[1:3] == ["-m", f"cxrflow.stages.{stage}"] and Path(process.cwd()) == folder:
                found.append(process)
        except psutil.Error:  # it has ended
            continue
    return found


@dataclass
class Run:
    """Snakemake running in a folder."""

    folder: Path
    process: subprocess.Popen[str]
    screen: Path

    def text(self) -> str:
        """Return everything that it and its jobs have printed."""
        return self.screen.read_text(encoding="utf-8")

    def until(self, what: Callable[[], Any]) -> Any:
        """Wait until a condition holds, and return its value; fail if Snakemake ends earlier, or after 15 minutes."""
        end = time.monotonic() + 900
        while not (found := what()):
            assert self.process.poll() is None and time.monotonic() < end, self.text()
            time.sleep(0.05)
        return found

    def ends(self) -> int:
        """Wait until it has ended; return its exit status."""
        return self.process.wait(1800)


@contextmanager
def started(folder: Path, *targets: str, **changes: Any) -> Iterator[Run]:
    """Start Snakemake in a folder, with the tiny config and a checkpoint after each epoch; at the end, kill what still runs."""
    folder.mkdir(exist_ok=True)
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "threads": 1, "save_every": 0, **changes}))
    screen = folder / f"screen_{len(list(folder.glob('screen_*')))}.txt"
    command = [sys.executable, "-m", "snakemake", "-s", str(PROJECT / "Snakefile"), "-d", str(folder), *targets]
    command += ["--cores", "2", "--configfile", str(folder / "tiny.yaml")]
    with screen.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT, text=True)
    try:
        yield Run(folder, process, screen)
    finally:
        left = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.wait()
        for child in left:
            if child.is_running():
                child.kill()
