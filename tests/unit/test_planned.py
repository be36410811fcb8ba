"""A stage fails if the user's files have changed since its run was planned."""

import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cxrflow.io import hashes, planned
from cxrflow.io.command import run_stage
from cxrflow.io.errors import UserError
from cxrflow.io.hashes import contents_of, planned_contents
from cxrflow.io.planned import refuse_changed_files, refuse_other_files

# The user's files and the flags that name them; `--page` names a folder of them.
FLAGS = {
    "split_images": "--table",
    "train_model": "--weights",
    "score_claims": "--claims",
    "index_images": "--image-list",
    "fetch_images": "--image-list",
    "assemble_report": "--page",
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a run was planned with."""
    file = tmp_path / "folder/file"
    file.parent.mkdir()
    file.write_text("as planned")
    monkeypatch.setattr(hashes, "_hashes", {})
    monkeypatch.setattr(planned, "_unread", {})  # files of other tests, which are deleted by now
    contents_of(file)
    (tmp_path / "plan.json").write_text(json.dumps({"files": planned_contents()}))
    monkeypatch.setenv("CXRFLOW_PLAN", str(tmp_path / "plan.json"))
    return file


def swapped(file: Path) -> Callable[[], None]:
    """Replace a file by another one with the same size and times; call the returned function to restore the first one."""
    times, kept = file.stat(), file.with_name("kept")
    file.rename(kept)
    file.write_text("swapped !!")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_size == times.st_size

    def restore() -> None:
        kept.rename(file)

    return restore


@pytest.mark.parametrize("stage", FLAGS)
def test_outside_problem_06_a_file_that_is_swapped_while_a_stage_reads_it(
    file: Path, stage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named = file.parent if FLAGS[stage] == "--page" else file
    monkeypatch.setattr(sys, "argv", [f"{stage}.py", FLAGS[stage], str(named)])

    def main() -> None:
        restore = swapped(file)
        restore()

    main.__module__ = f"cxrflow.stages.{stage}"
    importlib.import_module(main.__module__)
    with pytest.raises(SystemExit) as end:
        run_stage(main)
    assert end.value.code == 1
    assert capsys.readouterr().err == f"error: {file}: changed while it was read; run the same command again\n"


@pytest.mark.parametrize("change", [swapped, Path.unlink, lambda file: file.write_text("as it is now")])
def test_outside_problem_06_a_file_that_changed_before_the_stage_began(
    file: Path, change: Callable[[Path], None]
) -> None:
    change(file)
    with pytest.raises(UserError, match="folder/file: changed since this run was planned; run the same command again"):
        refuse_other_files(["--table", str(file)])


def test_outside_problem_06_files_that_are_as_planned(file: Path) -> None:
    """Under another name, the same contents are compared only if the plan contains that name."""
    refuse_other_files(["--table", str(file)])
    refuse_changed_files()
    shutil.copy2(file, file.with_name("new"))
    file.with_name("new").replace(file)  # the same bytes, put there before the stage begins
    refuse_other_files(["--table", str(file)])
    refuse_changed_files()


def test_outside_problem_06_only_files_that_the_stage_is_given(file: Path) -> None:
    swapped(file)
    refuse_other_files(["--settings", "{}", "--images", "."])
    refuse_changed_files()


def test_outside_problem_06_a_file_that_was_read_may_change_later(file: Path) -> None:
    """A training reads its initial weights at its beginning, and may then run for days."""
    refuse_other_files(["--weights", str(file)])
    refuse_changed_files()
    swapped(file)
    refuse_changed_files()
