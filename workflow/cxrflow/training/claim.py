"""One process at a time: a claim on a folder, such as that of a training's states.

The claim is an advisory lock (flock), which the kernel gives back however the process ends. Where a shared file system keeps
such locks to one node, the file `claim.json` tells those on other nodes: its holder touches it every few seconds, and a claim
of another host that is not touched any more is over.
"""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cxrflow.stage.faults import Fault
from cxrflow.stage.locks import lock_alone

HEARTBEAT = 10.0  # seconds between two touches of a claim
STALE = 60.0  # seconds without a touch after which another host's claim is over
POLL = 0.5  # seconds between two looks at a claim that is held
LOCK, NOTE = "claim.lock", "claim.json"


@contextmanager
def claimed(folder: Path, say: Callable[[str], None], does: str = "trains this", wait: bool = True) -> Iterator[None]:
    """Hold the claim on a folder; wait, and say once for whom, while another process holds it.

    Args:
        folder: made where it is not there.
        say: is told whom this process waits for.
        does: what the holder of a claim does, for messages.
        wait: or fail where another process holds it; one of another host is watched until it has shown that it lives.

    Raises:
        Fault: the folder may not be written, or the disk is full; without `wait`, another process holds the claim.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a")
    except OSError as error:
        raise _unwritable(folder, error) from None
    note = folder / NOTE
    with lock:
        _wait(lock, note, say, does, wait)
        over = threading.Event()
        beat = threading.Thread(target=_keep_alive, args=(note, over), daemon=True)
        try:
            note.write_text(json.dumps(_holder()) + "\n", encoding="utf-8")
        except OSError as error:
            note.unlink(missing_ok=True)  # half of it may be there
            raise _unwritable(folder, error) from None
        beat.start()
        try:
            yield
        finally:
            over.set()
            beat.join()
            note.unlink(missing_ok=True)


@contextmanager
def claimed_at_once(folder: Path) -> Iterator[None]:
    """Hold the claim on a folder that is there, without a wait and without a note for other hosts.

    Raises:
        Fault: another process holds it, or one of another host may.
    """
    note = folder / NOTE
    with (folder / LOCK).open("a") as lock:
        if not lock_alone(lock):
            raise Fault(f"{folder}: {_words(note)} trains this; it is left alone")
        if _touched_elsewhere(note) >= 0:
            raise Fault(f"{folder}: {_words(note)} trains this, or has died; if it has, delete {note} and try again")
        yield


def _unwritable(folder: Path, error: OSError) -> Fault:
    return Fault(f"states: {folder}: {error.strerror}; it must be a folder that may be written, with room for states")


def _wait(lock: IO[str], note: Path, say: Callable[[str], None], does: str, wait: bool) -> None:
    told = False
    seen, since = -1, 0.0
    while True:
        lives = True
        if lock_alone(lock):
            touched = _touched_elsewhere(note)
            lives = touched != seen and seen >= 0
            if touched != seen:
                seen, since = touched, time.monotonic()
            if touched < 0 or time.monotonic() - since > STALE:
                return
            fcntl.flock(lock, fcntl.LOCK_UN)
        if lives and not wait:
            raise Fault(f"{_words(note)} {does} already")
        if not told:
            say(f"waits: {_words(note)} {does} already")
            told = True
        time.sleep(POLL)


def _touched_elsewhere(note: Path) -> int:
    """When another host's claim was touched last, in ns; -1 where there is none. Its clock need not agree with ours."""
    try:
        holder = json.loads(note.read_text(encoding="utf-8"))
        touched = note.stat().st_mtime_ns
    except FileNotFoundError:
        return -1
    except ValueError:  # its holder is writing it
        return 0
    return -1 if holder["host"] == socket.gethostname() else touched


def _keep_alive(note: Path, over: threading.Event) -> None:
    while not over.wait(HEARTBEAT):
        note.touch()


def _holder() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _words(note: Path) -> str:
    try:
        holder = json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # it has just begun, or just ended
        return "another process"
    job = f", Slurm job {holder['slurm_job']}" if holder["slurm_job"] else ""
    return f"process {holder['process']} on {holder['host']}{job}, since {holder['since']},"
