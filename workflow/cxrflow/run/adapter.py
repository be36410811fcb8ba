"""The private parts of Snakemake that cxrflow needs, all in this module.

Snakemake 9 records a failed job like a successful one and deletes its outputs. A missing file is a reason to run a job only if
it is a target, or an input of a job that runs anyway. After a failure, the same command may therefore report "Nothing to be
done" although files are missing and the report is old. `rebuild_incomplete_jobs` closes this gap for every rule.
"""

import contextlib
import io
import json
import logging
import os
import re
import shlex
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import snakemake.api  # noqa: F401 - first, since the modules of Snakemake import each other
from snakemake.dag import DAG
from snakemake.exceptions import WorkflowError
from snakemake.shell import shell
from snakemake.workflow import JobScheduler

from cxrflow.study.models import Config
from cxrflow.study.read import read_config
from cxrflow.study.run import read_run
from cxrflow.study.yaml_files import load_yaml, pair_problems

CHECK_INCOMPLETE, SCHEDULE = DAG.check_incomplete, JobScheduler.schedule
METADATA = Path(".snakemake/metadata")
SLURM_LOGS = Path(".snakemake/slurm_logs")
IMAGE = "envs/cxrflow.sif"
BUILD_IMAGE = "apptainer build envs/cxrflow.sif envs/cxrflow.def"
STAGE = re.compile(r"-m cxrflow\.stages\.(\w+)")


def stage_of(command: str | None) -> str | None:
    """Find the stage that a rule's command runs; the rule may have another name in a workflow that imports cxrflow."""
    found = STAGE.search(command or "")
    return found[1] if found else None


# While the Snakefile is read.


def is_job_of_cluster(workflow: Any) -> bool:
    """Whether this process is a job on a cluster's node, which runs a plan of the main process."""
    return bool(workflow.remote_exec)


def is_imported(workflow: Any) -> bool:
    """Whether another workflow imports the current Snakefile with `module`."""
    return len(workflow.modifier_stack) > 1


def is_dry_run(workflow: Any) -> bool:
    """Whether this is a dry run, which runs no jobs."""
    return bool(workflow.dryrun)


def read_run_config(workflow: Any, config: dict[str, Any]) -> tuple[dict[str, Any], Config, list[Path]]:
    """Read the config of a run from Snakemake's own.

    The YAML files and `--config` values are read a second time, to find what Snakemake accepts but cxrflow does not. A config
    may also be built by a workflow that imports cxrflow; then there is no file to read.

    Returns:
        The raw config of study and run, the typed config, and the files of the study.

    Raises:
        UserError: one message for each invalid key or value.
    """
    problems: list[str] = []
    if vars(workflow.modifier_stack[0])["globals"].get("config") is config:
        problems = [problem for file in workflow.configfiles for problem in load_yaml(file)[1]]
        problems += [one for pair in workflow.config_settings.config_args or () for one in pair_problems(pair)]
    keys, files = read_run(config)
    return keys, read_config(keys, problems), files


def container_image(workflow: Any, project: Path) -> str:
    """Return the image for `--sdm apptainer`: the one in the checkout, built from `envs/cxrflow.def`.

    Args:
        workflow: Snakemake's workflow.
        project: the checkout, as a path from the working directory.

    Raises:
        WorkflowError: the image is needed and does not exist, or its path contains a blank, which Snakemake refuses.
    """
    if all(method.name != "APPTAINER" for method in workflow.deployment_settings.deployment_method):
        return IMAGE  # not used, and the path of the checkout may contain a blank
    image = project / IMAGE
    if not image.is_file():
        raise WorkflowError(f"--sdm apptainer: {image}: no such image; in {project.resolve()}: {BUILD_IMAGE}")
    if " " in str(image):
        raise WorkflowError(
            f"--sdm apptainer: {image}: a blank in the path of an image; move the checkout, or start in it"
        )
    return str(image)


def runs_on_slurm(workflow: Any) -> bool:
    """Whether jobs are submitted to Slurm."""
    return bool(workflow.executor_plugin and workflow.executor_plugin.name == "slurm")


def limit_resource(workflow: Any, name: str, most: Callable[[], int]) -> None:
    """Limit a resource on this machine unless the command line does. Clusters have their own limits."""
    local = workflow.resource_settings.nodes is None and not workflow.remote_exec
    if local and name not in workflow.global_resources:
        workflow.register_resource(name, most())


def export_to_jobs(name: str, value: str) -> None:
    """Set an environment variable in the commands of all jobs: activating a conda environment removes PYTHONPATH."""
    before = "set -euo pipefail; " if shell._process_prefix is None else shell._process_prefix
    export = f"export {name}={shlex.quote(value)}; "
    if export not in before:
        shell.prefix((before + export).replace("{", "{{").replace("}", "}}"))


# Planning and starting.


def refuse_records_in_database(workflow: Any) -> None:
    """Refuse `--persistence-backend db`: cxrflow reads the records that Snakemake's default backend keeps as files.

    Raises:
        WorkflowError: Snakemake keeps its records in a database.
    """
    backend = getattr(workflow.workflow_settings, "persistence_backend", None)
    if backend is not None and backend.name != "FILE":
        raise WorkflowError(
            "--persistence-backend db: cxrflow needs Snakemake's records as files, to find results that a failed run left "
            "out of date; leave this option out (or `--persistence-backend file`)"
        )


def rebuild_incomplete_jobs(
    workflow: Any, rules: Path, need_no_record: Collection[str], undeclared: Mapping[str, Collection[Path]]
) -> None:
    """Make Snakemake run every job of its plan that has a missing output, or an output without a readable record.

    Without a record, the inputs and params of a file are unknown, so the file is rebuilt: after `.snakemake` was deleted, after
    results were copied, and if a power cut left a record incomplete (Snakemake writes records without fsync).

    Args:
        workflow: Snakemake's workflow, while its Snakefile is read.
        rules: folder of cxrflow's rule files; rules of a workflow that imports cxrflow are not affected.
        need_no_record: stages whose outputs are checked by their contents. They run only if an output is missing.
        undeclared: stage to files that it makes but does not declare as outputs, since Snakemake would delete them first.
    """
    if not workflow.is_main_process:  # a job on a cluster's node runs a plan of the main process
        return

    earlier = DAG.check_incomplete if is_imported(workflow) else CHECK_INCOMPLETE  # a workflow may import cxrflow twice

    async def check(dag: DAG) -> None:
        await earlier(dag)
        for job in dag.jobs:
            if job.is_norun or rules not in Path(job.rule.snakefile).parents:
                continue
            stage = stage_of(job.rule.shellcmd)
            missing = [file for file in job.output if not await file.exists()]
            missing += [str(file) for file in undeclared.get(stage or "", ()) if not file.exists()]
            if missing:
                dag.reason(job).missing_output.update(missing)
            elif stage not in need_no_record and not all(record_of(str(file)) for file in job.output):
                dag.forcefiles.update(job.output)
                if not dag.workflow.dryrun:
                    dag.workflow.persistence.cleanup(job)  # Snakemake fails on a record that is not JSON text

    DAG.check_incomplete = check


def before_jobs(workflow: Any, begin: Callable[[], None]) -> None:
    """Call a function before the first job of a run, but not in dry runs.

    Snakemake's own `onstart:` is not called with `--no-hooks`, or if another workflow imports cxrflow.
    """
    if not workflow.is_main_process:
        return

    earlier = JobScheduler.schedule if is_imported(workflow) else SCHEDULE

    def schedule(scheduler: JobScheduler) -> bool:
        if not workflow.dryrun:
            begin()
        return bool(earlier(scheduler))

    JobScheduler.schedule = schedule


def has_hooks(workflow: Any) -> bool:
    """Whether hooks are called, which `--no-hooks` turns off."""
    return not workflow.execution_settings.no_hooks


def planned_stages(workflow: Any) -> list[tuple[str, Mapping[str, str]]]:
    """List the stages that will run, each with its wildcards."""
    jobs = [(stage_of(job.rule.shellcmd), job) for job in workflow.dag.needrun_jobs()]
    return [(stage, dict(job.wildcards_dict)) for stage, job in jobs if stage]


def is_in_plan(workflow: Any, stage: str) -> bool:
    """Whether the plan contains a stage, even one that is up to date."""
    return any(stage_of(job.rule.shellcmd) == stage for job in workflow.dag.jobs)


def let_jobs_inherit(*open_files: int) -> None:
    """Let all jobs of this process inherit open files, which Snakemake would close otherwise."""
    shell._process_args["pass_fds"] = (*shell._process_args.get("pass_fds", ()), *open_files)


def job_infos(arguments: Sequence[str]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Plan `snakemake ARGUMENTS` in this folder, without running anything.

    Returns:
        Snakemake's log entries on the jobs of its plan, in order; and, if it cannot plan, the lines that it prints.
    """
    from snakemake.cli import main
    from snakemake.logging import logger

    infos: list[Mapping[str, Any]] = []

    def see(record: logging.LogRecord) -> bool:
        if getattr(getattr(record, "event", None), "value", None) == "job_info":
            infos.append(vars(record))
        return True

    said = io.StringIO()
    logger.addFilter(see)  # Snakemake removes handlers that it did not add
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            main([*arguments, "--dry-run"])
    except SystemExit as end:
        if end.code:
            return [], said.getvalue().splitlines()
    finally:
        logger.removeFilter(see)
    return infos, []


# After the last job.


@dataclass(frozen=True)
class UnfinishedJob:
    """A job of this run that failed, or did not start because an earlier one failed."""

    stage: str
    wildcards: Mapping[str, str]
    outputs: Sequence[str]
    logs: Sequence[Path]
    command: str


def unfinished_jobs(workflow: Any) -> list[UnfinishedJob]:
    """List the unfinished jobs of a run that ended because of failed jobs; empty if the user stopped it."""
    if not workflow.scheduler.failed:
        return []
    jobs = [(stage_of(job.rule.shellcmd), job) for job in workflow.dag.needrun_jobs()]
    return [
        UnfinishedJob(
            stage, dict(job.wildcards_dict), list(map(str, job.output)), list(map(Path, job.log)), job.shellcmd
        )
        for stage, job in jobs
        if stage
    ]


def forget(workflow: Any, outputs: Iterable[str]) -> None:
    """Delete Snakemake's records of outputs, so that the next run rebuilds them."""
    from snakemake.io import IOFile

    for output in outputs:
        workflow.persistence.cleanup_metadata(IOFile(output))


def record_of(output: str) -> dict[str, Any] | None:
    """Read Snakemake's record of an output; None if there is no readable record."""
    if not METADATA.is_dir():
        return None
    # An output's name in base64 is the name of its record, in parts if it is too long for one name.
    name, most = urlsafe_b64encode(output.encode()).decode(), os.pathconf(METADATA, "PC_NAME_MAX") - 1
    parts = [name[start : start + most] for start in range(0, len(name), most)]
    try:
        record = json.loads(METADATA.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1]).read_bytes())
    except (OSError, ValueError):
        return None
    return record if record and isinstance(record, dict) else None
