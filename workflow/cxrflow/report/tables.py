"""The tables of the page, as rows of plain values; how they look is the template's."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from cxrflow.machine.packages import one_name
from cxrflow.report.inputs import SUBSETS, Inputs, Run
from cxrflow.report.scorecard import stated_outcomes
from cxrflow.report.words import counted, joined, last_part, shown, wilson_interval
from cxrflow.stage.files import canonical_json

POOLING = {"average": "global average pooling", "max": "global max pooling", "flatten": "flatten"}


def experiment_rows(inputs: Inputs) -> Iterator[dict[str, Any]]:
    """What was run: one row an experiment."""
    for name, settings in inputs.experiments.items():
        runs, network = inputs.runs[name], inputs.networks["experiments"][name]
        yield {
            **settings,
            "name": name,
            "classes": network["classes"],
            "backbone_layers": network["backbone_layers"],
            "head_words": head_words(settings, len(network["classes"])),
            "training_words": training_words(settings),
            "seeds": [run.seed for run in runs],
            "trained": sorted({run.training["trained_epochs"] for run in runs}),
            "tested": sorted({run.metrics["selected_epoch"] for run in runs}),
            "selected_by": runs[0].training["selected_epoch"]["rule"],
            "images": runs[0].training["images"],
        }


def head_words(settings: dict[str, Any], classes: int) -> str:
    """The head, layer by layer."""
    head = settings["head"]
    first, *more = head["dense_units"]
    dropout = [f"Dropout {head['dropout']:g}"] if head["dropout"] else []
    output = "Dense 1 sigmoid" if settings["loss"] == "binary_crossentropy" else f"Dense {classes} softmax"
    hidden = [f"Dense {units} relu" for units in (*more, head["last_hidden_units"])]
    return ", ".join([POOLING[head["pooling"]], f"Dense {first} relu", *dropout, *hidden, output])


def training_words(settings: dict[str, Any]) -> list[str]:
    """How it is trained: optimizer and rate, and what goes beyond the study's plain way."""
    schedule, stopping = settings["schedule"], settings["early_stopping"]
    words = [settings["optimizer"], f"learning rate {shown(settings['learning_rate'])}"]
    if schedule != "constant":
        words.append(SCHEDULES[schedule["kind"]].format(**{key: shown(value) for key, value in schedule.items()}))
    for key in ({"sgd": "momentum", "adamw": "weight_decay"}.get(settings["optimizer"]), "label_smoothing"):
        if key and settings[key]:
            words.append(f"{key.replace('_', ' ')} {shown(settings[key])}")
    if settings["gradient_clip_norm"] is not None:
        words.append(f"gradients of norm {shown(settings['gradient_clip_norm'])} at most")
    if settings["class_weights"] != "none":
        words.append(f"class weights {shown(settings['class_weights'])}")
    if stopping is not None:
        words.append(f"early stopping after {counted(stopping['patience'], 'epoch')}")
    if settings["precision"] != "float32":
        words.append(settings["precision"])
    return [*words, "deterministic operations"] if settings["deterministic"] else words


SCHEDULES = {
    "cosine": "falling along a cosine to {final} of it over {epochs} epochs",
    "step": "times {factor} behind epoch {at}",
    "plateau": "times {factor} after {patience} epochs without a fall of the validation loss",
}


def image_counts(inputs: Inputs) -> Iterator[dict[str, Any]]:
    """Images by class and subset, one table a task that was run."""
    tasks = {settings["task"]: name for name, settings in inputs.experiments.items()}
    for task, experiment in tasks.items():
        if task not in inputs.splits:
            continue
        split = inputs.splits[task]
        classes = inputs.networks["experiments"][experiment]["classes"]
        counts = pd.crosstab(split["class"], split["subset"]).reindex(index=classes, columns=SUBSETS, fill_value=0)
        yield {
            "task": task,
            "rows": [(name, [int(count) for count in counts.loc[name]]) for name in classes],
            "sums": [int(count) for count in counts.sum()],
            "shared_patients": _patients_in_several_subsets(split),
        }


def _patients_in_several_subsets(split: pd.DataFrame) -> list[tuple[str, str]]:
    """Patients whose images are in several subsets of a split, each with those subsets in words."""
    known = split[split["patient"] != ""] if "patient" in split else split[:0]
    subsets = {str(name): set(rows["subset"]) for name, rows in known.groupby("patient")} if len(known) else {}
    return [
        (name, joined(subset for subset in SUBSETS if subset in found))
        for name, found in subsets.items()
        if len(found) > 1
    ]


def result_tables(inputs: Inputs) -> Iterator[dict[str, Any]]:
    """Test results: one table an experiment, one row a seed."""
    for name, runs in inputs.runs.items():
        metrics = runs[0].metrics
        images = metrics["images"]
        accuracies = [run.metrics["accuracy"] for run in runs]
        losses = [run.metrics["loss"] for run in runs]
        yield {
            "experiment": name,
            "images": images,
            "one_image": 100 / images,
            "positive": metrics["positive"],
            "classes": metrics["classes"],
            "rows": [_result_row(run) for run in runs],
            "median_accuracy": float(np.median(accuracies)),
            "accuracy_range": (min(accuracies), max(accuracies)),
            "median_loss": float(np.median(losses)),
            "stated": stated_outcomes(inputs, name),
        }


def _result_row(run: Run) -> dict[str, Any]:
    metrics = run.metrics
    interval = wilson_interval(metrics["correct"], metrics["images"])
    return {**metrics, "seed": run.seed, "interval": interval, "chosen": run.training["selected_epoch"]["rule"]}


def backbones_side_by_side(inputs: Inputs) -> Iterator[dict[str, Any]]:
    """For each task that more than one backbone was trained on: the first experiment of each backbone."""
    by_task: dict[str, dict[str, str]] = {}
    for name, settings in inputs.experiments.items():
        by_task.setdefault(settings["task"], {}).setdefault(settings["backbone"], name)
    for task, by_backbone in by_task.items():
        if len(by_backbone) > 1:
            columns = [_backbone_column(inputs, name) for name in by_backbone.values()]
            yield {"task": task, "columns": columns}


def _backbone_column(inputs: Inputs, name: str) -> dict[str, Any]:
    runs, network, settings = inputs.runs[name], inputs.networks["experiments"][name], inputs.experiments[name]
    timing = pd.concat([run.timing for run in runs])
    return {
        "experiment": name,
        "seed": runs[0].seed,
        "seeds": len(runs),
        "backbone": settings["backbone"],
        "layers": network["backbone_layers"],
        "frozen": settings["frozen_layers"],
        "backbone_parameters": next(b["parameters"] for b in network["blocks"] if b["block"] == "backbone"),
        **network["parameters"],
        "epochs": runs[0].training["trained_epochs"],
        "accuracy": float(np.median([run.metrics["accuracy"] for run in runs])),
        "correct": runs[0].metrics["correct"],
        "images": runs[0].metrics["images"],
        "loss": float(np.median([run.metrics["loss"] for run in runs])),
        "same_class_share": float(np.median([run.separation["same_class_share"] for run in runs])),
        "seconds_per_epoch": float(timing["seconds"].median()),
        "images_per_second": float(timing["images_per_second"].median()),
    }


def separation_tables(inputs: Inputs) -> Iterator[dict[str, Any]]:
    """How well the classes separate in the last hidden layer: one table an experiment, one row a seed."""
    for name, runs in inputs.runs.items():
        first = runs[0].separation
        order = [name for name in runs[0].metrics["classes"] if name in first["neighbour_shares"]]
        yield {
            "experiment": name,
            "seed": runs[0].seed,
            "k": first["k"],
            "of": first["of"],
            "classes": order,
            "shares": [(one, [first["neighbour_shares"][one][other] for other in order]) for one in order],
            "pairs": [(" and ".join(pair.split("|")), share) for pair, share in first["pairs"].items()],
            "rows": [{**run.separation, "seed": run.seed} for run in runs],
        }


def run_rows(inputs: Inputs) -> Iterator[dict[str, Any]]:
    """What identifies each run, and how long it took."""
    for run in inputs.all_runs:
        parts = run.training["what_identifies_it"]
        yield {
            **run.training,
            "experiment": run.experiment,
            "code": parts["code"],
            "seconds": float(run.timing["seconds"].sum()),
            "hashes": {
                "split (SHA-256)": parts["split_sha256"],
                "manifest (SHA-256)": run.training["manifest_sha256"],
                "pixels (BLAKE2)": parts["pixels_blake2"],
            },
        }


def machine_rows(inputs: Inputs) -> list[dict[str, Any]]:
    """The machines that the runs were trained on, each once, with the runs of each."""
    machines: dict[str, dict[str, Any]] = {}
    for run in inputs.all_runs:
        hardware = {**run.training["hardware"], "device": run.training["device"]}
        machine = machines.setdefault(canonical_json(hardware), {**hardware, "runs": []})
        machine["runs"].append(f"{run.experiment} seed {run.seed}")
    return list(machines.values())


def weight_files(inputs: Inputs) -> list[tuple[str, str]]:
    """Files of initial weights and their SHA-256, each once."""
    weights = [run.training["weights"] for run in inputs.all_runs]
    return sorted({(last_part(one["file"] or one["source"]), one["sha256"]) for one in weights if one["sha256"]})


def version_rows(inputs: Inputs) -> list[tuple[str, list[str], str | None]]:
    """Package, the versions that the runs had, the locked version."""
    from_runs: dict[str, set[str]] = {}
    for run in inputs.all_runs:
        for name, version in run.training["versions"].items():
            from_runs.setdefault(name, set()).add(version)
    locked = inputs.locked or {}
    return [(name, sorted(versions), locked.get(one_name(name))) for name, versions in sorted(from_runs.items())]
