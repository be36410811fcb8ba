"""One try to bring one file over HTTP.

Redirects are followed one by one, to a few addresses that are http or https, and never from https to http. A body cannot
be endless (it is cut at the file's length), nor hang (connect and read timeouts), nor drip (a least rate over a window).
"""

import json
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from cxrflow.config.suggest import did_you_mean
from cxrflow.stage.faults import Fault, raise_all

MOST_REDIRECTS = 5
CHUNK = 1 << 16
NOT_THIS_PART = requests.codes.requested_range_not_satisfiable


@dataclass(frozen=True)
class Limits:
    """How long a download may take, and how often it is tried again."""

    connect_seconds: float = 10
    read_seconds: float = 30
    """Longest silence of a server."""
    least_rate: float = 1000
    """Bytes a second; slower over a whole window, and the try is given up."""
    rate_window_seconds: float = 30
    tries: int = 5
    """Of one file at one source."""
    pause_seconds: float = 1
    """Before the second try; twice as long before each further one."""
    longest_pause_seconds: float = 120
    """Most that a server's Retry-After is heeded."""
    largest_bytes: int = 4_000_000_000
    """Where a body is cut whose length nobody has told."""

    @classmethod
    def read(cls, text: str) -> "Limits":
        """Limits from JSON; those that it does not name are as above.

        Raises:
            Fault: not JSON, no such limit, or a value that is not a (whole) number above 0.
        """
        kinds = {field.name: int if field.type is int else (int, float) for field in fields(cls)}
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise Fault(f"limits: not JSON: {error}") from None
        if not isinstance(values, dict):
            raise Fault(f"limits: {text}: must be an object; allowed keys: {', '.join(kinds)}")
        faults = []
        for name, value in values.items():
            if name not in kinds:
                faults.append(f"limits: {name}: unknown{did_you_mean(name, kinds)}; allowed: {', '.join(kinds)}")
            elif isinstance(value, bool) or not isinstance(value, kinds[name]) or not 0 < value < math.inf:
                whole = "whole " if kinds[name] is int else ""
                faults.append(f"limits: {name}: {value!r} is not a {whole}number above 0")
        raise_all(faults)
        return cls(**values)


class Refused(Exception):  # noqa: N818 - an answer, not an error of the program
    """A source answers, and does not have the file: to ask it again is of no use."""


class Broken(Exception):  # noqa: N818
    """A try failed; the next may go well."""

    def __init__(self, why: str, retry_after: float = 0) -> None:
        self.retry_after = retry_after
        super().__init__(why)


class Unreachable(Broken):
    """No connection to the source."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: redirects are followed below. Even with `allow_redirects=False` requests reads a redirect's body to its
        end, which need not come, to see where it leads."""


def new_session() -> requests.Session:
    """A session for one thread; proxies and certificates are the machine's (HTTPS_PROXY, REQUESTS_CA_BUNDLE …)."""
    session = _Session()
    # The bytes as they are stored: hashes are of these.
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "cxrflow"})
    return session


def bring_file(
    session: requests.Session,
    url: str,
    part: Path,
    length: int | None,
    limits: Limits,
    stopped: threading.Event,
    received: Callable[[int], None],
) -> bool:
    """Bring a file, or the rest of one: what `part` holds already is asked for no more, where the server can do that.

    Args:
        session: of this thread.
        url: http or https.
        part: file to write.
        length: bytes of the whole file, where known.
        limits: see there.
        stopped: set from outside to end the try.
        received: called with the number of bytes of each piece.

    Returns:
        Whether it goes on from what `part` held. That it is the right file is for the caller to find out.

    Raises:
        Refused, Broken: see there; after `Broken`, `part` holds what came.
        OSError: `part` cannot be written.
    """
    begin = part.stat().st_size if part.is_file() else 0
    if length is not None and begin >= length:
        begin = 0
    with _ask(session, url, {"Range": f"bytes={begin}-"} if begin else {}, limits) as response:
        continued = response.status_code == requests.codes.partial_content
        part_told = response.headers.get("Content-Range", "")
        if response.status_code == NOT_THIS_PART or (continued and not part_told.startswith(f"bytes {begin}-")):
            part.unlink(missing_ok=True)
            raise Broken("the server does not have the part that was asked for")
        begin = begin if continued else 0
        told = whole_number(response.headers.get("Content-Length", ""))
        whole = None if told is None else begin + told
        if None not in (length, whole) and whole != length:
            raise Refused(f"has {whole} bytes in place of {length}")
        whole = whole if length is None else length
        with part.open("ab" if continued else "wb") as file:
            most = (limits.largest_bytes if whole is None else whole) - begin
            size = begin + _receive(response, file, most, limits, stopped, received)
    if whole is not None and size < whole:
        raise Broken(f"cut off at {size} of {whole} bytes")
    return continued


def whole_number(text: str) -> int | None:
    """A number of bytes or seconds as people and servers write it; None where a text is none, or is beyond any."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def redirect_target(url: str, location: str) -> str:
    """Where a redirect leads.

    Raises:
        Refused: to no address at all, to something else than http and https, or from https to http.
    """
    try:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme.lower()
    except ValueError:
        raise Refused("redirects to what is no address") from None
    if scheme not in ("http", "https"):
        raise Refused(f"redirects to an address of the kind {scheme}:, which is not followed")
    if scheme == "http" and urlsplit(url).scheme.lower() == "https":
        raise Refused("redirects from https to http, which is not followed")
    return target


def _ask(session: requests.Session, url: str, headers: dict[str, str], limits: Limits) -> requests.Response:
    """The answer that has the file, its body not yet read."""
    for _ in range(1 + MOST_REDIRECTS):
        response = _get(session, url, headers, limits)
        if not response.is_redirect:
            break
        response.close()
        url = redirect_target(url, response.headers["Location"])
    else:
        raise Refused(f"more than {MOST_REDIRECTS} redirects")
    if response.status_code in (requests.codes.ok, requests.codes.partial_content, NOT_THIS_PART):
        return response
    response.close()
    told = f"HTTP {response.status_code}"
    if response.status_code >= 500 or response.status_code in (408, 425, 429):
        raise Broken(told, retry_after=whole_number(response.headers.get("Retry-After", "")) or 0)
    raise Refused(told)


def _get(session: requests.Session, url: str, headers: dict[str, str], limits: Limits) -> requests.Response:
    timeout = (limits.connect_seconds, limits.read_seconds)
    try:
        return session.get(url, headers=headers, stream=True, allow_redirects=False, timeout=timeout)
    except requests.ConnectionError as error:
        cause = error.args[0] if error.args else error
        if isinstance(cause, urllib3.exceptions.MaxRetryError):
            raise Unreachable(f"no connection ({str(cause.reason).rpartition('): ')[2]})") from None
        raise Broken("the connection broke") from None
    except requests.Timeout:
        raise Broken(f"no answer within {limits.read_seconds:g} s") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise Refused(f"cannot be asked: {error}") from None


def _receive(
    response: requests.Response,
    file: BinaryIO,
    most: int,
    limits: Limits,
    stopped: threading.Event,
    received: Callable[[int], None],
) -> int:
    """Write a body of `most` bytes at most, and say how many came."""
    size = in_window = 0
    window_began = time.monotonic()
    while chunk := _next_piece(response, limits):
        if stopped.is_set():
            raise Broken("stopped")
        if size + len(chunk) > most:
            raise Refused(f"sends more than the {most} bytes that are wanted")
        file.write(chunk)
        received(len(chunk))
        size += len(chunk)
        in_window += len(chunk)
        seconds = time.monotonic() - window_began
        if seconds >= limits.rate_window_seconds:
            if in_window < limits.least_rate * seconds:
                raise Broken(f"slower than {limits.least_rate:g} bytes/s for {limits.rate_window_seconds:g} s")
            in_window, window_began = 0, time.monotonic()
    return size


def _next_piece(response: requests.Response, limits: Limits) -> bytes:
    """What has come meanwhile: one read of the network at most, so that a drip is seen."""
    try:
        piece: bytes = response.raw.read1(CHUNK, decode_content=False)
    except urllib3.exceptions.ReadTimeoutError:
        raise Broken(f"no byte within {limits.read_seconds:g} s") from None
    except urllib3.exceptions.HTTPError:
        raise Broken("the connection broke") from None
    return piece
