"""Runs of Snakemake through Slurm, and what can be seen of their jobs."""

import os
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
import yaml

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
THROUGH_SLURM = ("--workflow-profile", str(PROJECT / "profiles/slurm"), "--slurm-keep-successful-logs")
RUN = "results/tiny/runs/binary_mobilenet/seed_{}"
# Files of a run that are the same bytes each time; model.keras holds its date.
KEPT = ("model.weights.h5", "history.csv", "predictions.csv", "metrics.json", "embedding.csv", "separation.json")
LONG = 1800  # seconds after which something that ends by itself has not

EPOCH = r"^epoch +(\d+)/"
STOPPED = r"^stopped by SIGTERM behind epoch (\d+)(?:, step (\d+))?"
GOES_ON = r"^goes on behind epoch (\d+)(?: and (\d+) steps)?"


def of_epochs(epochs: int) -> dict[str, Any]:
    """Config of a training of another length."""
    return {"override": {**STUDY["override"], "epochs": epochs}}


def of_site(values: dict[str, str]) -> dict[str, str]:
    """Values of a site, as the profile takes them from the environment."""
    return {f"CXRFLOW_SLURM_{name}": value for name, value in values.items()}


@dataclass
class Run:
    """Snakemake, started through Slurm in a folder."""

    folder: Path
    process: subprocess.Popen[str]
    screen: Path

    def text(self) -> str:
        """All that it has said."""
        return self.screen.read_text(encoding="utf-8", errors="replace")

    def said_by(self, job: str) -> str:
        """What a job of Slurm has said so far; kept of jobs that failed, and here of the others, too."""
        files = list((self.folder / ".snakemake/slurm_logs").rglob(f"{job}.log"))
        return "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)

    def until(self, what: Callable[[], Any]) -> Any:
        """Wait until something is so, and give it; fail where Snakemake ends before, or after a long time."""
        end = time.monotonic() + LONG
        while not (found := what()):
            if self.process.poll() is not None or time.monotonic() > end:
                logs = sorted((self.folder / ".snakemake/slurm_logs").rglob("*.log"))
                pytest.fail("\n".join([self.text(), *(f"--- {log}\n{log.read_text()[-3000:]}" for log in logs)]))
            time.sleep(0.2)
        return found

    def until_said_by(self, job: str, pattern: str) -> re.Match[str]:
        """Wait until a job of Slurm says something."""
        return self.until(lambda: re.search(pattern, self.said_by(job), re.MULTILINE))

    def until_training(self, seed: int, but: str = "") -> str:
        """Wait until a training runs, in another job than `but`; the Slurm job that it is."""

        def job() -> str:
            found = trainings(self.folder).get(seed, {}).get("SLURM_JOB_ID", "")
            return found if found != but else ""

        return self.until(job)

    def ends(self, within: float = LONG) -> int:
        """Wait until it has ended, so many seconds at most; its exit status."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            pytest.fail(f"Snakemake has not ended in {within} s:\n{self.text()}")

    def interrupt(self) -> None:
        """Ctrl-C: to all that the terminal would send it to."""
        os.killpg(self.process.pid, signal.SIGINT)


def submitted(screen: str) -> list[str]:
    """The jobs that Snakemake has handed in, by what it has said."""
    return re.findall(r"submitted with SLURM jobid (\d+)", screen)


def place(match: re.Match[str]) -> tuple[int, int]:
    """Epochs and steps of STOPPED and GOES_ON."""
    return int(match[1]), int(match[2] or 0)


def write_study(file: Path, **config: Any) -> Path:
    """Write STUDY as a config file, with some keys changed."""
    file.write_text(yaml.safe_dump({**STUDY, **config}))
    return file


def snakemake_command(folder: Path, configfile: Path) -> list[str]:
    """Snakemake in a folder, by the Python of the tests; it heeds Ctrl-C, also where the tests run in the background."""
    files = ["-s", str(PROJECT / "Snakefile"), "-d", str(folder), "--configfile", str(configfile)]
    return ["env", "--default-signal=INT", sys.executable, "-m", "snakemake", *files]


def run_alone(folder: Path, *flags: str, configfile: Path | None = None, **config: Any) -> None:
    """The same on this machine without Slurm, to its end."""
    folder.mkdir(exist_ok=True)
    configfile = configfile or write_study(folder / "study.yaml", **config)
    command = [*snakemake_command(folder, configfile), "--cores", "2", *flags]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def differing(one: Path, other: Path, results: str, names: tuple[str, ...]) -> list[str]:
    """Files of a folder of results that are not the same bytes in two places."""
    files = [f"{results}/{name}" for name in names]
    return [file for file in files if (one / file).read_bytes() != (other / file).read_bytes()]


def jobs(rule: str = "") -> list[str]:
    """Ids of the jobs that wait, run or end, of one rule or of all."""
    told = subprocess.run(["squeue", "-h", "-o", "%A %k"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in told.splitlines() if rule in line]


def told_of(job: str, form: str) -> str:
    """What squeue tells of a job, also of one that has ended."""
    command = ["squeue", "-h", "-t", "all", "-j", job, "-o", form]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def until_no_job() -> None:
    """Wait until none is left, and end none."""
    end = time.monotonic() + LONG
    while jobs():
        assert time.monotonic() < end, "jobs stay in the queue"
        time.sleep(0.2)


def cancel_all() -> None:
    """Cancel what is left, and wait until it is gone."""
    subprocess.run(["scancel", "--partition", "main"], check=True)
    until_no_job()


def trainings(folder: Path) -> dict[int, dict[str, str]]:
    """Seed to environment of the training processes that run in a folder, and the process id as PROCESS."""
    found = {}
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if command[1:3] == ["-m", "cxrflow.train_model"] and Path(process.cwd()) == folder:
                seed = int(command[command.index("--seed") + 1])
                found[seed] = {**process.environ(), "PROCESS": str(process.pid)}
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found
