"""YAML files and values of the command line: strict reading, and messages on what is ambiguous."""

from pathlib import Path

import pytest
from cxrflow.io.errors import UserError
from cxrflow.study.run import set_values
from cxrflow.study.yaml_files import load_yaml, read_yaml


def test_yaml_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1,\nb: 2")
    with pytest.raises(UserError, match=r"broken\.yaml: not valid YAML"):
        read_yaml(tmp_path / "broken.yaml")


AMBIGUOUS = """\
epochs: yes
override: {epochs: 010, batch_size: 1:30}
remarks: [2020-01-01, off, -1:30.5]
name: a
yes: 1
seeds: 1
tasks:
  binary: {classes: [a, b]}
  binary: {classes: [007, 'on', "010", 09, 0x1F, 0, 0.5, true, ~]}
name: b
"""
MESSAGES = [
    "line 1: epochs: yes: YAML 1.1 reads this as true; write true if that is what you mean, or 'yes' in quotes if it is a text",
    "line 2: override.epochs: 010: YAML 1.1 reads this as a number to base 8, 8; write 8, or '010' in quotes if it is a text",
    "line 2: override.batch_size: 1:30: YAML 1.1 reads this as a number to base 60, 90; write 90, or '1:30' in quotes if it "
    "is a text",
    "line 3: remarks: 2020-01-01: YAML reads this as a date; write '2020-01-01' in quotes if it is a text",
    "line 3: remarks: off: YAML 1.1 reads this as false; write false if that is what you mean, or 'off' in quotes if it is a "
    "text",
    "line 3: remarks: -1:30.5: YAML 1.1 reads this as a number to base 60, -90.5; write -90.5, or '-1:30.5' in quotes if it "
    "is a text",
    "line 5: yes: YAML 1.1 reads this as true; write true if that is what you mean, or 'yes' in quotes if it is a text",
    "line 9: tasks.binary: given twice, first in line 8; keep one",
    "line 9: tasks.binary.classes: 007: YAML 1.1 reads this as a number to base 8, 7; write 7, or '007' in quotes if it is a "
    "text",
    "line 10: name: given twice, first in line 4; keep one",
]


def test_outside_problem_ambiguous_yaml_is_an_error(tmp_path: Path) -> None:
    """All ambiguous parts are reported together, and no others."""
    file = tmp_path / "overlay.yaml"
    file.write_text(AMBIGUOUS)
    with pytest.raises(UserError) as caught:
        read_yaml(file)
    assert caught.value.messages == [f"{file}: {message}" for message in MESSAGES]


def test_outside_problem_our_configs_are_not_ambiguous(project: Path) -> None:
    files = [project / "config.yaml", *(project / "studies").glob("*/*.yaml"), *(project / "profiles").glob("*/*.yaml")]
    assert len(files) > 4 and [problem for file in files for problem in load_yaml(file)[1]] == []


def test_outside_problem_an_alias_is_not_a_repeated_key_and_json_may_contain_tabs(tmp_path: Path) -> None:
    file = tmp_path / "overlay.yaml"
    file.write_text("a: &a {x: 1}\nb: {<<: *a, x: 2}\nc: [*a, *a]\n")
    assert read_yaml(file) == {"a": {"x": 1}, "b": {"x": 2}, "c": [{"x": 1}] * 2}
    file.write_text('{\n\t"a":\t"b\\tc"\n}')
    assert read_yaml(file) == {"a": "b\tc"}
    file.write_text('{"a": 1, "a": 2}')
    with pytest.raises(UserError, match="line 1: a: given twice; keep one"):
        read_yaml(file)


def test_outside_problem_a_repeated_key_on_the_command_line_is_an_error() -> None:
    with pytest.raises(UserError, match=r"^override\.early_stopping\.patience: given twice; keep one$"):
        set_values(["override={early_stopping: {patience: 1, patience: 2}}"])
    assert set_values(["seeds=3", "remarks=[a: b", "override={epochs: 010}"])["override"] == {"epochs": "010"}


QUOTED = """\
seeds: '3'
experiments:
  one: {head: [flatten, {dense: "128", name: "x"}], schedule: {kind: step, at: [5, "7"]}, weights: "1"}
override: {epochs: "1e1", selected_epoch: "20", class_weights: {"0": '2', "1": 1}}
tasks: {one: {classes: ["0", "1"], positive: "1"}}
experiment_defaults: {learning_rate: 1e-4}
unknown: "5"
"""


def test_numbers_in_quotes_are_errors_where_numbers_are_expected(tmp_path: Path) -> None:
    """Names that look like numbers may be in quotes, and 1e-4, which YAML 1.1 reads as a text, needs none."""
    file = tmp_path / "overlay.yaml"
    file.write_text(QUOTED)
    with pytest.raises(UserError) as caught:
        read_yaml(file)
    assert caught.value.messages == [
        f"{file}: line {place}: a text because of the quotes; write the number without them"
        for place in (
            "1: seeds: 3",
            "3: experiments.one.head.dense: 128",
            "3: experiments.one.schedule.at: 7",
            "4: override.epochs: 1e1",
            "4: override.selected_epoch: 20",
            "4: override.class_weights.0: 2",
        )
    ]
    with pytest.raises(UserError, match=r"^override\.epochs: 2: a text because of the quotes; write the number"):
        set_values(['override={epochs: "2"}'])


def test_a_colon_without_a_space_is_explained() -> None:
    with pytest.raises(UserError, match=r"^tsne: perplexity:7: YAML needs a space after the colon: perplexity: 7$"):
        set_values(["tsne={perplexity:7}"])
