"""One run at a time on one folder of results; and no run beside jobs that a killed one has left.

Snakemake's own locks are files that stay when it is killed, and they name no process: profiles/ turn them off. A claim ends
with its process. Jobs outlive a Snakemake that is killed: they hold a second lock, which the jobs of this machine inherit from
it, and which a cluster's jobs take themselves. The next run waits until nobody holds it.
"""

import atexit
import fcntl
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil

from cxrflow.stage.faults import Fault
from cxrflow.stage.locks import lock_alone
from cxrflow.training.claim import NOTE, POLL, claimed

JOBS = "jobs.lock"
# Seconds in which a node may still see an older claim than the one of the run that handed a job in.
LATE = 60.0


def claim_results(locks: Path, folder: Path, say: Callable[[str], None]) -> int:
    """Claim a folder of results for this process, until it ends; then wait for jobs that a killed run has left.

    Args:
        locks: folder of the locks of all results, beside them.
        folder: what is claimed; need not be there.
        say: is told what this process waits for.

    Returns:
        The number of an open file, which the run's jobs on this machine must inherit.

    Raises:
        Fault: another run is going on, or the locks may not be written.
    """
    place = _place(locks, folder)
    held = ExitStack()
    held.enter_context(claimed(place, say, does=f"makes {folder}", wait=False))
    atexit.register(held.close)
    jobs = held.enter_context((place / JOBS).open("a"))
    told = False
    while not lock_alone(jobs):
        if not told:
            say(f"waits: {_words(place / JOBS)} of a run that was killed still makes {folder}")
            told = True
        time.sleep(POLL)
    fcntl.flock(jobs, fcntl.LOCK_SH)  # beside the jobs of a cluster
    return jobs.fileno()


def run_of(locks: Path, folder: Path) -> str:
    """The run that has claimed a folder of results: a text by which its jobs know it; empty where there is none."""
    try:
        holder = json.loads((_place(locks, folder) / NOTE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none, or it is being written
        return ""
    return f"{holder['host']} {holder['process']} {holder['since']}"


def join_run(locks: Path, folder: Path, run: str) -> int:
    """Be a job of a run on a cluster, until this process ends: no other run begins before.

    Args:
        locks: as for `claim_results`.
        folder: the results that the job makes a part of.
        run: what `run_of` said where the job was handed in.

    Returns:
        The number of an open file, as for `claim_results`.

    Raises:
        Fault: that run has ended, and this job came behind it.
    """
    place = _place(locks, folder)
    place.mkdir(parents=True, exist_ok=True)
    held = ExitStack()
    jobs = held.enter_context((place / JOBS).open("a"))
    atexit.register(held.close)
    fcntl.flock(jobs, fcntl.LOCK_SH)
    last = time.monotonic() + LATE
    while run_of(locks, folder) != run:
        if time.monotonic() > last:
            held.close()
            raise Fault(f"the run that handed this job in ({run}) has ended; the job makes nothing")
        time.sleep(POLL)
    return jobs.fileno()


def _place(locks: Path, folder: Path) -> Path:
    return locks / folder.relative_to(locks.parent)


def _words(lock: Path) -> str:
    """The processes that have a lock open, this one left out; in words, with their stages where they run one."""
    found: dict[int, str] = {}
    for process in psutil.process_iter():
        try:
            if process.pid != psutil.Process().pid and str(lock.resolve()) in {
                one.path for one in process.open_files()
            }:
                found[process.pid] = next((word for word in process.cmdline() if word.startswith("cxrflow.")), "")
        except psutil.Error:  # it has ended, or is not ours to look into
            continue
    stages = {pid: stage for pid, stage in found.items() if stage}
    named = [f"process {pid}{f' ({stage})' if stage else ''}" for pid, stage in (stages or found).items()]
    return ", ".join(named) if named else "a job on another machine (of a cluster: `squeue`)"
