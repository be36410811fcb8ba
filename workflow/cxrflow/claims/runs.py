"""What measures read: the files of the selected runs, and what was built and configured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.claims.model import CANNOT_BE_TOLD, NOT_RUN, Claim, UndecidedError
from cxrflow.claims.statistics import running_median
from cxrflow.claims.words import counted, listed
from cxrflow.config.suggest import did_you_mean
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import read_json

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")


def needs_epochs(trained: int, needed: int | None) -> None:
    """Raise UndecidedError when a run was trained for fewer epochs than a rule needs."""
    if needed is not None and trained < needed:
        raise UndecidedError(NOT_RUN, f"trained {counted(trained, 'epoch')}, the rule needs {needed}")


@dataclass(frozen=True)
class History:
    """Loss and accuracy of an experiment's run by epoch. Epochs count from 1; ranges include their ends."""

    experiment: str
    table: pd.DataFrame

    @property
    def trained(self) -> int:
        """Number of epochs."""
        return len(self.table)

    def curve(self, name: str, epochs: tuple[int, int] | None = None) -> NDArray[np.float64]:
        """A curve over a range of epochs, by default over all."""
        return self._part(self.table[name].to_numpy(dtype=np.float64), epochs)

    def smooth(self, name: str, epochs: tuple[int, int] | None = None) -> NDArray[np.float64]:
        """m5 of a curve: its centred running median over 5 epochs, taken over all epochs before the range is cut out."""
        return self._part(running_median(self.curve(name), 5), epochs)

    def first(self, epochs: int | None) -> "History":
        """The same run as if it had ended after so many epochs.

        Raises:
            UndecidedError: it was trained for fewer.
        """
        needs_epochs(self.trained, epochs)
        return History(self.experiment, self.table.iloc[:epochs])

    def _part(self, values: NDArray[np.float64], epochs: tuple[int, int] | None) -> NDArray[np.float64]:
        if epochs is None:
            return values
        needs_epochs(self.trained, epochs[1])
        return values[epochs[0] - 1 : epochs[1]]


@dataclass(frozen=True)
class Run:
    """One training of one experiment; its files are read when first asked for."""

    experiment: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Experiment and seed in words."""
        return f"{self.experiment} seed {self.seed}"

    @cached_property
    def history(self) -> History:
        """Its history.csv."""
        file = self.folder / "history.csv"
        table = pd.read_csv(file)
        if table.empty or table["epoch"].tolist() != list(range(1, len(table) + 1)):
            raise Fault(f"{file}: the epochs must count from 1, one row each")
        if not np.isfinite(table[list(CURVES)].to_numpy(dtype=np.float64)).all():
            raise Fault(f"{file}: a loss or an accuracy is not a number")
        return History(self.experiment, table)

    @cached_property
    def tested(self) -> int:
        """Epochs behind the network that was tested; where it is that of the best epoch, all that were trained."""
        selected = read_json(self.folder / "training.json")["selected_epoch"]
        return self.history.trained if selected["rule"] == "best" else int(selected["epoch"])

    @property
    def length(self) -> str:
        """How long it was trained, in words, and where it was tested if not at its end."""
        trained = self.history.trained
        at = "" if self.tested == trained else f", tested at {self.tested}"
        return f"trained {counted(trained, 'epoch')}{at}"

    def needs_tested(self, needed: int | None) -> None:
        """Raise UndecidedError when the tested network had fewer epochs than a rule needs."""
        if needed is not None and self.tested < needed:
            raise UndecidedError(NOT_RUN, f"{self.length}, the rule needs {needed}")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Its metrics.json."""
        return read_json(self.folder / "metrics.json")

    @cached_property
    def separation(self) -> dict[str, Any]:
        """Its separation.json."""
        return read_json(self.folder / "separation.json")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Its predictions.csv, by image."""
        return pd.read_csv(
            self.folder / "predictions.csv", dtype={"image": str, "class": str, "predicted": str}
        ).set_index("image")


@dataclass(frozen=True)
class Runs:
    """All that a claim may be judged by."""

    folder: Path
    """Holds EXPERIMENT/seed_SEED/."""
    selected: Mapping[str, Sequence[int]]
    """The runs to use: experiment to its seeds."""
    settings: Mapping[str, Any]
    """The resolved config: `experiments` (extras included), `augmentation` and the rest."""
    networks: Mapping[str, Any]
    audit: Mapping[str, Any]
    claims: Mapping[str, Claim] = field(default_factory=dict)
    """All claims by id, for those that refer to another."""

    @cached_property
    def _by_experiment(self) -> dict[str, list[Run]]:
        return {
            name: [Run(name, seed, self.folder / name / f"seed_{seed}") for seed in seeds]
            for name, seeds in self.selected.items()
            if seeds
        }

    def has(self, experiment: str) -> bool:
        """Whether there are runs of an experiment."""
        return experiment in self._by_experiment

    def of(self, experiment: str) -> list[Run]:
        """The runs of an experiment, one a seed.

        Raises:
            UndecidedError: there are none.
        """
        self.require([experiment])
        return self._by_experiment[experiment]

    def require(self, experiments: Sequence[str]) -> None:
        """Raise UndecidedError, `not run`, unless all these experiments have runs."""
        absent = [name for name in experiments if not self.has(name)]
        configured = self.settings["experiments"]
        unknown = [name for name in absent if name not in configured]
        if unknown:
            near = did_you_mean(unknown[0], configured)
            raise UndecidedError(NOT_RUN, f"the config has no experiment {listed(unknown)}{near}")
        if absent:
            raise UndecidedError(NOT_RUN, f"no runs of {listed(absent)} in these results")

    def present(self, claim: Claim) -> list[str]:
        """Those experiments of a claim that have runs.

        Raises:
            UndecidedError: none has.
        """
        present = [name for name in claim.experiments if self.has(name)]
        if not present:
            self.require(claim.experiments)
        return present

    def paired(self, experiments: Sequence[str]) -> list[tuple[Run, ...]]:
        """Runs of several experiments with the same seed, for all seeds that each of them has.

        Raises:
            UndecidedError: one of them has no runs, or they share no seed.
        """
        self.require(experiments)
        by_seed = [{run.seed: run for run in self.of(name)} for name in experiments]
        shared = sorted(set.intersection(*(set(runs) for runs in by_seed)))
        if not shared:
            raise UndecidedError(CANNOT_BE_TOLD, f"{listed(experiments)} have no seed in common")
        return [tuple(runs[seed] for runs in by_seed) for seed in shared]

    def network(self, experiment: str) -> Mapping[str, Any]:
        """The description of an experiment's built network.

        Raises:
            UndecidedError: it was not built.
        """
        if experiment not in self.networks["experiments"]:
            raise UndecidedError(NOT_RUN, f"the network of {experiment} was not built for these results")
        return self.networks["experiments"][experiment]
