"""Positive controls: made-up runs in which a claim is true, to see how often its rule fails to notice.

A control is a smooth run, drawn at random, with noise. The claim is true of it if the rule holds in the smooth run. The rule
then fails in the share of these in which it does not hold with the noise. A rule that often fails cannot contradict a claim.

Smooth runs approach their limits exponentially, training and validation each with its own speed and limits. They have a hump or
a hollow at a random epoch, and the validation loss may rise from some epoch on. Noise is that of null runs that learn.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import log

import numpy as np
from numpy.random import Generator

from cxrflow.claims.model import Observation, UndecidedError
from cxrflow.claims.null_runs import ByCurve, Template, with_noise
from cxrflow.claims.results import History, TrainingResults

FEWEST = 20
"""With fewer runs in which the claim is true, the share of failures is not known."""


@lru_cache(maxsize=8)  # claims about the same experiment follow each other
def control_histories(trainings: tuple[TrainingResults, ...], draws: int) -> tuple[tuple[History, History], ...]:
    """Draw smooth runs of an experiment, and the same with noise. They are the same in every call.

    Args:
        trainings: at least one, all of the same experiment; each run is as long as one of them, with subsets of its sizes.
        draws: the number of runs.
    """
    experiment, templates = trainings[0].experiment, [Template.of(training) for training in trainings]
    random = np.random.default_rng([*b"control", *experiment.encode()])
    made = []
    for draw in range(draws):
        template = templates[draw % len(templates)]
        smooth = _smooth_run(template, random)
        made.append((template.with_curves(smooth), template.with_curves(with_noise(smooth, template, random))))
    return tuple(made)


def control_failures(
    rule: Callable[..., Observation], trainings: Sequence[tuple[TrainingResults, ...]], draws: int
) -> float | None:
    """The share of positive controls in which a rule fails, 0 to 1.

    Args:
        rule: takes the history of each experiment.
        trainings: for each experiment, its trainings.
        draws: the number of smooth runs.

    Returns:
        None if the rule holds in fewer than `FEWEST` smooth runs.
    """
    fails = []
    for runs in zip(*(control_histories(same, draws) for same in trainings), strict=True):
        try:
            if rule(*(smooth for smooth, _ in runs)).holds:
                fails.append(not rule(*(noisy for _, noisy in runs)).holds)
        except UndecidedError:  # such as a smooth run that has its minimum too early for the rule
            continue
    return float(np.mean(fails)) if len(fails) >= FEWEST else None


def _smooth_run(template: Template, random: Generator) -> ByCurve:
    epochs, chance = template.history.trained, 1 / template.classes
    time = np.arange(1, epochs + 1)
    speed = epochs * np.exp(random.uniform(log(0.02), log(0.5)))
    columns: ByCurve = {}
    for prefix in ("", "val_"):
        left = np.exp(-time / (speed * random.uniform(0.7, 1.4)))
        middle, width = random.uniform(0, epochs), epochs * random.uniform(0.01, 0.2)
        bump = random.uniform(-0.3, 0.3) * np.exp(-0.5 * ((time - middle) / width) ** 2)
        accuracy, loss = random.uniform(0.6, 1), np.exp(random.uniform(log(0.02), log(0.8)))
        turn = epochs * random.uniform(0.2, 2)  # after the last epoch: no overfitting
        rise = random.uniform(0, 1) * np.maximum(time - turn, 0) / epochs if prefix else 0.0
        columns[f"{prefix}accuracy"] = np.clip(accuracy - (accuracy - chance) * left - bump / 2, 0, 1)
        columns[f"{prefix}loss"] = (loss + (log(template.classes) - loss) * left + rise) * np.exp(bump)
    return columns
