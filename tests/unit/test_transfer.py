"""Downloads from a misbehaving server: afterwards, a file is complete and correct, or does not exist."""

import hashlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import file_server as serve
import numpy as np
import pandas as pd
import pytest
from cxrflow.io.errors import UserError
from cxrflow.io.fetch import LOCK, PARTIAL, NotFetched, Wanted, addresses, fetch_files, is_below
from cxrflow.io.hashes import Contents
from cxrflow.io.transfer import Limits, Refused, bring_file, redirect_target
from file_server import FileServer, serving
from hypothesis import given
from hypothesis import strategies as st

# Pauses are short. Timeouts are long, so that no test fails on a busy machine, except in tests that wait for one.
QUICK = Limits(connect_seconds=10, read_seconds=20, rate_window_seconds=20, tries=3, pause_seconds=0.01)
HASTY = replace(QUICK, read_seconds=0.5, rate_window_seconds=0.4, tries=2)
SOURCES = ("http://127.0.0.1:{port}/first/{path}", "http://localhost:{port}/second/{path}")


def made(seed: int, size: int = 30_000) -> bytes:
    return np.random.default_rng(seed).bytes(size)


FILE = made(0)
PATH = "train/covid/a.png"
FIRST, SECOND = f"first/{PATH}", f"second/{PATH}"


def sha256(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def git_blob_sha1(contents: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(contents) + contents).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A server that has the file only at its first address."""
    with serving() as server:
        server.files[FIRST] = FILE
        yield server


def wanted(server: FileServer, path: str = PATH, contents: bytes = FILE, known_length: bool = True) -> Wanted:
    sources = [source.replace("{port}", str(server.server_port)) for source in SOURCES]
    length = len(contents) if known_length else None
    return Wanted(path, Contents(length, sha256(contents)), addresses(sources, path=path))


def whole_files(folder: Path) -> dict[str, bytes]:
    """Read all finished files in a folder."""
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return {name: read for name, read in files.items() if name != LOCK and not name.startswith(f"{PARTIAL}/")}


def fetch_one(server: FileServer, folder: Path, known_length: bool = True, limits: Limits = QUICK) -> NotFetched | None:
    """Fetch the file; afterwards it must be complete and correct, or be missing and reported."""
    not_fetched = fetch_files([wanted(server, known_length=known_length)], folder, limits, workers=1)
    assert whole_files(folder) == ({} if not_fetched else {PATH: FILE})
    assert len(not_fetched) <= 1
    return not_fetched[0] if not_fetched else None


# ---- transfers that break -----------------------------------------------------------------------------------------------


def test_a_cut_connection_resumes_where_it_stopped(server: FileServer, tmp_path: Path) -> None:
    server.behaviour[FIRST] = serve.at_first(serve.cut_at(12_345))
    assert fetch_one(server, tmp_path) is None
    assert server.asked == [(FIRST, None), (FIRST, "bytes=12345-")]
    assert not (tmp_path / PARTIAL).exists()


def test_a_cut_connection_to_a_server_without_ranges(server: FileServer, tmp_path: Path) -> None:
    server.behaviour[FIRST] = serve.at_first(serve.cut_at(12_345), serve.without_ranges)
    assert fetch_one(server, tmp_path) is None
    assert len(server.asked) == 2


@pytest.mark.parametrize("known_length", [True, False])
def test_a_connection_that_is_always_cut(server: FileServer, tmp_path: Path, known_length: bool) -> None:
    server.behaviour[FIRST] = serve.cut_at(12_345)
    lost = fetch_one(server, tmp_path, known_length)
    assert lost is not None and not lost.no_source_has_it
    assert "127.0.0.1" in lost.why and server.count == {FIRST: QUICK.tries, SECOND: 1}


def test_a_part_of_another_file_is_discarded(server: FileServer, tmp_path: Path) -> None:
    part = tmp_path / PARTIAL / PATH
    part.parent.mkdir(parents=True)
    part.write_bytes(b"something else")
    assert fetch_one(server, tmp_path) is None
    assert server.asked == [(FIRST, "bytes=14-"), (FIRST, None)]


def test_a_part_that_is_too_long_is_discarded(server: FileServer, tmp_path: Path) -> None:
    part = tmp_path / PARTIAL / PATH
    part.parent.mkdir(parents=True)
    part.write_bytes(FILE + b"more")
    assert fetch_one(server, tmp_path) is None
    assert server.asked == [(FIRST, None)]


def test_a_complete_part_is_not_fetched(server: FileServer, tmp_path: Path) -> None:
    part = tmp_path / PARTIAL / PATH
    part.parent.mkdir(parents=True)
    part.write_bytes(FILE)
    assert fetch_one(server, tmp_path) is None
    assert server.asked == []


@pytest.mark.parametrize(
    "part_of",
    [
        serve.status(416),
        lambda handler, contents, _: (
            handler.head(206, Content_Length=len(contents), Content_Range=f"bytes 0-{len(contents) - 1}/*"),
            handler.wfile.write(contents),
        ),
    ],
    ids=["416", "another part"],
)
def test_a_server_that_cannot_continue_is_asked_for_the_whole(
    server: FileServer, tmp_path: Path, part_of: serve.Behaviour
) -> None:
    server.behaviour[FIRST] = serve.at_first(serve.cut_at(500), serve.at_first(part_of, times=2))
    assert fetch_one(server, tmp_path) is None
    assert server.asked == [(FIRST, None), (FIRST, "bytes=500-"), (FIRST, None)]


def test_chunked_bodies_are_read(server: FileServer, tmp_path: Path) -> None:
    server.behaviour[FIRST] = serve.in_chunks
    assert fetch_one(server, tmp_path) is None


def test_several_files_are_fetched_at_the_same_time(server: FileServer, tmp_path: Path) -> None:
    all_are_there = threading.Barrier(3, timeout=60)

    def with_the_others(handler: serve.Handler, contents: bytes, before: int) -> None:
        all_are_there.wait()
        serve.well(handler, contents, before)

    files = [wanted(server, f"{number}.png") for number in range(6)]
    for one in files:
        server.files[f"first/{one.path}"] = FILE
        server.behaviour[f"first/{one.path}"] = with_the_others
    assert fetch_files(files, tmp_path, QUICK, workers=3) == []
    assert whole_files(tmp_path) == {one.path: FILE for one in files}


# ---- wrong files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [b"", b"<html>log in first</html>", FILE[:-1], FILE + b"!", FILE[:-1] + bytes([FILE[-1] ^ 1])],
    ids=["empty", "a page", "a byte short", "a byte too long", "right length but wrong bytes"],
)
@pytest.mark.parametrize("with_length", [True, False])
def test_wrong_bytes_are_rejected_and_the_next_source_is_asked(
    server: FileServer, tmp_path: Path, wrong: bytes, with_length: bool
) -> None:
    server.behaviour[FIRST] = serve.instead(wrong) if with_length else serve.of_unknown_length(wrong)
    server.files[SECOND] = FILE
    assert fetch_one(server, tmp_path) is None
    assert SECOND in server.count


def test_wrong_bytes_everywhere_leave_nothing(server: FileServer, tmp_path: Path) -> None:
    for path in (FIRST, SECOND):
        server.behaviour[path] = serve.instead(made(1))
    lost = fetch_one(server, tmp_path)
    assert lost is not None and lost.no_source_has_it
    assert "sends another file (SHA-256 differs)" in lost.why
    assert [path for path, _ in server.asked] == [FIRST, SECOND], "a source with wrong bytes is not asked again"


def test_an_existing_file_is_fetched_only_if_it_is_wrong(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "train/covid").mkdir(parents=True)
    (tmp_path / PATH).write_bytes(FILE)
    assert fetch_one(server, tmp_path) is None
    assert server.asked == []
    (tmp_path / PATH).write_bytes(made(1))
    assert fetch_one(server, tmp_path) is None
    assert server.asked == [(FIRST, None)]


def test_git_blob_sha1_decides_if_there_is_no_sha256(server: FileServer, tmp_path: Path) -> None:
    where = wanted(server).addresses
    for contents, name in ((FILE, "right.png"), (made(1), "wrong.png")):
        known = Contents(None, git_blob_sha1=git_blob_sha1(contents))
        fetch_files([Wanted(name, known, where)], tmp_path, QUICK)
    assert whole_files(tmp_path) == {"right.png": FILE}


def test_git_computes_the_same_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(FILE)
    by_git = subprocess.run(["git", "hash-object", str(tmp_path / "a")], capture_output=True, text=True, check=True)
    assert Contents(git_blob_sha1=by_git.stdout.strip()).mismatch(tmp_path / "a") == ""


# ---- answers without a file -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [403, 404, 410])
def test_after_not_found_the_next_source_is_asked_immediately(server: FileServer, tmp_path: Path, code: int) -> None:
    server.behaviour[FIRST] = serve.status(code)
    server.files[SECOND] = FILE
    assert fetch_one(server, tmp_path) is None
    assert [path for path, _ in server.asked] == [FIRST, SECOND]


def test_a_file_found_nowhere_is_reported_with_each_sources_answer(server: FileServer, tmp_path: Path) -> None:
    server.files.clear()
    lost = fetch_one(server, tmp_path)
    assert lost is not None and lost.no_source_has_it
    assert lost.why.count("HTTP 404") == 2


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_request_is_repeated_after_a_server_error(server: FileServer, tmp_path: Path, code: int) -> None:
    server.behaviour[FIRST] = serve.at_first(serve.status(code), times=2)
    assert fetch_one(server, tmp_path) is None
    assert server.count == {FIRST: 3}


def test_pauses_grow_and_retry_after_is_respected_within_bounds(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    class Noted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            return False

    monkeypatch.setattr("cxrflow.io.fetch.threading.Event", Noted)
    server.behaviour[FIRST] = serve.status(500)
    server.behaviour[SECOND] = serve.status(429, Retry_After=1000)
    limits = Limits(tries=4, pause_seconds=1, longest_pause_seconds=60)
    assert len(fetch_files([wanted(server)], tmp_path, limits)) == 1
    # The server's threads wait without a timeout.
    assert [one for one in pauses if one] == [1, 2, 4, 60, 60, 60]


@pytest.mark.parametrize("number", ["\N{SUPERSCRIPT TWO}", "-5", "1e3", "0x10", "9" * 5000, ""])
def test_headers_without_a_number(server: FileServer, tmp_path: Path, number: str) -> None:
    def without_a_length(handler: serve.Handler, contents: bytes, _: int) -> None:
        handler.head(200, Content_Length=number, Connection="close")
        handler.wfile.write(contents)
        handler.close_connection = True

    busy = serve.at_first(serve.status(429, Retry_After=number), without_a_length)
    server.behaviour[FIRST] = server.behaviour[SECOND] = busy
    server.files[SECOND] = FILE
    fetch_one(server, tmp_path, limits=HASTY)


# ---- time and size ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slow", "why"),
    [
        (serve.silent, "no answer within 0.5 s"),
        (serve.silent_after(2000), "no data within 0.5 s"),
        (serve.dripping, "slower than 1000 bytes/s for 0.4 s"),
    ],
    ids=["hang", "hang in the body", "slow drip"],
)
def test_a_slow_server_is_abandoned_for_the_next_source(
    server: FileServer, tmp_path: Path, slow: serve.Behaviour, why: str
) -> None:
    server.behaviour[FIRST] = server.behaviour[SECOND] = slow
    server.files[SECOND] = FILE
    lost = fetch_one(server, tmp_path, limits=HASTY)
    assert lost is not None and not lost.no_source_has_it
    assert lost.why.count(why) == 2
    server.behaviour[SECOND] = serve.well
    assert fetch_one(server, tmp_path, limits=HASTY) is None


@pytest.mark.parametrize("known_length", [True, False])
def test_an_endless_body_is_cut(server: FileServer, tmp_path: Path, known_length: bool) -> None:
    server.behaviour[FIRST] = serve.endless
    limits = Limits(tries=1, largest_bytes=50_000)
    (lost,) = fetch_files([wanted(server, known_length=known_length)], tmp_path, limits)
    assert f"sends more than the expected {len(FILE) if known_length else 50_000} bytes" in lost.why
    assert whole_files(tmp_path) == {}
    assert sum(file.stat().st_size for file in (tmp_path / PARTIAL).rglob("*") if file.is_file()) <= 50_000


@pytest.fixture
def nowhere() -> Iterator[str]:
    """The address of a port on which no process listens, since it is bound here."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{deaf.getsockname()[1]}"


def test_a_source_without_connection_is_not_asked_for_every_file(
    server: FileServer, nowhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        Wanted(f"{n}.png", Contents(None, sha256(FILE)), (f"{nowhere}/{n}.png", f"{server.address}/{FIRST}"))
        for n in range(20)
    ]
    asked = []

    def noted(session: object, url: str, *rest: Any) -> bool:
        asked.append(url)
        return bring_file(session, url, *rest)

    monkeypatch.setattr("cxrflow.io.fetch.bring_file", noted)
    assert fetch_files(files, tmp_path, QUICK, workers=1) == []
    assert [url for url in asked if url.startswith(nowhere)] == [f"{nowhere}/0.png"] * QUICK.tries
    lost = fetch_files([Wanted("20.png", one.contents, one.addresses[:1]) for one in files[:1]], tmp_path, QUICK)
    assert "no connection (" in lost[0].why and "refused" in lost[0].why and not lost[0].no_source_has_it


def test_a_source_that_fails_for_several_files_is_abandoned(server: FileServer, tmp_path: Path) -> None:
    files = [wanted(server, f"{number}.png") for number in range(8)]
    for one in files:
        server.behaviour[f"first/{one.path}"] = serve.status(500)
        server.files[f"second/{one.path}"] = FILE
    assert fetch_files(files, tmp_path, QUICK, workers=1) == []
    assert sum(count for path, count in server.count.items() if path.startswith("first/")) == 3 * QUICK.tries
    assert whole_files(tmp_path) == {one.path: FILE for one in files}


# ---- redirects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hops", "fine"), [(1, True), (5, True), (6, False)])
def test_five_redirects_are_followed_and_six_are_not(server: FileServer, tmp_path: Path, hops: int, fine: bool) -> None:
    places = [FIRST, *(f"hop/{number}" for number in range(1, hops)), "end"]
    for number, (here, there) in enumerate(itertools.pairwise(places)):
        server.behaviour[here] = serve.redirect(f"/{there}", code=(301, 302, 303, 307, 308)[number % 5])
    server.files["end"] = FILE
    lost = fetch_one(server, tmp_path)
    assert (lost is None) is fine
    assert fine or "more than 5 redirects" in lost.why
    assert server.count["end"] == fine


def test_a_circle_of_redirects_ends(server: FileServer, tmp_path: Path) -> None:
    server.behaviour[FIRST] = serve.redirect(f"/{FIRST}")
    lost = fetch_one(server, tmp_path)
    assert lost is not None and server.count[FIRST] == 6


@pytest.mark.parametrize("kind", ["file", "ftp", "data", "gopher"])
def test_a_redirect_to_another_kind_of_address_is_not_followed(server: FileServer, tmp_path: Path, kind: str) -> None:
    there = tmp_path / "secret"
    there.write_bytes(FILE)  # even with the right bytes
    server.behaviour[FIRST] = serve.redirect(f"{kind}://{there}")
    lost = fetch_one(server, tmp_path / "folder")
    assert lost is not None and f"redirects to a {kind}: address" in lost.why


def test_the_body_of_a_redirect_is_not_read(server: FileServer, tmp_path: Path) -> None:
    server.behaviour[FIRST] = serve.redirect_with_endless_body("/end")
    server.files["end"] = FILE
    assert fetch_one(server, tmp_path) is None


@pytest.mark.parametrize(
    ("url", "target", "fine"),
    [
        ("https://a/x", "https://b/y", True),
        ("http://a/x", "https://b/y", True),
        ("http://a/x", "http://b/y", True),
        ("https://a/x", "http://a/x", False),
        ("HTTPS://a/x", "HTTP://a/x", False),
        ("https://a/x", "file:///etc/passwd", False),
        ("http://a/x", "FILE:/etc/passwd", False),
        ("http://a/x", "javascript:1", False),
    ],
)
def test_which_redirects_are_allowed(url: str, target: str, fine: bool) -> None:
    if fine:
        assert redirect_target(url, target) == target
    else:
        with pytest.raises(Refused, match="which is not followed"):
            redirect_target(url, target)


@pytest.mark.parametrize(
    "location", ["http://[", "http://", "http:///x", f"http://{'a' * 70}.invalid/", "http://a:b/", "//"]
)
def test_a_redirect_to_nonsense_is_reported(server: FileServer, tmp_path: Path, location: str) -> None:
    server.behaviour[FIRST] = serve.redirect(location)
    server.files[SECOND] = FILE
    assert fetch_one(server, tmp_path) is None


@pytest.fixture
def certificate(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trusted certificate of this machine with its key (PEM)."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate of this test")
    folder = tmp_path_factory.mktemp("certificate")
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "certificate.pem").read_bytes() + (folder / "key.pem").read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "certificate.pem"))
    return both


def test_a_redirect_from_https_to_http_is_not_followed(server: FileServer, certificate: Path, tmp_path: Path) -> None:
    with serving(certificate) as safe:
        safe.files[FIRST] = FILE
        for path, to in (("down", server.address), ("on", safe.address)):
            safe.behaviour[path] = serve.redirect(f"{to}/{FIRST}")
        files = [
            Wanted(f"{p}.png", Contents(len(FILE), sha256(FILE)), (f"{safe.address}/{p}",)) for p in ("down", "on")
        ]
        (lost,) = fetch_files(files, tmp_path, QUICK)
    assert lost.path == "down.png" and "redirects from https to http, which is not followed" in lost.why
    assert whole_files(tmp_path) == {"on.png": FILE} and server.asked == []


# ---- names --------------------------------------------------------------------------------------------------------------

OUTSIDE = ["../a.png", "train/../../a.png", "/etc/a.png", "..", "", ".", "a\0b", "..\\a.png", ".lock", ".partial/a"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_name_that_leads_out_of_the_folder_fetches_nothing(server: FileServer, tmp_path: Path, path: str) -> None:
    files = [wanted(server), Wanted(path, Contents(None, sha256(FILE)), (f"{server.address}/{FIRST}",))]
    with pytest.raises(UserError, match="not below"):
        fetch_files(files, tmp_path / "folder", QUICK)
    assert list(tmp_path.rglob("*")) == [] and server.asked == []


def test_a_link_that_leads_out_of_the_folder_is_not_written_through(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/train").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="not below"):
        fetch_files([wanted(server)], tmp_path / "folder", QUICK)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@given(st.text(alphabet="ab./\\\0 ~%{}", max_size=12))
def test_no_name_reaches_outside(path: str) -> None:
    folder = Path("/nowhere/at/all")
    if is_below(folder, path):
        assert os.path.normpath(folder / path).startswith(f"{folder}/")


def test_values_in_an_address_are_quoted() -> None:
    sources = ["https://a/{path}", "https://b/{sha256}", "https://c/{git_blob_sha1}/raw/"]
    assert addresses(sources, path="train/a b#{sha256}?.png", sha256=None, git_blob_sha1="f0") == (
        "https://a/train/a%20b%23%7Bsha256%7D%3F.png",
        "https://c/f0/raw/",
    )


# ---- processes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(server: FileServer, tmp_path: Path) -> list[str]:
    """The command of `fetch_images` for twelve files of the server."""
    files = {f"train/covid/{number}.png": made(number, 200_000) for number in range(12)}
    server.files |= {f"first/{path}": contents for path, contents in files.items()}
    rows = [(path, len(contents), sha256(contents)) for path, contents in files.items()]
    pd.DataFrame(rows, columns=["path", "bytes", "sha256"]).to_csv(tmp_path / "list.csv", index=False)
    values = {
        "--image-list": tmp_path / "list.csv",
        "--sources": f"{server.address}/first/{{path}}",
        "--limits": '{"read_seconds": 60, "tries": 3, "pause_seconds": 0.01}',
        "--workers": 2,
        "--folder": tmp_path / "images",
        "--record": tmp_path / "record.csv",
    }
    return [
        sys.executable,
        "-m",
        "cxrflow.stages.fetch_images",
        *(str(word) for pair in values.items() for word in pair),
    ]


def images_of(server: FileServer) -> dict[str, bytes]:
    return {path.removeprefix("first/"): read for path, read in server.files.items() if path != FIRST}


def test_two_simultaneous_runs_succeed(server: FileServer, command: list[str], tmp_path: Path) -> None:
    second_waits = threading.Event()

    def when_the_second_waits(handler: serve.Handler, contents: bytes, before: int) -> None:
        second_waits.wait(60)
        serve.well(handler, contents, before)

    server.behaviour = dict.fromkeys(server.files, when_the_second_waits)

    def start(record: str) -> subprocess.Popen[str]:
        words = [*command[:-1], str(tmp_path / record)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    first = start("one.csv")
    while not server.asked and first.poll() is None:
        time.sleep(0.02)
    second = start("two.csv")
    assert second.stdout is not None
    assert second.stdout.readline() == f"{tmp_path / 'images'}: another run is fetching these files; waiting\n"
    second_waits.set()
    outputs = [run.communicate(timeout=60)[0] for run in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert whole_files(tmp_path / "images") == images_of(server)
    assert all(count == 1 for count in server.count.values()), "the second has found the first one's files"
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_a_killed_fetch_resumes(server: FileServer, command: list[str], tmp_path: Path) -> None:
    stuck = "first/train/covid/7.png"
    server.behaviour[stuck] = serve.at_first(serve.silent_after(60_000))
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    images = tmp_path / "images"
    part = images / PARTIAL / "train/covid/7.png"
    for _ in range(2400):
        if part.is_file() and len(whole_files(images)) == 11:
            break
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    there = whole_files(images)
    assert len(there) == 11 and there.items() <= images_of(server).items()
    assert not (tmp_path / "record.csv").exists()
    server.asked.clear()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert whole_files(images) == images_of(server)
    # Only the unfinished file, without the part that had already been written.
    ((path, part_asked),) = server.asked
    assert path == stuck
    assert part_asked is None or 0 < int(part_asked.removeprefix("bytes=").removesuffix("-")) <= 60_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("a small disk is mounted for this test, which only root may do")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_reported_once(server: FileServer, command: list[str], small_disk: Path) -> None:
    place = command.index("--folder") + 1
    images = small_disk / "images"
    full = subprocess.run(
        [*command[:place], str(images), *command[place + 1 :]], capture_output=True, text=True, check=False
    )
    assert full.returncode == 1
    assert full.stderr == (
        f"error: {images}: cannot be written: No space left on device; "
        "files that are already complete are kept: free some space, and start again\n"
    )
    there = whole_files(images)
    assert 0 < len(there) < 12 and there.items() <= images_of(server).items()
