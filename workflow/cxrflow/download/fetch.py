"""Fetch files into a folder: from the first source that has them, several at once, going on where a break left off.

Under its own name a file is always whole and right; what is under way lies in `.partial` beside it. One process at a time
fetches into a folder, another one waits and then finds the files there.
"""

import contextlib
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

import requests

from cxrflow.download.contents import Contents
from cxrflow.download.transfer import Broken, Limits, Refused, Unreachable, bring_file, new_session
from cxrflow.stage.faults import Fault, raise_all
from cxrflow.stage.locks import lock_alone

PARTIAL = ".partial"
LOCK = ".lock"
GIVEN_UP_AFTER = 3


@dataclass(frozen=True)
class Wanted:
    """A file to fetch: its POSIX path below the folder, what it has to be, and where it may be had, in order."""

    path: str
    contents: Contents
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class NotFetched:
    """A file that is not there after all, and why."""

    path: str
    why: str
    nobody_has_it: bool
    """All sources answered that they do not have it; otherwise a later try may go well."""


def addresses(sources: Sequence[str], **known: str | None) -> tuple[str, ...]:
    """The addresses of a file: `{name}` in a source stands for what is known of the file under that name, URL-quoted.

    Sources that ask for what is not known of the file are left out.
    """
    values = {name: quote(value, safe="/") for name, value in known.items() if value}
    absent = [f"{{{name}}}" for name in known if name not in values]
    usable = [source for source in sources if not any(name in source for name in absent)]
    return tuple(_filled(source, values) for source in usable)


def _filled(source: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        source = source.replace(f"{{{name}}}", value)
    return source


def fetch_files(
    wanted: Sequence[Wanted], folder: Path, limits: Limits, workers: int = 4, notice: str = ""
) -> list[NotFetched]:
    """Fetch files that are not there yet, or not right.

    Args:
        wanted: the files.
        folder: where to; made if need be.
        limits: of each try.
        workers: files under way at once.
        notice: printed once, before the first file is fetched.

    Returns:
        The files that could not be had, sorted by path.

    Raises:
        Fault: a path leads out of the folder, or the folder cannot be written (a full disk).
    """
    raise_all(
        [
            f"{one.path!r}: does not lie below {folder}; nothing was fetched"
            for one in wanted
            if not lies_below(folder, one.path)
        ]
    )
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        lacking = [one for one in wanted if one.contents.fault_of(folder / one.path)]
        if not lacking:
            return []
        if notice:
            print(notice)
        work = _Work(folder, limits, _Progress(lacking))
        pool = ThreadPoolExecutor(workers)
        try:
            fetching = {pool.submit(work.fetch, one): one for one in lacking}
            done = [found for future in as_completed(fetching) if (found := future.result())]
        except OSError as error:
            raise Fault(
                f"{folder}: cannot be written: {error.strerror or error}; "
                "what was fetched before is whole and stays: make room there, and start again"
            ) from None
        finally:
            work.stopped.set()
            pool.shutdown(cancel_futures=True)
        if not done:
            shutil.rmtree(folder / PARTIAL, ignore_errors=True)
        return sorted(done, key=lambda found: found.path)


def lies_below(folder: Path, path: str) -> bool:
    """Whether a path stays below a folder, also where folders on the way are links."""
    parts = PurePosixPath(path).parts
    if not parts or "\0" in path or "\\" in path or path.startswith("/") or {"..", PARTIAL, LOCK} & set(parts):
        return False
    root = folder.resolve()
    return (folder / path).parent.resolve().is_relative_to(root)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches into a folder. The lock goes with the process, however that ends."""
    with (folder / LOCK).open("a") as file:
        if not lock_alone(file):
            print(f"{folder}: another run is fetching; waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Progress:
    """Lines that say how far it is, a few seconds apart."""

    def __init__(self, files: Sequence[Wanted], seconds: float = 5) -> None:
        lengths = [one.contents.bytes for one in files]
        known = [length for length in lengths if length is not None]
        least = "" if len(known) == len(files) else "at least "
        self.of = f" of {least}{sum(known) / 1e6:.1f}" if known else ""
        self.files, self.done, self.bytes = len(files), 0, 0
        self.seconds, self.began = seconds, time.monotonic()
        self.told = self.began
        self.lock = threading.Lock()

    def received(self, count: int) -> None:
        with self.lock:
            self.bytes += count
            if time.monotonic() - self.told >= self.seconds:
                self._tell()

    def one_done(self) -> None:
        with self.lock:
            self.done += 1
            if self.done == self.files:
                self._tell()

    def _tell(self) -> None:
        self.told = time.monotonic()
        rate = self.bytes / 1e6 / max(self.told - self.began, 1e-3)
        print(f"{self.done} of {self.files} files, {self.bytes / 1e6:.1f}{self.of} MB, {rate:.1f} MB/s", flush=True)


class _Work:
    """What the workers of one fetch share."""

    def __init__(self, folder: Path, limits: Limits, progress: _Progress) -> None:
        self.folder, self.limits, self.progress = folder, limits, progress
        self.stopped = threading.Event()
        self.failures: dict[str, int] = {}
        """Host to the number of files in a row that it could not be brought to send."""
        self.of_thread = threading.local()

    def session(self) -> requests.Session:
        if not hasattr(self.of_thread, "session"):
            self.of_thread.session = new_session()
        session: requests.Session = self.of_thread.session
        return session

    def fetch(self, wanted: Wanted) -> NotFetched | None:
        """Fetch one file from the first source that has it."""
        answers = []
        nobody_has_it = True
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
                    nobody_has_it = False
                else:
                    _put_in_place(part, self.folder / wanted.path)
                    self.progress.one_done()
                    return None
            return NotFetched(wanted.path, "; ".join(answers) or "no source for it", nobody_has_it)
        except OSError:  # the disk: of no use to go on with other files
            self.stopped.set()
            raise

    def _fetch_from(self, address: str, host: str, wanted: Wanted, part: Path) -> None:
        """Try one source, again and again; at the end `part` is the file.

        Raises:
            Refused, Broken: it cannot be had there; the last try's reason.
        """
        if self.failures.get(host, 0) >= GIVEN_UP_AFTER:
            raise Broken("given up, since other files failed there")
        limits, pause = self.limits, self.limits.pause_seconds
        for left in reversed(range(limits.tries)):
            try:
                self._one_try(address, wanted.contents, part)
            except Refused:
                self.failures[host] = 0
                raise
            except Broken as failure:
                if left and not self.stopped.wait(max(pause, min(failure.retry_after, limits.longest_pause_seconds))):
                    pause *= 2
                    continue
                # Without a connection for one file there will be none for the next.
                lost = isinstance(failure, Unreachable)
                self.failures[host] = GIVEN_UP_AFTER if lost else self.failures.get(host, 0) + 1
                raise
            self.failures[host] = 0
            return

    def _one_try(self, address: str, contents: Contents, part: Path) -> None:
        continued = False
        if contents.fault_of(part):
            continued = bring_file(
                self.session(), address, part, contents.bytes, self.limits, self.stopped, self.progress.received
            )
        if wrong := contents.fault_of(part):
            part.unlink()
            if continued:
                raise Broken(f"the continued file is not the one that is wanted ({wrong})")
            raise Refused(f"has another file ({wrong})")


def _put_in_place(part: Path, target: Path) -> None:
    """Give a whole file its own name."""
    with part.open("rb") as written:
        os.fsync(written.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
