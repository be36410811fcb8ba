"""Files that no rule makes are known by their contents."""

import os
from pathlib import Path

import pytest
from cxrflow.stage import contents
from cxrflow.stage.contents import contents_of


def fresh(*files: Path) -> str:
    """As another run of Snakemake finds it: within one, a file is read once."""
    contents._hash_of.cache_clear()
    return contents_of(*files)


def test_contents_count_not_names_nor_times(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("b")
    before = fresh(one, two)
    os.utime(one, (1e9, 1e9))
    assert fresh(one, two) == fresh(one.rename(tmp_path / "other"), two) == before
    assert fresh(two, tmp_path / "other") != before  # which is which
    two.write_text("c")
    os.utime(two, (1e9, 1e9))
    assert fresh(tmp_path / "other", two) != before


def test_files_one_by_one_or_in_a_list(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("a")
    file = tmp_path / "one"
    assert contents_of(file, file) == contents_of([file, str(file)]) != contents_of(file)
    assert contents_of() == contents_of([]) != contents_of(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        contents_of(tmp_path / "none")
