"""Allow one run at a time per folder of results, and none while jobs of a killed run still write there.

Snakemake's own locks are files that remain when it is killed, and that name no process; profiles/ turn them off. The lock of a
run ends with its process. Jobs outlive a killed Snakemake and hold a second lock: jobs on the same machine inherit it, and jobs
on a cluster acquire it themselves. The next run waits until no process holds it.
"""

import atexit
import fcntl
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil

from cxrflow.io.errors import UserError
from cxrflow.io.files import try_lock
from cxrflow.training.lock import HOLDER, POLL, lock_folder, read_holder

JOBS = "jobs.lock"
LATE = 60.0
"""Seconds during which a node may still see the lock of a run before the one that submitted its job."""


def lock_results(locks: Path, folder: Path, say: Callable[[str], None]) -> int:
    """Lock a folder of results for this process until it ends, and wait for the jobs of a killed run.

    Args:
        locks: folder of the locks, in the folder of all results.
        folder: folder of results to lock; it need not exist.
        say: called with a message if this process has to wait.

    Returns:
        The number of an open file, which the run's jobs on this machine must inherit.

    Raises:
        UserError: another run is active, or the locks cannot be written.
    """
    place = _place(locks, folder)
    held = ExitStack()
    held.enter_context(lock_folder(place, say, does=f"is writing {folder}", wait=False))
    atexit.register(held.close)
    jobs = held.enter_context((place / JOBS).open("a"))
    is_waiting = False
    while not try_lock(jobs):
        if not is_waiting:
            say(f"waiting: {_holders(place / JOBS)} of a killed run is still writing {folder}")
            is_waiting = True
        time.sleep(POLL)
    fcntl.flock(jobs, fcntl.LOCK_SH)  # shared with the jobs of a cluster
    return jobs.fileno()


def run_of(locks: Path, folder: Path) -> str:
    """Identify the run that has locked a folder of results, for its jobs; an empty text if there is none."""
    try:
        holder = read_holder(_place(locks, folder) / HOLDER)
    except FileNotFoundError:
        holder = None
    return f"{holder['host']} {holder['process']} {holder['since']}" if holder else ""


def join_run(locks: Path, folder: Path, run: str) -> int:
    """Join a run as one of its jobs on a cluster: no other run starts before this process ends.

    Args:
        locks: folder of the locks, as for `lock_results`.
        folder: folder of results that the job writes to.
        run: the run that submitted the job, see `run_of`.

    Returns:
        The number of an open file, as for `lock_results`.

    Raises:
        UserError: the run has already ended.
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
            raise UserError(f"the run that submitted this job ({run}) has ended; the job writes nothing")
        time.sleep(POLL)
    return jobs.fileno()


def _place(locks: Path, folder: Path) -> Path:
    return locks / folder.relative_to(locks.parent)


def _holders(lock: Path) -> str:
    """Describe the other processes that have a lock open, with the stages that they run."""
    found: dict[int, str] = {}
    for process in psutil.process_iter():
        try:
            if process.pid != psutil.Process().pid and str(lock.resolve()) in {
                one.path for one in process.open_files()
            }:
                found[process.pid] = next((word for word in process.cmdline() if word.startswith("cxrflow.")), "")
        except psutil.Error:  # it has ended, or belongs to another user
            continue
    stages = {pid: stage for pid, stage in found.items() if stage}
    named = [f"process {pid}{f' ({stage})' if stage else ''}" for pid, stage in (stages or found).items()]
    return ", ".join(named) if named else "a job on another machine (on a cluster, see `squeue`)"
