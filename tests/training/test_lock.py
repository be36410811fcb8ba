"""Only one process works on a training: others wait, and take over when it ends."""

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from cxrflow.io.errors import UserError
from cxrflow.training import lock
from cxrflow.training.lock import lock_folder
from damage import damaged_forms
from killing import Lines
from tiny_training import Reference


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True], ids=["ends", "is killed"])
def test_two_processes_on_one_training(reference: Reference, killed: bool) -> None:
    """The first is stopped until the second waits; then it continues, or is killed."""
    training, checkpoints, epochs = reference.training, f"checkpoints of two {killed}", reference.epochs
    with training.start("first", checkpoints, "--save-every", "0", epochs=epochs) as first:
        lines = Lines(first)
        assert lines.until("epoch ")
        first.send_signal(signal.SIGSTOP)
        with training.start("second", checkpoints, epochs=epochs) as second:
            others = Lines(second)
            waiting = others.until("waiting: ")
            assert waiting is not None
            assert waiting.startswith(f"waiting: process {first.pid} on {socket.gethostname()} (since ")
            assert waiting.endswith(") is training this")
            first.send_signal(signal.SIGKILL if killed else signal.SIGCONT)
            list(lines)
            behind = list(others)
    assert first.returncode == (-signal.SIGKILL if killed else 0)
    assert second.returncode == 0
    trained = [line for line in behind if line.startswith("epoch ")]
    if killed:
        assert [line for line in behind if line.startswith("resumes after epoch ")]
        assert 0 < len(trained) <= epochs
    else:
        assert f"already trained for {epochs} epochs; writing the outputs" in behind
        assert trained == []
        assert training.results("first") == reference.results
    assert training.results("second") == reference.results


def of_another_host(folder: Path, **changes: object) -> Path:
    note = folder / "in_use.json"
    holder = {"host": "elsewhere", "process": 7, "slurm_job": "12", "since": "2021-03-04 05:06:07", **changes}
    note.write_text(json.dumps(holder))
    return note


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let locks expire after half a second without a touch."""
    monkeypatch.setattr(lock, "HEARTBEAT", 0.02)
    monkeypatch.setattr(lock, "STALE", 0.5)
    monkeypatch.setattr(lock, "POLL", 0.01)


@pytest.mark.usefixtures("hurried")
def test_stale_lock_of_another_host_is_taken_over(tmp_path: Path) -> None:
    note = of_another_host(tmp_path)
    os.utime(note, (10**9, 10**9))
    said: list[str] = []
    with lock_folder(tmp_path, said.append):
        holder = json.loads(note.read_text())
        assert (holder["host"], holder["process"]) == (socket.gethostname(), os.getpid())
    assert said == ["waiting: process 7 on elsewhere, Slurm job 12 (since 2021-03-04 05:06:07) is training this"]
    assert not note.exists()


@pytest.mark.usefixtures("hurried")
def test_an_incomplete_file_of_the_holder_expires(tmp_path: Path) -> None:
    (tmp_path / "in_use.json").write_text('{"host": "else')
    said: list[str] = []
    with lock_folder(tmp_path, said.append):
        pass
    assert said == ["waiting: another process is training this"]


@pytest.mark.usefixtures("hurried")
def test_waits_for_a_live_lock_of_another_host(tmp_path: Path) -> None:
    """It lives three times as long as a lock takes to expire."""
    note = of_another_host(tmp_path)
    ended: list[float] = []

    def live() -> None:
        end = time.monotonic() + 3 * lock.STALE
        while time.monotonic() < end:
            os.utime(note)
            time.sleep(0.01)
        ended.append(time.monotonic())
        note.unlink()

    other = threading.Thread(target=live)
    other.start()
    with lock_folder(tmp_path, lambda _: None):
        entered = time.monotonic()
    other.join()
    assert ended and ended[0] <= entered


@pytest.mark.usefixtures("hurried")
def test_a_lock_is_kept_alive_while_it_is_held(tmp_path: Path) -> None:
    with lock_folder(tmp_path, print):
        note = tmp_path / "in_use.json"
        os.utime(note, (10**9, 10**9))
        while note.stat().st_mtime <= 10**9:
            time.sleep(0.01)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in_use.lock"]


def test_a_leftover_holder_of_this_host_is_ignored(tmp_path: Path) -> None:
    """Its process has died: otherwise the lock would be held."""
    of_another_host(tmp_path, host=socket.gethostname())
    said: list[str] = []
    with lock_folder(tmp_path, said.append):
        pass
    assert said == []


def test_a_damaged_file_of_the_holder_is_reported_as_another_process(tmp_path: Path) -> None:
    note = of_another_host(tmp_path)
    whole = note.read_bytes()
    assert lock.read_holder(note) == json.loads(whole)
    for content in damaged_forms(whole):
        note.write_bytes(content)
        assert lock.read_holder(note) is None
        whose = r"another process trains this or has died; if it has died, delete"
        with pytest.raises(UserError, match=whose), lock.lock_folder_at_once(tmp_path):
            pass
