"""An HTTP server on this machine that serves files from memory, well or badly."""

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
    """One request."""

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
        """Status line and headers; `Content_Length=3` for a header with a hyphen."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class FileServer(ThreadingHTTPServer):
    """Files by path, and how to behave for some of them; what was asked for, with its Range."""

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
        """A client that goes away is part of the tests."""


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[FileServer]:
    """A server that runs until the block ends, by https where it is given a certificate (PEM, with its key)."""
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
    """The file, or the part of it that is asked for."""
    found = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    begin = int(found[1]) if found else 0
    if not found:
        handler.head(200, Content_Length=len(contents))
    elif begin < len(contents):
        told = f"bytes {begin}-{len(contents) - 1}/{len(contents)}"
        handler.head(206, Content_Length=len(contents) - begin, Content_Range=told)
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
    """Badly for the first requests, then well."""
    return lambda handler, contents, before: (bad if before < times else then)(handler, contents, before)


def cut_at(count: int) -> Behaviour:
    """The whole length is told, and the connection is closed after so many bytes."""

    def behave(handler: Handler, contents: bytes, _: int) -> None:
        handler.head(200, Content_Length=len(contents))
        handler.wfile.write(contents[:count])
        handler.close_connection = True

    return behave


def instead(contents: bytes) -> Behaviour:
    """Another file."""
    return lambda handler, *_: well(handler, contents, 0)


def of_unknown_length(contents: bytes) -> Behaviour:
    """These bytes, without a length, the connection closed at their end."""

    def behave(handler: Handler, *_: object) -> None:
        handler.head(200, Connection="close")
        handler.wfile.write(contents)
        handler.close_connection = True

    return behave


def in_chunks(handler: Handler, contents: bytes, _: int) -> None:
    """Chunked transfer coding."""
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
    """No answer at all."""
    handler.server.closing.wait(20)
    handler.close_connection = True


def silent_after(count: int) -> Behaviour:
    """So many bytes, and then nothing more, the connection left open."""

    def behave(handler: Handler, contents: bytes, _: int) -> None:
        handler.head(200, Content_Length=len(contents))
        handler.wfile.write(contents[:count])
        handler.wfile.flush()
        silent(handler)

    return behave


def dripping(handler: Handler, contents: bytes, _: int) -> None:
    """A byte now and then: never silent, never done."""
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
