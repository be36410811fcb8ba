"""A results folder as a run leaves it, with made numbers: for tests of what reads results."""

import dataclasses
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cxrflow.claims.score import SCORECARD
from cxrflow.config.models import Config
from cxrflow.config.read import read_config, read_yaml
from cxrflow.config.settings import experiment_settings
from cxrflow.evaluation.metrics import metrics_of, prediction_table
from cxrflow.evaluation.separation import separation_of
from cxrflow.plot_augmentation import TILE, credit_line, sheet_figure
from cxrflow.plot_confusion import confusion_figure
from cxrflow.plot_curves import curves_figure
from cxrflow.plot_embedding import embedding_figure
from cxrflow.plotting.style import styled, write_figure
from cxrflow.report.inputs import (
    Inputs,
    read_assumptions,
    read_runs,
    read_sheets,
    read_study_config,
    read_text_table,
    selected_experiments,
)
from cxrflow.stage.files import canonical_json, read_json, write_json, write_table

ROOT = Path(__file__).resolve().parents[2]
ASSUMPTIONS = ROOT / "workflow/resources/assumptions.csv"
PER_CLASS = {"training": 14, "validation": 3, "test": 9}
VERSIONS = {"python": "3.11.9", "backend": "tensorflow", "tensorflow": "2.21.0", "keras": "3.15.1", "numpy": "2.4.0"}
HARDWARE = {"processor": "A Processor 3", "cores": 2, "memory": 16 * 2**30, "system": "Linux 6.1 x86_64"}
BACKBONE = {"InceptionV3": (311, [5, 5, 2048], 21802784), "MobileNet": (86, [7, 7, 1024], 3228864)}


def made_config(**changes: Any) -> Config:
    """The study's config, with changes laid over it."""
    return read_config({**read_yaml(ROOT / "config.yaml"), "images": "/home/someone/x-rays", **changes})


def make_results(folder: Path, config: Config, **audit: Any) -> dict[str, list[int]]:
    """Write runs/, plots/, split/, networks.json and data_audit.json; returns experiment to seeds.

    Args:
        folder: where to.
        config: its selected experiments and their seeds are made.
        audit: keys of the audit that are to be other.
    """
    selected = {name: config.seeds_of(name) for name in config.selected()}
    for task in {experiment.task for experiment in config.selected().values()}:
        write_table(folder / "split" / f"{task}.csv", made_split(config.classes_of(task)))
    networks = {}
    for name, seeds in selected.items():
        settings = experiment_settings(config, name)
        networks[name] = made_network(settings)
        for seed in seeds:
            make_run(folder, name, settings, seed)
    write_json(folder / "networks.json", {"experiments": networks, "backbones": {}})
    classes = sorted({name for task in config.tasks.values() for name in task.classes})
    write_json(folder / "data_audit.json", {**made_audit(classes), **audit})
    return selected


def made_inputs(
    folder: Path,
    config: Config,
    selected: dict[str, list[int]],
    scorecard: pd.DataFrame | None = None,
    sheets: tuple[Path, ...] = (),
) -> Inputs:
    """What the report's page is made from, read from what `make_results` wrote; the lock holds the made versions."""
    settings = {
        **config.model_dump(exclude={"experiments", "extras"}),
        "experiments": {name: experiment_settings(config, name) for name in [*config.experiments, *config.extras]},
    }
    return Inputs(
        settings=json.loads(canonical_json(settings)),
        experiments=selected_experiments(settings, selected),
        runs=read_runs(folder / "runs", selected),
        networks=read_json(folder / "networks.json"),
        audit=read_json(folder / "data_audit.json"),
        assumptions=read_assumptions(ASSUMPTIONS),
        splits={path.stem: read_text_table(path) for path in sorted((folder / "split").glob("*.csv"))},
        plots=folder / "plots",
        sheets=read_sheets(sheets),
        study=read_study_config(ROOT / "config.yaml"),
        locked={name: version for name, version in VERSIONS.items() if name not in ("python", "backend")},
        scorecard=scorecard,
    )


def changed(inputs: Inputs, path: str, value: Any) -> Inputs:
    """The inputs with one value set, path steps through attributes, keys and places of the run of each experiment."""
    field, *steps = path.split("/")
    tree: Any = deepcopy(getattr(inputs, field))
    if field == "runs":
        for runs in tree.values():
            place: Any = runs[0]
            for step in steps[:-1]:
                place = place[step] if isinstance(place, dict) else getattr(place, step)
            place[steps[-1]] = value
    else:
        place = tree
        for step in steps[:-1]:
            place = place[step]
        place[steps[-1]] = value
    return dataclasses.replace(inputs, **{field: tree})


def made_split(classes: list[str]) -> pd.DataFrame:
    """A split with the same number of images for each class."""
    rows = [
        {
            "image": f"{'test' if subset == 'test' else 'train'}/{name}/{subset}{place:02d}.png",
            "class": name,
            "subset": subset,
        }
        for name in classes
        for subset, count in PER_CLASS.items()
        for place in range(count)
    ]
    return pd.DataFrame(rows)


def make_run(folder: Path, name: str, settings: dict[str, Any], seed: int) -> None:
    """Write the files and plots of one run."""
    generator = np.random.default_rng([seed, *name.encode()])
    place, plots = (folder / kind / name / f"seed_{seed}" for kind in ("runs", "plots"))
    classes, epochs = settings["classes"], settings["epochs"]
    history = made_history(epochs, generator)
    write_table(place / "history.csv", history)
    seconds = generator.uniform(8, 9, epochs)
    timing = pd.DataFrame({"epoch": history["epoch"], "seconds": seconds, "images_per_second": 24 / seconds})
    write_table(place / "timing.csv", timing)
    write_json(place / "training.json", made_training(settings, seed, float(history["val_loss"].iloc[-1])))

    split = made_split(classes)
    test = split[split["subset"] == "test"]
    scores = generator.normal(size=(len(test), len(classes)))
    scores[np.arange(len(test)), [classes.index(one) for one in test["class"]]] += 2
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    predictions = prediction_table(test, probabilities, classes)
    metrics = {**metrics_of(predictions, classes, settings["positive"]), "selected_epoch": tested_epoch(settings)}
    write_json(place / "metrics.json", metrics)

    points = split[split["subset"] != "test"].reset_index(drop=True)
    middles = generator.normal(0, 4, (len(classes), 2))
    points[["x", "y"]] = middles[[classes.index(one) for one in points["class"]]] + generator.normal(
        size=(len(points), 2)
    )
    separation = separation_of(points[["x", "y"]].to_numpy(), points["class"].to_numpy(dtype=str))
    separation = {"of": "training_folder", **separation}
    write_table(place / "embedding.csv", points)
    write_json(place / "separation.json", separation)
    with styled():
        write_figure(curves_figure(history, f"{name}, seed {seed}", epochs), plots / "curves.svg")
        write_figure(confusion_figure(metrics, f"{name}, seed {seed}"), plots / "confusion.svg")
        write_figure(embedding_figure(points, separation, f"{name}, seed {seed}"), plots / "embedding.svg")


def make_sheet(folder: Path, task: str, classes: list[str], withheld: dict[str, int]) -> Path:
    """Write the sheet of a task's augmentation, two images a class but of those withheld; returns its JSON."""
    file = folder / "plots/augmentation" / f"{task}.json"
    columns = ["image", "class", "source", "licence"]
    shown = pd.DataFrame(
        [
            (f"train/{name}/{place}.png", name, "Kermany et al.", "CC BY 4.0")
            for name in classes
            if name not in withheld
            for place in range(2)
        ],
        columns=columns,
    )
    tiles = np.random.default_rng(0).integers(0, 256, (len(shown), 7, TILE, TILE, 3), dtype=np.uint8)
    credit = credit_line(shown, phantoms=False)
    epochs = [1, 2, 3, 4, 5, 6]
    with styled():
        write_figure(sheet_figure(shown, tiles, epochs, credit), file.with_suffix(".svg"))
    record = {"task": task, "seed": 0, "epochs": epochs, "credit": credit, "shown": shown.to_dict("records")}
    write_json(file, {**record, "withheld": withheld})
    return file


def made_history(epochs: int, generator: np.random.Generator) -> pd.DataFrame:
    """Curves that rise and fall as a training's do."""
    epoch = np.arange(1, epochs + 1)
    learnt = 1 - np.exp(-epoch / max(1, epochs / 4))
    noise = generator.normal(0, 0.015, (4, epochs))
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": np.maximum(0.01, 0.7 - 0.6 * learnt + noise[0]),
            "accuracy": np.clip(0.5 + 0.45 * learnt + noise[1], 0, 1),
            "val_loss": np.maximum(0.01, 0.75 - 0.6 * learnt + 3 * noise[2]),
            "val_accuracy": np.clip(0.48 + 0.45 * learnt + 3 * noise[3], 0, 1),
        }
    )


def made_training(settings: dict[str, Any], seed: int, val_loss: float) -> dict[str, Any]:
    """training.json of a run."""
    pretrained = settings["weights"] != "random"
    training = PER_CLASS["training"] * len(settings["classes"])
    return {
        "identity": f"{seed:016x}",
        "settings": settings,
        "classes": settings["classes"],
        "seed": seed,
        "threads": 2,
        "device": "cpu",
        "hardware": HARDWARE,
        "images": {
            "training": training,
            "validation": PER_CLASS["validation"] * len(settings["classes"]),
            "training_seen_per_epoch": training // settings["batch_size"] * settings["batch_size"],
        },
        "weights": {
            "source": settings["weights"] if settings["weights"] in ("imagenet", "random") else "file",
            "file": f"{settings['backbone'].lower()}_notop.h5" if pretrained else None,
            "sha256": "ab" * 32 if pretrained else None,
        },
        "manifest_sha256": "ef" * 32,
        "versions": VERSIONS,
        "what_identifies_it": {"split_sha256": "cd" * 32, "pixels_blake2": "ab" * 16, "code": "0123456789abcdef"},
        "epochs": settings["epochs"],
        "trained_epochs": settings["epochs"],
        "selected_epoch": {
            "rule": "number" if isinstance(settings["selected_epoch"], int) else settings["selected_epoch"],
            "epoch": tested_epoch(settings),
            "val_loss": val_loss,
        },
    }


def tested_epoch(settings: dict[str, Any]) -> int:
    """The number that the settings select, else the last epoch."""
    selected = settings["selected_epoch"]
    return selected if isinstance(selected, int) else settings["epochs"]


def made_network(settings: dict[str, Any]) -> dict[str, Any]:
    """An entry of networks.json; only the backbone's figures are true."""
    layers, shape, parameters = BACKBONE[settings["backbone"]]
    return {
        "backbone": settings["backbone"],
        "backbone_layers": layers,
        "backbone_output_shape": shape,
        "frozen_layers": settings["frozen_layers"],
        "image_size": settings["image_size"],
        "classes": settings["classes"],
        "blocks": [
            {
                "block": "backbone",
                "name": settings["backbone"].lower(),
                "output_shape": shape,
                "parameters": parameters,
            },
            {"block": "head", "name": "head", "output_shape": [128], "parameters": 262272},
            {"block": "last_hidden", "name": "last_hidden", "output_shape": [32], "parameters": 4128},
            {"block": "output", "name": "output", "output_shape": [1], "parameters": 33},
        ],
        "parameters": {"total": parameters + 266433, "trainable": parameters - 1910033, "non_trainable": 2176466},
        "layer_kinds": {"Conv2D": 94},
        "first_dense_parameters": {"average": 262272, "flatten": 6553728},
    }


def made_scorecard(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """A scorecard of (experiment, kind, verdict)."""
    table = pd.DataFrame("", index=range(len(rows)), columns=list(SCORECARD))
    table[["experiment", "kind", "verdict"]] = list(rows)
    table["id"] = [f"claim_{place}" for place in range(len(rows))]
    table["statement"] = [f"Statement {place}." for place in range(len(rows))]
    return table


def made_audit(classes: list[str]) -> dict[str, Any]:
    """data_audit.json of the study's data set, whole."""
    modes = {name: {"RGB": 50, "RGBA": 19} if name == "covid" else {"L": 79} for name in classes}
    return {
        "images": 306,
        "listed": 306,
        "missing": [],
        "unreadable": [],
        "changed": [],
        "faults": {},
        "per_folder": {
            f"{folder}/{name}": 70 if folder == "train" else 9 for folder in ("train", "test") for name in classes
        },
        "modes": modes,
        "formats": {name: {"PNG": 20, "JPEG": 49} if name == "covid" else {"JPEG": 79} for name in classes},
        "conversions": {"alpha channel dropped": 10},
        "width": [255, 3342],
        "height": [249, 4095],
        "share_png_224_rgb": 0.0,
        "same_bytes": [],
        "same_bytes_in_train_and_test": [],
        "same_bytes_in_several_classes": [],
        "same_but_for_case": [],
        "patients_known": True,
        "patients": 4,
        "without_patient": 2,
        "patients_in_train_and_test": {"cohen-13": ["test/covid/a.png", "test/covid/b.png", "train/covid/c.png"]},
        "licences": {"CC BY 4.0": 237, "CC BY-NC-SA": 20, "not given": 49},
        "sources": {"COVID-19 image data collection": 69, "Kermany et al.": 237},
    }
