"""The results that claims are judged by: the files of each training, the built networks, the audit and the settings.

A training is one experiment with one seed; its files are in EXPERIMENT/seed_SEED/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.claims.model import NOT_RUN, UNDECIDED, Claim, Seal, UndecidedError
from cxrflow.evaluation.metrics import beside_accuracy, read_predictions
from cxrflow.images.grouping import known_patients
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json
from cxrflow.io.words import counted, did_you_mean, joined
from cxrflow.statistics.intervals import running_median, spread

Numbers = NDArray[np.float64]
CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")


def require_epochs(trained: int, needed: int | None) -> None:
    """Raise UndecidedError if a network was trained for fewer epochs than a rule needs."""
    if needed is not None and trained < needed:
        raise UndecidedError(NOT_RUN, f"trained {counted(trained, 'epoch')}, the rule needs {needed}")


@dataclass(frozen=True)
class History:
    """Loss and accuracy of a training by epoch. Epochs count from 1; ranges include their ends."""

    experiment: str
    curves: Mapping[str, Numbers]
    """The values of each of CURVES, shape (epochs,)."""
    images: tuple[int, int] = (1, 1)
    """Numbers of training and validation images."""
    _smoothed: dict[str, Numbers] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Those that `smooth` has computed."""

    @property
    def trained(self) -> int:
        """Number of epochs."""
        return len(self.curves[CURVES[0]])

    def curve(self, name: str, epochs: tuple[int, int] | None = None) -> Numbers:
        """A curve over a range of epochs, by default over all."""
        return self._within(self.curves[name], epochs)

    def smooth(self, name: str, epochs: tuple[int, int] | None = None) -> Numbers:
        """m5 of a curve: its centred running median over 5 epochs, computed before the range is cut out."""
        if name not in self._smoothed:
            self._smoothed[name] = running_median(self.curves[name], 5)
        return self._within(self._smoothed[name], epochs)

    def first(self, epochs: int | None) -> "History":
        """The history cut after a number of epochs.

        Raises:
            UndecidedError: the history is shorter.
        """
        require_epochs(self.trained, epochs)
        return replace(self, curves={name: values[:epochs] for name, values in self.curves.items()})

    def spread(self, name: str, epochs: tuple[int, int] | None = None) -> float:
        """The spread of a curve, times the square root of the number of its images.

        The mean of more images varies less, in inverse proportion to that root, so that curves of different subsets can be
        compared only with it.
        """
        return spread(self.curve(name, epochs)) * sqrt(self.images[name.startswith("val_")])

    def _within(self, values: Numbers, epochs: tuple[int, int] | None) -> Numbers:
        if epochs is None:
            return values
        require_epochs(self.trained, epochs[1])
        return values[epochs[0] - 1 : epochs[1]]


@dataclass(frozen=True)
class TrainingResults:
    """The files of one training, each read when it is first used."""

    experiment: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Experiment and seed in words."""
        return f"{self.experiment} seed {self.seed}"

    @cached_property
    def record(self) -> dict[str, Any]:
        """training.json."""
        return read_json(self.folder / "training.json")

    @cached_property
    def history(self) -> History:
        """history.csv."""
        file = self.folder / "history.csv"
        table = pd.read_csv(file)
        fix = "the file is damaged; delete it and run the same command again"
        if table.empty:
            raise UserError(f"{file}: has no epochs; {fix}")
        for epoch, row in enumerate(table.to_dict("records"), start=1):
            if row["epoch"] != epoch:
                raise UserError(f"{file}: row {epoch} is of epoch {row['epoch']}, not {epoch}; {fix}")
            for name in CURVES:
                if not np.isfinite(row[name]):
                    raise UserError(f"{file}: {name} of epoch {epoch} is {row[name]}, not a finite number; {fix}")
        images = self.record["images"]
        sizes = (int(images["training"]), int(images["validation"]))
        return History(self.experiment, {name: table[name].to_numpy(np.float64) for name in CURVES}, sizes)

    @cached_property
    def timing(self) -> pd.DataFrame:
        """timing.csv."""
        return pd.read_csv(self.folder / "timing.csv")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json."""
        return read_json(self.folder / "metrics.json")

    @property
    def beside_accuracy(self) -> dict[str, Any]:
        """See `cxrflow.evaluation.metrics.beside_accuracy`; computed here, since old metrics.json files lack it."""
        return beside_accuracy(self.metrics["confusion_matrix"], self.metrics["classes"])

    @cached_property
    def separation(self) -> dict[str, Any]:
        """separation.json."""
        return read_json(self.folder / "separation.json")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """predictions.csv, with the image as index."""
        return read_predictions(self.folder / "predictions.csv")

    @property
    def evaluated_epochs(self) -> int:
        """Epochs that the evaluated network was trained for; all epochs if it is the network of the best epoch."""
        selected = self.record["selected_epoch"]
        return self.history.trained if selected["rule"] == "best" else int(selected["epoch"])

    @property
    def length(self) -> str:
        """The number of trained epochs in words, and the evaluated epoch if it is not the last one."""
        trained, evaluated = self.history.trained, self.evaluated_epochs
        return f"trained {counted(trained, 'epoch')}" + ("" if evaluated == trained else f", tested at {evaluated}")

    def require_evaluated(self, needed: int | None) -> None:
        """Raise UndecidedError if the evaluated network was trained for fewer epochs than a rule needs."""
        if needed is not None and self.evaluated_epochs < needed:
            raise UndecidedError(NOT_RUN, f"{self.length}, the rule needs {needed}")


@dataclass(frozen=True)
class Results:
    """Everything that a claim may be judged by."""

    folder: Path
    """Contains EXPERIMENT/seed_SEED/."""
    selected: Mapping[str, Sequence[int]]
    """Experiment to the seeds of its trainings."""
    settings: Mapping[str, Any]
    """The resolved config: `experiments` (extras included), `augmentation` and the rest."""
    networks: Mapping[str, Any]
    audit: Mapping[str, Any]
    claims: Mapping[str, Claim] = field(default_factory=dict)
    """All claims by id, for those that refer to another."""
    null_runs: int = 1000
    """The number of null runs from which the pass rate of a rule is estimated: to 3 percentage points or better (95 %).
    There are as many positive controls."""
    noisy_copies: int = 200
    """The number of noisy copies of a run, which tell how far it is from the edge of a rule."""
    seals: Mapping[str, Seal] | None = None
    """Claim id to its seal; None: no rule was sealed, and no seed counts as exploratory."""
    splits: Path | None = None
    """Contains the split of each task, TASK.csv, with the patients; None: images count as independent."""

    @cached_property
    def _by_experiment(self) -> dict[str, list[TrainingResults]]:
        return {
            name: [TrainingResults(name, seed, self.folder / name / f"seed_{seed}") for seed in seeds]
            for name, seeds in self.selected.items()
            if seeds
        }

    def has(self, experiment: str) -> bool:
        """Whether there are results of an experiment."""
        return experiment in self._by_experiment

    def of(self, experiment: str) -> list[TrainingResults]:
        """The trainings of an experiment, one for each seed.

        Raises:
            UndecidedError: there are none.
        """
        self.require([experiment])
        return self._by_experiment[experiment]

    def require(self, experiments: Sequence[str]) -> None:
        """Raise UndecidedError, `not run`, unless all these experiments have results."""
        absent = [name for name in experiments if not self.has(name)]
        configured = self.settings["experiments"]
        unknown = [name for name in absent if name not in configured]
        if unknown:
            near = did_you_mean(unknown[0], configured)
            raise UndecidedError(NOT_RUN, f"the config has no experiment {joined(unknown)}{near}")
        if absent:
            raise UndecidedError(NOT_RUN, f"no runs of {joined(absent)} in these results")

    def by_seal(self, claim: Claim) -> "tuple[Results, Results | None]":
        """The results without, and with only, trainings from before the seal of a claim; None if there are none of those."""
        existing = self.seals[claim.id].existing if self.seals is not None else frozenset()
        earlier = {
            name: [one.seed for one in self._by_experiment.get(name, ()) if one.record["identity"] in existing]
            for name in claim.experiments
        }
        if not existing or not any(earlier.values()):
            return self, None
        later = {
            name: [seed for seed in seeds if seed not in earlier.get(name, ())] for name, seeds in self.selected.items()
        }
        return replace(self, selected=later), replace(self, selected={**self.selected, **earlier})

    def present(self, claim: Claim) -> list[str]:
        """The experiments of a claim that have results.

        Raises:
            UndecidedError: there are none.
        """
        present = [name for name in claim.experiments if self.has(name)]
        if not present:
            self.require(claim.experiments)
        return present

    def paired(self, experiments: Sequence[str]) -> list[tuple[TrainingResults, ...]]:
        """Trainings of several experiments with the same seed, one tuple for each seed that all of them have.

        Raises:
            UndecidedError: an experiment has no results, or there is no such seed.
        """
        self.require(experiments)
        by_seed = [{training.seed: training for training in self.of(name)} for name in experiments]
        shared = sorted(set.intersection(*map(set, by_seed)))
        if not shared:
            raise UndecidedError(UNDECIDED, f"{joined(experiments)} have no seed in common")
        return [tuple(trainings[seed] for trainings in by_seed) for seed in shared]

    def patients(self, experiment: str, images: Sequence[str]) -> NDArray[np.int64] | None:
        """The patient of each image of an experiment's task, shape (images,); None if no patient is known."""
        if self.splits is None:
            return None
        file = self.splits / f"{self.settings['experiments'][experiment]['task']}.csv"
        return known_patients(pd.read_csv(file, dtype=str, keep_default_na=False), images)

    def network(self, experiment: str) -> Mapping[str, Any]:
        """The description of the network of an experiment.

        Raises:
            UndecidedError: the network was not built.
        """
        if experiment not in self.networks["experiments"]:
            raise UndecidedError(NOT_RUN, f"the network of {experiment} was not built for these results")
        return self.networks["experiments"][experiment]
