"""Make again what was made with other versions of packages than those that are there now, and all that follows from it.

Not a stage: it takes the arguments of Snakemake, says what is outdated, and hands over to Snakemake. Nothing else runs, but for
what Snakemake would run anyway. A new version makes no result anew by itself.
"""

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from cxrflow.explain.differences import flags_of
from cxrflow.explain.jobs import Job, planned_jobs
from cxrflow.outdated.journal import NAME, Entry, packages_at, packages_of_jobs, read_journal
from cxrflow.outdated.packages import packages_of
from cxrflow.stage.command import stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import read_json

BY_CONTENTS = ("fetch_images", "fetch_weights")
"""Files that are the right ones by their hash, whatever fetched them."""


def find_outdated(jobs: Sequence[Job], entries: list[Entry], now: Mapping[str, str]) -> dict[str, str]:
    """Finished jobs whose outputs were made with other packages: first output to how these differ, in words.

    Args:
        jobs: all jobs of a run.
        entries: of the run's journal.
        now: package to version, that jobs would have now.
    """
    found = {}
    for job in jobs:
        if job.rule in BY_CONTENTS or not all(Path(output).exists() for output in job.outputs):
            continue
        then = _packages_then(job, entries)
        if then is None:
            found[job.outputs[0]] = "it is not known with which versions"
        elif changes := [
            f"{name} {then[name]}, now {now.get(name, 'none')}" for name in sorted(then) if then[name] != now.get(name)
        ]:
            found[job.outputs[0]] = "; ".join(changes)
    return found


def to_force(jobs: Sequence[Job], outdated: Mapping[str, str]) -> list[str]:
    """Of outdated jobs, the outputs of those that follow from no other; Snakemake runs all that follows."""
    makers = {output: job for job in jobs for output in job.outputs}
    follows: dict[str, bool] = {}

    def comes_again(job: Job) -> bool:
        """Whether a job is outdated or follows from one that is."""
        name = job.outputs[0]
        if name not in follows:
            follows[name] = name in outdated or follows_outdated(job)
        return follows[name]

    def follows_outdated(job: Job) -> bool:
        return any(comes_again(makers[file]) for file in job.inputs if file in makers)

    return [job.outputs[0] for job in jobs if job.outputs[0] in outdated and not follows_outdated(job)]


def _packages_then(job: Job, entries: list[Entry]) -> Mapping[str, str] | None:
    """What a job's outputs were made with, of the packages that decide them."""
    if job.rule == "train_model":  # its own record is of when it was trained, not of when it was written out
        versions: Mapping[str, str] = read_json(flags_of(job.command)["training"][0])["what_identifies_it"]["versions"]
        return versions
    packages = packages_at(entries, job.record["endtime"]) if "endtime" in job.record else None
    deciding = packages_of(f"cxrflow.{job.rule}")
    return None if packages is None else {name: version for name, version in packages.items() if name in deciding}


def _in_own_environments(arguments: Sequence[str]) -> bool:
    """Whether jobs get an environment or container each, by the arguments and the profile."""
    from snakemake.cli import parse_args

    return bool(parse_args(list(arguments))[1].software_deployment_method)


def outdated_in_run(arguments: Sequence[str]) -> tuple[list[Job], dict[str, str]]:
    """All jobs of `snakemake ARGUMENTS`, and which are outdated.

    Raises:
        Fault: Snakemake cannot plan, or the arguments name targets.
    """
    jobs = planned_jobs([*arguments, "--forceall"])
    report = next((job for job in jobs if job.rule == "assemble_report"), None)
    if report is None:
        raise Fault("targets: name none; what is outdated is told of a whole run, up to its report")
    flags = flags_of(report.command)
    now = packages_of_jobs(Path(flags["locked-versions"][0]), _in_own_environments(arguments))
    return jobs, find_outdated(jobs, read_journal(Path(flags["report"][0]).parents[1] / NAME), now)


def main() -> None:
    _, arguments = stage_parser(__doc__).parse_known_args()
    try:
        jobs, outdated = outdated_in_run(arguments)
    except Fault as fault:
        print(*fault.messages, sep="\n", file=sys.stderr)
        sys.exit(1)
    if not outdated:
        print("Nothing was made with other versions than those that are there now.")
        return
    told = Counter((job.rule, outdated[job.outputs[0]]) for job in jobs if job.outputs[0] in outdated)
    print("made with other versions:")
    for (rule, words), count in told.items():
        print(f"  {rule}{f', {count} jobs' if count > 1 else ''}: {words}", flush=True)
    command = [sys.executable, "-m", "snakemake", *arguments, "--forcerun", *to_force(jobs, outdated)]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
