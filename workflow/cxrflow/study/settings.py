"""The settings that stages receive, as plain values for JSON."""

from collections.abc import Mapping
from typing import Any

from cxrflow.study.decides import RULES, WITHOUT_EFFECT, keys_that_decide
from cxrflow.study.experiment import Experiment, TrainedSettings
from cxrflow.study.fields import WITHOUT_FILE
from cxrflow.study.folds import FOLD_MARK
from cxrflow.study.models import Config


def experiment_settings(config: Config, name: str) -> dict[str, Any]:
    """An experiment's settings as plain values, with the task's `classes` in output order and `positive`.

    Those of a fold are the experiment's, with the task of the fold.

    `weights` is imagenet, random or file. The file itself is an input of the training, which depends on its contents and not
    on its path.
    """
    name, mark, fold = name.partition(FOLD_MARK)
    experiment = {**config.experiments, **config.extras}[name]
    settings = experiment.model_dump(exclude={"seeds"})
    settings["task"] += mark + fold
    weights = experiment.weights or config.weights
    settings["weights"] = weights if weights in WITHOUT_FILE else "file"
    settings["classes"] = config.classes_of(experiment.task)
    settings["positive"] = config.tasks[experiment.task].positive
    return settings


def network_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of an experiment's settings that define its network."""
    return {key: settings[key] for key in sorted({*keys_that_decide(Experiment, "network"), "classes"})}


def training_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of an experiment's settings that its training needs, including the epoch that is evaluated."""
    return {key: settings[key] for key in (*TrainedSettings.model_fields, "classes", "weights")}


def settings_of_rule(config: Config, rule: str) -> dict[str, Any]:
    """The keys of the config that a rule's jobs read as JSON, except those without effect given the other keys."""
    purposes = [purpose for purpose, rules in RULES.items() if rule in rules]
    return config.model_dump(include={*keys_that_decide(Config, *purposes)}, exclude=config.unused())


def fold_settings(config: Config) -> dict[str, Any]:
    """The keys of the config that decide which images are in which fold, and how the other images are used."""
    return config.model_dump(include={"folds", "validation_fraction", "split_seed"})


def whole_settings(config: Config) -> dict[str, Any]:
    """All settings that results depend on, as the scorecard and the report need them.

    Extras are included, since claims about searches look for their settings.
    """
    names = [*config.experiments, *config.extras]
    without = {"experiments", "extras", *keys_that_decide(Config, *WITHOUT_EFFECT)}
    return {
        **config.model_dump(exclude=without),
        "experiments": {name: experiment_settings(config, name) for name in names},
    }
