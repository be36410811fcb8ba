"""Published results: the copied files, no paths of the machine, and a scorecard that can be rebuilt."""

import json
import re
import shutil
from pathlib import Path

import pytest
from cxrflow.claims.load import load_claims
from cxrflow.claims.results import Results
from cxrflow.claims.scorecard import score
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json, write_json, write_table, write_text
from cxrflow.publication.folder import changed_files
from cxrflow.publication.publish_results import publish_results
from cxrflow.publication.tabulate_results import results_table, with_table
from cxrflow.publication.verify_results import differing_cells, score_published
from cxrflow.statistics.intervals import wilson_interval
from cxrflow.study.models import Config
from cxrflow.study.settings import whole_settings
from made_results import ROOT, made_config, make_results
from study_config import study_config

CLAIMS = ROOT / "studies/sha_2021/claims.csv"
NAME = "binary_inception_v3"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one experiment, published."""
    folder = tmp_path_factory.mktemp("published")
    results = folder / "results"
    config = made_config(only=[NAME], weights="/home/someone/weights", remarks=["A remark on this run."])
    selected = make_results(results, config)
    settings = whole_settings(config)
    made = Results(
        results / "runs",
        selected,
        settings,
        read_json(results / "networks.json"),
        read_json(results / "data_audit.json"),
    )
    write_table(results / "scorecard.csv", score(load_claims(CLAIMS), made))
    write_text(results / "report/index.html", "<p>report</p>")
    (results / f"runs/{NAME}/seed_0/model.keras").write_bytes(b"large")
    write_text(folder / "docs/old.txt", "of an earlier publication")
    write_text(folder / "docs/SHA256SUMS", "0123  old.txt\n")
    assert publish_results(results, folder / "docs", settings, selected) == len(list_files(folder / "docs"))
    return folder / "docs"


def list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_published(published: Path) -> None:
    run = f"runs/{NAME}/seed_0"
    plots = f"plots/{NAME}/seed_0"
    tables = ("embedding.csv", "history.csv", "predictions.csv", "timing.csv", "validation_predictions.csv")
    records = ("explanations.json", "metrics.json", "separation.json", "training.json")
    assert list_files(published) == sorted(
        [
            "SHA256SUMS",
            "audits/rivals.csv",
            "config.json",
            "data_audit.json",
            *(f"evaluation/{name}" for name in (f"{NAME}.csv", f"{NAME}.json", "comparisons.json")),
            "networks.json",
            f"plots/{NAME}/evaluation.svg",
            "report/index.html",
            "scorecard.csv",
            "split/binary.csv",
            *(f"{run}/{name}" for name in (*tables, *records)),
            *(f"{plots}/{name}.svg" for name in ("confusion", "curves", "embedding")),
        ]
    )


def test_no_path_of_the_machine_is_published(published: Path) -> None:
    for path in published.rglob("*"):
        assert path.is_dir() or b"/home/someone" not in path.read_bytes(), path


def test_the_scorecard_can_be_rebuilt(published: Path) -> None:
    again = score_published(published, CLAIMS)
    assert changed_files(published) == []
    assert len(again) == 117
    assert differing_cells(again, again) == []
    assert again.set_index("id").loc["binary_batch", "verdict"] == "as configured"


def test_a_changed_number_is_reported(published: Path, tmp_path: Path) -> None:
    copy = tmp_path / "docs"
    shutil.copytree(published, copy)
    metrics = copy / f"runs/{NAME}/seed_0/metrics.json"
    values = json.loads(metrics.read_text())
    metrics.write_text(json.dumps({**values, "accuracy": 0.125}))
    (copy / "split/binary.csv").unlink()
    assert changed_files(copy) == [
        f"{metrics} is not the published file: its SHA-256 is different",
        f"{copy / 'split/binary.csv'} is missing",
    ]
    rows = differing_cells(score_published(published, CLAIMS), score_published(copy, CLAIMS))
    assert len(rows) >= 1 and all(row.startswith("binary_test_accuracy: ") for row in rows)


def test_different_claims_are_reported(published: Path) -> None:
    again = score_published(published, CLAIMS)
    assert differing_cells(again, again.iloc[1:]) == ["the claims are not those of the published scorecard"]


def publishable(results: Path, config: Config) -> dict[str, list[int]]:
    """Make results with all files that are published, some of them empty; experiment to seeds."""
    selected = make_results(results, config)
    for name in ("scorecard.csv", "report/index.html"):
        write_text(results / name, "")
    return selected


def test_a_folder_of_other_files_is_not_replaced(tmp_path: Path) -> None:
    config = made_config(only=[NAME])
    selected = publishable(tmp_path / "results", config)
    write_text(tmp_path / "paper/thesis.txt", "years of work")
    with pytest.raises(UserError, match=r"paper: has files that were not published: thesis.txt; choose another folder"):
        publish_results(tmp_path / "results", tmp_path / "paper", whole_settings(config), selected)
    assert list_files(tmp_path / "paper") == ["thesis.txt"]
    with pytest.raises(UserError, match=r"thesis.txt: there is a file of this name"):
        publish_results(tmp_path / "results", tmp_path / "paper/thesis.txt", whole_settings(config), selected)
    publish_results(tmp_path / "results", tmp_path / "docs", whole_settings(config), selected)
    write_text(tmp_path / "docs/more.txt", "")
    with pytest.raises(UserError, match=r"docs: has files that were not published: more.txt"):
        publish_results(tmp_path / "results", tmp_path / "docs", whole_settings(config), selected)


def test_a_config_that_differs_from_the_trainings_is_reported(tmp_path: Path) -> None:
    selected = publishable(tmp_path / "results", made_config(only=[NAME]))
    other = whole_settings(made_config(only=[NAME], override={"epochs": 3, "learning_rate": 0.5}))
    with pytest.raises(UserError) as expected:
        publish_results(tmp_path / "results", tmp_path / "docs", other, selected)
    assert len(expected.value.messages) == 2
    assert any(
        "epochs was 90 in that training, and is 3 in the config" in message for message in expected.value.messages
    )
    assert not (tmp_path / "docs").exists()


def test_missing_results_are_all_named_and_the_folder_stays(published: Path, tmp_path: Path) -> None:
    config = made_config(only=[NAME])
    selected = make_results(tmp_path / "results", config)
    before = list_files(published)
    with pytest.raises(UserError) as error:
        publish_results(tmp_path / "results", published, whole_settings(config), selected)
    assert len(error.value.messages) == 2
    assert all("is missing; run Snakemake first" in message for message in error.value.messages)
    assert list_files(published) == before


def test_the_table_has_every_result_once_and_the_remarks(published: Path) -> None:
    table = results_table(published)
    scorecard = score_published(published, CLAIMS)
    results = scorecard[scorecard["kind"].isin(["outcome", "curve", "comparison", "features"])]
    statements, of_rivals = table.split("\n* A remark on this run.\n")
    rows = [line for line in statements.splitlines() if line.startswith("| ") and not line.startswith("| **")]
    assert len(rows) == 1 + len(results)
    accuracy = results.set_index("id").loc["binary_test_accuracy"]
    assert f"| {accuracy['statement']} | 1.0 | {accuracy['this_run']} | {accuracy['verdict']} |" in rows
    metrics = read_json(published / f"runs/{NAME}/seed_0/metrics.json")
    low, high = wilson_interval(metrics["correct"], metrics["images"])  # patients are not known
    accuracy = f"{100 * metrics['accuracy']:.1f} % ({100 * low:.0f} to {100 * high:.0f} %)"
    assert (
        f"| **{NAME}** (1 seed) | 18 images | {accuracy} | – | {100 * metrics['balanced_accuracy']:.1f} % | always"
        in of_rivals
    )
    assert "Task binary: networks and trivial rivals, which see too little to recognise disease" in of_rivals
    assert re.search(rf"^\| \*\*{NAME}\*\* \| \d+ of 18 \| \d+ to \d+ % \| – \| – \|$", of_rivals, re.MULTILINE)
    rival = (
        "| a grey thumbnail of 16 × 16 pixels with logistic regression | 15 of 18 | 61 to 94 % | 0.833 | 61 to 94 % |"
    )
    assert rival in of_rivals and "(the network does not see this)" in of_rivals


def test_without_claims_the_table_has_a_row_per_training_and_the_settings_that_differ(tmp_path: Path) -> None:
    kept = {"like": NAME, "incomplete_batch": "kept", "seeds": 2}
    experiments = {**study_config()["experiments"], "kept": kept}
    config = made_config(only=[NAME, "kept"], experiments=experiments, remarks=["A remark."], claims=None)
    selected = make_results(tmp_path, config)
    write_json(tmp_path / "config.json", {"settings": whole_settings(config), "selected": selected})
    table = results_table(tmp_path).splitlines()
    assert table[0] == (
        "| experiment | `incomplete_batch` | seed | epoch | validation accuracy | test images right | test loss |"
    )
    metrics = read_json(tmp_path / "runs/kept/seed_1/metrics.json")
    assert [row.split(" | ")[:4] for row in table[2:5]] == [
        [f"| {NAME}", "dropped", "0", "90"],
        ["| kept", "kept", "0", "90"],
        ["| kept", "kept", "1", "90"],
    ]
    assert table[4].endswith(f" | {metrics['correct']} of {metrics['images']} | {metrics['loss']:.3f} |")
    assert table[5:7] == ["", "* A remark."]


def test_the_table_is_inserted_into_a_document(published: Path) -> None:
    begin = f"<!-- results of {published.as_posix()} -->"
    written = with_table(f"before\n{begin}\nold\n<!-- end of results -->\nbehind\n", published, "README.md")
    assert written == f"before\n{begin}\n{results_table(published)}<!-- end of results -->\nbehind\n"
    assert with_table(written, published, "README.md") == written
    with pytest.raises(UserError, match=r"README\.md: needs the lines"):
        with_table("no place for it", published, "README.md")
