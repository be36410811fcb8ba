"""Locks of GPUs, with fake GPUs and real processes."""

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cxrflow.evaluation.predict import set_up_device_of
from cxrflow.io.errors import UserError
from cxrflow.networks import device
from cxrflow.training import gpu_lock
from cxrflow.training.gpu_lock import given_by_scheduler, gpu_ids, lock_folder, lock_gpu

PROGRAM = """
import sys
from pathlib import Path
from cxrflow.training.gpu_lock import lock_gpu
gpu, lock = lock_gpu(sys.argv[3:], int(sys.argv[2]), lambda line: print(line, flush=True), Path(sys.argv[1]))
print(gpu, flush=True)
sys.stdin.read()
"""
A, B = "GPU-aaaaaaaa-0000-0000-0000-000000000000", "GPU-bbbbbbbb-0000-0000-0000-000000000000"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(places, gpu, …)` starts a process that locks a GPU until its input ends."""
    processes: list[subprocess.Popen[str]] = []

    def begin(places: int, *gpus: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "locks"), str(places), *gpus]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield begin
    for process in processes:
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


@pytest.mark.parametrize("killed", [False, True])
def test_each_process_has_a_gpu_and_the_third_waits(start: Start, killed: bool) -> None:
    first, second = start(1, A, B), start(1, A, B)
    assert sorted([line(first), line(second)]) == [A, B]
    third = start(1, A, B)
    assert line(third) == "waiting: no free GPU (2 GPUs, 1 training each)"
    if killed:
        second.kill()
    second.communicate()
    free = line(third)
    first.communicate()
    assert {free, line(start(1, A, B))} == {A, B}


def test_several_share_a_gpu_only_on_request_and_spread_out(start: Start) -> None:
    assert [line(start(2, A, B)) for _ in range(4)] == [A, B, A, B]
    assert line(start(2, A, B)) == "waiting: no free GPU (2 GPUs, 2 trainings each)"
    assert line(start(3, A, B)) == A
    assert line(start(1, A)) == "waiting: no free GPU (1 GPU, 1 training each)"


def test_lock_files_name_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that share a folder have different GPUs with number 0."""
    for host in ("left", "right"):
        monkeypatch.setattr(gpu_lock.socket, "gethostname", lambda host=host: host)
        gpu, lock = lock_gpu(["0"], 1, pytest.fail, tmp_path)
        assert gpu == "0"
        lock.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["left-0-0.lock", "right-0-0.lock"]


def test_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_lock.os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(UserError, match="belongs to another user"):
        lock_gpu(["0"], 1, print, tmp_path)


def test_folder_does_not_depend_on_tmpdir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = lock_folder()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert lock_folder() == before


def made_machine(root: Path, *uuids: str) -> Path:
    for number, uuid in enumerate(uuids, start=1):
        folder = root / f"proc/driver/nvidia/gpus/0000:0{number}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(
            f"Model: \t\t Tesla T4\nIRQ:   \t\t 33\nGPU UUID: \t {uuid}\nDMA Size: \t 47 bits\n"
        )
    return root


def fake_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_gpus_by_the_drivers_files_or_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpu_ids({}, tmp_path) == []
    fake_nvidia_smi(tmp_path, monkeypatch, f"echo {B}; echo {A}")
    assert gpu_ids({}, tmp_path) == [B, A]
    assert gpu_ids({}, made_machine(tmp_path / "two", A, B)) == [A, B]
    assert gpu_ids({}, made_machine(tmp_path / "hidden", "GPU-????????-????-????-????-????????????")) == [B, A]
    fake_nvidia_smi(tmp_path, monkeypatch, "echo 'No devices were found'; exit 6")
    assert gpu_ids({}, tmp_path) == []


@pytest.mark.parametrize(
    ("environ", "gpus", "given"),
    [
        ({}, [A, B], False),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, ["0", "1"], False),
        ({"CUDA_VISIBLE_DEVICES": f" {B} "}, [B], True),
        ({"CUDA_VISIBLE_DEVICES": "3"}, ["3"], True),
        ({"CUDA_VISIBLE_DEVICES": ""}, [], True),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, [], True),
        ({"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_ID": "7"}, ["0", "1"], True),
        ({"SLURM_JOB_ID": "7"}, [A, B], True),
    ],
)
def test_the_gpu_that_a_scheduler_assigns_is_used(
    tmp_path: Path, environ: dict[str, str], gpus: list[str], given: bool
) -> None:
    assert gpu_ids(environ, made_machine(tmp_path, A, B)) == gpus
    assert given_by_scheduler(environ) == given


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backend with two GPUs, and the folder of their locks."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(device, "can_take_gpu", lambda: True)
    monkeypatch.setattr(gpu_lock, "lock_folder", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize(("kind", "free"), [("gpu", "1"), ("cpu", "0")])
def test_a_stage_locks_the_gpu_that_it_uses(
    two_gpus: Path, monkeypatch: pytest.MonkeyPatch, kind: str, free: str
) -> None:
    """The lock lasts until the stage ends; a GPU that the backend cannot use is released."""
    visible = []
    monkeypatch.setattr(device, "set_up_device", lambda *_: visible.append(os.environ["CUDA_VISIBLE_DEVICES"]) or kind)
    ends: list[Callable[[], None]] = []
    monkeypatch.setattr(gpu_lock.atexit, "register", ends.append)
    assert gpu_lock.set_up_own_device("auto", 2, 1, pytest.fail) == kind
    assert visible == ["0"]
    gpu, lock = lock_gpu(["0", "1"], 1, pytest.fail, two_gpus)
    lock.close()
    assert gpu == free
    for end in ends:
        end()
    gpu, lock = lock_gpu(["0", "1"], 1, pytest.fail, two_gpus)
    lock.close()
    assert gpu == "0"


def test_a_stage_on_the_cpu_locks_nothing(two_gpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "set_up_device", lambda *_: "cpu")
    assert gpu_lock.set_up_own_device("cpu", 2, 1, pytest.fail) == "cpu"
    assert list(two_gpus.iterdir()) == []


@pytest.mark.parametrize("stage", ["train_model", "evaluate_model", "extract_features"])
def test_stages_that_compute_with_a_network_lock_its_gpu(project: Path, stage: str) -> None:
    rules = "".join(file.read_text() for file in (project / "workflow/rules").glob("*.smk"))
    command = rules.split(f"python -m cxrflow.stages.{stage} ")[1].split('"""')[0]
    assert "--trainings-per-gpu {params.trainings_per_gpu:q}" in command
    code = (project / f"workflow/cxrflow/stages/{stage}.py").read_text()
    if "set_up_device_of(args)" in code:
        code = inspect.getsource(set_up_device_of)
    assert "set_up_own_device(" in code
