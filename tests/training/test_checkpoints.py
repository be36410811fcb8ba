"""Checkpoints on disk: damaged ones, a full disk, a read-only folder, other manifest rows, losses that are NaN."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from cxrflow.augmentation.manifest import write_manifest
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json
from cxrflow.io.words import joined
from cxrflow.stages.plan_augmentation import plan_augmentation
from cxrflow.training import engine, session
from cxrflow.training.checkpoints import Checkpoint, drop_checkpoints, find_checkpoints, first_whole, write_checkpoint
from cxrflow.training.engine import Best, Progress, compile_network
from cxrflow.training.lock import lock_folder
from damage import damaged_forms
from open_folders import open_folder
from small_disk import small_disk
from small_training import epochs_trained, small_network, small_networks, train_here, train_small
from tiny_training import EPOCHS, RANGES, SETTINGS, TinyTraining

NOBODY = 65534
NO_TIMING: dict[str, Any] = {"epochs": [], "seconds": 0.0, "saving": 0.0}
InOneGo = Callable[[int], dict[str, bytes]]


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def change_a_digit(file: Path) -> None:
    """Change a number in a JSON file, which stays readable."""
    text = file.read_text()
    assert '"loss": 0.' in text
    file.write_text(text.replace('"loss": 0.', '"loss": 1.', 1))


@pytest.mark.parametrize(
    ("suffix", "harm"),
    [
        pytest.param(".npz", cut_short, id="npz cut", marks=pytest.mark.slow),
        pytest.param(".npz", flip_a_bit, id="npz bit"),
        pytest.param(".npz", Path.unlink, id="npz gone", marks=pytest.mark.slow),
        pytest.param(".json", cut_short, id="json cut", marks=pytest.mark.slow),
        pytest.param(".json", change_a_digit, id="json digit"),
    ],
)
def test_damaged_checkpoint_is_reported_and_the_previous_one_used(
    tiny: TinyTraining, in_one_go: InOneGo, suffix: str, harm: Callable[[Path], None]
) -> None:
    for epochs in (2, 4):
        train_small(tiny, "out", "checkpoints", "--keep-checkpoints", "every", epochs=epochs)
    newest = tiny.checkpoint_folder() / f"epoch_000004_batch_0000{suffix}"
    harm(newest)
    output = train_small(tiny, "out", epochs=6)
    reported = [line for line in output.splitlines() if "damaged" in line]
    assert len(reported) == 1
    assert reported[0].startswith(f"checkpoint {newest.with_suffix('.json')} is damaged")
    assert reported[0].endswith("an earlier one is used")
    assert "\nresumes after epoch 2\n" in output and epochs_trained(output) == [3, 4, 5, 6]
    assert tiny.results("out") == in_one_go(6)


def test_an_invalid_record_of_a_checkpoint_is_ignored(tmp_path: Path) -> None:
    model, said = small_network(SETTINGS, 0), list[str]()
    compile_network(model, SETTINGS)
    checkpoints = [
        write_checkpoint(tmp_path, model, Progress([{"epoch": 1.0}] * epoch), [], NO_TIMING) for epoch in (1, 2)
    ]
    for content in damaged_forms(checkpoints[1].file.read_bytes()):
        checkpoints[1].file.write_bytes(content)
        assert [checkpoint.file for checkpoint in find_checkpoints(tmp_path, said.append)] == [checkpoints[0].file]
        assert said.pop() == f"checkpoint {checkpoints[1].file} is damaged; an earlier one is used"


@pytest.mark.slow
def test_with_only_damaged_checkpoints_training_starts_over(tiny: TinyTraining) -> None:
    train_small(tiny, "out", epochs=2)
    before = tiny.results("out")
    (variables,) = tiny.checkpoint_folder().glob("epoch_*.npz")
    flip_a_bit(variables)
    assert epochs_trained(train_small(tiny, "out", epochs=2)) == [1, 2]
    assert tiny.results("out") == before


class BrokenOffError(Exception):
    """Simulates a power cut."""


def break_off(tiny: TinyTraining, steps: int, **changes: Any) -> None:
    """Train with a checkpoint after each step, and stop abruptly after `steps` steps."""

    def train(*arguments: Any) -> Iterator[engine.Moment]:
        left = steps
        for moment in engine.train(*arguments):
            yield moment
            left -= moment == "step"
            if left == 0:
                raise BrokenOffError

    with patch.object(session, "train", train), pytest.raises(BrokenOffError):
        train_small(tiny, "out", "checkpoints", "--save-every", "0", epochs=6, **changes)


@pytest.mark.parametrize("part", ["variables", "best"])
@pytest.mark.slow
def test_a_running_training_has_two_checkpoints_and_resumes_from_the_older(
    tiny: TinyTraining, in_one_go: InOneGo, part: str
) -> None:
    """Whichever file of the newer one is damaged, since they share no file. An epoch has four steps."""
    break_off(tiny, 10)
    folder = tiny.checkpoint_folder()
    newer, older = find_checkpoints(folder)
    assert [(checkpoint.epoch, checkpoint.batches) for checkpoint in (newer, older)] == [(2, 2), (2, 1)]
    files = [{file["name"] for file in checkpoint.record["files"].values()} for checkpoint in (newer, older)]
    assert files[0].isdisjoint(files[1])
    flip_a_bit(folder / newer.record["files"][part]["name"])
    output = train_small(tiny, "out", epochs=6)
    assert [line for line in output.splitlines() if "damaged" in line] == [
        f"checkpoint {newer.file} is damaged ({newer.record['files'][part]['name']}); an earlier one is used"
    ]
    assert "\nresumes after epoch 2, step 1 of epoch 3\n" in output
    assert tiny.results("out") == in_one_go(6)


EXPONENTIAL = {"kind": "exponential", "factor": 0.5, "steps": 3, "staircase": False}


@pytest.mark.parametrize(
    "changes",
    [{}, {"class_weights": "balanced"}, {"schedule": EXPONENTIAL, "optimizer": "rmsprop", "momentum": 0.5}],
    ids=["plain", "weighted", "exponential"],
)
@pytest.mark.slow
def test_same_bytes_when_it_resumes_before_a_smaller_batch(tiny: TinyTraining, changes: dict[str, Any]) -> None:
    """Three steps of four images, then one of two: TensorFlow must not get that size first."""
    train_small(tiny, "once", "other checkpoints", epochs=6, **changes)
    break_off(tiny, 7, **changes)
    output = train_small(tiny, "out", epochs=6, **changes)
    assert "\nresumes after epoch 1, step 3 of epoch 2\n" in output
    assert tiny.results("out") == tiny.results("once")


def test_best_weights_are_saved_twice_and_never_overwritten(tmp_path: Path) -> None:
    model = small_network(SETTINGS, 0)
    compile_network(model, SETTINGS)
    best = Best(2, 0.5, [np.zeros(3, np.float32)])
    checkpoints: list[Checkpoint] = []
    for batches in range(5):
        progress = Progress(batches=batches, best=best)
        checkpoints.insert(0, write_checkpoint(tmp_path, model, progress, [], NO_TIMING, checkpoints[:2]))
    names = [checkpoint.record["files"]["best"]["name"] for checkpoint in checkpoints]
    assert names[0] == names[2] == names[4] != names[1] == names[3]
    # A shorter training of the same identity that differs in the last bit, as on a GPU.
    other = replace(best, weights=[np.ones(3, np.float32)])
    checkpoints.append(write_checkpoint(tmp_path, model, Progress(batches=9, best=other), [], NO_TIMING))
    assert [first_whole([checkpoint], pytest.fail) for checkpoint in checkpoints] == checkpoints


@pytest.mark.slow
def test_checkpoint_of_another_training_is_reported_and_stays(tiny: TinyTraining, in_one_go: InOneGo) -> None:
    train_small(tiny, "out", epochs=2)
    train_small(tiny, "other", "other checkpoints", epochs=4, learning_rate=1e-2)
    folder, others = tiny.checkpoint_folder(), tiny.checkpoint_folder("other checkpoints")
    for file in others.glob("*_*"):
        shutil.copy(file, folder)
    stray = folder / "epoch_000004_batch_0000.json"
    names = joined([stray.name, *(part["name"] for part in read_json(stray)["files"].values())])
    before = {file: file.read_bytes() for file in folder.glob("*_*")}
    with pytest.raises(UserError) as raised:
        train_small(tiny, "out", epochs=6)
    assert raised.value.messages == [
        f"checkpoints: {stray}: belongs to training {others.name}, not to {folder.name}; move {names} to "
        f"{folder.with_name(others.name)}, or delete {stray.name}"
    ]
    assert {file: file.read_bytes() for file in folder.glob("*_*")} == before
    stray.unlink()
    assert epochs_trained(train_small(tiny, "out", epochs=6)) == [3, 4, 5, 6]
    assert tiny.results("out") == in_one_go(6)


def test_checkpoint_that_takes_long_to_write_is_written_less_often(tiny: TinyTraining) -> None:
    """If steps and checkpoints take ten seconds each, no more than a fortieth of the time goes into checkpoints."""
    now = 0.0
    written: list[float] = []

    def train(*arguments: Any) -> Iterator[engine.Moment]:
        nonlocal now
        for moment in engine.train(*arguments):
            now += 10
            yield moment

    def write(*arguments: Any) -> Checkpoint:
        nonlocal now
        now += 10
        written.append(now)
        return write_checkpoint(*arguments)

    with (
        small_networks(),
        patch.object(session, "train", train),
        patch.object(session, "write_checkpoint", write),
        patch.object(session, "time", SimpleNamespace(monotonic=lambda: now)),
    ):
        train_here(tiny, "out", epochs=14)
    assert len(written) == 4  # the last one at the end
    assert 60 <= written[0] < 100
    assert all(400 <= later - earlier < 450 for earlier, later in pairwise(written[:3]))
    timing = pd.read_csv(tiny.folder / "out/timing.csv")
    assert timing["saving"].sum() == 30 and timing["saving"].sum() / timing["seconds"].sum() < 0.03
    assert read_json(tiny.checkpoint_folder() / "epoch_000014_batch_0000.json")["timing"]["epochs"][-1]["epoch"] == 14


@pytest.mark.slow
def test_full_disk_is_reported_and_existing_checkpoints_stay(tiny: TinyTraining, in_one_go: InOneGo) -> None:
    with small_disk(tiny.folder / "checkpoints", 400):
        train_small(tiny, "out", epochs=2)
        folder = tiny.checkpoint_folder()
        checkpoints = {file: file.read_bytes() for file in folder.glob("*_*")}
        filler = tiny.folder / "checkpoints/filler"
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        filler.write_bytes(bytes(free - 12 * 1024))  # room for the lock and the history, but not for a checkpoint
        with pytest.raises(UserError) as raised:
            train_small(tiny, "out", epochs=4)
        assert raised.value.messages == [
            f"cannot write a checkpoint to {folder}: No space left on device (the checkpoint of epoch 2 is kept); "
            "free disk space or make the folder writable, then run the same command again"
        ]
        assert {file: file.read_bytes() for file in folder.glob("*_*")} == checkpoints
        assert list(folder.glob(".part-*")) == []
        filler.unlink()
        assert epochs_trained(train_small(tiny, "out", epochs=4)) == [3, 4]
    assert tiny.results("out") == in_one_go(4)


def test_full_disk_before_anything_is_written_is_reported(tiny: TinyTraining) -> None:
    with small_disk(tiny.folder / "checkpoints", 64):
        (tiny.folder / "checkpoints/filler").write_bytes(
            bytes(os.statvfs(tiny.folder / "checkpoints").f_bavail * 4096 - 4096)
        )
        with pytest.raises(UserError, match=r"cannot write .*: No space left on device; free disk space"):
            train_small(tiny, "out", epochs=1)


@pytest.mark.parametrize(("kilobytes", "file"), [(12, "model.keras"), (52, "model.weights.h5")])
@pytest.mark.slow
def test_full_disk_where_results_are_written_is_reported_and_nothing_is_trained_again(
    tiny: TinyTraining, in_one_go: InOneGo, kilobytes: int, file: str
) -> None:
    """Too small for model.keras, or for model.weights.h5, which HDF5 reports in its own way."""
    with small_disk(tiny.folder / "out", kilobytes):
        with pytest.raises(UserError) as raised:
            train_small(tiny, "out", epochs=2)
        assert raised.value.messages == [
            f"cannot write {tiny.folder / 'out' / file}: No space left on device; free disk space or make the folder "
            f"writable, then run the same command again (the training is kept in {tiny.checkpoint_folder()})"
        ]
        assert list((tiny.folder / "out").glob(".part-*")) == []
    assert epochs_trained(train_small(tiny, "out", epochs=2)) == []
    assert tiny.results("out") == in_one_go(2)


@contextmanager
def without_permission(folder: Path) -> Iterator[None]:
    """A folder that this process may read but not write."""
    folder.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:  # permissions do not restrict root
            os.seteuid(NOBODY)
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


@pytest.fixture
def checkpoints() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def test_no_permission_to_lock_is_reported(checkpoints: Path) -> None:
    with (
        without_permission(checkpoints),
        pytest.raises(UserError, match=r"checkpoints: .*: Permission denied; choose a writable folder"),
        lock_folder(checkpoints / "a training", print),
    ):
        pass
    assert list(checkpoints.iterdir()) == []


def test_no_permission_to_write_a_checkpoint_leaves_existing_ones(checkpoints: Path) -> None:
    model = small_network(SETTINGS, 0)
    compile_network(model, SETTINGS)
    write_checkpoint(checkpoints, model, Progress(), [], NO_TIMING)
    before = {file: file.read_bytes() for file in checkpoints.iterdir()}
    with without_permission(checkpoints), pytest.raises(PermissionError, match="epoch_000000_batch_0001"):
        write_checkpoint(checkpoints, model, Progress(batches=1), [], NO_TIMING)
    assert {file: file.read_bytes() for file in checkpoints.iterdir()} == before


@pytest.mark.slow
def test_checkpoint_of_other_manifest_rows_is_reported_and_not_used(tiny: TinyTraining) -> None:
    """The first epoch is the same, since it is part of the identity; the third one differs."""
    train_small(tiny, "out", "checkpoints", "--keep-checkpoints", "every", epochs=2)
    train_small(tiny, "out", "checkpoints", "--keep-checkpoints", "every", epochs=4)
    split = pd.read_csv(tiny.folder / "split.csv")
    (tiny.folder / "manifest.parquet").unlink()
    planned = list(plan_augmentation(split, 0, EPOCHS, RANGES, "study"))
    planned[2].loc[3, "channel_shift"] += 1
    write_manifest(tiny.folder / "manifest.parquet", planned)
    output = train_small(tiny, "out", epochs=4)
    assert len(list((tiny.folder / "checkpoints").iterdir())) == 1
    assert (
        "epoch_000004_batch_0000.json is not used: the augmentation of epoch 3 has changed since it was written"
        in output
    )
    assert "\nresumes after epoch 2\n" in output
    train_small(tiny, "once", "other checkpoints", epochs=4)
    assert tiny.results("out") == tiny.results("once")


def test_a_loss_that_is_not_a_number_is_reported_and_the_previous_checkpoint_stays(
    tiny: TinyTraining, in_one_go: InOneGo
) -> None:
    train_small(tiny, "out", epochs=2)
    checkpoints = {file: file.read_bytes() for file in tiny.checkpoint_folder().glob("*_*")}
    third = pd.concat(plan_augmentation(pd.read_csv(tiny.folder / "split.csv"), 0, 3, RANGES, "study"))
    third = third[(third["epoch"] == 3) & (third["subset"] == "training")]
    with (
        patch.object(engine, "learning_rate_of", lambda *_: float("nan")),
        pytest.raises(UserError, match="epoch 3, step 2: the training loss is nan") as raised,
    ):
        train_small(tiny, "out", epochs=4)
    (message,) = raised.value.messages
    assert f"the training rows 4 to 7 of the manifest ({', '.join(third['image'].iloc[4:8])})" in message
    assert {file: file.read_bytes() for file in tiny.checkpoint_folder().glob("*_*")} == checkpoints
    train_small(tiny, "out", epochs=4)
    assert tiny.results("out") == in_one_go(4)


def test_leftovers_of_killed_processes_are_deleted_with_old_checkpoints(tmp_path: Path) -> None:
    left = ["epoch_000003_batch_0000.json", "best_epoch_000002.npz", ".part-7-epoch_000001.npz", ".part-7-history.csv"]
    for name in [*left, "history.csv", "in_use.lock", "in_use.json"]:
        (tmp_path / name).touch()
    drop_checkpoints(tmp_path, [])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["history.csv", "in_use.json", "in_use.lock"]
