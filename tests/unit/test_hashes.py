"""Hashes of the contents of a user's files, for rule params."""

import os
from pathlib import Path

import pytest
from cxrflow.io import hashes
from cxrflow.io.hashes import contents_of


def fresh(*files: Path) -> str:
    """Hash as in another run of Snakemake; within one, a file is read only once."""
    hashes._hashes.clear()
    return contents_of(*files)


def test_contents_count_not_names_or_times(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("b")
    before = fresh(one, two)
    os.utime(one, (1e9, 1e9))
    assert fresh(one, two) == fresh(one.rename(tmp_path / "other"), two) == before
    assert fresh(two, tmp_path / "other") != before  # the order counts
    two.write_text("c")
    os.utime(two, (1e9, 1e9))
    assert fresh(tmp_path / "other", two) != before


def test_files_one_by_one_or_in_a_list(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("a")
    file = tmp_path / "one"
    assert contents_of(file, file) == contents_of([file, str(file)]) != contents_of(file)
    assert contents_of() == contents_of([]) != contents_of(file)


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        contents_of(tmp_path / "none")
