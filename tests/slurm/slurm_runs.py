"""Runs of Snakemake through Slurm, and what can be seen of their jobs."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

PROJECT = Path(__file__).resolve().parents[2]

# One small network on few phantoms. A state each second, so that there is one to go on from.
STUDY: dict[str, Any] = {
    "name": "tiny",
    "phantoms": {"train_per_class": 6, "test_per_class": 2},
    "image_list": None,
    "weights": "random",
    "claims": None,
    "feature_images": "both",
    "only": ["binary_mobilenet"],
    "experiments": {
        "binary_mobilenet": {"like": "multiclass_mobilenet", "task": "binary", "loss": "binary_crossentropy"}
    },
    "override": {"image_size": 32, "epochs": 40, "batch_size": 5},
    "tsne": {"perplexity": 5},
    "threads": 1,
    "save_every": 1,
}
SITE = {
    "CORES": "2",
    "TRAINING_MB": "2500",
    "MOST_MB": "3500",
    "FIRST_CHECK": "6",
    "WARNING": "60",
    "PARTITION": "main",
}
ENDLESS = {"override": {"image_size": 32, "epochs": 3000, "batch_size": 5}}


@dataclass
class Run:
    """Snakemake, started through Slurm in a folder."""

    folder: Path
    process: subprocess.Popen[str]
    screen: Path

    def text(self) -> str:
        """All that it has said."""
        return self.screen.read_text(encoding="utf-8", errors="replace")

    def log(self, seed: int) -> str:
        """The log of a training, as far as it goes."""
        file = self.folder / f"results/tiny/logs/train_model/binary_mobilenet/seed_{seed}.log"
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""

    def until(self, what: Callable[[], Any], seconds: float = 240) -> Any:
        """Wait until something is so, and give it; fail where Snakemake ends before, or after a long time."""
        end = time.monotonic() + seconds
        while not (found := what()):
            assert self.process.poll() is None and time.monotonic() < end, self.text() + "\n".join(
                map(self.log, (0, 1, 2))
            )
            time.sleep(0.2)
        return found

    def until_log(self, seed: int, pattern: str) -> re.Match[str]:
        """Wait until the log of a training tells something."""
        return self.until(lambda: re.search(pattern, self.log(seed)))

    def ends(self, seconds: float = 300) -> int:
        """Wait until it has ended; its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"Snakemake has not ended in {seconds} s:\n{self.text()}")

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)


def snakemake_command(folder: Path, overlay: Path) -> list[str]:
    """Snakemake in a folder, by the Python of the tests."""
    files = ["-s", str(PROJECT / "Snakefile"), "-d", str(folder), "--configfile", str(overlay)]
    return [sys.executable, "-m", "snakemake", *files]


def jobs(rule: str = "") -> list[str]:
    """Ids of the jobs that wait or run, of one rule or of all."""
    told = subprocess.run(["squeue", "-h", "-o", "%A %k"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in told.splitlines() if rule in line]


def cancel_all() -> None:
    """Cancel what is left, and wait until it is gone."""
    subprocess.run(["scancel", "--partition", "main"], check=True)
    end = time.monotonic() + 60
    while jobs():
        assert time.monotonic() < end, "jobs stay in the queue"
        time.sleep(0.2)


def trainings(folder: Path) -> dict[int, dict[str, str]]:
    """Seed to environment of the training processes that run in a folder."""
    found = {}
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if command[1:3] == ["-m", "cxrflow.train_model"] and Path(process.cwd()) == folder:
                found[int(command[command.index("--seed") + 1])] = process.environ()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found
