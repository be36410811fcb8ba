"""Cross-validation as further experiments: that of a fold has its own name, and a task of its own, whose split is the fold."""

import re
from collections.abc import Iterable

from cxrflow.study.models import Config

FOLD_MARK = "@"
"""Between a name of the config, which cannot have it, and the fold."""
FOLD = rf"{FOLD_MARK}repeat_\d+\.fold_\d+"
"""End of the name of a fold."""


def name_of_fold(name: str, repeat: int, fold: int) -> str:
    """Name a fold of an experiment, or of a task."""
    return f"{name}{FOLD_MARK}repeat_{repeat}.fold_{fold}"


def without_fold(name: str) -> str:
    """The experiment, or the task, that a name of a fold belongs to."""
    return name.partition(FOLD_MARK)[0]


def pattern_of(names: Iterable[str], with_folds: bool = False) -> str:
    """A regular expression for names, and optionally for those of their folds."""
    pattern = "|".join(map(re.escape, names))
    return f"({pattern})({FOLD})?" if with_folds else pattern


def seeds_of(config: Config, name: str) -> list[int]:
    """The seeds of an experiment, or of one of its folds."""
    return trainings_of_folds(config, without_fold(name))[name] if FOLD_MARK in name else config.seeds_of(name)


def trainings_of_folds(config: Config, experiment: str) -> dict[str, list[int]]:
    """Map each fold of an experiment to the seed of its training, in a list, repeat by repeat; empty without `folds`."""
    return {
        name_of_fold(experiment, repeat, fold): [repeat]
        for repeat in range(config.repeats)
        for fold in range(config.folds or 0)
    }
