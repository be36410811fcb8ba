"""Made-up histories in which nothing of interest happens: how often a rule holds there shows how much it says.

Each kind of null run keeps the length of a real training and the sizes of its subsets, and removes something else. A rule that
holds in most null runs says little about a network, even if it holds in every seed. The kinds of null runs are:

* `shuffled`: the epochs of the run in random order.
* `no_learning`: a network that never learns: accuracies and losses of random predictions.
* `random_walk`: curves that start like those of the run and take steps of the same size in random directions.
* `last_resampled`: epochs drawn from the last tenth of the run.
* `validation_at_chance`: the training curves of the run, and the validation curves of a network that never learns.
* `learner`: a generic network that learns: expected losses and accuracies approach a limit exponentially, and are the same for
  training and validation.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import log

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cxrflow.claims.model import Null
from cxrflow.claims.results import CURVES, History, TrainingResults

Numbers = NDArray[np.float64]
ByCurve = dict[str, Numbers]
SPREAD_OF_LOGITS = 0.5
"""Standard deviation of the random logits of a network that never learns."""


@dataclass(frozen=True)
class Template:
    """What null runs of a training have in common with it."""

    history: History
    classes: int

    @classmethod
    def of(cls, training: TrainingResults) -> "Template":
        return cls(training.history, len(training.record["classes"]))

    @property
    def images(self) -> tuple[int, int]:
        """Numbers of training and validation images."""
        return self.history.images

    def with_curves(self, curves: ByCurve) -> History:
        """A history of the same experiment and images with other curves."""
        return replace(self.history, curves=curves)


@lru_cache(maxsize=8)  # claims about the same experiment follow each other
def null_histories(trainings: tuple[TrainingResults, ...], null: Null, draws: int) -> tuple[History, ...]:
    """Make null runs of an experiment, each like one of its trainings in turn. They are the same in every call.

    Args:
        trainings: at least one, all of the same experiment.
        null: what kind.
        draws: the number of null runs.
    """
    experiment, templates = trainings[0].experiment, [Template.of(training) for training in trainings]
    random = np.random.default_rng([*null.encode(), *experiment.encode()])
    chosen = [templates[draw % len(templates)] for draw in range(draws)]
    return tuple(template.with_curves(_MAKERS[null](template, random)) for template in chosen)


def _shuffled(template: Template, random: Generator) -> ByCurve:
    return _epochs_of(template, random.permutation(template.history.trained))


def _last_resampled(template: Template, random: Generator) -> ByCurve:
    last = max(1, template.history.trained // 10)
    return _epochs_of(template, template.history.trained - last + random.integers(last, size=template.history.trained))


def _epochs_of(template: Template, places: NDArray[np.int64]) -> ByCurve:
    return {name: values[places] for name, values in template.history.curves.items()}


def _no_learning(template: Template, random: Generator) -> ByCurve:
    epochs, chance = template.history.trained, 1 / template.classes
    # Mean and variance of -log(softmax(z)) for independent normal logits z, to the second order in their spread.
    variance = SPREAD_OF_LOGITS**2 * (1 - chance)
    columns: dict[str, Numbers] = {}
    for prefix, images in zip(("", "val_"), template.images, strict=True):
        columns[f"{prefix}accuracy"] = random.binomial(images, chance, epochs) / images
        noise = random.normal(size=epochs) * np.sqrt(variance / images)
        columns[f"{prefix}loss"] = np.maximum(log(template.classes) + variance / 2 + noise, 0)
    return columns


def _validation_at_chance(template: Template, random: Generator) -> ByCurve:
    return {**_no_learning(template, random), **{name: template.history.curves[name] for name in ("loss", "accuracy")}}


def _random_walk(template: Template, random: Generator) -> ByCurve:
    """Logarithms of losses and logits of accuracies take normal steps, as large as those of the run (median)."""
    columns = {}
    for name in CURVES:
        values = template.history.curves[name]
        images = template.images[name.startswith("val_")]
        if name.endswith("accuracy"):
            share = np.clip(values, 0.5 / images, 1 - 0.5 / images)
            walk = _walk(np.log(share / (1 - share)), random)
            columns[name] = 1 / (1 + np.exp(-walk))
        else:
            columns[name] = np.exp(_walk(np.log(np.maximum(values, 1e-7)), random))
    return columns


def _walk(values: Numbers, random: Generator) -> Numbers:
    steps = np.abs(np.diff(values))
    size = (
        float(np.median(steps)) / 0.6745 if len(steps) else 0.0
    )  # the median of |normal| is 0.6745 standard deviations
    return values[0] + np.concatenate([[0.0], np.cumsum(random.normal(scale=size, size=len(values) - 1))])


def _learner(template: Template, random: Generator) -> ByCurve:
    """Its speed (2 to 50 % of the epochs) and its last loss and accuracy are drawn; noise depends on the number of images."""
    epochs, chance = template.history.trained, 1 / template.classes
    speed = epochs * np.exp(random.uniform(log(0.02), log(0.5)))
    left = np.exp(-np.arange(1, epochs + 1) / speed)
    last_accuracy, last_loss = random.uniform(0.8, 1), random.uniform(0.02, 0.5)
    accuracy = last_accuracy - (last_accuracy - chance) * left
    loss = last_loss + (log(template.classes) - last_loss) * left
    return with_noise(
        {"accuracy": accuracy, "loss": loss, "val_accuracy": accuracy, "val_loss": loss}, template, random
    )


def with_noise(expected: ByCurve, template: Template, random: Generator) -> ByCurve:
    """Draw a history from expected curves: binomial accuracies, and mean losses of images with exponential losses."""
    columns: dict[str, Numbers] = {}
    for prefix, images in zip(("", "val_"), template.images, strict=True):
        columns[f"{prefix}accuracy"] = random.binomial(images, expected[f"{prefix}accuracy"]) / images
        loss = expected[f"{prefix}loss"]
        columns[f"{prefix}loss"] = loss * random.gamma(images, 1 / images, len(loss))
    return columns


_MAKERS: dict[str, Callable[[Template, Generator], ByCurve]] = {
    "shuffled": _shuffled,
    "no_learning": _no_learning,
    "random_walk": _random_walk,
    "last_resampled": _last_resampled,
    "validation_at_chance": _validation_at_chance,
    "learner": _learner,
}
