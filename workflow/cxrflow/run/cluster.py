"""A Slurm cluster, seen from the machine that submits jobs: partitions, GPUs, time limits, accounting, and ended jobs."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cxrflow.io.words import some_of
from cxrflow.run.checks import Check, error, note, ok

PLUGIN = "snakemake_executor_plugin_slurm"
SITE = "CXRFLOW_SLURM_"
"""Prefix of the environment variables that profiles/slurm reads."""
NUMBERS = {"GPUS": 1, "TRAINING_MINUTES": 720, "FIRST_CHECK": 20}
"""The whole numbers among them, with the defaults of profiles/slurm."""

OUT_OF_MEMORY = re.compile(r"exceeded memory limit|oom[-_ ]?kill|out of memory", re.IGNORECASE)
OUT_OF_TIME = re.compile(r"DUE TO TIME LIMIT")


@dataclass(frozen=True)
class Partition:
    """A line of sinfo: nodes of one kind in a partition."""

    name: str
    default: bool
    up: bool
    gpus: int
    """GPUs per node."""
    minutes: float
    """Time limit of the partition; infinite if there is none."""


def examine_cluster(environ: Mapping[str, str]) -> list[Check]:
    """Check that jobs of profiles/slurm can run, with the site's values from the environment."""
    plugin = importlib.util.find_spec(PLUGIN) is not None
    if not shutil.which("sbatch"):
        return [error("Slurm", "sbatch not found; start on a machine of the cluster that can submit jobs")]
    partitions = _output("sinfo", "-h", "-o", "%P|%a|%G|%l")
    settings = _output("scontrol", "show", "config")
    return check_cluster(partitions, settings, environ, plugin)


def _output(*command: str) -> str | Check:
    """Run a command of Slurm: its output, or the error that it failed."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return error("Slurm", f"{command[0]} does not answer within 60 s; is the cluster up?")
    if run.returncode == 0:
        return run.stdout
    lines = run.stderr.strip().splitlines() or ["no message"]
    return error("Slurm", f"{command[0]} fails: {lines[-1]}; is the cluster up?")


def check_cluster(
    partitions: str | Check, settings: str | Check, environ: Mapping[str, str], plugin: bool
) -> list[Check]:
    """Check partitions, GPUs, time limits and accounting.

    Args:
        partitions: output of `sinfo -h -o "%P|%a|%G|%l"`, or the error that it failed.
        settings: output of `scontrol show config`, or the error that it failed.
        environ: the environment, for the site's values.
        plugin: whether Snakemake's plugin for Slurm is installed.
    """
    checks = []
    if not plugin:
        checks.append(error("Slurm", "snakemake-executor-plugin-slurm is not installed; it is part of envs/*.lock"))
    invalid = [key for key in NUMBERS if not _is_number(environ.get(SITE + key) or "0")]
    checks += [error("Slurm", f"{SITE}{key}: {environ[SITE + key]!r} is not a whole number") for key in invalid]
    if invalid:
        return checks
    failed = [output for output in (partitions, settings) if isinstance(output, Check)]
    if failed:
        return [*checks, failed[0]]
    assert isinstance(partitions, str) and isinstance(settings, str)
    lines = read_partitions(partitions)
    of_all = environ.get(f"{SITE}PARTITION") or ""
    checks.append(_check_partition(lines, of_all, "PARTITION"))
    of_trainings = environ.get(f"{SITE}GPU_PARTITION") or of_all
    if of_trainings != of_all:
        checks.append(_check_partition(lines, of_trainings, "GPU_PARTITION"))
    if chosen := _choose(lines, of_trainings):
        checks.append(_check_gpus(chosen, _number(environ, "GPUS")))
        checks += _check_time_limit(chosen, _number(environ, "TRAINING_MINUTES"))
    return [*checks, _check_accounting(settings, environ)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(environ: Mapping[str, str], key: str) -> int:
    return int(environ.get(SITE + key) or NUMBERS[key])


def read_partitions(text: str) -> list[Partition]:
    """Parse the output of `sinfo -h -o "%P|%a|%G|%l"`."""
    found = []
    for line in text.splitlines():
        name, up, gres, limit = line.strip().split("|")
        found.append(Partition(name.rstrip("*"), name.endswith("*"), up == "up", _gpus(gres), _minutes(limit)))
    return found


def _gpus(gres: str) -> int:
    """Count the GPUs in generic resources such as `gpu:a100:4(S:0-1),gpu:t4:2,shard:8`."""
    words = [word.partition("(")[0].split(":") for word in gres.split(",")]
    return sum(int(word[-1]) if word[-1].isdigit() else 1 for word in words if word[0] == "gpu")


def _minutes(limit: str) -> float:
    """Parse a time limit such as `1-12:00:00`, `30:00` or `infinite`."""
    if not limit[:1].isdigit():
        return float("inf")
    days, _, rest = limit.rpartition("-")
    hours, minutes, seconds = ([0, 0] + [int(part) for part in rest.split(":")])[-3:]
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60


def _choose(lines: list[Partition], name: str) -> list[Partition]:
    """Choose the lines of a partition, or of the default one if the name is empty."""
    return [line for line in lines if line.name == name or (not name and line.default)]


def _check_partition(lines: list[Partition], name: str, key: str) -> Check:
    names = some_of(dict.fromkeys(line.name for line in lines))
    chosen = _choose(lines, name)
    if not chosen:
        what = f"no partition {name}" if name else "no default partition"
        return error("Slurm", f"{what}; choose one of {names}: {SITE}{key}=…")
    if not any(line.up for line in chosen):
        return error("Slurm", f"partition {chosen[0].name} is down; wait, or choose another of {names}: {SITE}{key}=…")
    return ok("Slurm", f"partition {chosen[0].name}" + ("" if name else ", the default"))


def _check_gpus(chosen: list[Partition], needed: int) -> Check:
    name, most = chosen[0].name, max(line.gpus for line in chosen)
    if not needed:
        return ok("GPU of the cluster", f"not used: trainings run on the processors of partition {name}")
    if most >= needed:
        return ok("GPU of the cluster", f"{most} per node in partition {name}")
    text = f"{needed} requested per training, but a node of partition {name} has {most}"
    fix = f"choose another partition: {SITE}GPU_PARTITION=…, or train on processors: {SITE}GPUS=0"
    return error("GPU of the cluster", f"{text}; {fix}")


def _check_time_limit(chosen: list[Partition], needed: float) -> list[Check]:
    limit = min(line.minutes for line in chosen)
    if needed <= limit:
        return []
    text = f"{needed:.0f} minutes requested per training, but partition {chosen[0].name} allows {limit:.0f}"
    fix = f"a training resumes in its next attempt: {SITE}TRAINING_MINUTES={limit:.0f}"
    return [error("time limit", f"{text}; {fix}")]


def _check_accounting(settings: str, environ: Mapping[str, str]) -> Check:
    pairs = [line.partition("=") for line in settings.splitlines()]
    values = {key.strip(): value.strip() for key, _, value in pairs}
    accounting = not values.get("AccountingStorageType", "").endswith("none")
    status = environ.get(f"{SITE}STATUS") or "squeue"
    if status == "sacct" and not accounting:
        return error("accounting", f"none, so that a run with {SITE}STATUS=sacct would hang; unset it to use squeue")
    first = _number(environ, "FIRST_CHECK")
    kept = int((values.get("MinJobAge") or "300").split()[0])
    if status == "squeue" and kept < 3 * first:
        text = f"squeue lists a finished job for {kept} s only, less than three times {SITE}FIRST_CHECK={first}"
        if accounting:
            return note("accounting", f"{text}; {SITE}STATUS=sacct is safer")
        return error("accounting", f"{text}; {SITE}FIRST_CHECK={max(1, kept // 3)}")
    return ok("accounting", f"{'available' if accounting else 'none'}; jobs are monitored by {status}")


def jobs_ended_by_slurm(logs: Path, since: float) -> list[str]:
    """Report each job that Slurm ended for want of memory or time, with what to do: one line per job.

    Args:
        logs: folder in which the plugin keeps the logs of failed jobs, such as rule_train_model/binary_0/17.log,
            rule_describe_networks/3.log and, for groups, group_evaluation_plot_curves/18.log.
        since: seconds since the epoch; older logs belong to other runs.
    """
    recent = [file for file in logs.rglob("*.log") if file.stat().st_mtime >= since]
    lines = []
    for file in sorted(recent, key=lambda file: file.stat().st_mtime):
        kind, *wildcards = file.parent.relative_to(logs).parts
        reason = _why_ended(file.read_text(encoding="utf-8", errors="replace"), kind)
        if reason:
            name = " ".join([re.sub(r"^(rule|group)_", "", kind), *wildcards])
            lines.append(f"error: {name}, Slurm job {file.stem}, {reason}")
    return lines


def _why_ended(log: str, kind: str) -> str:
    training = kind == "rule_train_model"
    if OUT_OF_MEMORY.search(log):
        more = f"{SITE}TRAINING_MB=9000" if training else "mem_mb in profiles/slurm/config.yaml"
        return (
            "ran out of memory; each attempt requests more than the one before, and with "
            f"{more} the first one requests more; a smaller batch_size needs less"
        )
    if OUT_OF_TIME.search(log):
        more = f"{SITE}TRAINING_MINUTES=1440" if training else "runtime in profiles/slurm/config.yaml"
        rest = "; the same command resumes from its last checkpoint" if training else ""
        return f"reached its time limit; {more} raises it{rest}"
    return ""
