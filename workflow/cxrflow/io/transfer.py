"""Download one file over HTTP: a single attempt.

A few redirects are followed, to http and https only, and never from https to http. A response cannot be endless (it is cut at
the file's length), hang (connect and read timeouts) or trickle (a minimum rate over a time window).
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

from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.words import did_you_mean

MOST_REDIRECTS = 5
CHUNK = 1 << 16
OF_A_PROXY = (407, 502, 504)
NOT_THIS_PART = requests.codes.requested_range_not_satisfiable


@dataclass(frozen=True)
class Limits:
    """How long a download may take, and how often it is attempted."""

    connect_seconds: float = 10
    read_seconds: float = 30
    """Maximum time without any data from the server."""
    least_rate: float = 1000
    """Minimum bytes per second; an attempt that is slower over a whole window is abandoned."""
    rate_window_seconds: float = 30
    tries: int = 5
    """Attempts for one file at one source."""
    pause_seconds: float = 1
    """Before the second attempt; doubled before each further one."""
    longest_pause_seconds: float = 120
    """Maximum pause that a server can request with Retry-After."""
    largest_bytes: int = 4_000_000_000
    """Maximum size of a file of unknown length."""

    @classmethod
    def read(cls, text: str) -> "Limits":
        """Parse limits from a JSON object; limits that it omits have their defaults.

        Raises:
            UserError: not a JSON object, an unknown limit, or a value that is not a (whole) number above 0.
        """
        kinds = {field.name: int if field.type is int else (int, float) for field in fields(cls)}
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"limits: not JSON: {error}") from None
        if not isinstance(values, dict):
            raise UserError(f"limits: {text}: not a JSON object; allowed keys: {', '.join(kinds)}")
        errors = []
        for name, value in values.items():
            if name not in kinds:
                errors.append(f"limits: {name}: unknown{did_you_mean(name, kinds)}; allowed: {', '.join(kinds)}")
            elif isinstance(value, bool) or not isinstance(value, kinds[name]) or not 0 < value < math.inf:
                whole = "whole " if kinds[name] is int else ""
                errors.append(f"limits: {name}: {value!r} is not a {whole}number above 0")
        raise_all(errors)
        return cls(**values)


class Refused(Exception):  # noqa: N818 - an answer, not an error of the program
    """A source answers but does not provide the file; another attempt is pointless."""


class Broken(Exception):  # noqa: N818
    """An attempt failed; the next one may succeed."""

    def __init__(self, why: str, retry_after: float = 0) -> None:
        self.retry_after = retry_after
        super().__init__(why)


class Unreachable(Broken):
    """No connection to the source."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: `_ask` follows redirects. Even with `allow_redirects=False`, requests would otherwise read the body of a
        redirect, which may be endless."""


def new_session() -> requests.Session:
    """Open a session for one thread, with the machine's proxies and certificates (HTTPS_PROXY, REQUESTS_CA_BUNDLE …)."""
    session = _Session()
    # Files are hashed as they are stored, so they must not be compressed on the way.
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "cxrflow"})
    return session


def why_unreachable(url: str, seconds: float) -> str:
    """Describe in a few words why a server does not answer; an empty text if it does, with any status.

    Args:
        url: http or https; proxies and certificates as in `new_session`.
        seconds: timeout for the connection, and again for the answer.
    """
    try:
        response = _get(new_session(), url, {}, Limits(connect_seconds=seconds, read_seconds=seconds), "HEAD")
    except (Broken, Refused) as why:
        return str(why)
    response.close()
    return f"HTTP {response.status_code} from a proxy" if response.status_code in OF_A_PROXY else ""


def bring_file(
    session: requests.Session,
    url: str,
    part: Path,
    length: int | None,
    limits: Limits,
    stopped: threading.Event,
    received: Callable[[int], None],
) -> bool:
    """Download a file, or only its missing rest if the server supports ranges.

    Args:
        session: the session of this thread.
        url: http or https.
        part: file to write; what it already contains is not requested again.
        length: bytes of the whole file, if known.
        limits: timeouts, minimum rate and maximum size.
        stopped: set by another thread to end the attempt.
        received: called with the number of bytes of each piece.

    Returns:
        Whether the download continued the contents of `part`. The caller checks whether the file is the right one.

    Raises:
        Refused: the source does not provide the file.
        Broken: the attempt failed; `part` contains what was received.
        OSError: `part` cannot be written.
    """
    begin = part.stat().st_size if part.is_file() else 0
    if length is not None and begin >= length:
        begin = 0
    with _ask(session, url, {"Range": f"bytes={begin}-"} if begin else {}, limits) as response:
        continued = response.status_code == requests.codes.partial_content
        sent_range = response.headers.get("Content-Range", "")
        if response.status_code == NOT_THIS_PART or (continued and not sent_range.startswith(f"bytes {begin}-")):
            part.unlink(missing_ok=True)
            raise Broken("the server does not send the requested range")
        begin = begin if continued else 0
        content_length = whole_number(response.headers.get("Content-Length", ""))
        whole = None if content_length is None else begin + content_length
        if None not in (length, whole) and whole != length:
            raise Refused(f"has {whole} bytes instead of {length}")
        whole = whole if length is None else length
        with part.open("ab" if continued else "wb") as file:
            most = (limits.largest_bytes if whole is None else whole) - begin
            size = begin + _receive(response, file, most, limits, stopped, received)
    if whole is not None and size < whole:
        raise Broken(f"cut off at {size} of {whole} bytes")
    return continued


def whole_number(text: str) -> int | None:
    """Parse a number of bytes or seconds; None if a text is not a whole number, or has more than 18 digits."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def redirect_target(url: str, location: str) -> str:
    """Resolve the target of a redirect.

    Raises:
        Refused: the target is not an address, is neither http nor https, or leads from https to http.
    """
    try:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme.lower()
    except ValueError:
        raise Refused("redirects to an invalid address") from None
    if scheme not in ("http", "https"):
        raise Refused(f"redirects to a {scheme}: address, which is not followed")
    if scheme == "http" and urlsplit(url).scheme.lower() == "https":
        raise Refused("redirects from https to http, which is not followed")
    return target


def _ask(session: requests.Session, url: str, headers: dict[str, str], limits: Limits) -> requests.Response:
    """Request a file and follow redirects; the body of the response has not been read."""
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
    status = f"HTTP {response.status_code}"
    if response.status_code >= 500 or response.status_code in (408, 425, 429):
        raise Broken(status, retry_after=whole_number(response.headers.get("Retry-After", "")) or 0)
    raise Refused(status)


def _get(
    session: requests.Session, url: str, headers: dict[str, str], limits: Limits, method: str = "GET"
) -> requests.Response:
    timeout = (limits.connect_seconds, limits.read_seconds)
    try:
        return session.request(method, url, headers=headers, stream=True, allow_redirects=False, timeout=timeout)
    except requests.ConnectionError as error:
        cause = error.args[0] if error.args else error
        if isinstance(cause, urllib3.exceptions.MaxRetryError):
            raise Unreachable(f"no connection ({str(cause.reason).rpartition('): ')[2]})") from None
        raise Broken("the connection was lost") from None
    except requests.Timeout:
        raise Broken(f"no answer within {limits.read_seconds:g} s") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise Refused(f"invalid request: {error}") from None


def _receive(
    response: requests.Response,
    file: BinaryIO,
    most: int,
    limits: Limits,
    stopped: threading.Event,
    received: Callable[[int], None],
) -> int:
    """Write a body of at most `most` bytes, and return how many were received."""
    size = in_window = 0
    window_began = time.monotonic()
    while chunk := _next_piece(response, limits):
        if stopped.is_set():
            raise Broken("stopped")
        if size + len(chunk) > most:
            raise Refused(f"sends more than the expected {most} bytes")
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
    """Read the bytes that have arrived, by a single network read, so that a trickle is noticed."""
    try:
        piece: bytes = response.raw.read1(CHUNK, decode_content=False)
    except urllib3.exceptions.ReadTimeoutError:
        raise Broken(f"no data within {limits.read_seconds:g} s") from None
    except urllib3.exceptions.HTTPError:
        raise Broken("the connection was lost") from None
    return piece
