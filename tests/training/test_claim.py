"""One process at a time on one training: others wait, and take over when it is gone."""

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from cxrflow.training import claim
from cxrflow.training.claim import claimed
from killing import Lines
from tiny_training import Reference


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True], ids=["ends", "is killed"])
def test_two_processes_on_one_training(reference: Reference, killed: bool) -> None:
    """The first is held still until the second waits; then it goes on, or dies."""
    training, states, epochs = reference.training, f"states of two {killed}", reference.epochs
    with training.start("first", states, "--save-every", "0", epochs=epochs) as first:
        lines = Lines(first)
        assert lines.until("epoch ")
        first.send_signal(signal.SIGSTOP)
        with training.start("second", states, epochs=epochs) as second:
            others = Lines(second)
            waiting = others.until("waits: ")
            assert waiting is not None
            assert waiting.startswith(f"waits: process {first.pid} on {socket.gethostname()}, since ")
            assert waiting.endswith(", trains this already")
            first.send_signal(signal.SIGKILL if killed else signal.SIGCONT)
            list(lines)
            behind = list(others)
    assert first.returncode == (-signal.SIGKILL if killed else 0)
    assert second.returncode == 0
    trained = [line for line in behind if line.startswith("epoch ")]
    if killed:
        assert [line for line in behind if line.startswith("goes on behind epoch ")]
        assert 0 < len(trained) <= epochs
    else:
        assert f"trained already, {epochs} epochs: its state is written out" in behind
        assert trained == []
        assert training.results("first") == reference.results
    assert training.results("second") == reference.results


def of_another_host(folder: Path, **changes: object) -> Path:
    note = folder / "claim.json"
    holder = {"host": "elsewhere", "process": 7, "slurm_job": "12", "since": "2021-03-04 05:06:07", **changes}
    note.write_text(json.dumps(holder))
    return note


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims that are over after half a second without a touch."""
    monkeypatch.setattr(claim, "HEARTBEAT", 0.02)
    monkeypatch.setattr(claim, "STALE", 0.5)
    monkeypatch.setattr(claim, "POLL", 0.01)


@pytest.mark.usefixtures("hurried")
def test_stale_claim_of_another_host_is_taken_over(tmp_path: Path) -> None:
    note = of_another_host(tmp_path)
    os.utime(note, (10**9, 10**9))
    said: list[str] = []
    with claimed(tmp_path, said.append):
        holder = json.loads(note.read_text())
        assert (holder["host"], holder["process"]) == (socket.gethostname(), os.getpid())
    assert said == ["waits: process 7 on elsewhere, Slurm job 12, since 2021-03-04 05:06:07, trains this already"]
    assert not note.exists()


@pytest.mark.usefixtures("hurried")
def test_half_written_claim_is_stale_one_day(tmp_path: Path) -> None:
    (tmp_path / "claim.json").write_text('{"host": "else')
    said: list[str] = []
    with claimed(tmp_path, said.append):
        pass
    assert said == ["waits: another process trains this already"]


@pytest.mark.usefixtures("hurried")
def test_living_claim_of_another_host_is_waited_for(tmp_path: Path) -> None:
    """It lives three times as long as a stale one would last."""
    note = of_another_host(tmp_path)
    ended: list[float] = []

    def live() -> None:
        end = time.monotonic() + 3 * claim.STALE
        while time.monotonic() < end:
            os.utime(note)
            time.sleep(0.01)
        ended.append(time.monotonic())
        note.unlink()

    other = threading.Thread(target=live)
    other.start()
    with claimed(tmp_path, lambda _: None):
        entered = time.monotonic()
    other.join()
    assert ended and ended[0] <= entered


@pytest.mark.usefixtures("hurried")
def test_a_claim_is_kept_alive_while_it_is_held(tmp_path: Path) -> None:
    with claimed(tmp_path, print):
        note = tmp_path / "claim.json"
        os.utime(note, (10**9, 10**9))
        while note.stat().st_mtime <= 10**9:
            time.sleep(0.01)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["claim.lock"]


def test_claim_of_this_host_needs_no_waiting(tmp_path: Path) -> None:
    """Its process died: the lock would be held otherwise."""
    of_another_host(tmp_path, host=socket.gethostname())
    said: list[str] = []
    with claimed(tmp_path, said.append):
        pass
    assert said == []
