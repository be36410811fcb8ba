"""Fetch files into a folder: each from the first source that has it, several in parallel, resuming interrupted downloads.

A file in its final place is always complete and correct; unfinished downloads are in the subfolder `.partial`. One process at
a time fetches into a folder; another one waits until it has finished, and then reuses the files.
"""

import contextlib
import csv
import fcntl
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

import requests

from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.files import try_lock
from cxrflow.io.hashes import Contents
from cxrflow.io.transfer import Broken, Limits, Refused, Unreachable, bring_file, new_session

PARTIAL = ".partial"
LOCK = ".lock"
GIVEN_UP_AFTER = 3


@dataclass(frozen=True)
class Wanted:
    """A file to fetch: its POSIX path below the folder, its expected contents, and the addresses to try, in order."""

    path: str
    contents: Contents
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class NotFetched:
    """A file that could not be fetched, and why."""

    path: str
    why: str
    no_source_has_it: bool
    """Whether all sources answered that they do not have it; otherwise a later attempt may succeed."""


def addresses(sources: Sequence[str], **known: str | None) -> tuple[str, ...]:
    """Fill in the addresses of a file: `{name}` in a source is replaced by the URL-quoted value of `name`.

    Sources that need a value which is not known are omitted.
    """
    values = {f"{{{name}}}": quote(value, safe="/") if value else None for name, value in known.items()}
    usable = [source for source in sources if not any(name in source for name in values if values[name] is None)]
    return tuple(re.sub(r"\{\w+\}", lambda name: values.get(name[0]) or name[0], source) for source in usable)


def fetch_files(
    wanted: Sequence[Wanted], folder: Path, limits: Limits, workers: int = 4, notice: str = ""
) -> list[NotFetched]:
    """Fetch files that do not exist yet or have other contents.

    Args:
        wanted: the files.
        folder: where to put them; created if necessary.
        limits: limits of each attempt.
        workers: number of parallel downloads.
        notice: printed once, before the first download.

    Returns:
        The files that could not be fetched, sorted by path.

    Raises:
        UserError: a path leads out of the folder, or the folder cannot be written (a full disk).
    """
    outside = [one.path for one in wanted if not is_below(folder, one.path)]
    raise_all([f"{path!r}: not below {folder}; nothing was fetched" for path in outside])
    folder.mkdir(parents=True, exist_ok=True)
    with _only_fetcher_of(folder):
        lacking = [one for one in wanted if one.contents.mismatch(folder / one.path)]
        if not lacking:
            return []
        if notice:
            print(notice)
        fetch = _Fetch(folder, limits, _Progress(lacking))
        pool = ThreadPoolExecutor(workers)
        try:
            downloads = [pool.submit(fetch.fetch, one) for one in lacking]
            failed = [found for download in as_completed(downloads) if (found := download.result())]
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be written: {error.strerror or error}; "
                "files that are already complete are kept: free some space, and start again"
            ) from None
        finally:
            fetch.stopped.set()
            pool.shutdown(cancel_futures=True)
        if not failed:
            shutil.rmtree(folder / PARTIAL, ignore_errors=True)
        return sorted(failed, key=lambda found: found.path)


def fetched_files(record: Path, folder: Path) -> list[Path]:
    """List the files of a folder that a fetch has recorded; none if there is no record.

    A damaged record is deleted with a warning, so that the next fetch checks the files and writes a new record.

    Args:
        record: CSV with the columns image and sha256; sha256 is empty for a file that no source has.
        folder: where the files are.
    """
    if not record.is_file():
        return []
    try:
        with record.open(encoding="utf-8", newline="") as file:
            return [folder / row["image"] for row in csv.DictReader(file) if row["sha256"]]
    except (ValueError, KeyError, TypeError, csv.Error):
        print(f"warning: {record}: damaged, and deleted; the images are checked and fetched again", file=sys.stderr)
        record.unlink()
        return []


def is_below(folder: Path, path: str) -> bool:
    """Whether a path is inside a folder, with symbolic links resolved."""
    parts = PurePosixPath(path).parts
    if not parts or "\0" in path or "\\" in path or path.startswith("/") or {"..", PARTIAL, LOCK} & set(parts):
        return False
    root = folder.resolve()
    return (folder / path).parent.resolve().is_relative_to(root)


@contextlib.contextmanager
def _only_fetcher_of(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches into a folder, and lock it. The kernel releases the lock when the process ends."""
    with (folder / LOCK).open("a") as file:
        if not try_lock(file):
            print(f"{folder}: another run is fetching these files; waiting", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Progress:
    """Progress lines, a few seconds apart."""

    def __init__(self, files: Sequence[Wanted], seconds: float = 5) -> None:
        lengths = [one.contents.bytes for one in files]
        known = [length for length in lengths if length is not None]
        least = "" if len(known) == len(files) else "at least "
        self.total = f" of {least}{sum(known) / 1e6:.1f}" if known else ""
        self.files, self.finished, self.bytes = len(files), 0, 0
        self.seconds, self.start = seconds, time.monotonic()
        self.last_line = self.start
        self.lock = threading.Lock()

    def received(self, count: int) -> None:
        with self.lock:
            self.bytes += count
            if time.monotonic() - self.last_line >= self.seconds:
                self._print()

    def file_finished(self) -> None:
        with self.lock:
            self.finished += 1
            if self.finished == self.files:
                self._print()

    def _print(self) -> None:
        self.last_line = time.monotonic()
        rate = self.bytes / 1e6 / max(self.last_line - self.start, 1e-3)
        done = f"{self.finished} of {self.files} files, {self.bytes / 1e6:.1f}{self.total} MB"
        print(f"{done}, {rate:.1f} MB/s", flush=True)


class _Fetch:
    """The state that the parallel downloads of one fetch share."""

    def __init__(self, folder: Path, limits: Limits, progress: _Progress) -> None:
        self.folder, self.limits, self.progress = folder, limits, progress
        self.stopped = threading.Event()
        self.failures: dict[str, int] = {}
        """Host to the number of files that failed there in a row."""
        self.local = threading.local()

    def session(self) -> requests.Session:
        if not hasattr(self.local, "session"):
            self.local.session = new_session()
        session: requests.Session = self.local.session
        return session

    def fetch(self, wanted: Wanted) -> NotFetched | None:
        """Fetch one file from the first source that has it."""
        answers = []
        no_source_has_it = True
        try:
            part = self.folder / PARTIAL / wanted.path
            part.parent.mkdir(parents=True, exist_ok=True)
            for address in wanted.addresses:
                host = urlsplit(address).netloc
                try:
                    self._fetch_from(address, host, wanted, part)
                except Refused as answer:
                    answers.append(f"{host}: {answer}")
                except Broken as failure:
                    answers.append(f"{host}: {failure}")
                    no_source_has_it = False
                else:
                    _put_in_place(part, self.folder / wanted.path)
                    self.progress.file_finished()
                    return None
            return NotFetched(wanted.path, "; ".join(answers) or "no source is configured", no_source_has_it)
        except OSError:  # the disk: other files would fail too
            self.stopped.set()
            raise

    def _fetch_from(self, address: str, host: str, wanted: Wanted, part: Path) -> None:
        """Try one source, several times if necessary; afterwards `part` is the file.

        Raises:
            Refused: the source does not provide the file.
            Broken: the last attempt failed.
        """
        if self.failures.get(host, 0) >= GIVEN_UP_AFTER:
            raise Broken("not tried, since other files failed there")
        limits, pause = self.limits, self.limits.pause_seconds
        for left in reversed(range(limits.tries)):
            try:
                self._attempt(address, wanted.contents, part)
            except Refused:
                self.failures[host] = 0
                raise
            except Broken as failure:
                if left and not self.stopped.wait(max(pause, min(failure.retry_after, limits.longest_pause_seconds))):
                    pause *= 2
                    continue
                # A host that cannot be reached for one file cannot be reached for the next.
                unreachable = isinstance(failure, Unreachable)
                self.failures[host] = GIVEN_UP_AFTER if unreachable else self.failures.get(host, 0) + 1
                raise
            self.failures[host] = 0
            return

    def _attempt(self, address: str, contents: Contents, part: Path) -> None:
        continued = False
        if contents.mismatch(part):
            continued = bring_file(
                self.session(), address, part, contents.bytes, self.limits, self.stopped, self.progress.received
            )
        if difference := contents.mismatch(part):
            part.unlink()
            if continued:
                raise Broken(f"the resumed download is not the expected file ({difference})")
            raise Refused(f"sends another file ({difference})")


def _put_in_place(part: Path, target: Path) -> None:
    """Move a complete file to its final place."""
    with part.open("rb") as written:
        os.fsync(written.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
