"""The same training gives the same bytes in two processes, with the real network, and with the saved model."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.study.read import read_config
from cxrflow.study.settings import experiment_settings, training_settings
from study_config import study_config
from tiny_training import CLASSES, Reference, TinyTraining, environment, make_files


def evaluate(training: TinyTraining, out: str) -> bytes:
    """Return the bytes of the predictions of a trained network."""
    place = training.folder / out
    files = {
        "model": place / "model.keras",
        "training": place / "training.json",
        "split": training.folder / "split.csv",
        "predictions": place / "predictions.csv",
        "validation-predictions": place / "validation_predictions.csv",
        "metrics": place / "metrics.json",
        "threads": 1,
        "device": "cpu",
    }
    named = [part for key, value in files.items() for part in (f"--{key}", str(value))]
    pixels = [str(training.folder / f"{name}.npy") for name in CLASSES]
    command = [sys.executable, "-m", "cxrflow.stages.evaluate_model", *named, "--pixels", *pixels]
    subprocess.run(command, check=True, env=environment(), capture_output=True)
    return (place / "predictions.csv").read_bytes()


def predictions_of(training: TinyTraining, *outs: str) -> list[bytes]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda out: evaluate(training, out), outs))


@pytest.mark.slow
def test_same_bytes_of_two_processes(reference: Reference) -> None:
    """Dropout, batch normalisation, Adam, float32."""
    training = reference.training
    training.run("again", "checkpoints of another folder", epochs=reference.epochs)
    assert training.results("again") == reference.results
    assert training.training("again")["resampling"] == "nearest"
    one, other = predictions_of(training, "reference", "again")
    assert one == other
    assert len(pd.read_csv(training.folder / "again/predictions.csv")) == 4


@pytest.mark.slow
def test_same_bytes_of_the_real_mobilenet(project: Path, tmp_path: Path) -> None:
    """The study's network, settings and threads on two classes, at 224 px, from the weights that come with cxrflow."""
    config = read_config({**study_config(), "images": "x"})
    weights = project / "studies/demo/weights/mobilenet_1_0_224_imagenet_notop_float16.weights.h5"
    settings: dict[str, Any] = {
        **training_settings(experiment_settings(config, "multiclass_mobilenet")),
        "classes": CLASSES,
        "weights": "file",
        "batch_size": 4,
        "epochs": 2,
    }
    training = make_files(tmp_path, size=224)
    for out in ("one", "other"):
        training.run(
            out, f"checkpoints of {out}", "--weights", str(weights), "--threads", str(config.threads), **settings
        )
    assert training.results("one") == training.results("other")
    one, other = predictions_of(training, "one", "other")
    assert one == other


STRANGER = """
import json, os, sys
import keras, numpy as np
model_file, weights_file, pixels = sys.argv[1:]
model = keras.saving.load_model(model_file, safe_mode=True)
images = np.load(pixels).astype("float32")
predicted = model.predict_on_batch(images)
model.set_weights([np.zeros_like(w) for w in model.get_weights()])
model.load_weights(weights_file)
print(json.dumps({
    "predicted": predicted.tolist(),
    "by the weights": model.predict_on_batch(images).tolist(),
    "compiled": model.compiled,
    "inputs": list(model.input_shape),
    "kinds": sorted({str(w.dtype) for w in model.weights}),
    "cxrflow": [name for name in sys.modules if name.startswith("cxrflow")],
}))
"""


@pytest.mark.slow
def test_model_file_needs_only_keras(reference: Reference) -> None:
    """Plain Keras loads it, in a process without cxrflow; its input is unchanged pixels."""
    training = reference.training
    (wanted,) = predictions_of(training, "reference")
    place = training.folder / "reference"
    files = [place / "model.keras", place / "model.weights.h5", training.folder / "normal.npy"]
    without_path = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", STRANGER, *map(str, files)]
    run = subprocess.run(command, check=True, env=without_path, capture_output=True, text=True, cwd=place)
    reported = json.loads(run.stdout.splitlines()[-1])
    assert reported["cxrflow"] == []
    assert reported["compiled"] is False
    assert reported["inputs"] == [None, 32, 32, 3]
    assert reported["kinds"] == ["float32"]
    assert reported["by the weights"] == reported["predicted"]
    table = pd.read_csv(place / "predictions.csv").set_index("image")
    images = pd.read_csv(training.folder / "normal.csv")["image"]
    tested = [n for n, image in enumerate(images) if image in table.index]
    assert len(tested) == 2 and wanted
    np.testing.assert_allclose(
        np.array(reported["predicted"])[tested, 0], table.loc[images[tested], "p_normal"], rtol=1e-5, atol=1e-7
    )
