"""What the page is made from: the files of a run, read once and checked to be there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.config.read import read_config, read_yaml
from cxrflow.machine.packages import by_one_name, locked_versions
from cxrflow.stage.faults import Fault, raise_all
from cxrflow.stage.files import read_json

PLOTS = ("curves", "confusion", "embedding")
SUBSETS = ("training", "validation", "test")


@dataclass(frozen=True)
class Run:
    """One training of one experiment, and what was measured on it."""

    experiment: str
    seed: int
    training: dict[str, Any]
    metrics: dict[str, Any]
    separation: dict[str, Any]
    timing: pd.DataFrame


@dataclass(frozen=True)
class Inputs:
    """Everything that the page tells of."""

    settings: dict[str, Any]
    """The resolved config."""
    experiments: dict[str, dict[str, Any]]
    """Settings of the selected experiments, in the order of selection."""
    runs: dict[str, list[Run]]
    """The runs of each selected experiment, one a seed."""
    networks: dict[str, Any]
    audit: dict[str, Any]
    assumptions: list[dict[str, str]]
    splits: dict[str, pd.DataFrame]
    """One split a task: image, class, subset."""
    plots: Path
    sheets: list[dict[str, Any]] = field(default_factory=list)
    """What the sheets of the augmentation show; `figure` is the SVG."""
    study: dict[str, Any] | None = None
    """The study's own config, resolved."""
    locked: dict[str, str] | None = None
    """Package to version, as locked."""
    scorecard: pd.DataFrame | None = None

    @property
    def on_phantoms(self) -> bool:
        """Whether drawn phantoms stand in for the X-rays."""
        return self.settings.get("phantoms") is not None

    @property
    def is_augmented(self) -> bool:
        """Whether the training images are augmented."""
        return self.settings["augmentation"] != "none"

    @property
    def all_runs(self) -> list[Run]:
        """All runs, experiment by experiment."""
        return [run for runs in self.runs.values() for run in runs]

    def positive(self, experiment: str) -> str | None:
        """The class that sensitivity and specificity of an experiment are about."""
        return self.runs[experiment][0].metrics["positive"]


def selected_experiments(settings: Mapping[str, Any], selected: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of the selected experiments.

    Raises:
        Fault: the settings know nothing of one of them, or nothing is selected.
    """
    everything = {**settings.get("extras", {}), **settings["experiments"]}
    raise_all([f"--selected: the settings have no experiment '{name}'" for name in selected if name not in everything])
    if not selected or not all(selected.values()):
        raise Fault("--selected: each experiment needs a seed, and there must be an experiment")
    return {name: everything[name] for name in selected}


def read_runs(folder: Path, selected: Mapping[str, Sequence[int]]) -> dict[str, list[Run]]:
    """Read the runs of the selected experiments and seeds.

    Raises:
        Fault: files are missing; one line for each.
    """
    names = ("training.json", "metrics.json", "separation.json", "timing.csv")
    places = {
        experiment: {seed: folder / experiment / f"seed_{seed}" for seed in seeds}
        for experiment, seeds in selected.items()
    }
    files = [place / name for by_seed in places.values() for place in by_seed.values() for name in names]
    raise_all([f"{file}: missing; run the stage that writes it" for file in files if not file.is_file()])
    return {
        experiment: [_read_run(experiment, seed, place) for seed, place in by_seed.items()]
        for experiment, by_seed in places.items()
    }


def _read_run(experiment: str, seed: int, place: Path) -> Run:
    return Run(
        experiment=experiment,
        seed=seed,
        training=read_json(place / "training.json"),
        metrics=read_json(place / "metrics.json"),
        separation=read_json(place / "separation.json"),
        timing=pd.read_csv(place / "timing.csv"),
    )


def read_sheets(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Read what sheets of the augmentation show, JSON files that lie beside their pictures.

    Raises:
        Fault: files are missing; one line for each.
    """
    pictures = [file.with_suffix(".svg") for file in files]
    raise_all([f"{file}: missing; run plot_augmentation" for file in [*files, *pictures] if not file.is_file()])
    return [{**read_json(file), "figure": picture} for file, picture in zip(files, pictures, strict=True)]


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a CSV whose cells are all text; empty ones stay empty."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def read_assumptions(path: Path) -> list[dict[str, str]]:
    """Read what the study leaves open, a row each.

    Raises:
        Fault: a column is missing.
    """
    table = read_text_table(path)
    columns = ("id", "what", "reading", "other_readings", "evidence", "concerns", "config_key")
    raise_all([f"{path}: column {column} is missing" for column in columns if column not in table])
    return [{column: row[column] for column in columns} for _, row in table.iterrows()]


def read_study_config(path: Path) -> dict[str, Any]:
    """The study's own config, resolved; it names no folder of images, which the reader of configs asks for."""
    return read_config({**read_yaml(path), "images": "."}).model_dump(mode="json")


def read_locked_versions(path: Path, python: str) -> dict[str, str]:
    """Package to version of a lock file, as it holds for a Python such as "3.11.7" on this machine."""
    environment = {"python_full_version": python, "python_version": ".".join(python.split(".")[:2])}
    return by_one_name(locked_versions(path, environment))
