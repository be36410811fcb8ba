"""Read and check the files of a run that the page is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.claims.results import TrainingResults
from cxrflow.evaluation.consistency import inconsistencies
from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.files import read_json
from cxrflow.io.machine import by_one_name, locked_versions
from cxrflow.study.folder import study_keys
from cxrflow.study.read import read_config

PLOTS = ("curves", "confusion", "embedding")
SUBSETS = ("training", "validation", "test")
RIVALS_COLUMNS = ["task", "rival", "image", "class", "predicted"]


@dataclass(frozen=True)
class Explanation:
    """The explanation of one network."""

    record: dict[str, Any]
    """explanations.json."""
    figure: Path | None = None
    """The plot of the heat maps; None if no images are shown."""
    heat_maps: dict[str, Any] | None = None
    """heat_maps.json: the pictures of errors; None if no images are shown."""


@dataclass(frozen=True)
class Inputs:
    """Everything that the page reports."""

    settings: dict[str, Any]
    """The resolved config."""
    experiments: dict[str, dict[str, Any]]
    """Settings of the selected experiments, in the order of selection."""
    trainings: dict[str, list[TrainingResults]]
    """The trainings of each selected experiment, one for each seed."""
    networks: dict[str, Any]
    audit: dict[str, Any]
    rivals: pd.DataFrame
    """Predictions of the trivial rivals for the test images: task, rival, image, class, predicted."""
    splits: dict[str, pd.DataFrame]
    """The split of each task: image, class, subset."""
    evaluation: dict[str, dict[str, Any]]
    """Experiment to what is measured of it, see `cxrflow.evaluation.experiments.measure_experiment`."""
    comparisons: list[dict[str, Any]]
    """See `cxrflow.evaluation.experiments.compare_experiments`."""
    plots: Path
    folds: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Experiment to its cross-validation, see `cxrflow.evaluation.folds.measure_folds`; not all need have one."""
    plans: Path | None = None
    """The folder of the augmentation plans: TASK/seed_SEED/epochs_EPOCHS.parquet; None: the results do not have them."""
    sheets: list[dict[str, Any]] = field(default_factory=list)
    """The augmentation sheets; `figure` is the path of the SVG."""
    study: dict[str, Any] | None = None
    """The resolved config of the study itself; None for a run without a study."""
    open_points: list[dict[str, str]] = field(default_factory=list)
    """The points that the study leaves open, and the readings taken."""
    locked: dict[str, str] | None = None
    """Package to its locked version."""
    scorecard: pd.DataFrame | None = None
    explanations: Mapping[str, Mapping[int, Explanation]] = field(default_factory=dict)
    """Experiment and seed to the explanation of the network."""
    external: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Experiment to its results on the external test, see `cxrflow.evaluation.external.measure_external`."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Trainings that are not finished, each with the reason."""

    @property
    def on_phantoms(self) -> bool:
        """Whether the images are drawn phantoms instead of X-rays."""
        return self.settings.get("phantoms") is not None

    @property
    def is_augmented(self) -> bool:
        """Whether the training images are augmented."""
        return self.settings["augmentation"] != "none"

    @property
    def all_trainings(self) -> list[TrainingResults]:
        """All trainings, experiment by experiment."""
        return [training for trainings in self.trainings.values() for training in trainings]

    def median_run(self, experiment: str) -> TrainingResults:
        """The training that stands for all seeds of an experiment: the one with the median test accuracy."""
        seed = self.evaluation[experiment]["median_seed"]
        return next(training for training in self.trainings[experiment] if training.seed == seed)

    @property
    def versions(self) -> dict[str, list[str]]:
        """Package to its versions in the trainings; `none` if some trainings did not have it."""
        versions = [training.record["versions"] for training in self.all_trainings]
        names = dict.fromkeys(name for one in versions for name in one)
        return {name: sorted({one.get(name, "none") for one in versions}) for name in names}


def read_inputs(
    settings: dict[str, Any],
    selected: Mapping[str, Sequence[int]],
    *,
    runs: Path,
    plots: Path,
    networks: Path,
    audit: Path,
    rivals: Path | None,
    splits: Sequence[Path],
    evaluation: Path,
    folds: Sequence[Path] = (),
    plans: Path | None = None,
    sheets: Sequence[Path] = (),
    study: Path | None = None,
    open_points: Path | None = None,
    locked_versions: Path | None = None,
    scorecard: Path | None = None,
    explained: Mapping[str, Sequence[int]] | None = None,
    external_results: Sequence[Path] = (),
    failed: Mapping[str, str] | None = None,
) -> Inputs:
    """Read everything that the page reports.

    Args:
        settings: the resolved config.
        selected: experiment to the seeds of its trainings.
        runs, plots: folders that contain EXPERIMENT/seed_SEED/.
        networks, audit: JSON files.
        rivals: predictions of the trivial rivals (CSV); None for results of versions without audits.
        open_points, scorecard: CSV files.
        splits: CSV files, named after their tasks.
        evaluation: folder of what is measured: EXPERIMENT.json and comparisons.json.
        folds: cross-validations (JSON), named after their experiments.
        plans: folder of the augmentation plans, if the results have them.
        sheets: augmentation sheets (JSON), next to their pictures.
        study: `study.yaml`; settings that differ from it are reported.
        explained: experiment to the seeds of the networks that are explained; their files are in `runs` and, unless
            `embed_images` is none, in `plots`.
        locked_versions: a lock file; versions that differ from it are reported.
        external_results: results of the external test, EXPERIMENT.json.
        failed: trainings that are not finished, each with the reason.

    Raises:
        UserError: see `selected_experiments`, `find_trainings`, `read_explanations`, `read_sheets` and `read_open_points`; or
            files of a training do not belong together.
    """
    experiments = selected_experiments(settings, selected)
    trainings = find_trainings(runs, selected)
    explanations = read_explanations(runs, plots, explained or {}, settings["embed_images"] != "none")
    raise_all(inconsistencies(runs, splits[0].parent, settings, selected, explained))
    measured = read_evaluation(evaluation, trainings)
    python = next(iter(trainings.values()))[0].record["versions"]["python"]
    return Inputs(
        settings=settings,
        experiments=experiments,
        trainings=trainings,
        networks=read_json(networks),
        audit=read_json(audit),
        rivals=read_text_table(rivals) if rivals else pd.DataFrame(columns=RIVALS_COLUMNS),
        splits={path.stem: read_text_table(path) for path in splits},
        evaluation=measured,
        comparisons=read_json(evaluation / "comparisons.json"),
        plots=plots,
        folds={path.stem: read_json(path) for path in folds},
        plans=plans,
        sheets=read_sheets(sheets),
        study=read_study(study) if study else None,
        open_points=read_open_points(open_points) if open_points else [],
        locked=read_locked_versions(locked_versions, python) if locked_versions else None,
        scorecard=read_text_table(scorecard) if scorecard else None,
        explanations=explanations,
        external=read_external_results(external_results, measured),
        failed=failed or {},
    )


def selected_experiments(settings: Mapping[str, Any], selected: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of the selected experiments.

    Raises:
        UserError: an experiment is not in the settings or has no seed, or nothing is selected.
    """
    everything = {**settings.get("extras", {}), **settings["experiments"]}
    raise_all([f"--selected: the settings have no experiment '{name}'" for name in selected if name not in everything])
    if not selected or not all(selected.values()):
        raise UserError("--selected: no experiment with a seed is selected (config keys `only` and `seeds`)")
    return {name: everything[name] for name in selected}


def find_trainings(folder: Path, selected: Mapping[str, Sequence[int]]) -> dict[str, list[TrainingResults]]:
    """The trainings of the selected experiments, one for each seed.

    Raises:
        UserError: files are missing, one message each.
    """
    trainings = {
        name: [TrainingResults(name, seed, folder / name / f"seed_{seed}") for seed in seeds]
        for name, seeds in selected.items()
    }
    names = ("training.json", "metrics.json", "separation.json", "timing.csv")
    files = [one.folder / name for many in trainings.values() for one in many for name in names]
    raise_all([f"{file}: missing; run the workflow, which writes it" for file in files if not file.is_file()])
    return trainings


def read_evaluation(folder: Path, trainings: Mapping[str, Sequence[TrainingResults]]) -> dict[str, dict[str, Any]]:
    """Read what is measured of each experiment.

    Raises:
        UserError: files are missing, or are of other seeds or other predictions, one message each.
    """
    files = {name: folder / f"{name}.json" for name in trainings}
    raise_all(
        [
            f"{file}: missing; run the workflow, which writes it"
            for file in [*files.values(), folder / "comparisons.json"]
            if not file.is_file()
        ]
    )
    found = {name: read_json(file) for name, file in files.items()}
    raise_all(
        [
            f"{files[name]}: of other seeds or predictions than those in runs/; delete it and run Snakemake again"
            for name, many in trainings.items()
            if _right_by_seed(found[name]) != {training.seed: training.metrics["correct"] for training in many}
        ]
    )
    return found


def _right_by_seed(measured: Mapping[str, Any]) -> dict[int, int]:
    return {run["seed"]: run["metrics"][0]["right"] for run in measured["runs"]}


def read_external_results(
    files: Sequence[Path], evaluation: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Read the results of the external test.

    Args:
        files: EXPERIMENT.json.
        evaluation: from `read_evaluation`.

    Raises:
        UserError: files are missing, or are of other seeds or another test, one message each.
    """
    raise_all([f"{file}: missing; run the workflow, which writes it" for file in files if not file.is_file()])
    found = {file.stem: read_json(file) for file in files}
    raise_all(
        [
            f"{file}: of other seeds or predictions than {file.stem}.json in evaluation/; delete it and run Snakemake again"
            for file in files
            if {one["seed"]: one["internal_right"] for one in found[file.stem]["drops"]}
            != _right_by_seed(evaluation[file.stem])
        ]
    )
    return found


def read_explanations(
    runs: Path, plots: Path, explained: Mapping[str, Sequence[int]], with_pictures: bool
) -> dict[str, dict[int, Explanation]]:
    """Read the explanations of networks.

    Args:
        runs, plots: folders that contain EXPERIMENT/seed_SEED/.
        explained: experiment to seeds.
        with_pictures: whether there are pictures in `plots`.

    Raises:
        UserError: files are missing, one message each, or are of different trainings.
    """
    wanted = [(name, seed, f"{name}/seed_{seed}") for name, seeds in explained.items() for seed in seeds]
    names = ("explanations.svg", "heat_maps.json") if with_pictures else ()
    files = [runs / place / "explanations.json" for _, _, place in wanted]
    files += [plots / place / name for _, _, place in wanted for name in names]
    raise_all([f"{file}: missing; run the workflow, which writes it" for file in files if not file.is_file()])
    found: dict[str, dict[int, Explanation]] = {}
    for name, seed, place in wanted:
        record = read_json(runs / place / "explanations.json")
        maps = read_json(plots / place / "heat_maps.json") if with_pictures else None
        if maps is not None and maps["training"] != record["training"]:
            raise UserError(f"{plots / place / 'heat_maps.json'}: of another training; run plot_explanations")
        figure = plots / place / "explanations.svg" if with_pictures else None
        found.setdefault(name, {})[seed] = Explanation(record, figure, maps)
    return found


def read_sheets(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Read augmentation sheets: JSON files next to their pictures.

    Raises:
        UserError: files are missing; one line for each.
    """
    pictures = [file.with_suffix(".svg") for file in files]
    raise_all([f"{file}: missing; run plot_augmentation" for file in [*files, *pictures] if not file.is_file()])
    return [{**read_json(file), "figure": picture} for file, picture in zip(files, pictures, strict=True)]


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a CSV as text; an empty cell is an empty text."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def read_open_points(path: Path) -> list[dict[str, str]]:
    """Read the points that a study leaves open.

    Raises:
        UserError: a column is missing.
    """
    table = read_text_table(path)
    columns = ("id", "what", "reading", "other_readings", "evidence", "concerns", "config_key")
    raise_all([f"{path}: column {column} is missing" for column in columns if column not in table])
    return [{column: row[column] for column in columns} for _, row in table.iterrows()]


def read_study(path: Path) -> dict[str, Any]:
    """The resolved config of a study itself, as its `study.yaml` has it."""
    folder = path.parent
    keys = {"name": folder.name, **study_keys(folder)}
    if keys.get("images") is None and keys.get("phantoms") is None:
        keys["images"] = "."  # each user has a copy elsewhere
    return read_config(keys).model_dump(mode="json")


def read_locked_versions(path: Path, python: str) -> dict[str, str]:
    """Package to version in a lock file, for a version of Python such as "3.11.7" on this machine."""
    environment = {"python_full_version": python, "python_version": ".".join(python.split(".")[:2])}
    return by_one_name(locked_versions(path, environment))
