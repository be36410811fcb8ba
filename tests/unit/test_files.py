"""Files are written whole or not at all."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cxrflow.io import files
from cxrflow.io.errors import UserError
from cxrflow.io.files import (
    canonical_json,
    read_json,
    remove_abandoned,
    sha256_of_file,
    whole_file,
    write_json,
    write_table,
    write_text,
)
from cxrflow.publication.folder import whole_folder
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_disk import small_disk


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), whole_file(target) as part:
        part.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_a_successful_write_replaces_the_file(tmp_path: Path) -> None:
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


def test_outside_problem_19_a_damaged_json_file_is_reported_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    for content in (b"", b'{"a": 1', b"\xff\x00", b"[" * 100_000):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"metrics\.json: damaged.*delete it"):
            read_json(file)


WRITES = """
import sys, time
from pathlib import Path
from cxrflow.io.files import whole_file
with whole_file(Path(sys.argv[1])) as part:
    part.write_text("half")
    print(part, flush=True)
    time.sleep(60)
"""


@contextmanager
def half_written(file: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start a process that is writing a file; return it and the partial file. It is killed at the end."""
    command = [sys.executable, "-c", WRITES, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_outside_problem_27_what_a_killed_process_left_is_removed_by_the_next_writer(tmp_path: Path) -> None:
    """Any file that it writes there, but only after the process has died."""
    with half_written(tmp_path / "model.keras") as (process, part):
        assert part.parent == tmp_path and part.name.endswith("-model.keras") and part.read_text() == "half"
        write_text(tmp_path / "history.csv", "")
        assert part.exists()
        process.kill()
        process.wait()
        files._remove_abandoned_parts.cache_clear()  # as in another process
        write_text(tmp_path / "history.csv", "")
    assert [file.name for file in tmp_path.iterdir()] == ["history.csv"]


def test_outside_problem_27_other_hosts_have_a_day(tmp_path: Path) -> None:
    """It is unknown whether their processes are alive. Names without a host are from version 0.1."""
    young = [tmp_path / f".part-1-2-{rest}" for rest in ("0123abcd-model.keras", "history.csv")]
    old = [tmp_path / f".part-3-4-{rest}" for rest in ("0123abcd-model.keras", "history.csv")]
    others = [tmp_path / ".part-of-mine", tmp_path / "part-1-2-0123abcd-x"]
    for file in (*young, *old, *others):
        file.touch()
    for file in (*old, *others):
        os.utime(file, (1e9, 1e9))
    remove_abandoned(tmp_path.iterdir())
    assert sorted(tmp_path.iterdir()) == sorted([*young, *others])


def test_outside_problem_27_threads_of_one_process_leave_each_other_alone(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.txt") as part:
        part.write_text("a")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write_text, tmp_path / "b.txt", "b").result()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.txt", "b.txt"]


PUBLISHES = """
import os, signal, sys
from pathlib import Path
from cxrflow.publication.folder import whole_folder
places = iter(sys.argv[2])
replace = Path.replace
def replace_and_die(path, target):
    replace(path, target)
    if next(places) == "x":
        os.kill(os.getpid(), signal.SIGKILL)
    return target
Path.replace = replace_and_die
with whole_folder(Path(sys.argv[1])) as part:
    (part / "page.html").write_text("new")
    if next(places) == "x":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("killed", "then"), [("x", "old"), (".x", "old"), ("..x", "old"), ("...x", "new")])
def test_outside_problem_27_a_killed_publication_leaves_the_folder_and_nothing_else(
    tmp_path: Path, killed: str, then: str
) -> None:
    """Killed while the folder is filled, after its hashes, between the old folder and the new one, and after that."""
    docs = tmp_path / "docs"
    with whole_folder(docs) as part:
        (part / "page.html").write_text("old")
    done = subprocess.run([sys.executable, "-c", PUBLISHES, str(docs), killed], check=False)
    assert done.returncode == -signal.SIGKILL and len(list(tmp_path.iterdir())) == 2
    with pytest.raises(RuntimeError), whole_folder(docs):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]
    assert (docs / "page.html").read_text() == then


def by_h5py(part: Path) -> None:
    with h5py.File(part, "w") as file:
        file["x"] = np.zeros(100_000)


def by_pyarrow(part: Path) -> None:
    table = pa.table({"x": np.random.default_rng(0).random(100_000)})
    with pq.ParquetWriter(part, table.schema) as writer:
        writer.write_table(table)


NUMBERS = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
TABLE = pd.DataFrame(NUMBERS.reshape(-1, 3), columns=list("abc"))
WRITERS: dict[str, Callable[[Path], Any]] = {
    "a.txt": lambda part: part.write_text("x" * 100_000),
    "a.csv": TABLE.to_csv,
    "a.parquet": TABLE.to_parquet,
    "b.parquet": by_pyarrow,
    "a.npz": lambda part: np.savez_compressed(part, a=NUMBERS),
    "a.weights.h5": by_h5py,
    "a.png": lambda part: Image.fromarray(NUMBERS).save(part, format="PNG"),
}


def test_outside_problem_a_full_disk_is_told_with_the_files_name(tmp_path: Path) -> None:
    """With any library that writes it."""
    with small_disk(tmp_path / "small", 16):
        for name, write in WRITERS.items():
            with pytest.raises(OSError, match="No space left") as caught, whole_file(tmp_path / "small" / name) as part:
                write(part)
            assert (caught.value.filename, caught.value.errno) == (str(tmp_path / "small" / name), errno.ENOSPC)
        assert list((tmp_path / "small").iterdir()) == []


def test_outside_problem_errors_of_other_files_keep_their_names(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, whole_file(tmp_path / "a.txt") as part:
        shutil.copyfile(tmp_path / "gone.txt", part)
    assert caught.value.filename == str(tmp_path / "gone.txt")
    with pytest.raises(RuntimeError, match="something else"), whole_file(tmp_path / "a.txt"):
        raise RuntimeError("something else")
