"""Write, lock, hash and compare files. A file is written completely or not at all: under a temporary name, then renamed."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from cxrflow.io.errors import UserError

if TYPE_CHECKING:  # importing pandas here would slow down every dry run by half a second
    import pandas as pd

PARTS = ".part-*"
LONGEST_SILENCE = 86_400  # seconds


@contextmanager
def whole_file(path: str | Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path to write to, which replaces `path` when the block succeeds and is deleted when it fails.

    The temporary name keeps the suffix of `path`, since some writers derive the format from it.

    Args:
        path: the file to write.
        durable: wait until the file is on the disk. False is faster, but a power cut may leave a part of the file: use it only
            for files whose readers notice that.

    Raises:
        OSError: the file cannot be written, as on a full disk. The error names `path`, unlike those of pandas and HDF5.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if durable:  # the writer of the many other files removes their remains itself
        _remove_abandoned_parts(path.parent)
    part = aside(path)
    try:
        yield part
        if durable:
            with part.open("rb") as written:
                os.fsync(written.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        number = _error_number(error)
        if number is None or str(getattr(error, "filename", None)) not in ("None", str(part)):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def _error_number(error: OSError | RuntimeError) -> int | None:
    """Return the system's number of an error, such as that of a full disk; HDF5 has it only in its text."""
    number = re.search(r"errno = (\d+)", str(error))
    return (error.errno if isinstance(error, OSError) else None) or (int(number[1]) if number else None)


@cache  # once per process
def _remove_abandoned_parts(folder: Path) -> None:
    remove_abandoned(folder.glob(PARTS))


def aside(path: Path, kind: Literal["part", "old"] = "part") -> Path:
    """Return a temporary name, next to a file or folder, for its new (part) or old version; it contains the process id."""
    return path.with_name(f".{kind}-{os.getpid()}-{threading.get_native_id()}-{_host()}-{path.name}")


def remove_abandoned(paths: Iterable[Path]) -> None:
    """Delete the temporary files and folders of killed processes, and restore old versions that were not replaced.

    A process on another host counts as killed if its file is a day old. Paths that are not from `aside` are ignored.
    """
    for path in paths:
        named = re.fullmatch(r"\.(part|old)-(\d+)-\d+-(?:([0-9a-f]{8})-)?(.+)", path.name)
        # The file may belong to another user, or another process may have deleted it.
        with contextlib.suppress(PermissionError, FileNotFoundError):
            if named is None or not _is_abandoned(path, int(named[2]), named[3]):
                continue
            if named[1] == "old" and not path.with_name(named[4]).exists():
                path.replace(path.with_name(named[4]))
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _is_abandoned(path: Path, process: int, host: str | None) -> bool:
    if host != _host():
        return time.time() - path.stat().st_mtime > LONGEST_SILENCE
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it runs, as another user
        return False
    return False


@cache
def _host() -> str:
    """Identify the host or container in which process ids are unique, by eight hexadecimal digits."""
    namespace = Path("/proc/self/ns/pid")
    space = namespace.readlink() if namespace.is_symlink() else ""
    return hashlib.blake2b(f"{socket.gethostname()} {space}".encode(), digest_size=4).hexdigest()


def try_lock(file: IO[str]) -> bool:
    """Try to lock an open file for this process only (flock); the kernel releases the lock when the process ends.

    Returns:
        Whether the lock was acquired; False if another process holds one.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write readable JSON: indented, keys in the given order, no NaN."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: it is damaged.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise UserError(f"{path}: damaged (not JSON); delete it and repeat the command, which rebuilds it") from None


def canonical_json(value: Any) -> str:
    """Format a value as compact JSON with sorted keys, so that equal values have equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def write_table(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a CSV (without index, with Unix line ends and floats that read back exactly) or a Parquet file."""
    with whole_file(path) as part:
        if part.suffix == ".parquet":
            table.to_parquet(part, index=False)
        else:
            table.to_csv(part, index=False, lineterminator="\n")


def sha256_of_file(path: str | Path) -> str:
    """Hash the bytes of a file by SHA-256, in hex."""
    digest = hashlib.sha256()
    # For many small files, this is a third faster than Path.open and hashlib.file_digest.
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        while piece := file.read(1 << 18):
            digest.update(piece)
    return digest.hexdigest()


def sha256_of_text(text: str) -> str:
    """Hash the UTF-8 bytes of a text by SHA-256, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


Stamp = tuple[int, int, int, int]
"""Size in bytes, modification and change times in ns, and inode of a file. The last two reveal that a file was replaced by one
with an old modification time, as by `mv`, `cp -p` or `rsync -t`; no program can set the change time."""
NO_FILE: Stamp = (0, 0, 0, 0)


def stamp_of(path: str | Path) -> Stamp:
    """Return a stamp that changes whenever a file is written, renamed or replaced; `NO_FILE` if it does not exist."""
    for stat in (os.stat, os.lstat):  # lstat: a broken link exists, too
        try:
            status = stat(path)
        except OSError:
            continue
        # Some file systems have inodes of 64 bits; tables of images store signed numbers.
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino % 2**63
    return NO_FILE
