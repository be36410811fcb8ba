"""Run Snakemake through Slurm, and observe its jobs."""

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

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]

# One small network on a few phantoms. It saves a checkpoint every second, so that there is one to resume from.
STUDY: dict[str, Any] = {
    "name": "tiny",
    "phantoms": {"train_per_class": 6, "test_per_class": 2},
    "image_list": None,
    "weights": "random",
    "claims": None,
    # They take seconds each time; the demo has them.
    "audits": {"rivals": "off", "look_alikes": "off", "labels": "off", "quality": "off"},
    "explain": "none",
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
    "FIRST_CHECK": "1",
    "WARNING": "60",
    "PARTITION": "main",
}
THROUGH_SLURM = ("--workflow-profile", str(PROJECT / "profiles/slurm"), "--slurm-keep-successful-logs")
RUN = "results/tiny/runs/binary_mobilenet/seed_{}"
# Files of a training that are the same bytes each time; model.keras contains a date.
KEPT = ("model.weights.h5", "history.csv", "predictions.csv", "metrics.json", "embedding.csv", "separation.json")
LONG = 1800  # seconds after which a test gives up waiting

EPOCH = r"^epoch +(\d+)/"
STOPPED = r"^stopped by SIGTERM after epoch (\d+)(?:, step (\d+))?"
GOES_ON = r"^resumes after epoch (\d+)(?:, step (\d+))?"


def of_epochs(epochs: int) -> dict[str, Any]:
    """Return the config of a training with another number of epochs."""
    return {"override": {**STUDY["override"], "epochs": epochs}}


def of_site(values: dict[str, str]) -> dict[str, str]:
    """Return the environment variables in which profiles/slurm finds the values of a site."""
    return {f"CXRFLOW_SLURM_{name}": value for name, value in values.items()}


@dataclass
class Run:
    """A Snakemake process that submits jobs to Slurm."""

    folder: Path
    process: subprocess.Popen[str]
    screen: Path

    def text(self) -> str:
        """Return everything that it has printed."""
        return self.screen.read_text(encoding="utf-8", errors="replace")

    def log_of(self, job: str) -> str:
        """Return the log of a Slurm job so far; the tests also keep the logs of successful jobs."""
        files = list((self.folder / ".snakemake/slurm_logs").rglob(f"{job}.log"))
        return "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)

    def wait_for(self, what: Callable[[], Any]) -> Any:
        """Wait until a condition holds, and return its value; fail if Snakemake ends earlier, or after a long time."""
        end = time.monotonic() + LONG
        while not (found := what()):
            if self.process.poll() is not None or time.monotonic() > end:
                logs = sorted((self.folder / ".snakemake/slurm_logs").rglob("*.log"))
                pytest.fail("\n".join([self.text(), *(f"--- {log}\n{log.read_text()[-3000:]}" for log in logs)]))
            time.sleep(0.2)
        return found

    def wait_for_line(self, job: str, pattern: str) -> re.Match[str]:
        """Wait for a line in the log of a Slurm job."""
        return self.wait_for(lambda: re.search(pattern, self.log_of(job), re.MULTILINE))

    def wait_for_training(self, seed: int, but: str = "") -> str:
        """Wait until a training runs, in another job than `but`; return its Slurm job."""

        def job() -> str:
            found = trainings(self.folder).get(seed, {}).get("SLURM_JOB_ID", "")
            return found if found != but else ""

        return self.wait_for(job)

    def wait(self, within: float = LONG) -> int:
        """Wait until it has ended, for at most `within` seconds; return its exit status."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            pytest.fail(f"Snakemake has not ended in {within} s:\n{self.text()}")

    def interrupt(self) -> None:
        """Send SIGINT to the whole process group, as Ctrl-C in a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)


def submitted(screen: str) -> list[str]:
    """List the jobs that Snakemake has submitted, from its output."""
    return re.findall(r"submitted with SLURM jobid (\d+)", screen)


def place(match: re.Match[str]) -> tuple[int, int]:
    """Return the epochs and steps of a match of STOPPED or GOES_ON."""
    return int(match[1]), int(match[2] or 0)


def write_study(file: Path, **config: Any) -> Path:
    """Write STUDY as a config file, with some keys changed."""
    file.write_text(yaml.safe_dump({**STUDY, **config}))
    return file


def snakemake_command(folder: Path, configfile: Path) -> list[str]:
    """Return the command of Snakemake in a folder. It obeys Ctrl-C even if the tests run in the background."""
    files = ["-s", str(PROJECT / "Snakefile"), "-d", str(folder), "--configfile", str(configfile)]
    return ["env", "--default-signal=INT", sys.executable, str(HERE / "impatient_snakemake.py"), *files]


def run_locally(folder: Path, *flags: str, configfile: Path | None = None, **config: Any) -> None:
    """Run Snakemake on this machine without Slurm, and wait until it has finished."""
    folder.mkdir(exist_ok=True)
    configfile = configfile or write_study(folder / "study.yaml", **config)
    command = [*snakemake_command(folder, configfile), "--cores", "2", *flags]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def differing(one: Path, other: Path, results: str, names: tuple[str, ...]) -> list[str]:
    """List the files of a folder of results that differ between two working directories."""
    files = [f"{results}/{name}" for name in names]
    return [file for file in files if (one / file).read_bytes() != (other / file).read_bytes()]


def jobs(rule: str = "") -> list[str]:
    """List the ids of the jobs in the queue, of one rule or of all rules."""
    listed = subprocess.run(["squeue", "-h", "-o", "%A %k"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if rule in line]


def squeue(job: str, form: str) -> str:
    """Ask squeue about a job, which may have ended."""
    command = ["squeue", "-h", "-t", "all", "-j", job, "-o", form]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def wait_for_empty_queue() -> None:
    """Wait until the queue is empty, without cancelling jobs."""
    end = time.monotonic() + LONG
    while jobs():
        assert time.monotonic() < end, "jobs stay in the queue"
        time.sleep(0.2)


def cancel_all() -> None:
    """Cancel the remaining jobs, and wait until the queue is empty."""
    subprocess.run(["scancel", "--partition", "main"], check=True)
    wait_for_empty_queue()


def trainings(folder: Path) -> dict[int, dict[str, str]]:
    """Map the seed of each training process in a folder to its environment, with the process id as PROCESS."""
    found = {}
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if command[1:3] == ["-m", "cxrflow.stages.train_model"] and Path(process.cwd()) == folder:
                seed = int(command[command.index("--seed") + 1])
                found[seed] = {**process.environ(), "PROCESS": str(process.pid)}
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found
