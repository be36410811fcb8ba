"""Say what a run would do and why, one line a job: what is computed, how long that took last time, what is only looked at.

Not a stage: it takes the arguments of Snakemake, plans as Snakemake would, and runs nothing.
"""

import csv
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cxrflow.explain.differences import differences
from cxrflow.explain.jobs import Job, planned_jobs
from cxrflow.explain.trainings import Verdict, fingerprint_differs, verdict_on
from cxrflow.machine.duration import human
from cxrflow.stage.command import stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import sha256_of_file

FORCED = "Forced execution"
NOT_TOLD = {"Code has changed since last execution": "its rule has changed", FORCED: "it was asked for"}
MOST = 2  # reasons of a job that are told
VARIABLE = re.compile(r"['\"]([A-Z0-9_]+=[^'\"]*)['\"]")


def explain(jobs: Sequence[Job]) -> list[str]:
    """The lines that tell of planned jobs."""
    planned = {output: job for job in jobs for output in job.outputs}
    verdicts = {job.outputs[0]: verdict_on(job, planned) for job in jobs if job.rule == "train_model"}
    looked = [job for job in jobs if job.rule == "train_model" and not verdicts[job.outputs[0]].epochs]
    computed = [job for job in jobs if job not in looked]
    if not jobs:
        return ["Nothing to be done."]
    lines = ["computed:", *(f"  {_line(job, verdicts.get(job.outputs[0]), planned)}" for job in computed)]
    if looked:
        lines += ["only looked at (the training is there, and is written out in seconds):"]
        lines += [f"  {_looked_at(job, verdicts[job.outputs[0]], planned)}" for job in looked]
    return lines


def _looked_at(job: Job, verdict: Verdict, planned: Mapping[str, Job]) -> str:
    rules = list(dict.fromkeys(verdict.unless))
    unless = f"; trained again if {' or '.join(rules)} should make something else than before" if rules else ""
    return f"{job.message}: {_after(job, planned) or _own_reason(job)}{unless}"


def _line(job: Job, verdict: Verdict | None, planned: Mapping[str, Job]) -> str:
    seconds = verdict.seconds if verdict else _last_seconds(job)
    time = f", about {human(seconds)}" if seconds is not None else ""
    if verdict:
        epochs = f", {verdict.epochs} epoch{'s' if verdict.epochs > 1 else ''}"
        return f"{job.message}{epochs}{time}: {_few(verdict.reasons)}"
    return f"{job.message}{time}: {_own_reason(job) or _after(job, planned)}"


def _own_reason(job: Job) -> str:
    """Why a job runs by itself; an empty text where it only follows from others."""
    return _few(_own_reasons(job))


def _few(reasons: Iterable[str]) -> str:
    """The first reasons, and how many more there are: a key that all experiments share, or many images, may give hundreds."""
    listed = list(dict.fromkeys(reasons))
    more = len(listed) - MOST
    return "; ".join(listed[:MOST]) + (f"; and {more} more" if more > 0 else "")


def _own_reasons(job: Job) -> Iterator[str]:
    if job.before is None or "Missing output files" in job.reason:
        missing = [output for output in job.outputs if not Path(output).exists()]
        yield f"{missing[0]} is not there" if missing else "there is no record of how it was made"
    changes = differences(job.before, job.command) if job.before is not None else []
    yield from map(str, changes)
    for part in job.reason.split("; "):
        if part in NOT_TOLD:
            if part != FORCED or job.before is not None:  # or the rules have asked for it, see begin_and_end.smk
                yield NOT_TOLD[part]
        elif part.startswith("Updated input files: "):
            yield f"{part.removeprefix('Updated input files: ')} has changed"
        elif part.startswith("Set of input files has changed"):
            yield "it has other input files"
        elif part.startswith("Incomplete output files"):
            yield "it was interrupted"
        elif part.startswith("Params have changed") and not changes:
            yield from _unseen_reasons(job, part)


def _unseen_reasons(job: Job, part: str) -> Iterator[str]:
    """Why params are others though the command is the same: contents of files, environment variables, or code."""
    if job.rule == "index_images" and fingerprint_differs(job):
        yield "images have changed"
        return
    told = [
        f"{file} has changed" for file, seen in job.record.get("input_checksums", {}).items() if _is_another(file, seen)
    ]
    before, _, now = part.partition(" now: ")
    if VARIABLE.search(before) or VARIABLE.search(now):
        told.append(f"environment variables went from {_variables(before)} to {_variables(now)}")
    yield from told or ["its code has changed"]


def _is_another(file: str, seen: str) -> bool:
    return Path(file).is_file() and f"sha256:{sha256_of_file(file)}" != seen


def _variables(params: str) -> str:
    return ", ".join(VARIABLE.findall(params)) or "none"


def _after(job: Job, planned: Mapping[str, Job]) -> str:
    rules = dict.fromkeys(planned[file].rule for file in job.inputs if file in planned)
    return f"follows from {', '.join(rules)}" if rules else ""


def _last_seconds(job: Job) -> float | None:
    if job.benchmark is None or not Path(job.benchmark).is_file():
        return None
    with Path(job.benchmark).open(encoding="utf-8", newline="") as file:
        return max(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))


def main() -> int:
    _, arguments = stage_parser(__doc__).parse_known_args()
    try:
        lines = explain(planned_jobs(arguments))
    except Fault as fault:
        print(*fault.messages, sep="\n", file=sys.stderr)
        return 1
    print(*lines, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
