"""Seals of claims: which seeds were trained before a rule was fixed, and what becomes of them."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from claims_study import Made, row
from cxrflow.claims.model import Claim, Judgement
from cxrflow.claims.registry import judge_claim
from cxrflow.claims.seals import existing_trainings, read_seals, seal_claims, seal_hash
from cxrflow.io.files import read_json, write_json
from cxrflow.run.sealing import git_commit

LEVEL = {"curve": "accuracy", "epoch": 5, "level": 0.9}
SEEDS = {"a": [0, 1, 2]}


def claim_of(tmp_path: Path, arguments: dict[str, Any], **cells: str) -> Claim:
    (claim,) = Made(tmp_path).claims(row("level_at_epoch", arguments, **cells))
    return claim


def test_known_answer_of_what_a_seal_depends_on(tmp_path: Path) -> None:
    claim = claim_of(tmp_path, LEVEL, value="0.9")
    seal = seal_hash(claim, SEEDS)
    assert len(seal) == 16 and seal == seal_hash(claim, SEEDS)
    for same in (replace(claim, statement="In other words."), replace(claim, quantity="x", place="y", rule="z")):
        assert seal_hash(same, SEEDS) == seal
    for other in (
        replace(claim, value="0.8"),
        replace(claim, arguments={**LEVEL, "level": 0.8}),
        replace(claim, experiments=("b",)),
        replace(claim, measure="gain_at_most"),
    ):
        assert seal_hash(other, {**SEEDS, "b": [0, 1, 2]}) != seal
    assert seal_hash(claim, {"a": [0, 1, 2, 3]}) != seal  # looking after each seed is not allowed
    assert seal_hash(claim, {**SEEDS, "other": [0]}) == seal


def test_the_code_of_a_measure_is_part_of_its_seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = claim_of(tmp_path, LEVEL)
    seal = seal_hash(claim, SEEDS)
    hashed = []
    monkeypatch.setattr("cxrflow.claims.seals.module_hash", lambda name: hashed.append(name) or "another")
    assert seal_hash(claim, SEEDS) != seal
    assert hashed[0] == "cxrflow.claims.curves" and "cxrflow.claims.judge" in hashed


def test_a_changed_rule_gets_a_new_seal_and_one_changed_back_its_old_one(tmp_path: Path) -> None:
    file = tmp_path / "seals.json"
    claim = claim_of(tmp_path, LEVEL)
    changed = replace(claim, arguments={**LEVEL, "level": 0.5})
    assert seal_claims(file, [claim], SEEDS, set(), "commit one") == 1
    first = read_seals(file)["one"]
    assert (first.commit, first.existing) == ("commit one", frozenset())
    assert seal_claims(file, [claim], SEEDS, {"trained"}, "commit two") == 0
    assert read_seals(file)["one"] == first
    assert seal_claims(file, [changed], SEEDS, {"trained"}, "commit three") == 1
    second = read_seals(file)["one"]
    assert (second.commit, second.existing) == ("commit three", frozenset({"trained"}))
    assert seal_claims(file, [claim], SEEDS, {"trained", "more"}, "commit four") == 0
    assert read_seals(file)["one"] == first
    assert [event["seals"] for event in read_json(file)["events"]] == [{"one": first.hash}, {"one": second.hash}]


def test_a_new_claim_leaves_the_seals_of_others(tmp_path: Path) -> None:
    file = tmp_path / "seals.json"
    claim = claim_of(tmp_path, LEVEL)
    seal_claims(file, [claim], SEEDS, set(), "")
    assert seal_claims(file, [claim, replace(claim, id="two")], SEEDS, {"trained"}, "") == 1
    seals = read_seals(file)
    assert seals["one"].existing == frozenset() and seals["two"].existing == frozenset({"trained"})


def judged(tmp_path: Path, existing: set[str], seeds: int = 9, **cells: str) -> Judgement:
    """Judge a claim that holds in the last six seeds, after sealing it when some trainings existed."""
    made = Made(tmp_path)
    for seed in range(seeds):
        made.run(seed=seed, accuracy=0.95 if seed >= 3 else 0.5, identity=f"training {seed}")
    claims = made.claims(row("level_at_epoch", LEVEL, **cells))
    seal_claims(tmp_path / "seals.json", claims, {"a": list(range(seeds))}, existing, "")
    return judge_claim(claims[0], replace(made.results(), seals=read_seals(tmp_path / "seals.json")))


def test_only_seeds_that_were_trained_later_are_judged(tmp_path: Path) -> None:
    nothing = judged(tmp_path / "nothing", set())
    assert nothing.verdict == "undecided" and "6 of 9 seeds" in nothing.reason and "exploratory" not in nothing.reason
    three = judged(tmp_path / "three", {"training 0", "training 1", "training 2", "of another study"})
    assert three.verdict == "consistent" and three.reason.startswith("the rule holds in 6 of 6 seeds")
    assert "exploratory, 3 seeds trained before the rule was sealed: 0.5; holds in 0 of 3 seeds" in three.reason


def test_if_all_seeds_are_earlier_the_claim_is_undecided_and_they_are_shown(tmp_path: Path) -> None:
    every = judged(tmp_path, {f"training {seed}" for seed in range(9)})
    assert every.verdict == "undecided"
    assert every.reason.startswith("no seed was trained after the rule was sealed; exploratory, 9 seeds ")
    assert every.reason.endswith("holds in 6 of 9 seeds")


def test_settings_need_no_seal(tmp_path: Path) -> None:
    made = Made(tmp_path).run(identity="training")
    made.settings["experiments"]["a"] = {"batch_size": 25}
    claims = made.claims(row("setting", {"keys": ["batch_size"]}, value="25"))
    seal_claims(tmp_path / "seals.json", claims, {"a": [0]}, {"training"}, "")
    results = replace(made.results(), seals=read_seals(tmp_path / "seals.json"))
    assert judge_claim(claims[0], results).verdict == "as configured"


def test_trainings_exist_as_checkpoints_or_as_results(tmp_path: Path) -> None:
    (tmp_path / "checkpoints/0123").mkdir(parents=True)
    write_json(tmp_path / "mine/runs/a/seed_0/training.json", {"identity": "4567"})
    assert existing_trainings(tmp_path) == {"0123", "4567"}
    assert existing_trainings(tmp_path / "nothing") == set()


def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    assert git_commit(tmp_path) == ""

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "one")
    commit = git("rev-parse", "HEAD")
    assert git_commit(tmp_path) == commit
    (tmp_path / "new").write_text("unknown to git")
    assert git_commit(tmp_path) == commit
    (tmp_path / "file").write_text("two")
    assert git_commit(tmp_path) == f"{commit}-changed"


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    seal_claims(tmp_path / "seals.json", [claim_of(tmp_path, LEVEL)], SEEDS, {"b", "a"}, "c")
    (event,) = json.loads((tmp_path / "seals.json").read_text())["events"]
    assert event["existing"] == ["a", "b"] and event["commit"] == "c" and event["time"].endswith("+00:00")
