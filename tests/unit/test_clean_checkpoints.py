"""Checkpoints are deleted and reported, except those of a running training."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cxrflow.io.errors import UserError
from cxrflow.training import clean_checkpoints
from cxrflow.training.lock import lock_folder


def a_training(checkpoints: Path, identity: str, epochs: int, byte_count: int) -> Path:
    folder = checkpoints / identity
    folder.mkdir(parents=True)
    name = f"epoch_{epochs:06}_batch_0000"
    (folder / f"{name}.json").write_text("{}")
    (folder / f"{name}.npz").write_bytes(b"\0" * (byte_count - 2))
    (folder / "in_use.lock").touch()
    return folder


def clean(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["clean_checkpoints.py", "--checkpoints", str(checkpoints)])
    clean_checkpoints.main()


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_checkpoints_are_deleted_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = a_training(tmp_path, "a" * 16, 90, 3_000_000), a_training(tmp_path, "b" * 16, 7, 2_000_000)
    (first / "history.csv").write_text("epoch\n")
    clean(tmp_path, monkeypatch)
    assert names(first) == names(second) == ["in_use.lock"]
    assert capsys.readouterr().out.splitlines() == [
        f"deleted {first}: 3 MB, trained for 90 epochs",
        f"deleted {second}: 2 MB, trained for 7 epochs",
        f"5 MB deleted in {tmp_path}",
    ]
    clean(tmp_path, monkeypatch)
    assert capsys.readouterr().out == f"0 MB deleted in {tmp_path}\n"


def test_no_checkpoints_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean(tmp_path / "checkpoints", monkeypatch)
    assert not (tmp_path / "checkpoints").exists()


def test_a_running_training_keeps_its_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    busy, idle = a_training(tmp_path, "a" * 16, 90, 3_000_000), a_training(tmp_path, "b" * 16, 7, 2_000_000)
    code = (
        "import sys; from pathlib import Path; from cxrflow.training.lock import lock_folder\n"
        "with lock_folder(Path(sys.argv[1]), print): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(busy)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        before = names(busy)
        with pytest.raises(UserError) as raised:
            clean(tmp_path, monkeypatch)
        assert holder.stdin is not None
        holder.stdin.close()
    (message,) = raised.value.messages
    assert message.startswith(f"{busy}: process {holder.pid} on ")
    assert message.endswith("trains this; it is not changed")
    assert names(busy) == [name for name in before if name != "in_use.json"]
    assert names(idle) == ["in_use.lock"]
    assert capsys.readouterr().out.endswith(f"2 MB deleted in {tmp_path}\n")
    clean(tmp_path, monkeypatch)
    assert names(busy) == ["in_use.lock"]


def test_a_lock_of_another_host_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks may apply to one host only; it is not immediately known whether that process is alive, so the user decides."""
    folder = a_training(tmp_path, "a" * 16, 90, 100)
    holder = {"host": "another", "process": 7, "slurm_job": "12", "since": "2026-01-01 00:00:00"}
    (folder / "in_use.json").write_text(json.dumps(holder))
    with pytest.raises(UserError, match=r"process 7 on another, Slurm job 12 .* delete .*in_use\.json and try again"):
        clean(tmp_path, monkeypatch)
    assert len(names(folder)) == 4
    (folder / "in_use.json").unlink()
    clean(tmp_path, monkeypatch)
    assert names(folder) == ["in_use.lock"]


def test_a_later_training_finds_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = a_training(tmp_path, "a" * 16, 90, 100)
    clean(tmp_path, monkeypatch)
    said: list[str] = []
    with lock_folder(folder, said.append):
        assert (folder / "in_use.json").is_file()
    assert said == []


def test_other_files_are_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as results of an older version with `name: checkpoints`, or a file that a user put next to the checkpoints."""
    model = tmp_path / "runs/binary/seed_0/model.keras"
    model.parent.mkdir(parents=True)
    model.touch()
    training = a_training(tmp_path, "a" * 16, 7, 2_000_000)
    (training / "notes.txt").touch()
    (training / "figures").mkdir()
    clean(tmp_path, monkeypatch)
    assert model.is_file() and names(training) == ["figures", "in_use.lock", "notes.txt"]
    assert f"{tmp_path / 'runs'}: not the folder of a training; it is not changed" in capsys.readouterr().out
