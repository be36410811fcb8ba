"""Files are written whole or not at all."""

from pathlib import Path

import pandas as pd
import pytest
from cxrflow.stage.files import canonical_json, read_json, sha256_of_file, whole_file, write_json, write_table
from hypothesis import given
from hypothesis import strategies as st


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), whole_file(target) as part:
        part.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_a_write_that_ends_well_takes_the_place(tmp_path: Path) -> None:
    with whole_file(tmp_path / "new" / "a.txt") as part:
        assert part.suffix == ".txt"
        assert not (tmp_path / "new" / "a.txt").exists()
        part.write_text("whole")
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_json_refuses_numbers_that_are_not_finite(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not (tmp_path / "a.json").exists()


@given(
    st.dictionaries(st.text(), st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()))
)
def test_canonical_json_does_not_depend_on_order(values: dict[str, object]) -> None:
    assert canonical_json(values) == canonical_json(dict(reversed(values.items())))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_tables_read_back_as_the_same_numbers(tmp_path_factory: pytest.TempPathFactory, numbers: list[float]) -> None:
    file = tmp_path_factory.mktemp("table") / "t.csv"
    write_table(file, pd.DataFrame({"x": numbers}))
    assert pd.read_csv(file)["x"].tolist() == numbers


def test_sha256_and_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1, None, "ü"]})
    assert read_json(tmp_path / "a.json") == {"b": [1, None, "ü"]}
    (tmp_path / "abc").write_text("abc")
    assert sha256_of_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
