"""Before the first job and after the last one: allow one run at a time, check the machine, repeat errors at the end."""

import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from cxrflow.io.code_hash import code_hash
from cxrflow.io.files import PARTS, remove_abandoned
from cxrflow.io.hashes import planned_contents
from cxrflow.publication.folder import Selected
from cxrflow.run.adapter import SLURM_LOGS, UnfinishedJob
from cxrflow.run.checks import short_list
from cxrflow.run.cluster import examine_cluster, jobs_ended_by_slurm
from cxrflow.run.doctor import examine_config, examine_gpu, examine_packages
from cxrflow.run.downloads import check_sources
from cxrflow.run.finished import report_finished
from cxrflow.run.handed_on import handed_on, write_handed_on
from cxrflow.run.images import find_images
from cxrflow.run.runs import lock_results, run_of
from cxrflow.study.models import Config

RESULTS = Path("results")
LOCKS = RESULTS / "locks"
STAGES = Path(__file__).resolve().parents[1] / "stages"
Planned = Sequence[tuple[str, Mapping[str, str]]]
"""Stages that will run, with their wildcards."""


def hand_on_plan(folder: Path, settings: str, images: str) -> None:
    """Write the files that jobs read at their start: settings, and the plan that `cxrflow.io.planned` compares with.

    Args:
        folder: folder of the files.
        settings: hash of all settings.
        images: fingerprint of the images.
    """
    code = {file.stem: code_hash(f"cxrflow.stages.{file.stem}") for file in sorted(STAGES.glob("[a-z]*.py"))}
    plan = {"settings": settings, "images": images, "code": code, "files": planned_contents()}
    os.environ["CXRFLOW_PLAN"] = handed_on(folder, "plan", plan)
    write_handed_on()


def claim_before_start(results: Path, fetched: Path | None, planned: Planned) -> list[int]:
    """Make sure that no other run, and no job of a killed run, writes the same results.

    Args:
        results: folder of the run's results.
        fetched: folder that images are downloaded to.
        planned: the stages that will run.

    Returns:
        Numbers of open files, which jobs must inherit.

    Raises:
        UserError: another run is active.
    """
    shared = {"fetch_images": fetched, "fetch_weights": RESULTS / "weights"}
    stages = {stage for stage, _ in planned}
    folders = [results, *(folder for stage, folder in sorted(shared.items()) if stage in stages and folder)]
    inherited = [lock_results(LOCKS, folder, lambda line: print(line, file=sys.stderr)) for folder in folders]
    os.environ["CXRFLOW_RUN"] = run_of(LOCKS, results)
    # Partial files of killed processes, even in places where this run writes nothing.
    places = ("", "images/", "weights/", "checkpoints/*/")
    remove_abandoned([*results.rglob(PARTS), *(path for place in places for path in RESULTS.glob(place + PARTS))])
    return inherited


def examine_before_start(config: Config, lock: Path, through_slurm: bool, planned: Planned) -> bool:
    """Print the short list of checks; return whether there is no error."""
    stages = {stage for stage, _ in planned}
    backbones = sorted({wildcards["backbone"] for stage, wildcards in planned if stage == "fetch_weights"})
    images = "fetch_images" in stages and find_images(config).to_fetch > 0
    checks = [
        *examine_packages(lock, config.versions),
        *(
            examine_cluster(os.environ)
            if through_slurm
            else [examine_gpu(True, config.device, config.trainings_per_gpu)]
        ),
        *examine_config(config, RESULTS),
        *check_sources(config, backbones, images),  # or downloads would fail late, or after minutes
    ]
    print(*short_list(checks), sep="\n", file=sys.stderr)
    return all(check.level != "error" for check in checks)


def errors_in_logs(results: Path, started: float) -> list[str]:
    """Find the errors of a run's stages, or where they stopped, and the jobs that Slurm ended.

    Args:
        results: folder of the run's results.
        started: start of the run, in seconds since 1970; older logs belong to other runs.
    """
    folders = (RESULTS / "logs", results / "logs")
    logs = [path for folder in folders for path in folder.rglob("*.log") if path.stat().st_mtime >= started]
    of_stages = [
        f"{path}: {line}"
        for path in sorted(logs)
        for line in path.read_text().splitlines()
        if line.startswith(("error: ", "stopped by "))
    ]
    return of_stages + jobs_ended_by_slurm(SLURM_LOGS, started)


def report_what_is_finished(
    jobs: Sequence[UnfinishedJob], results: Path, selected: Selected, started: float
) -> Collection[str]:
    """Write the report of the finished trainings; return the outputs, whose records must be deleted."""
    try:
        made = report_finished(jobs, results, selected, started)
    except subprocess.CalledProcessError as error:
        print(f"error: no report of the finished runs: {error.cmd[2]} failed, see above", file=sys.stderr)
        return []
    if made:
        print(f"report of the finished runs: {results}/report/index.html", file=sys.stderr)
    return made
