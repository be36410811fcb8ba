"""The jobs that Snakemake plans, and what it wrote down when their outputs were made."""

import contextlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cxrflow.explain.records import record_of
from cxrflow.stage.faults import Fault


@dataclass(frozen=True)
class Job:
    """A job that is planned."""

    rule: str
    message: str
    wildcards: Mapping[str, str]
    inputs: Sequence[str]
    outputs: Sequence[str]
    benchmark: str | None
    reason: str
    """Snakemake's own words."""
    command: str
    """Empty for a target rule."""

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """What Snakemake wrote down when the outputs were made; empty where it did not."""
        return (record_of(self.outputs[0]) if self.outputs else None) or {}

    @property
    def before(self) -> str | None:
        """The command by which the outputs were made; None where there is no record of that."""
        return self.record.get("shellcmd")


def planned_jobs(arguments: Sequence[str]) -> list[Job]:
    """The jobs that `snakemake ARGUMENTS` would run in this folder, in Snakemake's order; target rules are left out.

    Raises:
        Fault: Snakemake cannot plan; its words.
    """
    from snakemake.cli import main
    from snakemake.logging import logger

    jobs: list[Job] = []

    def see(record: logging.LogRecord) -> bool:
        if getattr(getattr(record, "event", None), "value", None) == "job_info":
            jobs.append(_job(vars(record)))
        return True

    said = io.StringIO()
    logger.addFilter(see)  # Snakemake takes away handlers that it has not made
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            main([*arguments, "--dry-run", "--ignore-incomplete"])
    except SystemExit as end:
        if end.code:
            raise Fault([line for line in said.getvalue().splitlines() if line.strip()]) from None
    finally:
        logger.removeFilter(see)
    return [job for job in {tuple(job.outputs): job for job in jobs}.values() if job.outputs]


def _job(info: Mapping[str, Any]) -> Job:
    return Job(
        rule=info["rule_name"],
        message=(info["rule_msg"] or info["rule_name"]).rstrip("."),
        wildcards=dict(info["wildcards"] or {}),
        inputs=[_bare(file) for file in info["input"]],
        outputs=[_bare(file) for file in info["output"]],
        benchmark=_bare(info["benchmark"]) if info["benchmark"] else None,
        reason=info["reason"],
        command=info["shellcmd"] or "",
    )


def _bare(file: str) -> str:
    """A file's name without what Snakemake says of it behind."""
    return file.removesuffix(" (ancient)") if isinstance(file, str) else str(file)
