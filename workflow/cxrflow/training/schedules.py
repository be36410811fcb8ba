"""Learning-rate schedules, computed from the history only.

A training that is resumed from a checkpoint therefore has the same rates as one that was not interrupted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cxrflow.training.early_stopping import epochs_without_improvement


def changes_within_epochs(settings: Mapping[str, Any]) -> bool:
    """Whether the learning rate changes from step to step, not only from epoch to epoch."""
    schedule = settings["schedule"]
    return schedule != "constant" and schedule["kind"] == "exponential"


def learning_rate_of(
    settings: Mapping[str, Any], epoch: int, history: Sequence[Mapping[str, float]], step: int
) -> float:
    """Compute the learning rate of a training step.

    Args:
        settings: `learning_rate`, the initial rate, and `schedule`: "constant", or a mapping with `kind`
            cosine: half a cosine over `epochs` epochs, down to `final` times the initial rate, then constant (Loshchilov
            and Hutter, "SGDR", 2017, without restarts);
            step: multiplied by `factor` after each epoch listed in `at`;
            plateau: multiplied by `factor` whenever the validation loss has not fallen by more than `min_delta` below its
            minimum for `patience` epochs, but never below `minimum` (Keras' ReduceLROnPlateau);
            exponential: multiplied by `factor` ** (`step` / `steps`), the exponent rounded down with `staircase` (Keras'
            ExponentialDecay).
        epoch: counted from 1.
        history: one mapping with `val_loss` for each earlier epoch; later epochs are ignored.
        step: number of earlier training steps, over all epochs.
    """
    rate, schedule = float(settings["learning_rate"]), settings["schedule"]
    if schedule == "constant":
        return rate
    if schedule["kind"] == "cosine":
        share = min(epoch - 1, schedule["epochs"]) / schedule["epochs"]
        return rate * (schedule["final"] + (1 - schedule["final"]) * (1 + math.cos(math.pi * share)) / 2)
    if schedule["kind"] == "step":
        return rate * float(schedule["factor"]) ** sum(epoch > last for last in schedule["at"])
    if schedule["kind"] == "exponential":
        exponent = step // schedule["steps"] if schedule["staircase"] else step / schedule["steps"]
        return rate * float(schedule["factor"]) ** exponent
    losses = [past["val_loss"] for past in history[: epoch - 1]]
    for _ in epochs_without_improvement(losses, schedule):
        rate = max(rate * schedule["factor"], schedule["minimum"])
    return rate
