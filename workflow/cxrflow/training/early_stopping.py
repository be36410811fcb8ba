"""Early stopping, computed from the history only.

A training that is resumed from a checkpoint therefore ends at the same epoch as one that was not interrupted.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


def epoch_of_stopping(settings: Mapping[str, Any], history: Sequence[Mapping[str, float]]) -> int | None:
    """Return the epoch after which early stopping ends a training, or None if the training continues.

    Args:
        settings: `early_stopping`: None, or a mapping with `monitor`, `patience` and `min_delta`: training ends when the
            monitored curve has not improved by more than `min_delta` for `patience` epochs (Keras' EarlyStopping). Lower
            losses and higher accuracies are better.
        history: one mapping with `loss`, `accuracy`, `val_loss` and `val_accuracy` for each finished epoch.
    """
    stopping = settings["early_stopping"]
    if stopping is None:
        return None
    sign = -1 if stopping["monitor"].endswith("accuracy") else 1
    values = (sign * past[stopping["monitor"]] for past in history)
    return next(epochs_without_improvement(values, stopping), None)


def epochs_without_improvement(values: Iterable[float], rule: Mapping[str, Any]) -> Iterator[int]:
    """Yield each epoch that completes `patience` epochs without improvement, and start counting again.

    Args:
        values: one for each epoch; lower is better.
        rule: `patience` (epochs) and `min_delta` (smaller decreases do not count).
    """
    best, waited = math.inf, 0
    for epoch, value in enumerate(values, start=1):
        if value < best - rule["min_delta"]:
            best, waited = value, 0
            continue
        waited += 1
        if waited >= rule["patience"]:
            yield epoch
            waited = 0
