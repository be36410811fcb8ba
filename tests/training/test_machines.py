"""Precisions, devices, and the other backends of Keras."""

import importlib.util
import json
import subprocess
from pathlib import Path
from unittest.mock import patch

import keras
import pandas as pd
import pytest
from cxrflow.io.errors import UserError
from cxrflow.stages import train_model
from cxrflow.study.read import read_config
from small_training import epochs_trained, train_here, train_small
from study_config import study_config
from tiny_training import TinyTraining, environment


@pytest.mark.slow
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
    raw = {**study_config(), "images": "x"}
    with pytest.raises(UserError, match="bfloat16 has 3 numbers in the range of double scaling"):
        read_config({**raw, "override": {"precision": "bfloat16"}})
    read_config({**raw, "override": {"precision": "bfloat16", "input_scaling": "backbone"}})


def test_gpu_is_named_in_the_record(tiny: TinyTraining) -> None:
    with patch.object(train_model, "device_name", lambda: "NVIDIA H100 80GB HBM3"):
        output = train_small(tiny, "out", epochs=1)
    assert "1 epoch on NVIDIA H100 80GB HBM3, " in output
    assert tiny.training("out")["device"] == "NVIDIA H100 80GB HBM3"


@pytest.mark.slow
def test_a_missing_gpu_is_reported(tiny: TinyTraining) -> None:
    command = [part if part != "cpu" else "gpu" for part in tiny.command("out")]
    blind = environment(CUDA_VISIBLE_DEVICES="-1")
    run = subprocess.run(command, env=blind, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        "error: device: gpu, but tensorflow finds no GPU; choose auto or cpu to train on the CPU "
        "(`make doctor GPU=1` explains why no GPU is found)"
    )
    assert not (tiny.folder / "checkpoints").exists()


@pytest.mark.slow
def test_pytorch_trains_and_resumes(tiny: TinyTraining) -> None:
    backend = "torch"
    if importlib.util.find_spec(backend) is None:
        pytest.skip("PyTorch is not installed: it is in none of envs/")
    env = environment(KERAS_BACKEND=backend, CUDA_VISIBLE_DEVICES="-1")

    def train(out: str, checkpoints: str, epochs: int) -> str:
        command = tiny.command(out, checkpoints, epochs=epochs)
        run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    assert epochs_trained(train("once", "other checkpoints", 3)) == [1, 2, 3]
    assert epochs_trained(train("out", "checkpoints", 2)) == [1, 2]
    output = train("out", "checkpoints", 3)
    assert epochs_trained(output) == [3] and "resumes after epoch 2" in output
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
