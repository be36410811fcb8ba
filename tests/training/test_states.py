"""States on disk: damaged ones, a full disk, a folder that may not be written, other manifest rows, numbers that are none."""

import os
import shutil
import subprocess
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
from cxrflow.plan_augmentation import plan_augmentation
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import read_json
from cxrflow.training import engine, session
from cxrflow.training.claim import claimed
from cxrflow.training.engine import Best, Progress, compile_network
from cxrflow.training.states import State, drop_states, find_states, first_whole, write_state
from open_folders import open_folder
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
    """A JSON that can still be read, with another number in it."""
    text = file.read_text()
    assert '"loss": 0.' in text
    file.write_text(text.replace('"loss": 0.', '"loss": 1.', 1))


@pytest.mark.parametrize(
    ("suffix", "harm"),
    [(".npz", cut_short), (".npz", flip_a_bit), (".npz", Path.unlink), (".json", cut_short), (".json", change_a_digit)],
    ids=["npz cut", "npz bit", "npz gone", "json cut", "json digit"],
)
def test_damaged_state_is_told_and_the_one_before_it_used(
    tiny: TinyTraining, in_one_go: InOneGo, suffix: str, harm: Callable[[Path], None]
) -> None:
    for epochs in (2, 4):
        train_small(tiny, "out", "states", "--keep-states", "every", epochs=epochs)
    newest = tiny.state_folder() / f"epoch_000004_batch_0000{suffix}"
    harm(newest)
    output = train_small(tiny, "out", epochs=6)
    told = [line for line in output.splitlines() if "damaged" in line]
    assert len(told) == 1
    assert told[0].startswith(f"the state {newest.with_suffix('.json')} is damaged")
    assert told[0].endswith("one before it is used")
    assert "\ngoes on behind epoch 2\n" in output and epochs_trained(output) == [3, 4, 5, 6]
    assert tiny.results("out") == in_one_go(6)


def test_damaged_states_alone_begin_anew(tiny: TinyTraining) -> None:
    train_small(tiny, "out", epochs=2)
    before = tiny.results("out")
    (variables,) = tiny.state_folder().glob("epoch_*.npz")
    flip_a_bit(variables)
    assert epochs_trained(train_small(tiny, "out", epochs=2)) == [1, 2]
    assert tiny.results("out") == before


class BrokenOffError(Exception):
    """As a power cut would."""


def break_off(tiny: TinyTraining, steps: int, **changes: Any) -> None:
    """Train with a state behind each step, and end without a word behind so many of them."""

    def train(*arguments: Any) -> Iterator[engine.Moment]:
        left = steps
        for moment in engine.train(*arguments):
            yield moment
            left -= moment == "step"
            if left == 0:
                raise BrokenOffError

    with patch.object(session, "train", train), pytest.raises(BrokenOffError):
        train_small(tiny, "out", "states", "--save-every", "0", epochs=6, **changes)


@pytest.mark.parametrize("part", ["variables", "best"])
def test_training_under_way_has_two_states_and_goes_on_from_the_older(
    tiny: TinyTraining, in_one_go: InOneGo, part: str
) -> None:
    """Whichever file of the newer is damaged: the two share none. An epoch has four steps."""
    break_off(tiny, 10)
    folder = tiny.state_folder()
    newer, older = find_states(folder)
    assert [(state.epoch, state.batches) for state in (newer, older)] == [(2, 2), (2, 1)]
    files = [{file["name"] for file in state.record["files"].values()} for state in (newer, older)]
    assert files[0].isdisjoint(files[1])
    flip_a_bit(folder / newer.record["files"][part]["name"])
    output = train_small(tiny, "out", epochs=6)
    assert [line for line in output.splitlines() if "damaged" in line] == [
        f"the state {newer.file} is damaged ({newer.record['files'][part]['name']}); one before it is used"
    ]
    assert "\ngoes on behind epoch 2 and 1 steps\n" in output
    assert tiny.results("out") == in_one_go(6)


@pytest.mark.parametrize("changes", [{}, {"class_weights": "balanced"}], ids=["plain", "weighted"])
def test_same_bytes_where_it_goes_on_in_front_of_a_smaller_batch(tiny: TinyTraining, changes: dict[str, Any]) -> None:
    """Three steps of four images, then one of two: TensorFlow must not see that size first."""
    train_small(tiny, "once", "other states", epochs=6, **changes)
    break_off(tiny, 7, **changes)
    output = train_small(tiny, "out", epochs=6, **changes)
    assert "\ngoes on behind epoch 1 and 3 steps\n" in output
    assert tiny.results("out") == tiny.results("once")


def test_best_weights_lie_twice_and_are_never_overwritten(tmp_path: Path) -> None:
    model = small_network(SETTINGS, 0)
    compile_network(model, SETTINGS)
    best = Best(2, 0.5, [np.zeros(3, np.float32)])
    states: list[State] = []
    for batches in range(5):
        progress = Progress(batches=batches, best=best)
        states.insert(0, write_state(tmp_path, model, progress, [], NO_TIMING, states[:2]))
    names = [state.record["files"]["best"]["name"] for state in states]
    assert names[0] == names[2] == names[4] != names[1] == names[3]
    # A shorter training of the same identity that is not the same to the last bit, as a GPU's may be.
    other = replace(best, weights=[np.ones(3, np.float32)])
    states.append(write_state(tmp_path, model, Progress(batches=9, best=other), [], NO_TIMING))
    assert [first_whole([state], pytest.fail) for state in states] == states


def test_state_of_another_training_is_told_and_stays(tiny: TinyTraining, in_one_go: InOneGo) -> None:
    train_small(tiny, "out", epochs=2)
    train_small(tiny, "other", "other states", epochs=4, learning_rate=1e-2)
    folder, others = tiny.state_folder(), tiny.state_folder("other states")
    for file in others.glob("*_*"):
        shutil.copy(file, folder)
    stray = folder / "epoch_000004_batch_0000.json"
    before = {file: file.read_bytes() for file in folder.glob("*_*")}
    with pytest.raises(Fault) as told:
        train_small(tiny, "out", epochs=6)
    assert told.value.messages == [
        f"states: {stray}: a state of training {others.name}, not of {folder.name}; move it and its files to "
        f"{folder.with_name(others.name)}, or delete it"
    ]
    assert {file: file.read_bytes() for file in folder.glob("*_*")} == before
    stray.unlink()
    assert epochs_trained(train_small(tiny, "out", epochs=6)) == [3, 4, 5, 6]
    assert tiny.results("out") == in_one_go(6)


def test_state_that_takes_long_to_write_is_written_less_often(tiny: TinyTraining) -> None:
    """By a clock on which steps and states take ten seconds each, no more than a fortieth of the time goes into states."""
    now = 0.0
    written: list[float] = []

    def train(*arguments: Any) -> Iterator[engine.Moment]:
        nonlocal now
        for moment in engine.train(*arguments):
            now += 10
            yield moment

    def write(*arguments: Any) -> State:
        nonlocal now
        now += 10
        written.append(now)
        return write_state(*arguments)

    with (
        small_networks(),
        patch.object(session, "train", train),
        patch.object(session, "write_state", write),
        patch.object(session, "time", SimpleNamespace(monotonic=lambda: now)),
    ):
        train_here(tiny, "out", epochs=14)
    assert len(written) == 4  # the last one at the end
    assert 60 <= written[0] < 100
    assert all(400 <= later - earlier < 450 for earlier, later in pairwise(written[:3]))
    timing = pd.read_csv(tiny.folder / "out/timing.csv")
    assert timing["saving"].sum() == 30 and timing["saving"].sum() / timing["seconds"].sum() < 0.03
    assert read_json(tiny.state_folder() / "epoch_000014_batch_0000.json")["timing"]["epochs"][-1]["epoch"] == 14


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[None]:
    """A file system of that size."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def test_full_disk_is_told_and_the_states_that_were_there_stay(tiny: TinyTraining, in_one_go: InOneGo) -> None:
    with small_disk(tiny.folder / "states", 400):
        train_small(tiny, "out", epochs=2)
        folder = tiny.state_folder()
        states = {file: file.read_bytes() for file in folder.glob("*_*")}
        filler = tiny.folder / "states/filler"
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        filler.write_bytes(bytes(free - 12 * 1024))  # room for the claim and the history, not for a state
        with pytest.raises(Fault) as told:
            train_small(tiny, "out", epochs=4)
        assert told.value.messages == [
            f"states: {folder}: No space left on device; the state of epoch 2 is kept; "
            "make room or mend it, then give the same command again"
        ]
        assert {file: file.read_bytes() for file in folder.glob("*_*")} == states
        assert list(folder.glob(".part-*")) == []
        filler.unlink()
        assert epochs_trained(train_small(tiny, "out", epochs=4)) == [3, 4]
    assert tiny.results("out") == in_one_go(4)


def test_full_disk_before_anything_is_written_is_told(tiny: TinyTraining) -> None:
    with small_disk(tiny.folder / "states", 64):
        (tiny.folder / "states/filler").write_bytes(bytes(os.statvfs(tiny.folder / "states").f_bavail * 4096 - 4096))
        with pytest.raises(Fault, match=r"states: .*: No space left on device; .*room"):
            train_small(tiny, "out", epochs=1)


@pytest.mark.parametrize("kilobytes", [12, 52])
def test_full_disk_where_results_are_written_is_told_and_nothing_is_trained_again(
    tiny: TinyTraining, in_one_go: InOneGo, kilobytes: int
) -> None:
    """Too small for model.keras; or for model.weights.h5, of which HDF5 tells in its own way."""
    with small_disk(tiny.folder / "out", kilobytes):
        with pytest.raises(Fault) as told:
            train_small(tiny, "out", epochs=2)
        assert told.value.messages == [
            f"{tiny.folder / 'out'}: No space left on device; make room or mend it, then give the same command again: "
            f"what was trained is kept in {tiny.state_folder()}"
        ]
        assert list((tiny.folder / "out").glob(".part-*")) == []
    assert epochs_trained(train_small(tiny, "out", epochs=2)) == []
    assert tiny.results("out") == in_one_go(2)


@contextmanager
def without_permission(folder: Path) -> Iterator[None]:
    """A folder that this process may read and not write."""
    folder.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:  # whom no mode keeps out
            os.seteuid(NOBODY)
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


@pytest.fixture
def states() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def test_no_permission_to_claim_is_told(states: Path) -> None:
    with (
        without_permission(states),
        pytest.raises(Fault, match=r"states: .*: Permission denied; it must be a folder that may be written"),
        claimed(states / "a training", print),
    ):
        pass
    assert list(states.iterdir()) == []


def test_no_permission_to_write_a_state_leaves_those_that_are_there(states: Path) -> None:
    model = small_network(SETTINGS, 0)
    compile_network(model, SETTINGS)
    write_state(states, model, Progress(), [], NO_TIMING)
    before = {file: file.read_bytes() for file in states.iterdir()}
    with without_permission(states), pytest.raises(PermissionError, match="epoch_000000_batch_0001"):
        write_state(states, model, Progress(batches=1), [], NO_TIMING)
    assert {file: file.read_bytes() for file in states.iterdir()} == before


def test_state_of_other_manifest_rows_is_told_and_not_used(tiny: TinyTraining) -> None:
    """The first epoch is the same, as that is part of the identity; the third is another."""
    train_small(tiny, "out", "states", "--keep-states", "every", epochs=2)
    train_small(tiny, "out", "states", "--keep-states", "every", epochs=4)
    split = pd.read_csv(tiny.folder / "split.csv")
    (tiny.folder / "manifest.parquet").unlink()
    planned = list(plan_augmentation(split, 0, EPOCHS, RANGES, "study"))
    planned[2].loc[3, "channel_shift"] += 1
    write_manifest(tiny.folder / "manifest.parquet", planned)
    output = train_small(tiny, "out", epochs=4)
    assert len(list((tiny.folder / "states").iterdir())) == 1
    assert "epoch_000004_batch_0000.json was made with other manifest rows in epoch 3; it is not used" in output
    assert "\ngoes on behind epoch 2\n" in output
    train_small(tiny, "once", "other states", epochs=4)
    assert tiny.results("out") == tiny.results("once")


def test_a_loss_that_is_no_number_is_told_and_the_state_before_it_stays(tiny: TinyTraining, in_one_go: InOneGo) -> None:
    train_small(tiny, "out", epochs=2)
    states = {file: file.read_bytes() for file in tiny.state_folder().glob("*_*")}
    third = pd.concat(plan_augmentation(pd.read_csv(tiny.folder / "split.csv"), 0, 3, RANGES, "study"))
    third = third[(third["epoch"] == 3) & (third["subset"] == "training")]
    with (
        patch.object(engine, "learning_rate_of", lambda *_: float("nan")),
        pytest.raises(Fault, match="epoch 3, step 2: the training loss is nan") as told,
    ):
        train_small(tiny, "out", epochs=4)
    (message,) = told.value.messages
    assert f"the training rows 4 to 7 of the manifest ({', '.join(third['image'].iloc[4:8])})" in message
    assert {file: file.read_bytes() for file in tiny.state_folder().glob("*_*")} == states
    train_small(tiny, "out", epochs=4)
    assert tiny.results("out") == in_one_go(4)


def test_what_killed_processes_left_is_deleted_with_old_states(tmp_path: Path) -> None:
    left = ["epoch_000003_batch_0000.json", "best_epoch_000002.npz", ".part-7-epoch_000001.npz", ".part-7-history.csv"]
    for name in [*left, "history.csv", "claim.lock", "claim.json"]:
        (tmp_path / name).touch()
    drop_states(tmp_path, [])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["claim.json", "claim.lock", "history.csv"]
