"""Report the finished trainings of a failed run, with a line for each unfinished one."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cxrflow.io.files import canonical_json, read_json
from cxrflow.publication.folder import Selected, files_of_explanation, files_of_run
from cxrflow.run.adapter import UnfinishedJob
from cxrflow.run.changed_flags import flags_of
from cxrflow.run.handed_on import handed_on, write_handed_on
from cxrflow.study.folds import FOLD_MARK, without_fold

LAST_STAGES = (
    *("describe_networks", "measure_results", "measure_external", "compare_experiments", "plot_evaluation"),
    *("score_claims", "assemble_report"),
)
"""Stages that read the results of several trainings, in their order."""


def report_finished(jobs: Sequence[UnfinishedJob], results: Path, selected: Selected, since: float) -> list[str]:
    """Describe the networks, score the claims and assemble the report from what is finished only.

    That is trainings, explanations and cross-validations.

    Args:
        jobs: jobs that failed or did not start.
        results: folder of the results.
        selected: experiment to seeds, of all trainings of the run.
        since: start of the run in seconds since the epoch; older logs are ignored.

    Returns:
        The files that were written; none if no training is finished, if everything is, or if the run did not include a report.

    Raises:
        subprocess.CalledProcessError: a stage failed; it has printed why.
    """
    last = [job for stage in LAST_STAGES for job in jobs if job.stage == stage]
    unfinished = {output for job in jobs for output in job.outputs}
    runs = [(name, seed) for name in selected for seed in selected[name]]
    failed = [run for run in runs if {str(results / name) for name in files_of_run(*run)} & unfinished]
    finished = {name: [seed for seed in selected[name] if (name, seed) not in failed] for name in selected}
    finished = {name: seeds for name, seeds in finished.items() if seeds}
    unexplained = [run for run in runs if {str(results / name) for name in files_of_explanation(*run)} & unfinished]
    unmeasured = [job for job in jobs if job.stage == "measure_folds"]
    # An experiment has an external test only if all of its finished seeds have one.
    untested = {
        job.wildcards["experiment"]
        for job in jobs
        if job.stage == "evaluate_external"
        and int(job.wildcards["seed"]) in finished.get(job.wildcards["experiment"], [])
    }
    left = failed or unexplained or unmeasured or any(job.stage == "measure_external" for job in last)
    if not any(job.stage == "assemble_report" for job in last) or not left or not finished:
        return []
    written: list[str] = []
    for job in last:
        if job.wildcards and job.wildcards["experiment"] not in finished:
            continue
        if job.stage == "measure_external" and job.wildcards["experiment"] in untested:
            continue
        flags = flags_of(job.command)
        if job.stage == "assemble_report":
            explained = {
                name: [one for one in finished.get(name, []) if one in seeds and (name, one) not in unexplained]
                for name, seeds in read_json(Path(flags["explained"][0])).items()
            }
            flags["explained"] = [handed_on(Path(flags["explained"][0]).parent, "finished_explained", explained)]
            flags |= {
                key: [file for file in flags.get(key, []) if file not in unfinished]
                for key in ("splits", "sheets", "folds")
            }
            flags["external-results"] = [
                file for file in flags.get("external-results", []) if file not in unfinished or file in written
            ]
            reasons = {f"{name}, seed {seed}": reason_of(jobs, name, seed, since) for name, seed in failed}
            reasons |= {
                f"cross-validation of {job.wildcards['experiment']}": reason_of_folds(jobs, job, since)
                for job in unmeasured
            }
            flags["failed"] = [canonical_json(reasons)]
        flags |= _of_finished(job, flags, finished)
        write_handed_on()
        words = [word for key, values in flags.items() if values for word in (f"--{key}", *values)]
        subprocess.run([sys.executable, "-m", f"cxrflow.stages.{job.stage}", *words], env=os.environ, check=True)
        written += job.outputs
    return written


def _of_finished(job: UnfinishedJob, flags: Mapping[str, list[str]], finished: Selected) -> dict[str, list[str]]:
    """The flags of a stage that name trainings, without those that are not finished."""
    if job.stage == "describe_networks":
        described = dict(zip(flags["experiments"], flags["descriptions"], strict=True))
        return {"experiments": list(finished), "descriptions": [described[name] for name in finished]}
    if job.stage == "compare_experiments":
        file = Path(flags["experiments"][0])
        compared = {name: {**one, "seeds": finished[name]} for name, one in read_json(file).items() if name in finished}
        splits = [path for path in flags["splits"] if Path(path).stem in {one["task"] for one in compared.values()}]
        return {"experiments": [handed_on(file.parent, "finished_compared", compared)], "splits": splits}
    if job.stage in ("score_claims", "assemble_report"):
        return {"selected": [handed_on(Path(flags["selected"][0]).parent, "finished", finished)]}
    seeds = [str(seed) for seed in finished[job.wildcards["experiment"]]]
    if job.stage in ("measure_results", "measure_external"):
        return {"seeds": seeds}
    folders = {f"seed_{seed}" for seed in seeds}
    return {"histories": [file for file in flags["histories"] if Path(file).parent.name in folders]}


def reason_of(jobs: Sequence[UnfinishedJob], experiment: str, seed: int, since: float) -> str:
    """Explain why a training is not finished: the first error in the logs of its jobs, or else their last line."""
    own = {"experiment": experiment, "seed": str(seed)}
    return _first_error([job for job in jobs if job.wildcards and own.items() >= job.wildcards.items()], since)


def reason_of_folds(jobs: Sequence[UnfinishedJob], measuring: UnfinishedJob, since: float) -> str:
    """Explain why a cross-validation is not finished, as `reason_of` does, by the job of measure_folds that is not."""
    task = flags_of(measuring.command)["task"][0]
    names = {measuring.wildcards["experiment"], task}
    own = [
        job
        for job in jobs
        if job is measuring
        or (job.stage == "split_folds" and job.wildcards["task"] == task)
        or any(FOLD_MARK in value and without_fold(value) in names for value in job.wildcards.values())
    ]
    return _first_error(own, since)


def _first_error(jobs: Sequence[UnfinishedJob], since: float) -> str:
    logs = [log for job in jobs for log in job.logs]
    written = [log for log in logs if log.is_file() and log.stat().st_mtime >= since]
    lines = [line for log in sorted(written) for line in log.read_text(encoding="utf-8").splitlines()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith(("error: ", "stopped by "))]
    return (errors or lines[-1:] or ["not run, since an earlier job failed"])[0]
