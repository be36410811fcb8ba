"""Inconsistent files are found: moved from one training to another, edited, or of other settings."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cxrflow.evaluation.consistency import WHAT_TO_DO, inconsistencies
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json, write_json, write_table, write_text
from cxrflow.publication.join_results import join_results
from cxrflow.publication.publish_results import publish_results
from cxrflow.report.inputs import read_inputs
from cxrflow.study.models import Config
from cxrflow.study.settings import whole_settings
from made_results import OPEN_POINTS, ROOT, made_config, make_results
from study_config import study_config

BINARY, MOBILENET = "binary_inception_v3", "multiclass_mobilenet"
SELECTED = {BINARY: [0, 1], MOBILENET: [0]}


@pytest.fixture(scope="module")
def config() -> Config:
    experiments = {**study_config()["experiments"]}
    experiments[BINARY] = {**experiments[BINARY], "seeds": 2}
    return made_config(
        only=list(SELECTED), override={"epochs": 4}, experiments=experiments, claims=None, explain="all_seeds"
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, config: Config) -> Path:
    results = tmp_path_factory.mktemp("made")
    make_results(results, config)
    write_text(results / "report/index.html", "<p>report</p>")
    return results


@pytest.fixture
def results(made: Path, tmp_path: Path) -> Path:
    """Consistent results of three trainings, fresh for each test."""
    shutil.copytree(made, tmp_path / "results")
    return tmp_path / "results"


def run(results: Path, seed: int = 0, experiment: str = BINARY) -> Path:
    return results / "runs" / experiment / f"seed_{seed}"


def found(results: Path, config: Config) -> list[str]:
    """The messages by file and reason, without the last line, which says what to do."""
    messages = inconsistencies(results / "runs", results / "split", whole_settings(config), SELECTED)
    assert messages[-1:] == ([WHAT_TO_DO] if messages else [])
    return [message.removeprefix(f"{results / 'runs'}/") for message in messages[:-1]]


def change_json(file: Path, **values: Any) -> None:
    write_json(file, {**read_json(file), **values})


def swap(one: Path, other: Path) -> None:
    one.rename(one.with_name("away"))
    other.rename(one)
    one.with_name("away").rename(other)


def swap_files(*names: str) -> Callable[[Path], None]:
    def swap_them(results: Path) -> None:
        for name in names:
            swap(run(results) / name, run(results, 1) / name)

    return swap_them


def edit_predictions(results: Path) -> None:
    """Change one prediction, but not metrics.json and its hash."""
    file = run(results) / "predictions.csv"
    table = pd.read_csv(file)
    table.loc[0, ["predicted", "p_covid", "p_normal"]] = ["normal", 0.1, 0.9]
    write_table(file, table)


def edit_history(results: Path) -> None:
    file = run(results) / "history.csv"
    write_table(file, pd.read_csv(file).assign(val_loss=0.01))


def relabel(results: Path) -> None:
    split = results / "split/binary.csv"
    write_text(split, split.read_text().replace("test/covid/test00.png,covid", "test/covid/test00.png,normal"))


SEED = f"{BINARY}/seed_0"
CHANGES: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "folders of two seeds swapped": (
        lambda results: swap(run(results), run(results, 1)),
        [f"{SEED}/training.json: of seed 1", f"{BINARY}/seed_1/training.json: of seed 0"],
    ),
    "evaluations of two seeds swapped": (
        swap_files("predictions.csv", "metrics.json"),
        [f"{SEED}/metrics.json: of training ", f"{BINARY}/seed_1/metrics.json: of training "],
    ),
    "separations of two seeds swapped": (
        swap_files("embedding.csv", "separation.json"),
        [f"{SEED}/separation.json: of training ", f"{BINARY}/seed_1/separation.json: of training "],
    ),
    "accuracy edited": (
        lambda results: change_json(run(results) / "metrics.json", accuracy=0.99, correct=18),
        [f"{SEED}/metrics.json: correct, accuracy: predictions.csv gives other values"],
    ),
    "loss edited in its seventh digit": (
        lambda results: change_json(
            run(results) / "metrics.json", loss=read_json(run(results) / "metrics.json")["loss"] * (1 + 1e-7)
        ),
        [f"{SEED}/metrics.json: loss: predictions.csv gives other values"],
    ),
    "predictions edited": (
        edit_predictions,
        [
            f"{SEED}/predictions.csv: changed since it was written: its SHA-256 is different",
            f"{SEED}/metrics.json: correct, accuracy, balanced_accuracy, loss, confusion_matrix, per_class",
        ],
    ),
    "history edited": (
        edit_history,
        [
            f"{SEED}/history.csv: changed since it was written: its SHA-256 is different",
            f"{SEED}/history.csv: val_loss of epoch 4 is 0.01, but ",
        ],
    ),
    "history cut off": (
        lambda results: write_table(run(results) / "history.csv", pd.read_csv(run(results) / "history.csv")[:2]),
        [f"{SEED}/history.csv: changed since it was written", f"{SEED}/history.csv: its epochs are not the 4 of"],
    ),
    "of another epoch": (
        lambda results: change_json(run(results) / "metrics.json", selected_epoch=2),
        [f"{SEED}/metrics.json: of epoch 2, but training.json selects epoch 4"],
    ),
    "a test image relabelled": (
        relabel,
        [
            f"{BINARY}/seed_{seed}/predictions.csv: its images and classes are not those of the test subset"
            for seed in (0, 1)
        ],
    ),
    "a key gone": (
        lambda results: write_json(run(results) / "metrics.json", {"accuracy": 1.0}),
        [f"{SEED}: damaged: KeyError: 'selected_epoch'"],
    ),
    "a file emptied": (
        lambda results: write_text(run(results) / "training.json", ""),
        ["training.json: damaged (not JSON)"],
    ),
    "predictions of another task": (
        lambda results: shutil.copy(run(results, 0, MOBILENET) / "predictions.csv", run(results) / "predictions.csv"),
        [f"{SEED}/predictions.csv: changed since", f"{SEED}/predictions.csv: its images", f"{SEED}"],
    ),
}


def test_consistent_files_have_no_messages(results: Path, config: Config) -> None:
    assert found(results, config) == []


@pytest.mark.parametrize("change", CHANGES)
def test_outside_problem_16_inconsistent_files_are_found(results: Path, config: Config, change: str) -> None:
    edit, wanted = CHANGES[change]
    edit(results)
    messages = found(results, config)
    assert len(messages) == len(wanted)
    assert [words for words, message in zip(wanted, messages, strict=True) if words not in message] == []


def test_outside_problem_16_settings_that_differ_from_the_config_are_found(results: Path, config: Config) -> None:
    record = run(results) / "training.json"
    settings = read_json(record)["settings"]
    change_json(record, settings={**settings, "learning_rate": 0.5})
    assert found(results, config) == [
        f"{SEED}/training.json: learning_rate was 0.5 in that training, and is 0.0001 in the config"
    ]


def test_outside_problem_16_results_of_an_older_version_are_accepted(results: Path, config: Config) -> None:
    """They have no hashes and no identities, and fewer metrics."""
    for place in (run(results), run(results, 1), run(results, 0, MOBILENET)):
        for name, keys in (("training", ["files"]), ("metrics", ["training", "predictions_sha256", "specificity"])):
            record = read_json(place / f"{name}.json")
            write_json(place / f"{name}.json", {key: value for key, value in record.items() if key not in keys})
    assert found(results, config) == []
    swap_files("predictions.csv")(results)
    assert len(found(results, config)) == 2


def read_for_report(results: Path, config: Config) -> None:
    read_inputs(
        json.loads(json.dumps(whole_settings(config))),
        SELECTED,
        runs=results / "runs",
        plots=results / "plots",
        networks=results / "networks.json",
        audit=results / "data_audit.json",
        rivals=results / "audits/rivals.csv",
        open_points=OPEN_POINTS,
        splits=sorted((results / "split").glob("*.csv")),
        evaluation=results / "evaluation",
        study=ROOT / "studies/sha_2021/study.yaml",
    )


def test_outside_problem_16_neither_reported_nor_published_nor_joined(
    results: Path, config: Config, tmp_path: Path
) -> None:
    settings, docs = whole_settings(config), tmp_path / "docs"
    publish_results(results, docs, settings, SELECTED)
    assert join_results([docs], tmp_path / "joined") == SELECTED
    read_for_report(results, config)
    before = {path: path.read_bytes() for path in docs.rglob("*") if path.is_file()}
    swap(run(results), run(results, 1))
    for refused in (
        lambda: read_for_report(results, config),
        lambda: publish_results(results, docs, settings, SELECTED),
    ):
        with pytest.raises(UserError, match=r"seed_0/training\.json: of seed 1"):
            refused()
    assert {path: path.read_bytes() for path in docs.rglob("*") if path.is_file()} == before
    # Published by a version without these checks, with correct hashes.
    swap(run(docs), run(docs, 1))
    (docs / "SHA256SUMS").write_text("")
    with pytest.raises(UserError, match=r"seed_1/training\.json: of seed 0"):
        join_results([docs], tmp_path / "joined")
