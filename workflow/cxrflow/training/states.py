"""States of a training on disk: all that it needs to go on as if it had not been interrupted.

A state is two or three files in the folder of the training's identity:

    epoch_000012_batch_0003.npz    variables of the network (dropout's seeds among them) and of the optimizer
    best_epoch_000009_0.npz        weights behind the epoch of the lowest validation loss; states may share it, but no two
                                   in succession
    epoch_000012_batch_0003.json   of which training it is, how far that is, its history, and the hash of each file; written
                                   last

A state is there when its JSON is. Files are written beside and renamed, so that one is never half there; should the disk
damage one all the same, its hash tells, and the state before it is used.
"""

import json
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cxrflow.stage.faults import Fault
from cxrflow.stage.files import canonical_json, sha256_of_file, sha256_of_text, whole_file, write_text
from cxrflow.training.engine import Best, Progress
from cxrflow.training.randomness import backend_randomness, restore_randomness


@dataclass(frozen=True)
class State:
    """A state on disk that is whole."""

    file: Path
    """Its JSON."""
    record: Mapping[str, Any]

    @property
    def epoch(self) -> int:
        """Epochs that are whole."""
        return len(self.record["history"])

    @property
    def batches(self) -> int:
        """Training batches of the next epoch that are behind it."""
        return int(self.record["batches"])


def write_state(
    folder: Path,
    model: keras.Model,
    progress: Progress,
    rows: Sequence[str],
    timing: Mapping[str, Any],
    before: Sequence[State] = (),
    kept: bool = False,
) -> State:
    """Write a state.

    Args:
        folder: of the training's identity.
        model: network and optimizer as they are now.
        progress: how far they are.
        rows: hash of the manifest rows of each epoch that is behind or under way.
        timing: seconds so far, to be told again by the training that goes on.
        before: the two states that this training wrote, or began with, before; the newest first.
        kept: this state stays when newer ones come.

    Raises:
        OSError: the disk is full, or may not be written. States that were there before are there still.
    """
    name = f"epoch_{progress.epoch:06}_batch_{progress.batches:04}"
    files = {"variables": _write_arrays(folder / f"{name}.npz", (_array(variable) for variable in _variables(model)))}
    best = None
    if progress.best is not None:
        best = {"epoch": progress.best.epoch, "val_loss": progress.best.val_loss}
        files["best"] = _file_to_share(best, before) or _write_arrays(
            _new_file(folder, f"best_epoch_{progress.best.epoch:06}"), progress.best.weights
        )
    record = {
        "identity": folder.name,
        "history": progress.history,
        "batches": progress.batches,
        "images": progress.images,
        "sums": progress.sums,
        "best": best,
        "rows": list(rows),
        "timing": timing,
        "randomness": backend_randomness(),
        "kept": kept,
        "files": files,
    }
    file = folder / f"{name}.json"
    write_text(file, json.dumps({"sha256": _hash_of(record), **record}, indent=1, allow_nan=False) + "\n")
    return State(file, record)


def read_state(state: State, model: keras.Model) -> Progress:
    """Give a network and its optimizer the variables of a state.

    Returns:
        How far they are.
    """
    for variable, array in zip(_variables(model), _read_arrays(_file_of(state, "variables")), strict=True):
        assert array.shape == tuple(variable.shape), f"{state.file}: {variable.path}"
        variable.assign(array)
    best, record = None, state.record
    restore_randomness(record["randomness"])
    if record["best"] is not None:
        best = Best(record["best"]["epoch"], record["best"]["val_loss"], best_weights(state))
    return Progress(
        [dict(row) for row in record["history"]], state.batches, record["images"], dict(record["sums"]), best
    )


def last_weights(state: State, model: keras.Model) -> list[NDArray[Any]]:
    """The network's weights in a state, in the order of `model.get_weights()`."""
    weights = {id(weight) for weight in model.weights}
    wanted = {place for place, variable in enumerate(model.variables) if id(variable) in weights}
    return list(_read_arrays(_file_of(state, "variables"), wanted))


def best_weights(state: State) -> list[NDArray[Any]]:
    """The weights behind the best epoch of a state, in the order of `model.get_weights()`."""
    return list(_read_arrays(_file_of(state, "best")))


def find_states(folder: Path, say: Callable[[str], None] | None = None) -> list[State]:
    """The states in a folder, the furthest first; one whose JSON is damaged is told, if it was not before, and passed over.

    Raises:
        Fault: a state is one of another training, and was put there by hand.
    """
    found = []
    for file in sorted(folder.glob("epoch_*.json"), reverse=True):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            whole = record.pop("sha256") == _hash_of(record)
        except (ValueError, KeyError, AttributeError):  # what a damaged JSON may be
            whole = False
        if whole:
            _check_identity(file, record)
            found.append(State(file, record))
        elif say is not None:
            say(f"the state {file} is damaged; one before it is used")
    return found


def first_whole(states: Iterable[State], say: Callable[[str], None]) -> State | None:
    """The first of some states whose files have the bytes that they were written with; damaged ones are told."""
    for state in states:
        damaged = [part["name"] for part in state.record["files"].values() if not _is_whole(state.file.parent, part)]
        if not damaged:
            return state
        say(f"the state {state.file} is damaged ({', '.join(damaged)}); one before it is used")
    return None


def drop_states(folder: Path, keep: Sequence[State]) -> None:
    """Delete the states of a folder but for some, files that only those had, and what killed processes left half written."""
    kept = {state.file for state in keep}
    used = {_file_of(state, part) for state in keep for part in state.record["files"]}
    # The JSON first: a state that is half deleted is then none.
    for file in [*folder.glob("epoch_*.json"), *folder.glob("*.npz"), *folder.glob(".part-*")]:
        if file not in kept and file not in used:
            file.unlink(missing_ok=True)  # half-written variables are found twice


def _check_identity(file: Path, record: Mapping[str, Any]) -> None:
    # Older ones do not say whose they are.
    identity, folder = record.get("identity", file.parent.name), file.parent
    if identity != folder.name:
        raise Fault(
            f"states: {file}: a state of training {identity}, not of {folder.name}; move it and its files to "
            f"{folder.with_name(identity)}, or delete it"
        )


def _file_to_share(best: Mapping[str, Any], before: Sequence[State]) -> Any:
    """The file of the last state but one, where that has these best weights; the last one's file must not serve twice."""
    if len(before) < 2 or before[1].record["best"] != best:
        return None
    file, last = (state.record["files"]["best"] for state in reversed(before[:2]))
    return file if file != last else None


def _new_file(folder: Path, name: str) -> Path:
    """A name that no file has: a longer training's best weights stay, even where others are not the same to the last bit."""
    return next(file for place in count() if not (file := folder / f"{name}_{place}.npz").exists())


def _file_of(state: State, part: str) -> Path:
    return state.file.with_name(state.record["files"][part]["name"])


def _hash_of(record: Mapping[str, Any]) -> str:
    return sha256_of_text(canonical_json(record))


def _is_whole(folder: Path, part: Mapping[str, Any]) -> bool:
    file = folder / part["name"]
    return file.is_file() and file.stat().st_size == part["bytes"] and sha256_of_file(file) == part["sha256"]


def _variables(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def _array(variable: Any) -> NDArray[Any]:
    return np.asarray(keras.ops.convert_to_numpy(variable))


def _write_arrays(file: Path, arrays: Iterable[NDArray[Any]]) -> dict[str, Any]:
    """Write arrays one after the other, as `numpy.savez` would, without a second copy of all of them in memory."""
    with whole_file(file) as part:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for place, array in enumerate(arrays):
                with archive.open(f"{place:05}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
        return {"name": file.name, "bytes": part.stat().st_size, "sha256": sha256_of_file(part)}


def _read_arrays(file: Path, wanted: Collection[int] | None = None) -> Iterator[NDArray[Any]]:
    """The arrays of a file one after the other, or those at some places alone."""
    with np.load(file, allow_pickle=False) as arrays:
        for place, name in enumerate(sorted(arrays.files)):
            if wanted is None or place in wanted:
                yield arrays[name]
