"""What was made with other versions of packages: the journal, the packages that decide a stage, and what is made again."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cxrflow import rebuild_outdated
from cxrflow.explain.jobs import Job
from cxrflow.machine.packages import by_one_name, locked_versions
from cxrflow.outdated.journal import Entry, packages_at, packages_of_jobs, read_journal, write_down
from cxrflow.outdated.packages import BEHIND, packages_of
from cxrflow.rebuild_outdated import find_outdated, to_force
from cxrflow.stage.faults import Fault

NOW = {"keras": "3.2", "tensorflow": "2.2", "numpy": "2.0", "scipy": "1.2", "scikit-learn": "1.2", "matplotlib": "3.2"}


def job(rule: str, output: str, inputs: Sequence[str] = (), endtime: float | None = 150.0, command: str = "") -> Job:
    made = Job(rule, rule, {}, list(inputs), [output], None, "", command)
    vars(made)["record"] = {} if endtime is None else {"endtime": endtime}  # as it is found once and kept
    return made


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_journal_has_an_entry_for_each_change(tmp_path: Path) -> None:
    journal = tmp_path / "results/software.json"
    assert read_journal(journal) == []
    for since, version in ((10.0, "1"), (20.0, "1"), (30.0, "2"), (40.0, "1")):
        write_down(journal, {"numpy": version}, since)
    entries = read_journal(journal)
    assert entries == [Entry(10, {"numpy": "1"}), Entry(30, {"numpy": "2"}), Entry(40, {"numpy": "1"})]
    assert [packages_at(entries, time) for time in (9, 10, 29.9, 30, 99)] == [
        None,
        *({"numpy": version} for version in ("1", "1", "2", "1")),
    ]


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"since": 1}]'])
def test_a_damaged_journal_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "software.json").write_text(text)
    with pytest.raises(Fault, match=r"software\.json: damaged; delete it"):
        read_journal(tmp_path / "software.json")


def test_packages_of_jobs(tmp_path: Path) -> None:
    """What is installed, of what is locked; in an environment of its own a job has what is locked. One name for TensorFlow."""
    lock = tmp_path / "cpu.lock"
    lock.write_text(
        "numpy==0.1 \\\n    --hash=sha256:0\ntensorflow-cpu==0.2 \\\n    --hash=sha256:0\nnot-there==1 \\\n"
    )
    assert packages_of_jobs(lock, True) == {"numpy": "0.1", "tensorflow": "0.2", "not-there": "1"}
    installed = packages_of_jobs(lock, False)
    assert set(installed) == {"numpy", "tensorflow"} and installed["numpy"] == sys.modules["numpy"].__version__


@pytest.mark.parametrize(
    ("stage", "some", "none"),
    [
        ("embed_features", {"scikit-learn", "scipy", "numpy", "pandas"}, {"keras", "matplotlib", "requests"}),
        ("plot_curves", {"matplotlib", "pandas"}, {"keras", "tensorflow", "scikit-learn", "jinja2"}),
        ("evaluate_model", {"keras", "tensorflow", "scikit-learn"}, {"matplotlib", "pydantic"}),
        ("cache_pixels", {"pillow", "pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "imagecodecs"}, {"keras"}),
        ("assemble_report", {"jinja2"}, {"keras", "matplotlib"}),
    ],
)
def test_packages_that_decide_a_stage(stage: str, some: set[str], none: set[str]) -> None:
    packages = packages_of(f"cxrflow.{stage}")
    assert some <= packages and not none & packages


def test_packages_behind_others_are_locked_ones(project: Path) -> None:
    """One that the project no longer uses would stand there for nothing."""
    behind = {name for names in BEHIND.values() for name in names}
    assert {*BEHIND, *behind} <= set(by_one_name(locked_versions(project / "envs/cpu.lock")))


def training(folder: Path, versions: dict[str, str]) -> Job:
    (folder / "training.json").write_text(json.dumps({"what_identifies_it": {"versions": versions}}))
    return job("train_model", "training.json", command="python -m cxrflow.train_model --training training.json 2>&1")


def outdated(jobs: Sequence[Job], *entries: Entry) -> dict[str, str]:
    for one in jobs:
        for output in one.outputs:
            Path(output).touch()
    return find_outdated(jobs, list(entries), NOW)


def test_only_packages_that_decide_a_job_make_it_outdated(here: Path) -> None:
    jobs = [job("plot_curves", "curves.svg"), job("embed_features", "embedding.csv")]
    assert outdated(jobs, Entry(0, NOW)) == {}
    assert outdated(jobs, Entry(0, {**NOW, "matplotlib": "3.1"})) == {"curves.svg": "matplotlib 3.1, now 3.2"}
    assert outdated(jobs, Entry(0, {**NOW, "scipy": "1.1"})) == {"embedding.csv": "scipy 1.1, now 1.2"}
    assert outdated(jobs, Entry(0, {**NOW, "requests": "9"})) == {}


def test_a_job_is_held_against_what_was_there_when_it_ran(here: Path) -> None:
    jobs = [job("plot_curves", f"{time}.svg", endtime=time) for time in (50.0, 150.0, 250.0, None)]
    old = {**NOW, "matplotlib": "3.1"}
    assert outdated(jobs, Entry(100, old), Entry(200, NOW)) == {
        "50.0.svg": "it is not known with which versions",
        "150.0.svg": "matplotlib 3.1, now 3.2",
        "None.svg": "it is not known with which versions",
    }


def test_what_is_not_there_or_fetched_is_not_outdated(here: Path) -> None:
    assert find_outdated([job("plot_curves", "not there.svg")], [], NOW) == {}
    assert outdated([job("fetch_weights", "weights.h5"), job("fetch_images", "images.csv")]) == {}


def test_a_training_goes_by_its_own_record(here: Path) -> None:
    """Written out again under newer packages, it is still what it was trained as."""
    same = {name: NOW[name] for name in ("keras", "tensorflow", "numpy", "scipy")}
    assert outdated([training(here, same)], Entry(0, {"keras": "3.1"})) == {}
    assert outdated([training(here, {**same, "keras": "3.1"})], Entry(0, NOW)) == {
        "training.json": "keras 3.1, now 3.2"
    }


def test_of_outdated_jobs_those_are_forced_that_follow_from_no_other() -> None:
    jobs = [
        job("cache_pixels", "a"),
        job("train_model", "b", ["a"]),
        job("evaluate_model", "c", ["b"]),
        job("plot_confusion", "d", ["c"]),
        job("plot_curves", "e", ["b"]),
    ]
    assert to_force(jobs, {"a": "", "d": ""}) == ["a"]
    assert to_force(jobs, {"d": "", "e": ""}) == ["d", "e"]
    assert to_force(jobs, {"c": "", "d": "", "e": ""}) == ["c", "e"]


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that take the place of the program."""
    commands: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, command: commands.append(command))
    return commands


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["rebuild_outdated.py", *arguments])
    rebuild_outdated.main()


def test_snakemake_gets_the_same_arguments_and_what_to_force(
    monkeypatch: pytest.MonkeyPatch, handed_over: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [job("plot_curves", f"{seed}.svg") for seed in (0, 1)]
    found = (jobs, dict.fromkeys(["0.svg", "1.svg"], "matplotlib 3.1, now 3.2"))
    monkeypatch.setattr(rebuild_outdated, "outdated_in_run", lambda _: found)
    run(monkeypatch, "--cores", "2", "--config", "seeds=2")
    (command,) = handed_over
    assert command[1:] == "-m snakemake --cores 2 --config seeds=2 --forcerun 0.svg 1.svg".split()
    assert "  plot_curves, 2 jobs: matplotlib 3.1, now 3.2\n" in capsys.readouterr().out


def test_nothing_outdated_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, handed_over: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rebuild_outdated, "outdated_in_run", lambda _: ([], {}))
    run(monkeypatch)
    assert handed_over == [] and "Nothing was made with other versions" in capsys.readouterr().out


def test_a_run_that_cannot_be_planned_is_told(
    monkeypatch: pytest.MonkeyPatch, handed_over: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    def planned(_: Any) -> list[Job]:
        return [job("train_model", "model.keras")]

    monkeypatch.setattr(rebuild_outdated, "planned_jobs", planned)
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "train_all")
    assert end.value.code == 1 and handed_over == []
    assert capsys.readouterr().err.startswith("targets: name none")
