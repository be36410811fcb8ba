"""States are deleted, and said to be; those of a training that is under way are not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cxrflow import clean_states
from cxrflow.stage.faults import Fault
from cxrflow.training.claim import claimed


def a_training(states: Path, identity: str, epochs: int, byte_count: int) -> Path:
    folder = states / identity
    folder.mkdir(parents=True)
    name = f"epoch_{epochs:06}_batch_0000"
    (folder / f"{name}.json").write_text("{}")
    (folder / f"{name}.npz").write_bytes(b"\0" * (byte_count - 2))
    (folder / "claim.lock").touch()
    return folder


def clean(states: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["clean_states.py", "--states", str(states)])
    clean_states.main()


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_states_are_deleted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = a_training(tmp_path, "aa", 90, 3_000_000), a_training(tmp_path, "bb", 7, 2_000_000)
    (first / "history.csv").write_text("epoch\n")
    clean(tmp_path, monkeypatch)
    assert names(first) == names(second) == ["claim.lock"]
    assert capsys.readouterr().out.splitlines() == [
        f"deleted {first}: 3 MB, behind epoch 90",
        f"deleted {second}: 2 MB, behind epoch 7",
        f"5 MB deleted in {tmp_path}",
    ]
    clean(tmp_path, monkeypatch)
    assert capsys.readouterr().out == f"0 MB deleted in {tmp_path}\n"


def test_no_states_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean(tmp_path / "states", monkeypatch)
    assert not (tmp_path / "states").exists()


def test_a_training_under_way_keeps_its_states_and_the_others_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    busy, idle = a_training(tmp_path, "aa", 90, 3_000_000), a_training(tmp_path, "bb", 7, 2_000_000)
    code = (
        "import sys; from pathlib import Path; from cxrflow.training.claim import claimed\n"
        "with claimed(Path(sys.argv[1]), print): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(busy)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        before = names(busy)
        with pytest.raises(Fault) as told:
            clean(tmp_path, monkeypatch)
        assert holder.stdin is not None
        holder.stdin.close()
    (message,) = told.value.messages
    assert message.startswith(f"{busy}: process {holder.pid} on ")
    assert message.endswith("trains this; it is left alone")
    assert names(busy) == [name for name in before if name != "claim.json"]
    assert names(idle) == ["claim.lock"]
    assert capsys.readouterr().out.endswith(f"2 MB deleted in {tmp_path}\n")
    clean(tmp_path, monkeypatch)
    assert names(busy) == ["claim.lock"]


def test_a_claim_of_another_host_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks may be of one host alone; whether that process lives cannot be told at once, so a person says so."""
    folder = a_training(tmp_path, "aa", 90, 100)
    holder = {"host": "another", "process": 7, "slurm_job": "12", "since": "2026-01-01 00:00:00"}
    (folder / "claim.json").write_text(json.dumps(holder))
    with pytest.raises(Fault, match=r"process 7 on another, Slurm job 12, .* delete .*claim\.json and try again"):
        clean(tmp_path, monkeypatch)
    assert len(names(folder)) == 4
    (folder / "claim.json").unlink()
    clean(tmp_path, monkeypatch)
    assert names(folder) == ["claim.lock"]


def test_a_training_that_comes_afterwards_finds_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = a_training(tmp_path, "aa", 90, 100)
    clean(tmp_path, monkeypatch)
    said: list[str] = []
    with claimed(folder, said.append):
        assert (folder / "claim.json").is_file()
    assert said == []
