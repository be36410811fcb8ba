"""A Slurm cluster, seen from where jobs are handed in: its partitions, GPUs, time limits and accounting."""

import importlib.util
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from cxrflow.machine.findings import Finding, fault, note, ok, some_of

PLUGIN = "snakemake_executor_plugin_slurm"
SITE = "CXRFLOW_SLURM_"  # what profiles/slurm takes from the environment

NUMBERS = {"GPUS": 1, "TRAINING_MINUTES": 720, "FIRST_CHECK": 20}
"""Numbers among them, with the values of profiles/slurm where the environment gives none."""


@dataclass(frozen=True)
class Partition:
    """A line of sinfo: nodes of one kind in a partition."""

    name: str
    default: bool
    up: bool
    gpus: int
    """GPUs a node."""
    minutes: float
    """The partition's time limit; infinite where there is none."""


def examine_cluster(environ: Mapping[str, str]) -> list[Finding]:
    """Whether jobs of profiles/slurm can run, with the values of a site that the environment gives."""
    plugin = importlib.util.find_spec(PLUGIN) is not None
    if not shutil.which("sbatch"):
        return [fault("Slurm", "no sbatch here; start on a machine of the cluster from which jobs are handed in")]
    partitions = _told("sinfo", "-h", "-o", "%P|%a|%G|%l")
    settings = _told("scontrol", "show", "config")
    return cluster_findings(partitions, settings, environ, plugin)


def _told(*command: str) -> str | Finding:
    """What a command of Slurm says, or that it fails."""
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return fault("Slurm", f"{command[0]} does not answer within 60 s; is the cluster up?")
    if told.returncode == 0:
        return told.stdout
    lines = told.stderr.strip().splitlines() or ["no message"]
    return fault("Slurm", f"{command[0]} fails: {lines[-1]}; is the cluster up?")


def cluster_findings(
    partitions: str | Finding, settings: str | Finding, environ: Mapping[str, str], plugin: bool
) -> list[Finding]:
    """The cluster in a few lines.

    Args:
        partitions: what `sinfo -h -o "%P|%a|%G|%l"` says, or why it says nothing.
        settings: what `scontrol show config` says, or why it says nothing.
        environ: the environment, for the values of a site.
        plugin: whether Snakemake's plugin for Slurm is installed.
    """
    found = []
    if not plugin:
        found.append(fault("Slurm", "snakemake-executor-plugin-slurm is not installed; it is part of envs/*.lock"))
    odd = [key for key in NUMBERS if _odd(environ, key)]
    found += [fault("Slurm", f"{SITE}{key}: {environ[SITE + key]!r}; it must be a whole number") for key in odd]
    if odd:
        return found
    failed = [told for told in (partitions, settings) if isinstance(told, Finding)]
    if failed:
        return [*found, failed[0]]
    assert isinstance(partitions, str) and isinstance(settings, str)
    lines = read_partitions(partitions)
    wanted = environ.get(f"{SITE}PARTITION") or ""
    found.append(_partition_finding(lines, wanted, "PARTITION"))
    of_trainings = environ.get(f"{SITE}GPU_PARTITION") or wanted
    if of_trainings != wanted:
        found.append(_partition_finding(lines, of_trainings, "GPU_PARTITION"))
    there = [line for line in lines if line.name == of_trainings or (not of_trainings and line.default)]
    if there:
        found.append(_gpu_finding(there, _number(environ, "GPUS")))
        found += _time_finding(there, _number(environ, "TRAINING_MINUTES"))
    return [*found, _accounting_finding(settings, environ)]


def _odd(environ: Mapping[str, str], key: str) -> bool:
    text = environ.get(SITE + key) or "0"
    return not (text.isascii() and text.isdigit())


def _number(environ: Mapping[str, str], key: str) -> int:
    return int(environ.get(SITE + key) or NUMBERS[key])


def read_partitions(text: str) -> list[Partition]:
    """The lines of `sinfo -h -o "%P|%a|%G|%l"`."""
    found = []
    for line in text.splitlines():
        name, up, gres, limit = line.strip().split("|")
        found.append(Partition(name.rstrip("*"), name.endswith("*"), up == "up", _gpus(gres), _minutes(limit)))
    return found


def _gpus(gres: str) -> int:
    """GPUs in generic resources such as `gpu:a100:4(S:0-1),gpu:t4:2,shard:8`."""
    words = [word.partition("(")[0].split(":") for word in gres.split(",")]
    return sum(int(word[-1]) if word[-1].isdigit() else 1 for word in words if word[0] == "gpu")


def _minutes(limit: str) -> float:
    """Minutes of a time limit such as `1-12:00:00`, `30:00` or `infinite`."""
    if not limit[:1].isdigit():
        return float("inf")
    days, _, rest = limit.rpartition("-")
    hours, minutes, seconds = ([0, 0] + [int(part) for part in rest.split(":")])[-3:]
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60


def _partition_finding(lines: list[Partition], wanted: str, key: str) -> Finding:
    names = list(dict.fromkeys(line.name for line in lines))
    there = [line for line in lines if line.name == wanted or (not wanted and line.default)]
    if not there:
        what = f"no partition {wanted}" if wanted else "no default partition"
        return fault("Slurm", f"{what}; name one of {some_of(names)}: {SITE}{key}=…")
    if not any(line.up for line in there):
        return fault(
            "Slurm", f"partition {there[0].name} is down; wait, or name another of {some_of(names)}: {SITE}{key}=…"
        )
    return ok("Slurm", f"partition {there[0].name}" + ("" if wanted else ", the default"))


def _gpu_finding(there: list[Partition], wanted: int) -> Finding:
    name, most = there[0].name, max(line.gpus for line in there)
    if not wanted:
        return ok("GPU of the cluster", f"none asked for: trainings run on the processors of partition {name}")
    if most >= wanted:
        return ok("GPU of the cluster", f"{most} a node in partition {name}")
    text = f"{wanted} asked for a training, a node of partition {name} has {most}"
    return fault(
        "GPU of the cluster", f"{text}; name another: {SITE}GPU_PARTITION=…, or train on processors: {SITE}GPUS=0"
    )


def _time_finding(there: list[Partition], wanted: float) -> list[Finding]:
    limit = min(line.minutes for line in there)
    if wanted <= limit:
        return []
    text = f"{wanted:.0f} minutes asked for a training, partition {there[0].name} allows {limit:.0f}"
    return [fault("time limit", f"{text}; a training goes on in its next attempt: {SITE}TRAINING_MINUTES={limit:.0f}")]


def _accounting_finding(settings: str, environ: Mapping[str, str]) -> Finding:
    pairs = [line.partition("=") for line in settings.splitlines()]
    values = {key.strip(): value.strip() for key, _, value in pairs}
    accounting = not values.get("AccountingStorageType", "").endswith("none")
    status = environ.get(f"{SITE}STATUS") or "squeue"
    if status == "sacct" and not accounting:
        return fault(
            "accounting", f"none here, so that a run with {SITE}STATUS=sacct would hang; unset it: squeue is asked then"
        )
    first = _number(environ, "FIRST_CHECK")
    kept = int((values.get("MinJobAge") or "300").split()[0])
    if status == "squeue" and kept < 3 * first:
        text = f"squeue tells of a finished job for {kept} s alone, less than three times {SITE}FIRST_CHECK={first}"
        if accounting:
            return note("accounting", f"{text}; {SITE}STATUS=sacct is safer")
        return fault("accounting", f"{text}; {SITE}FIRST_CHECK={max(1, kept // 3)}")
    return ok("accounting", f"{'there' if accounting else 'none'}; jobs are looked after by {status}")
