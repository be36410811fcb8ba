"""The same training gives the same bytes: in two processes, on the real network, and as a model of its own."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.config.read import read_config, read_yaml
from cxrflow.config.settings import experiment_settings, training_settings
from tiny_training import CLASSES, Reference, TinyTraining, environment, make_files


def evaluate(training: TinyTraining, out: str) -> bytes:
    """The bytes of the predictions of a network that was trained."""
    place = training.folder / out
    files = {
        "model": place / "model.keras",
        "training": place / "training.json",
        "split": training.folder / "split.csv",
        "predictions": place / "predictions.csv",
        "metrics": place / "metrics.json",
        "threads": 1,
        "device": "cpu",
    }
    named = [part for key, value in files.items() for part in (f"--{key}", str(value))]
    pixels = [str(training.folder / f"{name}.npy") for name in CLASSES]
    command = [sys.executable, "-m", "cxrflow.evaluate_model", *named, "--pixels", *pixels]
    subprocess.run(command, check=True, env=environment(), capture_output=True)
    return (place / "predictions.csv").read_bytes()


def predictions_of(training: TinyTraining, *outs: str) -> list[bytes]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda out: evaluate(training, out), outs))


def test_same_bytes_of_two_processes(reference: Reference) -> None:
    """Dropout, batch normalisation, Adam, float32."""
    training = reference.training
    training.run("again", "states of another folder", epochs=reference.epochs)
    assert training.results("again") == reference.results
    assert training.training("again")["resampling"] == "nearest"
    one, other = predictions_of(training, "reference", "again")
    assert one == other
    assert len(pd.read_csv(training.folder / "again/predictions.csv")) == 4


@pytest.mark.slow
def test_same_bytes_of_the_real_mobilenet(project: Path, tmp_path: Path) -> None:
    """The study's network, settings and threads on two classes, at 224 px, from the weights that come with cxrflow."""
    config = read_config({**read_yaml(project / "config.yaml"), "images": "x"})
    weights = project / "workflow/resources/weights/mobilenet_1_0_224_imagenet_notop_float16.weights.h5"
    settings: dict[str, Any] = {
        **training_settings(experiment_settings(config, "multiclass_mobilenet")),
        "classes": CLASSES,
        "weights": "file",
        "batch_size": 4,
        "epochs": 2,
    }
    training = make_files(tmp_path, size=224)
    for out in ("one", "other"):
        training.run(out, f"states of {out}", "--weights", str(weights), "--threads", str(config.threads), **settings)
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


def test_model_file_stands_alone(reference: Reference) -> None:
    """Plain Keras loads it, in a process that knows nothing of cxrflow; pixels go in as they are."""
    training = reference.training
    (wanted,) = predictions_of(training, "reference")
    place = training.folder / "reference"
    files = [place / "model.keras", place / "model.weights.h5", training.folder / "normal.npy"]
    alone = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", STRANGER, *map(str, files)]
    run = subprocess.run(command, check=True, env=alone, capture_output=True, text=True, cwd=place)
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["cxrflow"] == []
    assert told["compiled"] is False
    assert told["inputs"] == [None, 32, 32, 3]
    assert told["kinds"] == ["float32"]
    assert told["by the weights"] == told["predicted"]
    table = pd.read_csv(place / "predictions.csv").set_index("image")
    images = pd.read_csv(training.folder / "normal.csv")["image"]
    tested = [n for n, image in enumerate(images) if image in table.index]
    assert len(tested) == 2 and wanted
    np.testing.assert_allclose(
        np.array(told["predicted"])[tested, 0], table.loc[images[tested], "p_normal"], rtol=1e-5, atol=1e-7
    )
