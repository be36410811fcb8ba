"""Precisions, devices, and the other backends of Keras."""

import importlib.util
import json
import subprocess
from pathlib import Path
from unittest.mock import patch

import keras
import pandas as pd
import pytest
from cxrflow import train_model
from cxrflow.config.read import read_config, read_yaml
from cxrflow.stage.faults import Fault
from small_training import epochs_trained, train_here, train_small
from tiny_training import TinyTraining, environment


def test_bfloat16_trains_and_is_saved_as_float32(tiny: TinyTraining) -> None:
    output = train_here(tiny, "out", epochs=2, precision="bfloat16", learning_rate=3e-3)
    assert epochs_trained(output) == [1, 2]
    history = pd.read_csv(tiny.folder / "out/history.csv")
    assert history[["loss", "val_loss"]].map(lambda loss: 0 < loss < 5).all(axis=None)
    model = keras.saving.load_model(tiny.folder / "out/model.keras", safe_mode=True)
    layers = list(model._flatten_layers())
    assert len(layers) > 80
    assert {layer.compute_dtype for layer in layers} == {"float32"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_bfloat16_is_refused_with_the_scaling_of_the_study(project: Path) -> None:
    raw = {**read_yaml(project / "config.yaml"), "images": "x"}
    with pytest.raises(Fault, match="bfloat16 has 3 numbers in the study's range of input"):
        read_config({**raw, "override": {"precision": "bfloat16"}})
    read_config({**raw, "override": {"precision": "bfloat16", "input_scaling": "imagenet"}})


def test_gpu_is_named_in_the_record(tiny: TinyTraining) -> None:
    with patch.object(train_model, "device_name", lambda: "NVIDIA H100 80GB HBM3"):
        output = train_small(tiny, "out", epochs=1)
    assert "1 epochs on NVIDIA H100 80GB HBM3, " in output
    assert tiny.training("out")["device"] == "NVIDIA H100 80GB HBM3"


def test_gpu_that_is_not_there_is_told(tiny: TinyTraining) -> None:
    command = [part if part != "cpu" else "gpu" for part in tiny.command("out")]
    blind = environment(CUDA_VISIBLE_DEVICES="-1")
    run = subprocess.run(command, env=blind, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        "error: device: gpu, but tensorflow sees none; device: auto or cpu trains on the processor "
        "(`make doctor GPU=1` says why a GPU is not seen)"
    )
    assert not (tiny.folder / "states").exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_train_and_go_on(tiny: TinyTraining, backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: it is in none of envs/")
    env = environment(KERAS_BACKEND=backend, CUDA_VISIBLE_DEVICES="-1")

    def train(out: str, states: str, epochs: int) -> str:
        command = tiny.command(out, states, epochs=epochs)
        run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    assert epochs_trained(train("once", "other states", 3)) == [1, 2, 3]
    assert epochs_trained(train("out", "states", 2)) == [1, 2]
    output = train("out", "states", 3)
    assert epochs_trained(output) == [3] and "goes on behind epoch 2" in output
    ours, whole = (pd.read_csv(tiny.folder / name / "history.csv") for name in ("out", "once"))
    pd.testing.assert_frame_equal(ours, whole, rtol=1e-4)
    assert tiny.training("out")["versions"]["backend"] == backend
    script = "import sys, keras, json; print(json.dumps(keras.saving.load_model(sys.argv[1]).count_params()))"
    python, model = tiny.command("out")[0], tiny.folder / "out/model.keras"
    for other in (backend, "tensorflow"):
        loaded = subprocess.run(
            [python, "-c", script, str(model)],
            env=environment(KERAS_BACKEND=other),
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(loaded.stdout.splitlines()[-1]) > 3_000_000
