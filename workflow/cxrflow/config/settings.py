"""Experiments as canonical JSON: what a stage is told of the config."""

from collections.abc import Mapping
from typing import Any

from cxrflow.config.models import Config
from cxrflow.networks.weights import WITHOUT_FILE


def experiment_settings(config: Config, name: str) -> dict[str, Any]:
    """An experiment's settings as plain values, with the task's `classes` in output order and `positive`.

    `weights` is imagenet, random or file: which file it is reaches training as a file, known by its contents, so that a
    folder which moves makes no other experiment.
    """
    experiment = {**config.experiments, **config.extras}[name]
    settings = experiment.model_dump(exclude={"seeds"})
    weights = experiment.weights or config.weights
    settings["weights"] = weights if weights in WITHOUT_FILE else "file"
    settings["classes"] = config.classes_of(experiment.task)
    settings["positive"] = config.tasks[experiment.task].positive
    return settings


NETWORK_KEYS = (
    "backbone",
    "backbone_batchnorm",
    "batchnorm_momentum",
    "classes",
    "frozen_layers",
    "head",
    "head_initialisation",
    "image_size",
    "input_scaling",
    "loss",
    "precision",
)


def network_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of an experiment's settings, those that make its network."""
    return {key: settings[key] for key in NETWORK_KEYS}


def training_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of an experiment's settings, those that its training depends on: a task's name and its positive class are none."""
    return {key: value for key, value in settings.items() if key not in ("task", "positive")}


DECIDES_NOTHING = {"image_sources", "weights_sources", "trainings_per_gpu"}
"""Keys that the last stages do not see: where files are fetched from, since their hashes decide what they are, and how many
trainings share a GPU."""


def whole_settings(config: Config) -> dict[str, Any]:
    """The whole config as the last stages see it: the extras too, since claims about the searches look for their settings."""
    names = [*config.experiments, *config.extras]
    return {
        **config.model_dump(exclude={"experiments", "extras", *DECIDES_NOTHING}),
        "experiments": {name: experiment_settings(config, name) for name in names},
    }
