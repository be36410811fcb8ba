"""Published results joined: what one run alone and two runs apart hold must be the same, and what does not fit is refused."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cxrflow.config.read import read_yaml
from cxrflow.config.settings import whole_settings
from cxrflow.join_results import join_results, main
from cxrflow.publish_results import publish_results
from cxrflow.published.folder import changed_files
from cxrflow.published.judged import scorecard_again
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import read_json, write_json, write_table, write_text
from cxrflow.verify_results import differing_rows
from made_results import ROOT, made_config, make_results

CLAIMS = ROOT / "workflow/resources/claims.csv"
BINARY, MOBILENET = "binary_inception_v3", "multiclass_mobilenet"

Publish = Callable[..., Path]


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Publishes made results under a name."""

    def published(name: str, experiments: Sequence[str], seeds: int = 1, **changes: Any) -> Path:
        results, folder = tmp_path / "results" / name, tmp_path / name
        of_config = {**read_yaml(ROOT / "config.yaml")["experiments"]}
        for experiment in experiments:
            of_config[experiment] = {**of_config[experiment], "seeds": seeds}
        config = made_config(only=list(experiments), experiments=of_config, **changes)
        selected = make_results(results, config)
        for run in (f"{experiment}/seed_{seed}" for experiment, seeds in selected.items() for seed in seeds):
            if not (results / f"runs/{run}/predictions.csv").is_file():
                write_text(results / f"runs/{run}/predictions.csv", "image,class,predicted\n")
        write_text(results / "report/index.html", "<p>a part</p>")
        write_table(results / "scorecard.csv", pd.DataFrame({"id": []}))
        publish_results(results, folder, whole_settings(config), selected)
        return folder

    return published


def run_main(monkeypatch: pytest.MonkeyPatch, folders: Sequence[Path], folder: Path) -> None:
    arguments = ["--folders", *map(str, folders), "--folder", str(folder)]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["join_results", *arguments])
    main()


def test_two_parts_hold_what_the_whole_holds(publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [publish("a", [BINARY], remarks=["One."]), publish("b", [MOBILENET], remarks=["One.", "Two."])]
    whole = publish("whole", [BINARY, MOBILENET], remarks=["One.", "Two."])
    run_main(monkeypatch, parts, tmp_path / "joined")
    joined = tmp_path / "joined"
    assert changed_files(joined) == []
    for path in (path for path in whole.rglob("*") if path.is_file()):
        name = path.relative_to(whole).as_posix()
        if name.startswith(("runs/", "plots/", "split/")) or name == "data_audit.json":
            assert (joined / name).read_bytes() == path.read_bytes(), name
    scorecard = pd.read_csv(joined / "scorecard.csv", dtype=str, keep_default_na=False)
    assert differing_rows(scorecard, scorecard_again(whole, CLAIMS)) == []
    # Judged together: neither part alone can tell of the other's experiment.
    verdicts = [scorecard_again(folder, CLAIMS)["verdict"].value_counts()["not run"] for folder in parts]
    assert (scorecard["verdict"] == "not run").sum() < min(verdicts)
    config = read_json(joined / "config.json")
    assert config["selected"] == {BINARY: [0], MOBILENET: [0]}
    assert config["settings"]["remarks"] == ["One.", "Two."]
    page = (joined / "report/index.html").read_text()
    assert BINARY in page and MOBILENET in page and "One." in page and "Two." in page


def test_seeds_of_one_experiment_are_put_together(publish: Publish, tmp_path: Path) -> None:
    first, more = publish("first", [BINARY]), publish("more", [BINARY], seeds=3)
    assert join_results([first, more], tmp_path / "joined") == {BINARY: [0, 1, 2]}


def test_results_of_other_settings_or_images_are_refused(publish: Publish, tmp_path: Path) -> None:
    first = publish("first", [BINARY])
    other = publish("other", [MOBILENET], split_seed=7, resampling="bilinear")
    audit = read_json(other / "data_audit.json")
    write_json(other / "data_audit.json", {**audit, "images": 3})
    sums = (other / "SHA256SUMS").read_text().splitlines()
    write_text(other / "SHA256SUMS", "\n".join(line for line in sums if "data_audit" not in line) + "\n")
    with pytest.raises(Fault) as fault:
        join_results([first, other], tmp_path / "joined")
    assert fault.value.messages == [
        f"{other}: split_seed is not what it is in {first}; join results of the same settings",
        f"{other}: resampling is not what it is in {first}; join results of the same settings",
        f"{other}: the images are not those of {first}; join results of the same images",
    ]


def test_another_run_of_the_same_seed_is_refused(publish: Publish, tmp_path: Path) -> None:
    first, second = publish("first", [BINARY]), publish("second", [BINARY])
    timing = second / f"runs/{BINARY}/seed_0/timing.csv"
    write_text(timing, timing.read_text() + "\n")
    sums = (second / "SHA256SUMS").read_text().splitlines()
    write_text(second / "SHA256SUMS", "\n".join(line for line in sums if "timing" not in line) + "\n")
    with pytest.raises(Fault, match=r"timing\.csv: there is another such file"):
        join_results([first, second], tmp_path / "joined")


def test_a_folder_that_was_changed_is_refused(publish: Publish, tmp_path: Path) -> None:
    first = publish("first", [BINARY])
    (first / "split/binary.csv").unlink()
    with pytest.raises(Fault, match=r"split/binary\.csv is missing"):
        join_results([first], tmp_path / "joined")


def test_a_join_that_fails_leaves_what_there_was(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish("first", [BINARY])
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    other = publish("other", [MOBILENET], split_seed=7)
    with pytest.raises(Fault, match="split_seed"):
        run_main(monkeypatch, [first, other], first)
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before
    assert not list(tmp_path.glob(".part-*"))


def test_the_joined_folder_may_be_one_of_the_parts(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = publish("first", [BINARY]), publish("second", [MOBILENET])
    run_main(monkeypatch, [first, second], first)
    assert read_json(first / "config.json")["selected"] == {BINARY: [0], MOBILENET: [0]}
    assert changed_files(first) == []
