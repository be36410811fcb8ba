"""Measured power: audits that report everything, nothing, or what is not there, and the real ones on phantoms."""

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.audits import power
from cxrflow.audits.findings import Audited, DataSet, Finding
from cxrflow.audits.insertions import INSERTED_SOURCE, Originals
from cxrflow.audits.power import COLUMNS, PROBLEMS, Known, in_markdown, in_words, known_before, measure, power_table
from cxrflow.audits.registry import AUDITS
from cxrflow.run.audit import findings_text
from phantom_files import phantom_data

STUDIES = Path(__file__).resolve().parents[2] / "studies"
PUBLISHED = sorted(STUDIES.glob("**/power.csv"))

Audit = Callable[[DataSet], Audited]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataSet, Originals]:
    return phantom_data(tmp_path_factory.mktemp("phantoms"))


def row_of(made: tuple[DataSet, Originals], severity: str, audit: Audit, known: Known | None = None) -> dict[Any, Any]:
    """The row of the table for the problem with this severity, with an audit in place of the real one."""
    problem = next(problem for problem in PROBLEMS if problem.severity == severity)
    found = measure(problem, *made, {problem.audit: audit}, known or Known(), seed=0)
    assert found is not None
    return power_table([(problem, found)]).to_dict("records")[0]


def reporting(is_reported: Callable[[str, str], bool], certainty: str = "certain") -> Audit:
    """An audit that reports some pairs of images."""

    def audit(data: DataSet) -> Audited:
        pairs = [pair for pair in combinations(sorted(data.pixels), 2) if is_reported(*pair)]
        return Audited([], {"pairs_found": [{"image": a, "other": b, "certainty": certainty} for a, b in pairs]})

    return audit


def is_copy(one: str, other: str) -> bool:
    return other == f"copy of {one}" or one == f"copy of {other}"


def test_an_audit_that_finds_all_copies(made: tuple[DataSet, Originals]) -> None:
    row = row_of(made, "inverted", reporting(is_copy))
    assert (row["images"], row["inserted"], row["found"], row["recall"]) == (12, 12, 12, 1.0)
    # Clopper and Pearson: all 12 of 12 patients.
    assert row["recall_low"] == pytest.approx(0.025 ** (1 / 12)) and row["recall_high"] == 1.0
    assert (row["reported"], row["false"], row["cases"], row["suspected"]) == (12, 0, 12, 0)
    assert (row["false_low"], row["false_high"]) == pytest.approx((0.0, 1 - 0.025 ** (1 / 12)))


def test_an_audit_that_finds_none(made: tuple[DataSet, Originals]) -> None:
    row = row_of(made, "inverted", reporting(lambda *_: False))
    assert (row["found"], row["recall"], row["recall_low"]) == (0, 0.0, 0.0)
    assert row["recall_high"] == pytest.approx(1 - 0.025 ** (1 / 12))
    assert (row["reported"], row["cases"]) == (0, 0) and pd.isna(row["false_share"]) and pd.isna(row["false_low"])


def test_suspected_copies_are_not_found(made: tuple[DataSet, Originals]) -> None:
    row = row_of(made, "inverted", reporting(is_copy, "suspected"))
    assert (row["found"], row["suspected"], row["reported"]) == (0, 12, 0)


def test_pairs_of_different_pictures_are_false_unless_they_are_known(made: tuple[DataSet, Originals]) -> None:
    one, two, three, *_ = sorted(made[0].pixels)

    def reported(first: str, second: str) -> bool:
        return is_copy(first, second) or {first.removeprefix("copy of "), second.removeprefix("copy of ")} == {one, two}

    row = row_of(made, "inverted", reporting(reported))
    assert (row["found"], row["reported"], row["false"], row["cases"]) == (12, 16, 4, 16)
    assert row["false_share"] == 0.25 and 0.08 < row["false_low"] < 0.11 and 0.49 < row["false_high"] < 0.54
    row = row_of(made, "inverted", reporting(reported), Known({frozenset({one, two})}))
    assert (row["found"], row["reported"], row["false"]) == (12, 15, 0)
    row = row_of(made, "inverted", reporting(reported), Known({frozenset({one, three})}))
    assert (row["found"], row["reported"], row["false"]) == (12, 16, 4)


def test_patients_that_are_not_reported_and_patients_that_do_not_exist(made: tuple[DataSet, Originals]) -> None:
    def audit(data: DataSet) -> Audited:
        details = AUDITS["patients"](data).details
        shared = details["tasks"]["one"]["in_several_subsets"]
        assert sorted(shared) == [f"inserted patient {number}" for number in range(4)]
        del shared["inserted patient 2"]
        shared |= {"x": {"test": ["test/a/04.png"]}, "known": {"test": ["test/a/04.png"]}}
        return Audited([], details)

    row = row_of(made, "training and test", audit, Known(patients={"known"}))
    assert (row["inserted"], row["found"], row["reported"], row["false"]) == (4, 3, 4, 1)


def test_associations_are_counted_by_repetition(made: tuple[DataSet, Originals]) -> None:
    shares = []

    def audit(data: DataSet) -> Audited:
        is_inserted = (data.index["source"] == INSERTED_SOURCE).fillna(False).astype(bool)
        assert data.index.loc[is_inserted, "class"].nunique() == 1
        shares.append(is_inserted.sum())
        p = 0.01 if len(shares) % 4 else 0.06
        return Audited([], {"tasks": {"one": {"associations": {"source": {"p_holm": p}, "age": {"p_holm": 0.01}}}}})

    row = row_of(made, "40 % of the class", audit)
    assert shares == [2] * 40
    assert (row["inserted"], row["found"], row["recall"]) == (40, 30, 0.75) and row["cases"] == 0
    assert 0.59 < row["recall_low"] < 0.61 and 0.85 < row["recall_high"] < 0.87


def test_alarms_without_a_problem_are_false(made: tuple[DataSet, Originals], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(power.REPETITIONS, "rivals", 20)
    calls = iter(range(20))

    def audit(data: DataSet) -> Audited:
        return Audited([Finding("better", "")] if next(calls) == 7 else [])

    row = row_of(made, "classes permuted", audit)
    assert (row["inserted"], row["reported"], row["false"], row["cases"], row["false_share"]) == (0, 1, 1, 20, 0.05)
    assert pd.isna(row["recall"]) and row["false_low"] < 0.01 and 0.23 < row["false_high"] < 0.27


def test_the_same_seed_gives_the_same_numbers(made: tuple[DataSet, Originals]) -> None:
    marked: list[list[str]] = []

    def audit(data: DataSet) -> Audited:
        marked[-1] += [image for image in data.pixels if data.pixels[image] is not made[0].pixels[image]]
        return Audited([])

    problem = next(problem for problem in PROBLEMS if "on 50 % of the class" in problem.severity)
    for seed in (0, 0, 1):
        marked.append([])
        measure(problem, *made, {"rivals": audit}, Known(), seed)
    assert len(marked[0]) == 30 and marked[0] == marked[1] != marked[2]


def test_what_is_too_small_is_not_measured(made: tuple[DataSet, Originals]) -> None:
    data, originals = made
    split = data.splits["one"]
    training = DataSet(data.index, {"one": split[split["subset"] == "training"]}, data.classes, data.pixels)
    patients = next(problem for problem in PROBLEMS if problem.audit == "patients")
    assert measure(patients, training, originals, AUDITS, Known(), 0) is None
    single = DataSet(data.index, {"one": split[split["class"] == "a"]}, data.classes, data.pixels)
    source = next(problem for problem in PROBLEMS if problem.audit == "confounders")
    assert measure(source, single, originals, AUDITS, Known(), 0) is None


def test_problems_have_different_names_and_audits_that_exist() -> None:
    assert len({(one.name, one.severity, one.audit) for one in PROBLEMS}) == len(PROBLEMS)
    assert {one.audit for one in PROBLEMS} <= set(AUDITS)


def test_the_table_in_words_and_in_markdown(made: tuple[DataSet, Originals]) -> None:
    row = row_of(made, "inverted", reporting(is_copy))
    assert in_words(row) == (
        "copy, inverted (look_alikes): found 12 of 12 (73.5 to 100.0 %); false 0 of 12 (0.0 to 26.5 %) reported"
    )
    table = in_markdown(pd.DataFrame([row]))
    assert table.splitlines()[-1] == (
        "| copy | inverted | `look_alikes` | 12 of 12 | 73.5 to 100.0 % | 0 of 12 reported | 0.0 to 26.5 % |"
    )


def test_audit_finding_of_inserted_copies_in_phantoms(made: tuple[DataSet, Originals]) -> None:
    known = known_before(made[0], AUDITS)
    assert known == Known()
    for severity, least in {"same pixels in other bytes": 12, "inverted": 11, "rotated by 90°": 11}.items():
        audit = "duplicates" if least == 12 else "look_alikes"
        row = row_of(made, severity, AUDITS[audit], known)
        assert row["found"] >= least and row["false"] == 0, row


def test_audit_finding_of_an_inserted_source_and_of_shared_patients(
    made: tuple[DataSet, Originals], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(power.REPETITIONS, "confounders", 3)
    row = row_of(made, "100 % of the class", AUDITS["confounders"])
    assert (row["inserted"], row["found"]) == (3, 3)
    row = row_of(made, "training and test", AUDITS["patients"])
    assert (row["inserted"], row["found"], row["false"]) == (4, 4, 0)


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.relative_to(STUDIES).as_posix())
def test_the_published_tables_are_what_the_readme_shows(file: Path) -> None:
    table = pd.read_csv(file, dtype=COLUMNS)
    assert in_markdown(table) in file.with_name("README.md").read_text(encoding="utf-8")
    copies = table[table["problem"] == "copy"]
    assert len(copies) == 11 and (copies["inserted"] == 200).all()
    assert (copies["recall"] >= 0.95).all()
    assert copies["false"].sum() <= 0.05 * copies["reported"].sum()


def test_findings_in_text() -> None:
    one = {"text": "1 patient has two images.", "effect": "The score is too high.", "images": ["a", "b"]}
    two = {"text": "A pair.", "effect": "Look.", "images": [], "certainty": "suspected"}
    found = {"patients": [{**one, "certainty": "certain"}, two], **{name: [] for name in list(AUDITS)[1:-1]}}
    audit = {"audits": {name: {"findings": findings} for name, findings in found.items()}}
    lines = findings_text(audit).splitlines()
    assert lines[:8] == [
        "patients: 2 findings",
        "  * 1 patient has two images.",
        "    effect: The score is too high.",
        "    images: a, b",
        "  * A pair. (suspected)",
        "    effect: Look.",
        "",
        "duplicates: nothing found",
    ]
    assert lines[-1] == f"{list(AUDITS)[-1]}: off"


@pytest.mark.slow
def test_the_stage_measures_the_audits_that_are_on(made: tuple[DataSet, Originals], tmp_path: Path) -> None:
    data, originals = made
    data.index.to_parquet(tmp_path / "images.parquet")
    data.splits["one"].to_csv(tmp_path / "one.csv", index=False)
    images = list(data.pixels)
    np.save(tmp_path / "a.npy", np.stack([data.pixels[image] for image in images]))
    pd.DataFrame({"image": images}).to_csv(tmp_path / "a.csv", index=False)

    def stage(workers: int, **levels: str) -> "subprocess.CompletedProcess[str]":
        settings = {
            "resampling": "nearest",
            "audits": {"look_alikes": "off", "rivals": "off", "confounders": "off", **levels},
        }
        command = [sys.executable, "-m", "cxrflow.stages.measure_power", "--images", tmp_path / "images.parquet"]
        command += [
            "--splits",
            tmp_path / "one.csv",
            "--classes",
            '{"one": ["a", "b"]}',
            "--pixels",
            tmp_path / "a.npy",
        ]
        command += ["--root", originals.root, "--settings", json.dumps(settings), "--workers", workers]
        command += ["--power", tmp_path / f"power_{workers}.csv"]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)

    runs = [stage(workers) for workers in (1, 2)]
    assert [run.returncode for run in runs] == [0, 0], runs
    table = pd.read_csv(tmp_path / "power_1.csv", dtype=COLUMNS)
    assert table["audit"].tolist() == ["duplicates", "patients"]
    assert table.equals(pd.read_csv(tmp_path / "power_2.csv", dtype=COLUMNS))
    assert "inserting 2 problems and severities" in runs[0].stdout and "\n2/2  " in runs[0].stdout
    off = stage(1, duplicates="off", patients="off")
    assert off.returncode == 1 and "audits: all audits whose power is measured are off" in off.stderr, off.stderr
