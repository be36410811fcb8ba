"""Check that the files of each training belong together and that their numbers agree.

Otherwise files that were edited, or moved from one folder to another, would be reported as results.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.evaluation.metrics import EARLIER_LEAST_PROBABILITY, metrics_of
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json, sha256_of_file
from cxrflow.study.earlier import in_current_form
from cxrflow.study.settings import training_settings

WHAT_TO_DO = (
    "these files do not belong together; delete these folders and run Snakemake again, which rebuilds them from the "
    "checkpoints"
)


def inconsistencies(
    runs: Path,
    splits: Path,
    settings: Mapping[str, Any],
    selected: Mapping[str, Sequence[int]],
    explained: Mapping[str, Sequence[int]] | None = None,
) -> list[str]:
    """Find files that do not belong together: one message each, and a last one that says what to do.

    Args:
        runs: folder that contains EXPERIMENT/seed_SEED/.
        splits: folder that contains TASK.csv.
        settings: the resolved config.
        selected: experiment to the seeds of its trainings. All their files must be there.
        explained: experiment to the seeds of the networks whose explanations are used, among `selected`.
    """
    found: list[str] = []
    for name, seeds in selected.items():
        experiment = settings["experiments"][name]
        split = pd.read_csv(splits / f"{experiment['task']}.csv", dtype=str, keep_default_na=False)
        for seed in seeds:
            place = runs / name / f"seed_{seed}"
            try:
                found += [f"{place / file}: {why}" for file, why in _of_run(place, seed, experiment, split)]
                if seed in (explained or {}).get(name, []):
                    found += [f"{place / file}: {why}" for file, why in _of_explanations(place)]
            except UserError as error:
                found += error.messages
            except (KeyError, IndexError, TypeError, ValueError, ArithmeticError) as error:
                found.append(f"{place}: damaged: {type(error).__name__}: {error}")
    return [*found, WHAT_TO_DO] if found else []


def other_settings(trained: Mapping[str, Any], experiment: Mapping[str, Any]) -> list[str]:
    """Settings that were different in a training than they are in the config, one message each."""
    return [
        f"{key} was {trained.get(key)!r} in that training, and is {value!r} in the config"
        for key, value in training_settings(experiment).items()
        if trained.get(key) != value
    ]


def _of_run(place: Path, seed: int, experiment: Mapping[str, Any], split: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield the name of each file with a problem, and the problem."""
    training, metrics, separation = (
        read_json(place / f"{name}.json") for name in ("training", "metrics", "separation")
    )
    if training["seed"] != seed:
        yield "training.json", f"of seed {training['seed']}"
    yield from (("training.json", why) for why in other_settings(in_current_form(training["settings"]), experiment))
    for name, record in (("metrics.json", metrics), ("separation.json", separation)):
        if record.get("training", training["identity"]) != training["identity"]:
            yield name, f"of training {record['training']}, but training.json is of {training['identity']}"
    # Version 0.1 wrote no hashes.
    for name, sha256 in {**training.get("files", {}), "predictions.csv": metrics.get("predictions_sha256")}.items():
        if sha256 and (place / name).is_file() and sha256_of_file(place / name) != sha256:
            yield name, "changed since it was written: its SHA-256 is different"
    yield from _of_history(place, training)
    yield from _of_predictions(place, training, metrics, experiment, split)
    embedding = _table(place / "embedding.csv")
    if not _rows(embedding) <= _rows(split):
        yield "embedding.csv", "has images that are not in the split, or have another class or subset there"


def _of_explanations(place: Path) -> Iterator[tuple[str, str]]:
    identity, record = read_json(place / "training.json")["identity"], read_json(place / "explanations.json")
    if record["training"] != identity:
        yield "explanations.json", f"of training {record['training']}, but training.json is of {identity}"
    predictions = _table(place / "predictions.csv").set_index("image")["predicted"]
    if any(predictions.get(one["image"]) != one["predicted"] for one in record["images"]):
        yield "explanations.json", "its predictions are not those of predictions.csv"


def _of_history(place: Path, training: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    history = pd.read_csv(place / "history.csv")
    trained, selected = training["trained_epochs"], training["selected_epoch"]
    for name, table in (("history.csv", history), ("timing.csv", pd.read_csv(place / "timing.csv"))):
        if table["epoch"].tolist() != list(range(1, trained + 1)):
            yield name, f"its epochs are not the {trained} of training.json"
            return
    loss = float(history["val_loss"].iloc[selected["epoch"] - 1])
    if not _same(loss, selected["val_loss"]):
        yield (
            "history.csv",
            f"val_loss of epoch {selected['epoch']} is {loss}, but {selected['val_loss']} in training.json",
        )


def _of_predictions(
    place: Path,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any],
    experiment: Mapping[str, Any],
    split: pd.DataFrame,
) -> Iterator[tuple[str, str]]:
    if metrics["selected_epoch"] != training["selected_epoch"]["epoch"]:
        epochs = metrics["selected_epoch"], training["selected_epoch"]["epoch"]
        yield "metrics.json", "of epoch {}, but training.json selects epoch {}".format(*epochs)
    if metrics["positive"] != experiment["positive"]:
        yield "metrics.json", f"positive is {metrics['positive']!r}, but {experiment['positive']!r} in the config"
    predictions = _table(place / "predictions.csv", numbers=[f"p_{name}" for name in training["classes"]])
    if _rows(predictions.assign(subset="test")) != _rows(split[split["subset"] == "test"]):
        yield "predictions.csv", "its images and classes are not those of the test subset of the split"
    least = metrics.get("least_probability", EARLIER_LEAST_PROBABILITY)
    recomputed = metrics_of(predictions, training["classes"], metrics["positive"], least)
    differing = [key for key, value in recomputed.items() if key in metrics and not _same(metrics[key], value)]
    if differing:
        yield "metrics.json", f"{', '.join(differing)}: predictions.csv gives other values"


def _table(file: Path, numbers: Sequence[str] = ()) -> pd.DataFrame:
    texts = dict.fromkeys(("image", "class", "subset", "predicted"), str)
    return pd.read_csv(file, dtype=texts, keep_default_na=False, na_values={name: [""] for name in numbers})


def _rows(table: pd.DataFrame) -> set[tuple[str, ...]]:
    return set(table[["image", "class", "subset"]].itertuples(index=False, name=None))


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: numbers to nine digits; keys that only one of them has are ignored."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_same(one[key], other[key]) for key in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) or isinstance(other, float):
        numbers = all(isinstance(value, int | float) for value in (one, other))
        return numbers and (math.isclose(one, other, rel_tol=1e-9) or (math.isnan(one) and math.isnan(other)))
    return bool(one == other)
