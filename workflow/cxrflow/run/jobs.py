"""The jobs that Snakemake plans, and its records of when their outputs were made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cxrflow.io.errors import UserError
from cxrflow.run.adapter import job_infos, record_of, stage_of

REMARKS = ("Using ", "Config file ", "WorkflowError in file ", "File ", "The config has ")
"""First words of the lines that Snakemake prints around its error messages."""


@dataclass(frozen=True)
class Job:
    """A planned job."""

    rule: str
    message: str
    wildcards: Mapping[str, str]
    inputs: Sequence[str]
    outputs: Sequence[str]
    benchmark: str | None
    reason: str
    """In Snakemake's words."""
    command: str
    """The shell command; empty for a target rule."""

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """Snakemake's record of the last time when the outputs were made; empty if there is none."""
        return (record_of(self.outputs[0]) if self.outputs else None) or {}

    @property
    def before(self) -> str | None:
        """The command that made the outputs; None if there is no record."""
        return self.record.get("shellcmd")


def planned_jobs(arguments: Sequence[str]) -> list[Job]:
    """List the jobs that `snakemake ARGUMENTS` would run in this folder, in Snakemake's order, without target rules.

    Raises:
        UserError: Snakemake cannot plan the jobs; with its messages.
    """
    infos, printed = job_infos(arguments)
    if printed:
        raise UserError(_error_lines(printed))
    jobs = map(_job, infos)
    return [job for job in {tuple(job.outputs): job for job in jobs}.values() if job.outputs]


def _error_lines(lines: list[str]) -> list[str]:
    """Extract the error messages from the lines that Snakemake prints, without remarks and places in the code."""
    bare = [line.strip() for line in lines]
    return [line for line in bare if line and not line.startswith(REMARKS)]


def _job(info: Mapping[str, Any]) -> Job:
    return Job(
        rule=stage_of(info["shellcmd"]) or info["rule_name"],
        message=(info["rule_msg"] or info["rule_name"]).rstrip("."),
        wildcards=dict(info["wildcards"] or {}),
        inputs=[_bare(file) for file in info["input"]],
        outputs=[_bare(file) for file in info["output"]],
        benchmark=_bare(info["benchmark"]) if info["benchmark"] else None,
        reason=info["reason"],
        command=info["shellcmd"] or "",
    )


def _bare(file: str) -> str:
    """Remove Snakemake's remark after a file name."""
    return file.removesuffix(" (ancient)") if isinstance(file, str) else str(file)
