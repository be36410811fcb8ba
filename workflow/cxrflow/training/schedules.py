"""The learning rate of an epoch, and whether training stops before its last one: functions of the history alone.

So a training that goes on from a state has the rates, and the end, of one that was never interrupted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

History = Sequence[Mapping[str, float]]


def learning_rate_of(settings: Mapping[str, Any], epoch: int, history: History) -> float:
    """The learning rate of an epoch.

    Args:
        settings: `learning_rate`, where the schedule begins, and `schedule`: "constant", or a mapping with `kind`
            cosine: from the first rate down to `final` times it, along half a cosine over `epochs` epochs, then constant
            (Loshchilov and Hutter, "SGDR", 2017, without restarts);
            step: times `factor` behind each epoch of `at`;
            plateau: times `factor` whenever the validation loss has not fallen by more than `min_delta` below its best for
            `patience` epochs, never below `minimum` (Keras' ReduceLROnPlateau).
        epoch: counted from 1.
        history: one mapping with `val_loss` for each epoch before this one, at least.
    """
    rate, schedule = float(settings["learning_rate"]), settings["schedule"]
    if schedule == "constant":
        return rate
    if schedule["kind"] == "cosine":
        share = min(epoch - 1, schedule["epochs"]) / schedule["epochs"]
        return rate * (schedule["final"] + (1 - schedule["final"]) * (1 + math.cos(math.pi * share)) / 2)
    if schedule["kind"] == "step":
        return rate * float(schedule["factor"]) ** sum(epoch > last for last in schedule["at"])
    best, waited = math.inf, 0
    for past in history[: epoch - 1]:
        if past["val_loss"] < best - schedule["min_delta"]:
            best, waited = past["val_loss"], 0
            continue
        waited += 1
        if waited >= schedule["patience"]:
            rate, waited = max(rate * schedule["factor"], schedule["minimum"]), 0
    return rate


def epoch_of_stopping(settings: Mapping[str, Any], history: History) -> int | None:
    """The epoch behind which early stopping ends a training, or None where it goes on.

    Args:
        settings: `early_stopping`: None, or a mapping with `patience` and `min_delta`: training ends when the validation loss
            has not fallen by more than `min_delta` below its best for `patience` epochs (Keras' EarlyStopping).
        history: one mapping with `val_loss` for each epoch so far.
    """
    stopping = settings["early_stopping"]
    if stopping is None:
        return None
    best, waited = math.inf, 0
    for epoch, past in enumerate(history, start=1):
        if past["val_loss"] < best - stopping["min_delta"]:
            best, waited = past["val_loss"], 0
            continue
        waited += 1
        if waited >= stopping["patience"]:
            return epoch
    return None
