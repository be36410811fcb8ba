"""Which packages a run's jobs were made with, and since when: a journal beside the results, one entry for each change."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cxrflow.machine.packages import by_one_name, installed_versions, locked_versions
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import write_text

NAME = "software.json"


@dataclass(frozen=True)
class Entry:
    """From `since`, seconds since 1970, jobs had these packages."""

    since: float
    packages: Mapping[str, str]
    """Name to version."""


def packages_of_jobs(lock: Path, in_own_environments: bool) -> dict[str, str]:
    """The packages that jobs have, name to version; of those that the lock file names.

    Args:
        lock: lock file of the run's environment.
        in_own_environments: Snakemake gives each job an environment or container made from the lock file; else jobs have what
            is installed here.

    Raises:
        Fault: the lock file is not there.
    """
    locked = by_one_name(locked_versions(lock))
    if in_own_environments:
        return locked
    installed = by_one_name(installed_versions())
    return {name: installed[name] for name in sorted(locked) if name in installed}


def write_down(journal: Path, packages: Mapping[str, str], now: float) -> None:
    """Add an entry, where the packages are others than those of the last one."""
    entries = read_journal(journal)
    if not entries or entries[-1].packages != packages:
        entries.append(Entry(now, dict(packages)))
        write_text(journal, json.dumps([asdict(entry) for entry in entries], indent=1) + "\n")


def read_journal(journal: Path) -> list[Entry]:
    """The entries in their order; none where there is no journal.

    Raises:
        Fault: it is damaged.
    """
    if not journal.is_file():
        return []
    try:
        return [Entry(float(one["since"]), dict(one["packages"])) for one in json.loads(journal.read_text("utf-8"))]
    except (ValueError, TypeError, KeyError) as error:
        raise Fault(
            f"{journal}: damaged; delete it: with which versions results were made is then not known"
        ) from error


def packages_at(entries: list[Entry], time: float) -> Mapping[str, str] | None:
    """The packages that jobs had at some time; None where no entry tells."""
    return next((entry.packages for entry in reversed(entries) if entry.since <= time), None)
