"""The tables of the page as rows of plain values, which the template lays out."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from cxrflow.io.words import counted
from cxrflow.report.inputs import SUBSETS, Inputs
from cxrflow.report.words import shown
from cxrflow.study.layers import HeadLayer, named_layers

POOLING = {"average_pooling": "global average pooling", "max_pooling": "global max pooling", "flatten": "flatten"}
CURVES = {
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
    "loss": "training loss",
    "accuracy": "training accuracy",
}


def experiment_rows(inputs: Inputs) -> Iterator[dict[str, Any]]:
    """What was run: one row per experiment."""
    for name, settings in inputs.experiments.items():
        trainings, network = inputs.trainings[name], inputs.networks["experiments"][name]
        yield {
            **settings,
            "name": name,
            "classes": network["classes"],
            "backbone_layers": network["backbone_layers"],
            "head_words": head_words(settings, len(network["classes"])),
            "training_words": training_words(settings),
            "seeds": [training.seed for training in trainings],
            "trained": sorted({training.record["trained_epochs"] for training in trainings}),
            "tested": sorted({training.metrics["selected_epoch"] for training in trainings}),
            "selected_by": trainings[0].record["selected_epoch"]["rule"],
            "images": trainings[0].record["images"],
        }


def head_words(settings: dict[str, Any], classes: int) -> str:
    """The head and the output layer, layer by layer."""
    words = [word for layer in named_layers(settings["head"]) if (word := _layer_words(layer))]
    output = "Dense 1 sigmoid" if settings["loss"] == "binary_crossentropy" else f"Dense {classes} softmax"
    return ", ".join([*words, output])


def _layer_words(layer: HeadLayer) -> str:
    """A layer in words; an empty text for a dropout of 0."""
    kind, _, settings = layer
    if kind in POOLING:
        return POOLING[kind]
    if kind == "dropout":
        return f"Dropout {settings['dropout']:g}" if settings["dropout"] else ""
    penalty = f", L2 {shown(settings['l2'])}" if settings["l2"] else ""
    if kind == "dense":
        return f"Dense {settings['dense']} {settings['activation']}{penalty}"
    kernel = settings["kernel"]
    return f"Conv {settings['conv']} ({kernel}x{kernel}, {settings['padding']}) {settings['activation']}{penalty}"


def training_words(settings: dict[str, Any]) -> list[str]:
    """How an experiment is trained: optimizer, learning rate, and every other setting that is not at its simplest."""
    schedule, stopping = settings["schedule"], settings["early_stopping"]
    words = [settings["optimizer"], f"learning rate {shown(settings['learning_rate'])}"]
    if schedule != "constant":
        kind = "staircase" if schedule.get("staircase") else schedule["kind"]
        words.append(SCHEDULES[kind].format(**{key: shown(value) for key, value in schedule.items()}))
    of_optimizer = {"sgd": "momentum", "rmsprop": "momentum", "adamw": "weight_decay"}.get(settings["optimizer"])
    for key in (of_optimizer, "label_smoothing"):
        if key and settings[key]:
            words.append(f"{key.replace('_', ' ')} {shown(settings[key])}")
    if settings["gradient_clip_norm"] is not None:
        words.append(f"gradients of norm {shown(settings['gradient_clip_norm'])} at most")
    if settings["class_weights"] != "none":
        words.append(f"class weights {shown(settings['class_weights'])}")
    if stopping is not None:
        words.append(
            f"early stopping after {counted(stopping['patience'], 'epoch')} without a better {CURVES[stopping['monitor']]}"
        )
    if settings["precision"] != "float32":
        words.append(settings["precision"])
    return [*words, "deterministic operations"] if settings["deterministic"] else words


SCHEDULES = {
    "cosine": "falling along a cosine to {final} of it within {epochs} epochs",
    "step": "times {factor} after epoch {at}",
    "plateau": "times {factor} after {patience} epochs without a lower validation loss",
    "exponential": "times {factor} in {steps} steps, exponentially",
    "staircase": "times {factor} every {steps} steps",
}


def image_counts(inputs: Inputs) -> Iterator[dict[str, Any]]:
    """Images by class and subset: one table for each task of this run."""
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
        }


def backbones_side_by_side(inputs: Inputs) -> Iterator[dict[str, Any]]:
    """The first experiment of each backbone, for each task with more than one backbone."""
    by_task: dict[str, dict[str, str]] = {}
    for name, settings in inputs.experiments.items():
        by_task.setdefault(settings["task"], {}).setdefault(settings["backbone"], name)
    for task, by_backbone in by_task.items():
        if len(by_backbone) > 1:
            columns = [_backbone_column(inputs, name) for name in by_backbone.values()]
            yield {"task": task, "columns": columns}


def _backbone_column(inputs: Inputs, name: str) -> dict[str, Any]:
    trainings, network, settings = (
        inputs.trainings[name],
        inputs.networks["experiments"][name],
        inputs.experiments[name],
    )
    shown, timing = inputs.median_run(name), pd.concat([training.timing for training in trainings])
    return {
        "experiment": name,
        "seed": shown.seed,
        "seeds": len(trainings),
        "backbone": settings["backbone"],
        "layers": network["backbone_layers"],
        "frozen": settings["frozen_layers"],
        "backbone_parameters": next(b["parameters"] for b in network["blocks"] if b["block"] == "backbone"),
        **network["parameters"],
        "epochs": trainings[0].record["trained_epochs"],
        "accuracy": float(np.median([training.metrics["accuracy"] for training in trainings])),
        "balanced_accuracy": float(
            np.median([training.beside_accuracy["balanced_accuracy"] for training in trainings])
        ),
        "majority": trainings[0].beside_accuracy["majority"],
        "correct": shown.metrics["correct"],
        "images": shown.metrics["images"],
        "loss": float(np.median([training.metrics["loss"] for training in trainings])),
        "same_class_share": _median([training.separation["same_class_share"] for training in trainings]),
        "seconds_per_epoch": float(timing["seconds"].median()),
        "images_per_second": float(timing["images_per_second"].median()),
    }


def _median(values: list[float | None]) -> float | None:
    """The median of the values that are not None."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
