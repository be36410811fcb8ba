"""An HTTP server on this machine that serves files from memory, correctly or not."""

import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Behaviour = Callable[["Handler", bytes, int], None]
"""Answers a request for a file with these bytes; how many times it was asked for before."""


class Handler(BaseHTTPRequestHandler):
    """Handle one request."""

    server: "FileServer"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.lstrip("/")
        with self.server.lock:
            before = self.server.count[path]
            self.server.count[path] += 1
            self.server.asked.append((path, self.headers.get("Range")))
        behave = self.server.behaviour.get(path, well)
        contents = self.server.files.get(path)
        try:
            if contents is None and behave is well:
                not_found(self, b"", before)
            else:
                behave(self, contents or b"", before)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def head(self, status: int, **headers: object) -> None:
        """Send the status line and headers; `Content_Length=3` gives a header with a hyphen."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class FileServer(ThreadingHTTPServer):
    """Files by path, the behaviour for some of them, and the requests so far with their Range."""

    daemon_threads = True

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"
        self.files: dict[str, bytes] = {}
        self.behaviour: dict[str, Behaviour] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.count: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.closing = threading.Event()

    @property
    def address(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Ignore clients that disconnect, which is part of the tests."""


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[FileServer]:
    """Run a server until the block ends, with https if a certificate is given (PEM, with its key)."""
    with FileServer(certificate) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


# ---- behaviours ---------------------------------------------------------------------------------------------------------


def well(handler: Handler, contents: bytes, _: int) -> None:
    """Send the file, or the requested part of it."""
    found = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    begin = int(found[1]) if found else 0
    if not found:
        handler.head(200, Content_Length=len(contents))
    elif begin < len(contents):
        content_range = f"bytes {begin}-{len(contents) - 1}/{len(contents)}"
        handler.head(206, Content_Length=len(contents) - begin, Content_Range=content_range)
    else:
        handler.head(416, Content_Length=0)
        return
    handler.wfile.write(contents[begin:])


def without_ranges(handler: Handler, contents: bytes, _: int) -> None:
    handler.head(200, Content_Length=len(contents))
    handler.wfile.write(contents)


def not_found(handler: Handler, _: bytes, __: int) -> None:
    handler.head(404, Content_Length=0)


def status(code: int, **headers: object) -> Behaviour:
    return lambda handler, *_: handler.head(code, Content_Length=0, **headers)


def at_first(bad: Behaviour, then: Behaviour = well, times: int = 1) -> Behaviour:
    """Behave badly for the first requests, then well."""
    return lambda handler, contents, before: (bad if before < times else then)(handler, contents, before)


def cut_at(count: int) -> Behaviour:
    """Announce the full length, but close the connection after `count` bytes."""

    def behave(handler: Handler, contents: bytes, _: int) -> None:
        handler.head(200, Content_Length=len(contents))
        handler.wfile.write(contents[:count])
        handler.close_connection = True

    return behave


def instead(contents: bytes) -> Behaviour:
    """Send another file."""
    return lambda handler, *_: well(handler, contents, 0)


def of_unknown_length(contents: bytes) -> Behaviour:
    """Send these bytes without a length, and close the connection."""

    def behave(handler: Handler, *_: object) -> None:
        handler.head(200, Connection="close")
        handler.wfile.write(contents)
        handler.close_connection = True

    return behave


def in_chunks(handler: Handler, contents: bytes, _: int) -> None:
    """Use chunked transfer coding."""
    handler.head(200, Transfer_Encoding="chunked")
    for begin in range(0, len(contents), 1000):
        piece = contents[begin : begin + 1000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


def endless(handler: Handler, *_: object) -> None:
    handler.head(200, Connection="close")
    while not handler.server.closing.is_set():
        handler.wfile.write(b"x" * 10_000)


def silent(handler: Handler, *_: object) -> None:
    """Send no answer at all."""
    handler.server.closing.wait(20)
    handler.close_connection = True


def silent_after(count: int) -> Behaviour:
    """Send `count` bytes, then nothing, and leave the connection open."""

    def behave(handler: Handler, contents: bytes, _: int) -> None:
        handler.head(200, Content_Length=len(contents))
        handler.wfile.write(contents[:count])
        handler.wfile.flush()
        silent(handler)

    return behave


def dripping(handler: Handler, contents: bytes, _: int) -> None:
    """Send a byte now and then: never silent, never finished."""
    handler.head(200, Content_Length=len(contents))
    for value in contents:
        if handler.server.closing.is_set():
            break
        handler.wfile.write(bytes([value]))
        handler.wfile.flush()
        time.sleep(0.02)


def redirect(location: str, code: int = 302) -> Behaviour:
    return lambda handler, *_: handler.head(code, Location=location, Content_Length=0)


def redirect_with_endless_body(location: str) -> Behaviour:
    def behave(handler: Handler, *_: object) -> None:
        handler.head(302, Location=location, Connection="close")
        while not handler.server.closing.is_set():
            handler.wfile.write(b"x" * 10_000)

    return behave
