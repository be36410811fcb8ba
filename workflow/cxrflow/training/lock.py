"""Lock a folder, such as the checkpoints of a training, so that only one process works on it.

The lock is an advisory lock (flock), which the kernel releases when its process ends. A shared file system may apply such locks
to one node only. Therefore a JSON file describes the holder to processes on other nodes: the holder touches it every few
seconds, and the lock of another host expires when its file is no longer touched.
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

from cxrflow.io.errors import UserError
from cxrflow.io.files import try_lock

HEARTBEAT = 10.0  # seconds between two touches of the holder's file
STALE = 60.0  # seconds without a touch after which the lock of another host has expired
POLL = 0.5  # seconds between two attempts to lock
LOCK, HOLDER = "in_use.lock", "in_use.json"


@contextmanager
def lock_folder(
    folder: Path, say: Callable[[str], None], does: str = "is training this", wait: bool = True
) -> Iterator[None]:
    """Hold the lock of a folder; wait while another process holds it.

    Args:
        folder: folder to lock; created if it does not exist.
        say: called once with a message if this process has to wait.
        does: what the holder of the lock does, for messages.
        wait: if False, fail if another process holds the lock; a holder on another host is first watched for a sign of life.

    Raises:
        UserError: the folder is not writable, the disk is full, or, without `wait`, another process holds the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a")
    except OSError as error:
        raise _unwritable(folder, error) from None
    file = folder.absolute() / HOLDER  # Snakemake leaves the working directory before this process ends
    with lock:
        _acquire(lock, file, say, does, wait)
        is_released = threading.Event()
        heartbeat = threading.Thread(target=_keep_alive, args=(file, is_released), daemon=True)
        try:
            file.write_text(json.dumps(_describe_process()) + "\n", encoding="utf-8")
        except OSError as error:
            file.unlink(missing_ok=True)  # it may be incomplete
            raise _unwritable(folder, error) from None
        heartbeat.start()
        try:
            yield
        finally:
            is_released.set()
            heartbeat.join()
            file.unlink(missing_ok=True)


@contextmanager
def lock_folder_at_once(folder: Path) -> Iterator[None]:
    """Hold the lock of an existing folder, without waiting and without informing other hosts.

    Raises:
        UserError: another process holds the lock, or one on another host may hold it.
    """
    file = folder / HOLDER
    with (folder / LOCK).open("a") as lock:
        if not try_lock(lock):
            raise UserError(f"{folder}: {_holder_text(file)} trains this; it is not changed")
        if _last_touch_elsewhere(file) >= 0:
            raise UserError(
                f"{folder}: {_holder_text(file)} trains this or has died; if it has died, delete {file} and try again"
            )
        yield


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"checkpoints: {folder}: {error.strerror}; choose a writable folder with free space for checkpoints"
    )


def _acquire(lock: IO[str], file: Path, say: Callable[[str], None], does: str, wait: bool) -> None:
    is_waiting = False
    last_touch, since = -1, 0.0
    while True:
        is_alive = True
        if try_lock(lock):
            touch = _last_touch_elsewhere(file)
            is_alive = touch != last_touch and last_touch >= 0
            if touch != last_touch:
                last_touch, since = touch, time.monotonic()
            if touch < 0 or time.monotonic() - since > STALE:
                return
            fcntl.flock(lock, fcntl.LOCK_UN)
        if is_alive and not wait:
            raise UserError(f"{_holder_text(file)} {does}")
        if not is_waiting:
            say(f"waiting: {_holder_text(file)} {does}")
            is_waiting = True
        time.sleep(POLL)


def _last_touch_elsewhere(file: Path) -> int:
    """When another host touched its holder's file last (ns, by its own clock); -1 if no other host holds the lock."""
    try:
        holder = read_holder(file)
        touched = file.stat().st_mtime_ns
    except FileNotFoundError:
        return -1
    if holder is None:
        return 0
    return -1 if holder["host"] == socket.gethostname() else touched


def read_holder(file: Path) -> dict[str, Any] | None:
    """Read the holder of a lock; None if the file is damaged or just being written.

    Raises:
        FileNotFoundError: nobody holds the lock.
    """
    try:
        holder = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    return holder if isinstance(holder, dict) and _describe_process().keys() <= holder.keys() else None


def _keep_alive(file: Path, is_released: threading.Event) -> None:
    while not is_released.wait(HEARTBEAT):
        file.touch()


def _describe_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _holder_text(file: Path) -> str:
    try:
        holder = read_holder(file)
    except FileNotFoundError:  # it has just ended
        holder = None
    if holder is None:
        return "another process"
    job = f", Slurm job {holder['slurm_job']}" if holder["slurm_job"] else ""
    return f"process {holder['process']} on {holder['host']}{job} (since {holder['since']})"
