"""Reading claims: what is right is read as written, what is wrong is told all at once."""

import json
from pathlib import Path

import pytest
from claims_study import row, write_claims
from cxrflow.claims.load import COLUMNS, load_claims
from cxrflow.claims.registry import MEASURES
from cxrflow.stage.faults import Fault

LEVEL = {"curve": "accuracy", "epoch": 36, "level": 0.9}


def faults_of(folder: Path, *rows: dict[str, str]) -> list[str]:
    path = folder / "mine.csv"
    write_claims(path, *rows)
    with pytest.raises(Fault) as caught:
        load_claims(path)
    return caught.value.messages


def test_a_claim_is_read_as_written(tmp_path):
    path = tmp_path / "mine.csv"
    write_claims(path, row("level_at_epoch", LEVEL, id="mine", experiment="a  b", value="0.9", statement="It, learns."))
    (claim,) = load_claims(path)
    assert (claim.id, claim.experiments, claim.kind, claim.number) == ("mine", ("a", "b"), "curve", 0.9)
    assert (claim.statement, claim.measure, claim.arguments) == ("It, learns.", "level_at_epoch", LEVEL)


def test_ranges_come_as_pairs_and_defaults_are_left_out(tmp_path):
    path = tmp_path / "mine.csv"
    write_claims(
        path, row("mean_falls", {"curve": "loss", "early": [1, 2], "late": [3, 4]}), row("pooling_saves", id="two")
    )
    first, second = load_claims(path)
    assert first.arguments == {"curve": "loss", "early": (1, 2), "late": (3, 4)}
    assert second.arguments == {}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            row("level_at_epok", LEVEL, kind="curve"),
            "there is no measure 'level_at_epok'; did you mean 'level_at_epoch'?; allowed: ",
        ),
        (
            row("level_at_epoch", LEVEL, kind="curv"),
            "kind 'curv' is not allowed; did you mean 'curve'?; allowed: setting, ",
        ),
        (row("level_at_epoch", LEVEL, kind="data"), "measure level_at_epoch is for claims of kind curve, not data"),
        (
            row("level_at_epoch", {**LEVEL, "lvl": 1}),
            "measure level_at_epoch has no argument 'lvl'; did you mean 'level'?; allowed: ",
        ),
        (row("level_at_epoch", {"curve": "loss", "epoch": 3}), "measure level_at_epoch needs the argument 'level'"),
        (
            row("level_at_epoch", {**LEVEL, "curve": "acuracy"}),
            "argument curve: 'acuracy' is not allowed; did you mean 'accuracy'?",
        ),
        (row("level_at_epoch", {**LEVEL, "epoch": 0}), "argument epoch: it should be greater than or equal to 1"),
        (row("level_at_epoch", {**LEVEL, "epoch": "3"}), "argument epoch: it should be a valid integer"),
        (
            row("level_at_epoch", arguments="") | {"arguments": "{epoch: 3}"},
            "arguments are not JSON (Expecting property name",
        ),
        (row("level_at_epoch") | {"arguments": "[36]"}, "arguments must be a JSON object"),
        (
            row("level_at_epoch") | {"arguments": '{"curve": "loss", "epoch": 3, "level": NaN}'},
            "argument level: it should be a finite number",
        ),
        (
            row("mean_falls", {"curve": "loss", "early": [9, 2], "late": [3, 4]}),
            "argument early: [9, 2] is not a range",
        ),
        (
            row("backbone_difference", {"experiment": "a"}, value="5"),
            "measure backbone_difference needs 2 experiment(s), 1 given",
        ),
        (
            row("more_parameters", {"experiment": "bb"}, experiment="aa b"),
            "argument experiment: 'bb' is not an experiment of this claim",
        ),
        (row("backbone_layers", value="many"), "measure backbone_layers needs a number as value, not 'many'"),
        (
            row("same_as_row", {"row": "onee"}, value="5"),
            "argument row: 'onee' is not the id of a claim; did you mean 'one'?",
        ),
        (row("pooling_saves", experiment="a a"), "experiment names one twice"),
        (row("pooling_saves", statement=" "), "statement is empty"),
    ],
)
def test_each_fault_has_its_message(wrong, message, tmp_path):
    messages = faults_of(tmp_path, wrong)
    assert len(messages) == 1
    assert messages[0].startswith(f"mine.csv: one: {message}")


def test_nested_names_are_checked_against_the_claim(tmp_path):
    arguments = {"others": {"b": ["c"]}, "epochs": {"a": 0}}
    messages = faults_of(tmp_path, row("validation_loss_not_worse", arguments))
    assert any("'b' is not an experiment of this claim" in message for message in messages)
    assert any("greater than or equal to 1" in message for message in messages)


def test_all_faults_are_told_at_once(tmp_path):
    messages = faults_of(
        tmp_path,
        row("pooling_saves", id="x"),
        row("pooling_saves", id="x"),
        row("nothing_like_it", id="y"),
        row("backbone_layers", id="z", value="many", kind="data"),
    )
    assert messages[0] == "mine.csv: id 'x' is there 2 times"
    assert [message.split(": ")[1] for message in messages[1:]] == ["y", "z", "z"]


def test_a_misspelt_column_is_told(tmp_path):
    wrong = {("mesure" if key == "measure" else key): value for key, value in row("pooling_saves").items()}
    assert faults_of(tmp_path, wrong) == ["mine.csv: no column 'measure'; did you mean 'mesure'?"]


def test_json_without_quotes_around_it_is_told(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(",".join(COLUMNS) + '\none,a,curve,1,,,,,It is.,mean_falls,{"early": [1,2]}\n')
    with pytest.raises(Fault, match="line 2 has 12 cells, the header 11; a cell with commas stands in quotes"):
        load_claims(path)


@pytest.mark.parametrize(("content", "message"), [(b"", "no column 'id'"), (b"id,\xff\n", "not UTF-8 text")])
def test_what_is_no_table_is_told(content, message, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(Fault, match=message):
        load_claims(path)


def test_every_measure_says_what_it_does_and_takes_json():
    for name, known in MEASURES.items():
        function = known.judge.args[0] if hasattr(known.judge, "args") else known.judge
        assert function.__doc__, name
        for _, default in known.fields.values():
            json.dumps(None if default is ... else default)
