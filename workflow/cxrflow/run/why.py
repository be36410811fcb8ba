"""Explain what a run would compute and why, with the time that each job took last, and which trainings it would reuse.

Not a stage: it takes the arguments of Snakemake, plans the jobs as Snakemake does, and runs nothing.
"""

import csv
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cxrflow.io.command import run_command, stage_parser
from cxrflow.io.files import sha256_of_file
from cxrflow.io.words import counted, duration, some_of
from cxrflow.run.changed_flags import differences, flags_of
from cxrflow.run.handed_on import text_of
from cxrflow.run.jobs import Job, planned_jobs
from cxrflow.run.planned_trainings import Verdict, fingerprint_differs, verdict_on

FORCED = "Forced execution"
IN_WORDS = {"Code has changed since last execution": "its rule has changed", FORCED: "it was requested"}
MOST = 2
"""Number of a job's reasons that are listed; a changed key of all experiments, or many images, may give hundreds."""
VARIABLE = re.compile(r"['\"]([A-Z0-9_]+=[^'\"]*)['\"]")


def explain(jobs: Sequence[Job]) -> list[str]:
    """Explain the planned jobs in lines of text."""
    planned = {output: job for job in jobs for output in job.outputs}
    verdicts = {job.outputs[0]: verdict_on(job, planned) for job in jobs if job.rule == "train_model"}
    reused = [job for job in jobs if job.rule == "train_model" and not verdicts[job.outputs[0]].epochs]
    computed = [job for job in jobs if job not in reused]
    if not jobs:
        return ["Nothing to be done."]
    lines = ["computed:", *(f"  {_line(job, verdicts.get(job.outputs[0]), planned)}" for job in computed)]
    if reused:
        lines += ["reused (the checkpoint exists, and its outputs are written in seconds):"]
        lines += [f"  {_reused_line(job, verdicts[job.outputs[0]], planned)}" for job in reused]
    if not all(verdict.is_sure for verdict in verdicts.values()):
        lines.append(
            "A training takes fewer epochs, or none, if an earlier one with the same inputs has left checkpoints."
        )
    return lines


def _reused_line(job: Job, verdict: Verdict, planned: Mapping[str, Job]) -> str:
    rules = list(dict.fromkeys(verdict.unless))
    unless = f"; trained again if {' or '.join(rules)} produces other outputs than before" if rules else ""
    return f"{job.message}: {_after(job, planned) or _own_reason(job)}{unless}"


def _line(job: Job, verdict: Verdict | None, planned: Mapping[str, Job]) -> str:
    seconds = verdict.seconds if verdict else _last_seconds(job)
    time = f", about {duration(seconds)}" if seconds is not None else ""
    if verdict:
        return f"{job.message}, {counted(verdict.epochs, 'epoch')}{time}: {_few(verdict.reasons)}"
    return f"{job.message}{time}: {_own_reason(job) or _after(job, planned)}"


def _own_reason(job: Job) -> str:
    """Give the reasons why a job itself runs; an empty text if it only follows from other jobs."""
    return _few(_own_reasons(job))


def _few(reasons: Iterable[str]) -> str:
    return some_of(dict.fromkeys(reasons), MOST, "; ")


def _own_reasons(job: Job) -> Iterator[str]:
    if job.before is None or "Missing output files" in job.reason:
        missing = [output for output in job.outputs if not Path(output).exists()]
        yield f"{missing[0]} does not exist" if missing else "there is no record of how it was made"
    changes = differences(_with_contents(job.before), _with_contents(job.command)) if job.before is not None else []
    yield from map(str, changes)
    for part in job.reason.split("; "):
        if part in IN_WORDS:
            if part != FORCED or job.before is not None:  # without a record, cxrflow itself has forced the job
                yield IN_WORDS[part]
        elif part.startswith("Updated input files: "):
            yield f"{part.removeprefix('Updated input files: ')} has changed"
        elif part.startswith("Set of input files has changed"):
            yield "it has other input files"
        elif part.startswith("Incomplete output files"):
            yield "it was interrupted"
        elif part.startswith("Params have changed") and not changes:
            yield from _reasons_outside_command(job, part)


def _with_contents(command: str) -> str:
    """Replace the paths of settings files in a command by their contents, which show what has changed."""
    for values in flags_of(command).values():
        if len(values) == 1 and "/handed_on/" in values[0] and (text := text_of(values[0])):
            command = command.replace(shlex.quote(values[0]), shlex.quote(text))
    return command


def _reasons_outside_command(job: Job, part: str) -> Iterator[str]:
    """Explain changed params of an unchanged command: contents of files, environment variables, or code."""
    if job.rule in ("index_images", "index_external") and fingerprint_differs(job):
        yield "images have changed"
        return
    checksums = job.record.get("input_checksums", {})
    reasons = [f"{file} has changed" for file, checksum in checksums.items() if _has_changed(file, checksum)]
    before, _, now = part.partition(" now: ")
    if VARIABLE.search(before) or VARIABLE.search(now):
        reasons.append(f"environment variables went from {_variables(before)} to {_variables(now)}")
    yield from reasons or ["its code has changed"]


def _has_changed(file: str, checksum: str) -> bool:
    return Path(file).is_file() and f"sha256:{sha256_of_file(file)}" != checksum


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


def main() -> None:
    _, arguments = stage_parser(__doc__).parse_known_args()
    print(*explain(planned_jobs(arguments)), sep="\n")


if __name__ == "__main__":
    run_command(main)
