"""Tell whether this machine is fit for a run: packages, GPU, disk, memory, weights, images, and how long it will take.

Not a stage: it reads the config, as Snakemake would, and writes nothing. Each line is ok, a note (a run starts all the same)
or a fault with what to do. All faults are told at once; the exit status is 1 if there is one.
"""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrflow.config.models import Config
from cxrflow.config.read import laid_over, read_config, read_yaml
from cxrflow.config.set_values import set_values
from cxrflow.images import SUBSET_FOLDERS
from cxrflow.machine.cluster import examine_cluster
from cxrflow.machine.duration import duration_finding
from cxrflow.machine.findings import Finding, fault, note
from cxrflow.machine.gpu import ask_tensorflow, cuda_packages_installed, gpu_finding, gpus_in_machine
from cxrflow.machine.inputs import find_images, weights_findings
from cxrflow.machine.packages import installed_versions, locked_versions, package_finding, python_finding
from cxrflow.machine.plan import plan_findings
from cxrflow.machine.room import disk_finding, free_disk, free_memory, memory_finding, needed_room
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, one_line


def config_and_faults(raw: Mapping[str, Any]) -> tuple[Config | None, list[Finding]]:
    """The typed config, or its faults; a config that lacks its images alone is read all the same, for the other checks."""
    without_images = {**raw, "images": ""} if raw.get("images") is None and raw.get("phantoms") is None else raw
    try:
        return read_config(without_images), []
    except Fault as wrong:
        return None, [fault("config", message) for message in wrong.messages]


def examine_config(config: Config, results: Path) -> list[Finding]:
    """What a config needs, held against this machine: images, weights, disk, memory, time."""
    images = find_images(config, results)
    tasks = {experiment.task for experiment in config.selected().values()}
    training = {task: images.count(config.tasks[task].classes, "train") for task in tasks}
    of_task = {task: sum(images.count(config.tasks[task].classes, part) for part in SUBSET_FOLDERS) for task in tasks}
    room = needed_room(config, of_task, results, images.bytes_to_fetch)
    return [
        *images.findings,
        *plan_findings(config, images),
        *weights_findings(config, results),
        disk_finding(free_disk(results), room, results),
        memory_finding(free_memory(), room),
        duration_finding(config, training, results),
    ]


def examine_packages(lock: Path, versions: str) -> list[Finding]:
    """Python and the packages, held against a lock file."""
    try:
        packages = package_finding(locked_versions(lock), installed_versions(), versions, lock)
    except Fault as wrong:
        packages = fault("packages", wrong.messages[0])
    return [python_finding(platform.python_version()), packages]


def examine_gpu(short: bool, device: str = "auto", trainings_per_gpu: int = 1) -> Finding:
    """The GPU, held against the config's `device`; with `short`, TensorFlow is not asked."""
    there = gpus_in_machine(ask_driver=not short)
    return gpu_finding(
        there, None if short else ask_tensorflow(), os.environ, cuda_packages_installed(), device, trainings_per_gpu
    )


def cores_finding(config: Config, cores: int) -> list[Finding]:
    """A note where there are fewer cores than the config gives TensorFlow threads."""
    if cores >= config.threads:
        return []
    text = f"{cores} for the config's {config.threads} threads: results stay the same, trainings are slower"
    return [note("cores", text)]


def short_list(findings: list[Finding]) -> list[str]:
    """All that is ok in two lines at most, each note and fault in one of its own."""
    fine = [finding for finding in findings if finding.level == "ok"]
    facts = "; ".join(f"{finding.subject} {finding.text}" for finding in fine if finding.subject in SHORT_FACTS)
    others = ", ".join(finding.subject for finding in fine if finding.subject not in SHORT_FACTS)
    lines = [f"ok     {facts}"] if facts else []
    lines += [f"ok     {others}"] if others else []
    return lines + [line for finding in findings if finding.level != "ok" for line in long_list([finding])]


SHORT_FACTS = ("images", "time")


def long_list(findings: list[Finding]) -> list[str]:
    """One line a finding."""
    return [one_line(f"{finding.level:5}  {finding.subject}: {finding.text}") for finding in findings]


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--config", type=Path, nargs="+", required=True, help="config.yaml, and overlays on it")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="further values, as for --config of Snakemake"
    )
    parser.add_argument("--lock", type=Path, default=Path("envs/cpu.lock"), help="lock file of the installed packages")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of all results")
    parser.add_argument(
        "--short", action="store_true", help="a few lines in less than a second; does not ask TensorFlow"
    )
    parser.add_argument(
        "--slurm",
        action="store_true",
        help="a Slurm cluster's partitions, GPUs and accounting, for profiles/slurm, in place of this machine's GPU",
    )
    args = parser.parse_args()
    config, findings = config_and_faults(laid_over(read_yaml(*args.config), set_values(args.set)))
    findings += examine_packages(args.lock, config.versions if config else "reported")
    of_gpu = (config.device, config.trainings_per_gpu) if config else ()
    findings += examine_cluster(os.environ) if args.slurm else [examine_gpu(args.short, *of_gpu)]
    if config:
        findings += [*cores_finding(config, os.cpu_count() or 1), *examine_config(config, args.results)]
    for line in (short_list if args.short else long_list)(findings):
        print(line)
    faults = sum(finding.level == "fault" for finding in findings)
    if faults:
        raise Fault(f"the doctor found {faults} fault{'s' if faults > 1 else ''}, see above")


if __name__ == "__main__":
    run_stage(main)
