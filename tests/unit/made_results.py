"""A results folder like that of a run, with made-up numbers, for tests of code that reads results."""

import dataclasses
import json
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cxrflow.claims.results import TrainingResults
from cxrflow.claims.scorecard import SCORECARD
from cxrflow.evaluation.experiments import Experiment, compare_experiments, measure_experiment
from cxrflow.evaluation.metrics import metrics_of, prediction_table
from cxrflow.evaluation.separation import chance_of, intervals_of, separation_and_counts
from cxrflow.explanations.corruption import CORRUPTIONS
from cxrflow.explanations.occlusion import OCCLUSIONS
from cxrflow.explanations.summary import summary_of
from cxrflow.io.files import canonical_json, read_json, sha256_of_file, sha256_of_text, write_json, write_table
from cxrflow.plotting.style import styled, write_figure
from cxrflow.publication.join_results import measure_joined
from cxrflow.report.inputs import (
    Inputs,
    find_trainings,
    read_evaluation,
    read_explanations,
    read_open_points,
    read_sheets,
    read_study,
    read_text_table,
    selected_experiments,
)
from cxrflow.stages.plot_augmentation import TILE, credit_line, sheet_figure
from cxrflow.stages.plot_confusion import confusion_figure
from cxrflow.stages.plot_curves import curves_figure
from cxrflow.stages.plot_embedding import embedding_figure
from cxrflow.stages.plot_explanations import explanations_figure, jpeg_address
from cxrflow.statistics.intervals import wilson_interval
from cxrflow.study.models import Config
from cxrflow.study.read import read_config
from cxrflow.study.run import shipped_studies
from cxrflow.study.settings import experiment_settings
from scipy.special import softmax
from study_config import study_config

ROOT = Path(__file__).resolve().parents[2]
OPEN_POINTS = ROOT / "studies/sha_2021/open_points.csv"
PER_CLASS = {"training": 14, "validation": 3, "test": 9}
VERSIONS = {"python": "3.11.9", "backend": "tensorflow", "tensorflow": "2.21.0", "keras": "3.15.1", "numpy": "2.4.0"}
HARDWARE = {"processor": "A Processor 3", "cores": 2, "memory": 16 * 2**30, "system": "Linux 6.1 x86_64"}
BACKBONE = {"InceptionV3": (311, [5, 5, 2048], 21802784), "MobileNet": (86, [7, 7, 1024], 3228864)}


def made_config(**changes: Any) -> Config:
    """The config of the study, with some keys changed."""
    return read_config({**study_config(), "images": "/home/someone/x-rays", **changes})


def make_results(folder: Path, config: Config, **audit: Any) -> dict[str, list[int]]:
    """Write runs/, plots/, split/, networks.json, data_audit.json and audits/rivals.csv.

    Args:
        folder: the folder to write to.
        config: results are made for its selected experiments and their seeds.
        audit: keys of the audit to change.

    Returns:
        Experiment to seeds.
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
        for seed in config.explained().get(name, []):
            make_explanation(folder, name, seed)
    write_json(folder / "networks.json", {"experiments": networks, "backbones": {}})
    classes = sorted({name for task in config.tasks.values() for name in task.classes})
    measure_joined(
        folder, {"experiments": {name: {"task": config.selected()[name].task} for name in selected}}, selected
    )
    audits = {"rivals": {"findings": [], "details": made_rivals(folder)}}
    write_json(folder / "data_audit.json", {**made_audit(classes), "audits": audits, **audit})
    return selected


def made_inputs(
    folder: Path,
    config: Config,
    selected: dict[str, list[int]],
    scorecard: pd.DataFrame | None = None,
    sheets: tuple[Path, ...] = (),
) -> Inputs:
    """Read the inputs of the report from what `make_results` wrote; the lock file has the made-up versions."""
    settings = {
        **config.model_dump(exclude={"experiments", "extras"}),
        "experiments": {name: experiment_settings(config, name) for name in [*config.experiments, *config.extras]},
    }
    return Inputs(
        settings=json.loads(canonical_json(settings)),
        experiments=selected_experiments(settings, selected),
        trainings=find_trainings(folder / "runs", selected),
        networks=read_json(folder / "networks.json"),
        audit=read_json(folder / "data_audit.json"),
        rivals=read_text_table(folder / "audits/rivals.csv"),
        open_points=read_open_points(OPEN_POINTS),
        splits={path.stem: read_text_table(path) for path in sorted((folder / "split").glob("*.csv"))},
        evaluation=read_evaluation(folder / "evaluation", find_trainings(folder / "runs", selected)),
        comparisons=read_json(folder / "evaluation/comparisons.json"),
        plots=folder / "plots",
        sheets=read_sheets(sheets),
        study=read_study(shipped_studies() / "sha_2021/study.yaml"),
        locked={name: version for name, version in VERSIONS.items() if name not in ("python", "backend")},
        scorecard=scorecard,
        explanations=read_explanations(
            folder / "runs", folder / "plots", config.explained(), config.embed_images != "none"
        ),
    )


def measured(inputs: Inputs, predictions: dict[str, pd.DataFrame] | None = None) -> Inputs:
    """Measure the trainings of the inputs again, with other predictions of all networks of some experiments."""
    experiments = {
        name: Experiment(
            inputs.experiments[name]["task"],
            trainings[0].metrics["classes"],
            {one.seed: (predictions or {}).get(name, one.predictions) for one in trainings},
            {},
        )
        for name, trainings in inputs.trainings.items()
    }
    evaluation = {name: measure_experiment(one, inputs.splits[one.task]) for name, one in experiments.items()}
    comparisons = compare_experiments(experiments, inputs.splits)
    return dataclasses.replace(inputs, evaluation=evaluation, comparisons=comparisons)


def changed(inputs: Inputs, path: str, value: Any) -> Inputs:
    """Change one value of the inputs, at a path of attributes, keys and indices; of `trainings`, in each first one."""
    field, *steps = path.split("/")
    tree: Any = deepcopy(getattr(inputs, field))
    if field == "trainings":
        for trainings in tree.values():
            place: Any = trainings[0]
            for step in steps[:-1]:
                place = place[step] if isinstance(place, dict) else getattr(place, step)
            place[steps[-1]] = value
    else:
        place = tree
        for step in steps[:-1]:
            place = place[int(step) if isinstance(place, list) else step]
        place[steps[-1]] = value
    return dataclasses.replace(inputs, **{field: tree})


def with_contents(training: TrainingResults, **contents: Any) -> TrainingResults:
    """The same training with other contents of its files, such as `metrics`."""
    other = copy(training)
    vars(other).update(contents)
    return other


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
    training = made_training(settings, seed, float(history["val_loss"].iloc[tested_epoch(settings) - 1]))
    identity = training["identity"]
    write_json(place / "training.json", {**training, "files": {"history.csv": sha256_of_file(place / "history.csv")}})

    split = made_split(classes)
    test = split[split["subset"] == "test"]
    scores = generator.normal(size=(len(test), len(classes)))
    scores[np.arange(len(test)), [classes.index(one) for one in test["class"]]] += 2
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    predictions = prediction_table(test, probabilities, classes)
    metrics = {**metrics_of(predictions, classes, settings["positive"]), "selected_epoch": tested_epoch(settings)}
    write_table(place / "predictions.csv", predictions)
    validation = split[split["subset"] == "validation"]
    scores = generator.normal(size=(len(validation), len(classes)))
    write_table(place / "validation_predictions.csv", prediction_table(validation, softmax(scores, axis=1), classes))
    metrics |= {"training": identity, "predictions_sha256": sha256_of_file(place / "predictions.csv")}
    write_json(place / "metrics.json", metrics)

    points = split[split["subset"] != "test"].reset_index(drop=True)
    middles = generator.normal(0, 4, (len(classes), 2))
    points[["x", "y"]] = middles[[classes.index(one) for one in points["class"]]] + generator.normal(
        size=(len(points), 2)
    )
    separation = {**made_separation(points), "training": identity}
    write_table(place / "embedding.csv", points)
    write_json(place / "separation.json", separation)
    with styled():
        write_figure(curves_figure(history, f"{name}, seed {seed}", epochs), plots / "curves.svg")
        write_figure(confusion_figure(metrics, f"{name}, seed {seed}"), plots / "confusion.svg")
        write_figure(embedding_figure(points, separation, f"{name}, seed {seed}"), plots / "embedding.svg")


def made_separation(points: pd.DataFrame) -> dict[str, Any]:
    """A separation.json of features that are the map's coordinates and two units that do not count."""
    classes = points["class"].to_numpy(dtype=str)
    features = np.column_stack([points[["x", "y"]], np.zeros(len(points)), np.arange(len(points)) == 7])
    separation, counts = separation_and_counts(features, classes)
    chance = chance_of(classes)
    rival = {key: chance[key] for key in ("same_class_share", "pairs")}
    descriptions = {"pixels": "16 × 16 grey thumbnails", "file": "properties of the files", "random": "random features"}
    quality = {"trustworthiness": 0.912, "continuity": 0.934}
    return {
        "of": "training_folder",
        **separation,
        "chance": chance,
        "intervals": {**intervals_of(counts, classes, 5, None), "images_of_unknown_patients": len(points)},
        "rivals": {
            name: {"description": words, "not_judged": None, "silhouette": 0.123, **rival}
            for name, words in descriptions.items()
        },
        "map": {
            "k": 5,
            "images": len(points),
            **quality,
            "other_seeds": {"seeds": [1, 2, 3], "mean": 0.71, "least": 0.68, "chance": 0.04},
            "perplexities": [{"perplexity": value, **quality} for value in (7.5, 15.0, 30.0, 60.0)],
            "left_out": None,
        },
    }


def make_explanation(folder: Path, name: str, seed: int) -> None:
    """Write the explanation of a run: its errors and two right images."""
    place, plots = (folder / kind / name / f"seed_{seed}" for kind in ("runs", "plots"))
    training = TrainingResults(name, seed, place)
    generator = np.random.default_rng([seed, *name.encode()])
    table = training.predictions.reset_index()
    right = table["predicted"] == table["class"]
    images = [
        made_explained_image(row, generator) for _, row in pd.concat([table[~right], table[right][:2]]).iterrows()
    ]
    errors = [one["image"] for one in images if one["chosen_as"] == "error"]
    correct = int(right.sum())
    altered = {
        **{"images": len(table), "correct": correct, "accuracy": correct / len(table), "lost": 0, "gained": 0},
        **{"interval": list(wilson_interval(correct, len(table))), "change": 0.0},
        **{"true_probability": 0.8, "true_probability_change": 0.0},
    }
    record = {
        **{"training": training.record["identity"], "layer": "mixed10", "map": [5, 5], "seed": 0, "images": images},
        **{"method": "Grad-CAM for the predicted class", "image_size": 224, "classes": training.record["classes"]},
        "chosen": {
            **{"test_images": len(table), "errors": len(errors), "errors_explained": len(errors)},
            **{"right": correct, "right_explained": 2},
        },
        "lungs": {"images_with_own_boxes": 0, "fixed_boxes_iou_on_phantoms": {"lung_fields": 0.61, "lung_boxes": 0.8}},
        "summary": summary_of(images, {one["image"]: place for place, one in enumerate(images)}),
        "altered": {"images": len(table), "patients": len(table)},
        "unaltered": altered,
        "occlusions": [{"name": one, "description": words, **altered} for one, words in OCCLUSIONS.items()],
        "corruptions": [
            {"name": one, "strength": strength, "description": words, **altered}
            for one, (words, strengths) in CORRUPTIONS.items()
            for strength in strengths
        ],
    }
    write_json(place / "explanations.json", record)
    panels = [np.full((TILE, 2 * TILE, 3), 99, np.uint8)] * len(images)
    maps = {image: jpeg_address(panel) for image, panel in zip(errors, panels, strict=False)}
    write_json(plots / "heat_maps.json", {"training": record["training"], "credit": "A credit.", "errors": maps})
    with styled():
        write_figure(explanations_figure(images, panels, "Below."), plots / "explanations.svg")


def made_explained_image(row: "pd.Series[Any]", generator: np.random.Generator) -> dict[str, Any]:
    """An entry of `images` in explanations.json, for a row of predictions."""
    similar = {"maps": 3, "spearman": 0.2, "ssim": 0.3}
    curve = {"area": float(generator.uniform()), "random_areas": [0.5]}
    return {
        **{"image": row["image"], "class": row["class"], "predicted": row["predicted"]},
        "probability": float(row[f"p_{row['predicted']}"]),
        "chosen_as": "sample" if row["predicted"] == row["class"] else "error",
        **{"heat_is_constant": False, "heat_outside_lungs": float(generator.uniform(0.4, 0.9))},
        **{"area_outside_lungs": 0.48, "heat_in_border": 0.3},
        "random_weights": {"output_layer": similar, "all_layers": similar},
        "curves": {"deletion": curve, "insertion": curve},
    }


def make_sheet(folder: Path, task: str, classes: list[str], withheld: dict[str, int]) -> Path:
    """Write the sheet of a task's augmentation, with two images of each class that is not withheld; return its JSON file."""
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
    """Curves like those of a training."""
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
    split = made_split(settings["classes"])
    used = split.loc[split["subset"] != "test", ["image", "class", "subset"]].sort_values("image")
    return {
        "identity": sha256_of_text(canonical_json([settings, seed]))[:16],
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
        "what_identifies_it": {
            "split_sha256": sha256_of_text(used.to_csv(index=False)),
            "pixels_blake2": "ab" * 16,
            "code": "0123456789abcdef",
        },
        "epochs": settings["epochs"],
        "trained_epochs": settings["epochs"],
        "selected_epoch": {
            "rule": "number" if isinstance(settings["selected_epoch"], int) else settings["selected_epoch"],
            "epoch": tested_epoch(settings),
            "val_loss": val_loss,
        },
    }


def tested_epoch(settings: dict[str, Any]) -> int:
    """The epoch whose number the settings select, otherwise the last."""
    selected = settings["selected_epoch"]
    return selected if isinstance(selected, int) else settings["epochs"]


def made_network(settings: dict[str, Any]) -> dict[str, Any]:
    """An entry of networks.json; only the numbers of the backbone are correct."""
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
    """data_audit.json of the study's complete data set."""
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
        "file_kinds": {"JPEG 255x249 RGB": 306},
        "patients_known": True,
        "patients": 4,
        "without_patient": 2,
        "licences": {"CC BY 4.0": 237, "CC BY-NC-SA": 20, "not given": 49},
        "sources": {"COVID-19 image data collection": 69, "Kermany et al.": 237},
        "audits": {},
    }


def made_finding(text: str, **changes: Any) -> dict[str, Any]:
    """A finding of an audit, as in data_audit.json."""
    usual = {"effect": "It matters.", "images": ["a.png"], "task": None, "certainty": "certain", "is_headline": True}
    return {"text": text, **usual, **changes}


def made_rivals(folder: Path, wrong: int = 3) -> dict[str, Any]:
    """Write audits/rivals.csv for the splits in a folder, and return the details of the audit `rivals`.

    There are two rivals: `thumbnail_16`, which is wrong for some of the test images, and `file`, which does not see pixels.
    """
    tables, details = [], {}
    for path in sorted((folder / "split").glob("*.csv")):
        split = pd.read_csv(path, dtype=str, keep_default_na=False)
        test = split[split["subset"] == "test"]
        classes = sorted(set(test["class"]))
        other = dict(zip(classes, classes[1:] + classes[:1], strict=True))
        predicted = [other[name] if place < wrong else name for place, name in enumerate(test["class"])]
        table = test[["image", "class"]].assign(task=path.stem, predicted=predicted)
        tables += [table.assign(rival=rival) for rival in ("thumbnail_16", "file")]
        correct, images = len(test) - wrong, len(test)
        low, high = wilson_interval(correct, images)
        accuracy = {"accuracy": correct / images, "low": low, "high": high, "images": images, "groups": images}
        crossed = {
            "reason": None,
            **accuracy,
            "folds": 5,
            "repeats": 10,
            "chance": 0.5,
            "p_value": 0.01,
            "unconverged": 0,
        }
        own = {"reason": None, **accuracy, "correct": correct, "training_images": 20, "chance": 0.5, "unconverged": 0}
        rivals = [
            {
                "name": name,
                "description": description,
                "reaches_network": name != "file",
                "cross_validation": crossed,
                "own_split": own,
            }
            for name, description in {
                "thumbnail_16": "a grey thumbnail of 16 × 16 pixels with logistic regression",
                "file": "the properties of the file with logistic regression",
            }.items()
        ]
        details[path.stem] = {"images": images, "rivals": rivals}
    write_table(folder / "audits/rivals.csv", pd.concat(tables)[["task", "rival", "image", "class", "predicted"]])
    return details
