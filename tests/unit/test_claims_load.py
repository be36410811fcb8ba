"""Reading claims: valid ones are read as written, all errors are reported together."""

import json
from pathlib import Path

import pytest
from claims_study import row, write_claims
from cxrflow.claims.load import load_claims
from cxrflow.claims.registry import MEASURES
from cxrflow.claims.table import COLUMNS, COUNTS_BACKBONES, backbones_compared
from cxrflow.io.errors import UserError

LEVEL = {"curve": "accuracy", "epoch": 36, "level": 0.9}


def faults_of(folder: Path, *rows: dict[str, str]) -> list[str]:
    path = folder / "mine.csv"
    write_claims(path, *rows)
    with pytest.raises(UserError) as caught:
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
def test_each_error_has_its_message(wrong, message, tmp_path):
    messages = faults_of(tmp_path, wrong)
    assert len(messages) == 1
    assert messages[0].startswith(f"mine.csv: one: {message}")


def with_arguments(text: str) -> dict[str, str]:
    return row("level_at_epoch") | {"arguments": text}


ENDS = '"curve": "loss", "level": 0.5'


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (with_arguments(f'{{{ENDS}, "epoch": {"1" * 5000}}}'), "arguments have a number with too many digits"),
        (
            with_arguments(f'{{{ENDS}, "epoch": {"1" * 4000}}}'),
            "argument epoch: it should be less than or equal to 100000",
        ),
        (with_arguments("[" * 100_000), "arguments are nested too deeply; a measure takes an object of plain values"),
        (with_arguments('{"curve":' * 5000 + "1" + "}" * 5000), "arguments are nested too deeply"),
        (
            with_arguments('{"curve":' + "[" * 300 + "]" * 300 + "}"),
            "arguments cannot be read (recursion limit exceeded",
        ),
        (with_arguments(f'{{{ENDS}, "epoch": 1e999}}'), "argument epoch: it should be a valid integer"),
        (
            row("units_as_row", {"row": "one", "inputs": -1}, value="3"),
            "argument inputs: it should be greater than or equal to 1",
        ),
        (
            row("outcome_of_seeds", {"metric": "loss", "least_seeds": 1}, value="3"),
            "argument least_seeds: it should be greater than or equal to 2",
        ),
    ],
)
def test_outside_problem_21_arguments_too_large_to_parse_are_refused(wrong, message, tmp_path):
    (found,) = faults_of(tmp_path, wrong)
    assert found.startswith(f"mine.csv: one: {message}") and len(found) < 300


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-infinity", "1e999", "9" * 5000])
@pytest.mark.parametrize("measure", ["outcome_of_seeds", "level_at_epoch"])
def test_outside_problem_a_value_that_is_not_finite_is_refused(value, measure, tmp_path):
    arguments = {"outcome_of_seeds": {"metric": "accuracy"}, "level_at_epoch": LEVEL}[measure]
    (found,) = faults_of(tmp_path, row(measure, arguments, value=value))
    expected = value if len(value) < 40 else "99999999999999999999… (5,000 characters)"
    assert found == f"mine.csv: one: value: {expected} is not a finite number; allowed: a finite number, or words"


def test_nested_names_are_checked_against_the_claim(tmp_path):
    arguments = {"others": {"b": ["c"]}, "epochs": {"a": 0}}
    messages = faults_of(tmp_path, row("validation_loss_not_worse", arguments))
    assert any("'b' is not an experiment of this claim" in message for message in messages)
    assert any("greater than or equal to 1" in message for message in messages)


def test_all_errors_are_reported_together(tmp_path):
    messages = faults_of(
        tmp_path,
        row("pooling_saves", id="x"),
        row("pooling_saves", id="x"),
        row("nothing_like_it", id="y"),
        row("backbone_layers", id="z", value="many", kind="data"),
    )
    assert messages[0] == "mine.csv: id 'x' is there 2 times"
    assert [message.split(": ")[1] for message in messages[1:]] == ["y", "z", "z"]


def test_a_misspelt_column_is_reported(tmp_path):
    wrong = {("mesure" if key == "measure" else key): value for key, value in row("pooling_saves").items()}
    assert faults_of(tmp_path, wrong) == ["mine.csv: no column 'measure'; did you mean 'mesure'?"]


def test_json_without_quotes_around_it_is_reported(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(",".join(COLUMNS) + '\none,a,curve,1,,,,,It is.,mean_falls,{"early": [1,2]}\n')
    with pytest.raises(
        UserError, match="line 2 has 12 cells, the header 11; a cell that contains commas must be in quotes"
    ):
        load_claims(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty; the first line must name the columns"), (b"id,\xff\0\n", "not a text file")],
)
def test_a_file_that_is_not_a_table_is_reported(content, message, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_claims(path)


def test_claims_may_be_separated_by_semicolons_in_another_encoding(tmp_path, capsys):
    cells = row("pooling_saves", statement="Größer, kleiner.")
    path = tmp_path / "mine.csv"
    path.write_bytes(f"{';'.join(cells)}\n{';'.join(cells.values())}\n".encode("cp1252"))
    (claim,) = load_claims(path)
    assert claim.statement == "Größer, kleiner."
    expected = capsys.readouterr().out.splitlines()
    assert len(expected) == 2 and "Windows-1252" in expected[0] and "separated by semicolons" in expected[1]


def test_every_measure_says_what_it_does_and_takes_json():
    for name, known in MEASURES.items():
        function = known.judge.args[0] if hasattr(known.judge, "args") else known.judge
        assert function.__doc__, name
        for _, default in known.fields.values():
            json.dumps(None if default is ... else default)


def test_outside_problem_only_backbones_that_claims_compare_are_counted(project, tmp_path):
    resources = project / "studies/sha_2021"
    assert backbones_compared(resources / "claims.csv") == ["InceptionV3", "VGG16"]
    assert backbones_compared(project / "studies/demo/claims.csv") == []
    path = tmp_path / "mine.csv"
    compared = row(COUNTS_BACKBONES, {"backbone": "MobileNet", "than": "Xception"})
    rows = [
        compared,
        compared | {"arguments": "{"},
        compared | {"arguments": "[" * 10_000},
        compared | {"arguments": "3"},
        row(COUNTS_BACKBONES, {"backbone": "a", "than": "VGG19"}),
        row("pooling_saves", {"than": "VGG16"}),
    ]
    write_claims(path, *rows)
    assert backbones_compared(path) == ["MobileNet", "VGG19", "Xception"]
    assert set(MEASURES[COUNTS_BACKBONES].fields) == {"backbone", "than"}
