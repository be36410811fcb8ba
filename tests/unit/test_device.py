"""The device that Keras runs on: fake GPUs for the calls of TensorFlow, real processes for their effects."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
from cxrflow.io.errors import UserError
from cxrflow.networks.device import device_name, set_up_device

GPUS = [SimpleNamespace(name="/physical_device:GPU:0"), SimpleNamespace(name="/physical_device:GPU:1")]

Asked = list[tuple[Any, ...]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Record the calls of TensorFlow, which has started in this process and would refuse them; it sees two GPUs."""
    calls: Asked = []

    def note(module: Any, name: str, answer: Any = None) -> None:
        monkeypatch.setattr(module, name, lambda *arguments: (calls.append((name, *arguments)), answer)[1])

    note(tf.config.threading, "set_intra_op_parallelism_threads")
    note(tf.config.threading, "set_inter_op_parallelism_threads")
    note(tf.config.experimental, "enable_op_determinism")
    note(tf.config.experimental, "set_memory_growth")
    note(tf.config, "set_visible_devices")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: GPUS)
    return calls


def calls_of(asked: Asked, name: str) -> list[tuple[Any, ...]]:
    return [call[1:] for call in asked if call[0] == name]


@pytest.mark.parametrize("device", ["auto", "gpu"])
def test_gpus_are_found_and_their_memory_grows(asked: Asked, device: str) -> None:
    assert set_up_device(device, 3) == "gpu"
    assert calls_of(asked, "set_memory_growth") == [(gpu, True) for gpu in GPUS]
    assert calls_of(asked, "set_visible_devices") == []
    assert calls_of(asked, "set_intra_op_parallelism_threads") == [(3,)]
    assert calls_of(asked, "set_inter_op_parallelism_threads") == [(3,)]


def test_cpu_does_not_use_gpus(asked: Asked) -> None:
    assert set_up_device("cpu", 1) == "cpu"
    assert calls_of(asked, "set_visible_devices") == [([], "GPU")]
    assert calls_of(asked, "set_memory_growth") == []


@pytest.mark.parametrize("wanted", [True, False])
def test_determinism_is_requested_only_if_set(asked: Asked, wanted: bool) -> None:
    set_up_device("auto", 1, wanted)
    assert calls_of(asked, "enable_op_determinism") == ([()] if wanted else [])


def test_without_a_gpu_the_processor_is_used_or_it_is_an_error(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])
    assert set_up_device("auto", 1) == "cpu"
    with pytest.raises(UserError, match="device: gpu, but tensorflow finds no GPU"):
        set_up_device("gpu", 1)


def test_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    details = {GPUS[0].name: {"device_name": "NVIDIA H100 80GB HBM3"}, GPUS[1].name: {}}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details[gpu.name])
    for visible, name in ((GPUS, "NVIDIA H100 80GB HBM3"), (GPUS[1:], GPUS[1].name), ([], "cpu")):
        monkeypatch.setattr(tf.config, "get_visible_devices", lambda _, visible=visible: visible)
        assert device_name() == name


PROCESS = """
import json, sys
from cxrflow.networks.device import device_name, set_up_device
kind = set_up_device("auto", int(sys.argv[1]), bool(int(sys.argv[2])))
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled
threads = tf.config.threading
print(json.dumps({
    "kind": kind,
    "name": device_name(),
    "threads": [threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads()],
    "deterministic": is_op_determinism_enabled(),
}))
"""


@pytest.mark.slow
def test_threads_and_determinism_of_a_real_process() -> None:
    env = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-c", PROCESS, "3", "1"]
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout.splitlines()[-1]) == {
        "kind": "cpu",
        "name": "cpu",
        "threads": [3, 3],
        "deterministic": True,
    }
