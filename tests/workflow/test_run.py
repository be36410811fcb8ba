"""A real run of a tiny config, from phantoms to the report."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from cxrflow.io.files import sha256_of_file
from tiny_run import TINY, planned_jobs

pytestmark = pytest.mark.slow

NO_HOME = "/dev/null/home"
EXPERIMENT = "runs/multiclass_mobilenet/seed_0"


@pytest.fixture(scope="module")
def folder(snakemake: Any, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of the tiny config, with the weights that come with cxrflow, by a user without a home."""
    folder = tmp_path_factory.mktemp("tiny run")  # with a blank, as users have them
    config = {**TINY, "weights": str(project / "studies/demo/weights"), "tensorboard": True}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", NO_HOME)
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR", "KERAS_HOME"):
            patch.delenv(name, raising=False)
        run = snakemake(folder, "--cores", "2", "--configfile", str(folder / "tiny.yaml"))
    assert run.returncode == 0, run.stdout + run.stderr
    (folder / "screen.txt").write_text(run.stdout + run.stderr)
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> Path:
    """The results of that run."""
    return folder / "results/tiny"


def test_every_file_of_the_flow_is_there(results: Path) -> None:
    wanted = [
        "images.parquet",
        "data_audit.json",
        "audits/rivals.csv",
        "split/multiclass.csv",
        "pixels/32/train/covid.npy",
        "augmentation/multiclass/seed_0/epochs_2.parquet",
        "networks.json",
        *(
            f"{EXPERIMENT}/{name}"
            for name in (
                "model.keras",
                "model.weights.h5",
                "history.csv",
                "timing.csv",
                "training.json",
                "predictions.csv",
                "validation_predictions.csv",
                "metrics.json",
                "features.npz",
                "embedding.csv",
                "separation.json",
            )
        ),
        *(f"plots/multiclass_mobilenet/seed_0/{name}.svg" for name in ("curves", "confusion", "embedding")),
        *(
            f"evaluation/{name}"
            for name in ("multiclass_mobilenet.json", "multiclass_mobilenet.csv", "comparisons.json")
        ),
        "plots/multiclass_mobilenet/evaluation.svg",
        *(f"plots/augmentation/multiclass.{suffix}" for suffix in ("svg", "json")),
        "report/index.html",
        "logs/train_model/multiclass_mobilenet/seed_0.log",
        "benchmarks/train_model/multiclass_mobilenet/seed_0.tsv",
    ]
    assert [name for name in wanted if not (results / name).is_file()] == []


def test_outside_problem_every_stage_works_without_a_home(folder: Path, results: Path) -> None:
    """The run had none, and only Matplotlib's list of fonts was written elsewhere."""
    screen = (folder / "screen.txt").read_text()
    assert "Traceback" not in screen and NO_HOME not in screen
    assert len(list((folder / ".snakemake/matplotlib").glob("fontlist-*.json"))) == 1
    made = {path.name for path in folder.iterdir()}
    assert made == {".snakemake", "results", "tiny.yaml", "screen.txt"}
    assert (results / "report/index.html").is_file()


def test_a_training_is_followed_by_event_files(results: Path) -> None:
    """It ends before its first picture would be drawn."""
    events = (results / "tensorboard/multiclass_mobilenet/seed_0").glob("*/events.out.tfevents.*")
    assert sorted(file.parent.name for file in events) == ["training", "validation"]


def test_nothing_is_left_to_do(snakemake: Any, folder: Path) -> None:
    again = snakemake(folder, "-n", "--configfile", str(folder / "tiny.yaml"))
    assert planned_jobs(again) == {}


def test_progress_is_on_screen_and_in_the_log(folder: Path, results: Path) -> None:
    log = (results / "logs/train_model/multiclass_mobilenet/seed_0.log").read_text()
    for text in ((folder / "screen.txt").read_text(), log):
        assert "epoch 1/2  loss " in text and "epoch 2/2  loss " in text and "images/s" in text and " left" in text


def test_the_split_of_the_phantoms(results: Path) -> None:
    split = pd.read_csv(results / "split/multiclass.csv")
    assert split.groupby(["subset", "class"]).size().unstack().to_dict("index") == {
        subset: dict.fromkeys(("covid", "normal", "pneumonia_bac", "pneumonia_vir"), count)
        for subset, count in (("training", 5), ("validation", 1), ("test", 2))
    }


def test_numbers_agree_with_each_other(project: Path, results: Path) -> None:
    run = results / EXPERIMENT
    training = json.loads((run / "training.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    predictions = pd.read_csv(run / "predictions.csv")
    history = pd.read_csv(run / "history.csv")
    assert history["epoch"].tolist() == [1, 2] and training["epochs"] == 2
    assert training["images"] == {
        "training": 20,
        "validation": 4,
        "training_seen_per_epoch": 20,
        "validation_seen_per_epoch": 4,
    }
    weights = project / "studies/demo/weights/mobilenet_1_0_224_imagenet_notop_float16.weights.h5"
    assert training["weights"] == {"source": "file", "file": weights.name, "sha256": sha256_of_file(weights)}
    assert metrics["images"] == len(predictions) == 8
    assert metrics["correct"] == (predictions["class"] == predictions["predicted"]).sum()
    probabilities = predictions.filter(like="p_")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    embedding = pd.read_csv(run / "embedding.csv")
    assert embedding["subset"].value_counts().to_dict() == {"training": 20, "validation": 4, "test": 8}


def test_the_model_needs_only_keras(results: Path) -> None:
    """It maps pixels to the probabilities in predictions.csv, with Keras only."""
    model = keras.saving.load_model(results / EXPERIMENT / "model.keras", safe_mode=True)
    predictions = pd.read_csv(results / EXPERIMENT / "predictions.csv").set_index("image")
    names = pd.read_csv(results / "pixels/32/test/covid.csv")["image"]
    pixels = np.load(results / "pixels/32/test/covid.npy").astype(np.float32)
    wanted = predictions.loc[names].filter(like="p_")
    np.testing.assert_allclose(model.predict_on_batch(pixels), wanted, rtol=1e-4, atol=1e-6)


def test_the_report_opens_without_anything_else(results: Path) -> None:
    page = (results / "report/index.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "not for clinical use" in page
    assert "multiclass_mobilenet" in page
    assert '<figure class="sheet">' in page and "Phantoms drawn by cxrflow, not X-rays." in page


def digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def test_trained_again_it_gives_the_same_bytes(snakemake: Any, folder: Path, results: Path) -> None:
    run = results / EXPERIMENT
    files = [run / name for name in ("history.csv", "predictions.csv", "metrics.json", "embedding.csv")]
    before = digest(*files)
    weights = keras.saving.load_model(run / "model.keras").get_weights()
    weights_file = (run / "model.weights.h5").read_bytes()
    shutil.rmtree(run)  # the models are targets, so a deleted run is rebuilt
    shutil.rmtree(folder / "results/checkpoints")  # otherwise it would be written from its last checkpoint
    again = snakemake(folder, "--cores", "2", "--configfile", str(folder / "tiny.yaml"))
    assert again.returncode == 0, again.stderr
    assert digest(*files) == before
    assert (run / "model.weights.h5").read_bytes() == weights_file
    for old, new in zip(weights, keras.saving.load_model(run / "model.keras").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_only_the_perplexity_is_changed(snakemake: Any, folder: Path) -> None:
    plan = snakemake(folder, "-n", "--configfile", str(folder / "tiny.yaml"), "--config", "tsne={perplexity: 6}")
    assert set(planned_jobs(plan)) == {"embed_features", "plot_embedding", "assemble_report", "all"}


def test_a_perplexity_that_is_too_high_is_reported(snakemake: Any, folder: Path, results: Path) -> None:
    page = (results / "report/index.html").read_bytes()
    run = snakemake(
        folder, "--cores", "2", "--configfile", str(folder / "tiny.yaml"), "--config", "tsne={perplexity: 500}"
    )
    assert run.returncode != 0
    assert "tsne.perplexity is 500, but task multiclass has only 32 images to show" in run.stderr
    assert "rule embed_features" not in run.stderr, "reported before any job"
    assert (results / "report/index.html").read_bytes() == page


@pytest.fixture(scope="module")
def folds(snakemake: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the same run, continued with a cross-validation."""
    copy = tmp_path_factory.mktemp("folds") / "copy"
    shutil.copytree(folder, copy)
    run = snakemake(copy, "--cores", "2", "--configfile", str(folder / "tiny.yaml"), "--config", "folds=2")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "rule split_images" not in run.stderr and "seed_0/features.npz" not in run.stderr
    again = snakemake(copy, "-n", "--configfile", str(folder / "tiny.yaml"), "--config", "folds=2")
    assert planned_jobs(again) == {}
    return copy / "results/tiny"


def test_a_cross_validation_predicts_each_image_once(results: Path, folds: Path) -> None:
    pooled = pd.read_csv(folds / "evaluation/folds/multiclass_mobilenet.csv")
    images = pd.read_csv(results / "split/multiclass.csv")["image"]
    assert sorted(pooled["image"]) == sorted(images) and len(images) == 32
    for fold in (0, 1):
        run = folds / f"runs/multiclass_mobilenet@repeat_0.fold_{fold}/seed_0"
        trained = json.loads((run / "training.json").read_text())["images"]
        assert trained["training"] + trained["validation"] == 16
        own = pd.read_csv(run / "predictions.csv")
        assert sorted(own["image"]) == sorted(pooled.loc[pooled["fold"] == fold, "image"])
    measured = json.loads((folds / "evaluation/folds/multiclass_mobilenet.json").read_text())
    right = int((pooled["class"] == pooled["predicted"]).sum())
    assert measured["pooled"][0]["metrics"][0]["right"] == right and len(measured["by_fold"]) == 2


def test_a_cross_validation_is_in_the_report_and_its_folds_are_no_experiments(results: Path, folds: Path) -> None:
    page, before = ((one / "report/index.html").read_text() for one in (folds, results))
    assert "<h4>Cross-validation</h4>" in page and "<h4>Cross-validation</h4>" not in before
    assert "multiclass_mobilenet@" not in page
    assert page.count('<h3 id="results-') == before.count('<h3 id="results-') == 1


def test_an_external_test_is_added_to_a_finished_run(snakemake: Any, folder: Path, results: Path) -> None:
    """It trains nothing; an image that cannot be used ends it, but not the report."""
    model = (results / EXPERIMENT / "model.keras").stat()
    elsewhere = folder / "another hospital"
    command = [sys.executable, "-m", "cxrflow.stages.make_phantoms", "--train-per-class", "2", "--test-per-class", "2"]
    command += ["--seed", "9", "--classes", "covid", "normal", "pneumonia_bac", "pneumonia_vir", "other"]
    command += ["--patterns", "other=none"]
    subprocess.run([*command, "--folder", str(elsewhere), "--table", str(folder / "drawn.csv")], check=True)
    trained_on = next((results / "phantoms/images/train/covid").iterdir())
    shutil.copy(trained_on, elsewhere / f"test/covid/again{trained_on.suffix}")
    broken = elsewhere / "test/normal/broken.png"
    broken.write_bytes(b"no picture")
    flags = ("--configfile", str(folder / "tiny.yaml"), "--config", "external=another hospital")
    assert planned_jobs(snakemake(folder, "-n", *flags)) == dict.fromkeys(
        ("index_external", "evaluate_external", "measure_external", "assemble_report", "all"), 1
    )
    failed = snakemake(folder, "--cores", "2", *flags)
    assert failed.returncode != 0
    assert "error: external: another hospital/test/normal/broken.png: unreadable" in failed.stderr
    page = (results / "report/index.html").read_text()
    assert "The external test of multiclass_mobilenet is not finished, and not part of this report." in page
    broken.unlink()
    run = snakemake(folder, "--cores", "2", *flags)
    assert run.returncode == 0, run.stderr
    assert (results / EXPERIMENT / "model.keras").stat() == model
    predictions = pd.read_csv(results / EXPERIMENT / "external_predictions.csv")
    assert predictions["class"].value_counts().to_dict() == {
        "covid": 5, "normal": 4, "pneumonia_bac": 4, "pneumonia_vir": 4
    }  # fmt: skip
    found = json.loads((results / "external/multiclass_mobilenet.json").read_text())
    assert found["counts"] == "16 images" and found["left_out"]["other_classes"] == 4
    (shared,) = found["left_out"]["shared"]
    assert shared["image"].startswith("test/covid/again") and shared["by"] == "bytes"
    drop = found["drops"][0]["rows"][0]
    metrics = json.loads((results / EXPERIMENT / "metrics.json").read_text())
    new = predictions[~predictions["image"].str.contains("again")]
    assert drop["value"] == pytest.approx(metrics["accuracy"] - (new["class"] == new["predicted"]).mean())
    assert drop["low"] < drop["value"] < drop["high"]
    page = (results / "report/index.html").read_text()
    assert "External test: <code>another hospital</code>" in page and "1 image is in the study, too (1 " in page
    assert "is not finished" not in page
    assert planned_jobs(snakemake(folder, "-n", *flags)) == {}


def test_impossible_settings_leave_the_finished_training(snakemake: Any, folder: Path, results: Path) -> None:
    model = (results / EXPERIMENT / "model.keras").read_bytes()
    config = ("--configfile", str(folder / "tiny.yaml"), "--config", "override={frozen_layers: 87}")
    run = snakemake(folder, "--cores", "2", *config)
    assert run.returncode != 0
    # The message is repeated at the end, after all output of Snakemake.
    assert "error: frozen_layers: 87 is more than the 86 layers of MobileNet" in "\n".join(run.stderr.splitlines()[-6:])
    assert (results / EXPERIMENT / "model.keras").read_bytes() == model
