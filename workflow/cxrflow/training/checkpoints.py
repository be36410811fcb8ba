"""Checkpoints on disk: everything a training needs to resume as if it had not been interrupted.

A checkpoint is two or three files in the folder of the training's identity:

    epoch_000012_batch_0003.npz    variables of the network (including the seeds of dropout) and of the optimizer
    best_epoch_000009_0.npz        weights after the epoch with the lowest validation loss; checkpoints may share this file, but
                                   never two consecutive ones
    epoch_000012_batch_0003.json   identity and progress of the training, its history, and a hash of each file; written last

A checkpoint exists once its JSON exists. Files are written under another name and renamed, so no file is incomplete. A file
that the disk has damaged is detected by its hash, and the previous checkpoint is used.
"""

import json
import sys
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cxrflow.io.errors import UserError
from cxrflow.io.files import canonical_json, sha256_of_file, sha256_of_text, whole_file, write_text
from cxrflow.io.words import joined
from cxrflow.training.engine import Best, Progress


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk whose JSON is intact."""

    file: Path
    """The JSON file."""
    record: Mapping[str, Any]

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.record["history"])

    @property
    def batches(self) -> int:
        """Number of finished training batches of the next epoch."""
        return int(self.record["batches"])


def write_checkpoint(
    folder: Path,
    model: keras.Model,
    progress: Progress,
    rows: Sequence[str],
    timing: Mapping[str, Any],
    before: Sequence[Checkpoint] = (),
    kept: bool = False,
) -> Checkpoint:
    """Write a checkpoint.

    Args:
        folder: checkpoint folder of the training.
        model: network and optimizer.
        progress: progress of the training.
        rows: hash of the manifest rows of each epoch up to the current one.
        timing: seconds so far, for the training that resumes from this checkpoint.
        before: the last two checkpoints that this process wrote or resumed from, the newest first.
        kept: keep this checkpoint when newer ones are written.

    Raises:
        OSError: the disk is full or read-only. Existing checkpoints are not affected.
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
        "randomness": _backend_randomness(),
        "kept": kept,
        "files": files,
    }
    file = folder / f"{name}.json"
    write_text(file, json.dumps({"sha256": _hash_of(record), **record}, indent=1, allow_nan=False) + "\n")
    return Checkpoint(file, record)


def read_checkpoint(checkpoint: Checkpoint, model: keras.Model) -> Progress:
    """Set the variables of a network and its optimizer to those of a checkpoint.

    Returns:
        The progress of the training.
    """
    for variable, array in zip(_variables(model), _read_arrays(_file_of(checkpoint, "variables")), strict=True):
        assert array.shape == tuple(variable.shape), f"{checkpoint.file}: {variable.path}"
        variable.assign(array)
    best, record = None, checkpoint.record
    _restore_backend_randomness(record["randomness"])
    if record["best"] is not None:
        best = Best(record["best"]["epoch"], record["best"]["val_loss"], best_weights(checkpoint))
    return Progress(
        [dict(row) for row in record["history"]], checkpoint.batches, record["images"], dict(record["sums"]), best
    )


def last_weights(checkpoint: Checkpoint, model: keras.Model) -> list[NDArray[Any]]:
    """Read the network's weights from a checkpoint, in the order of `model.get_weights()`."""
    weights = {id(weight) for weight in model.weights}
    places = {place for place, variable in enumerate(model.variables) if id(variable) in weights}
    return list(_read_arrays(_file_of(checkpoint, "variables"), places))


def best_weights(checkpoint: Checkpoint) -> list[NDArray[Any]]:
    """Read the weights after the best epoch from a checkpoint, in the order of `model.get_weights()`."""
    return list(_read_arrays(_file_of(checkpoint, "best")))


def find_checkpoints(folder: Path, say: Callable[[str], None] | None = None) -> list[Checkpoint]:
    """Find the checkpoints in a folder, the latest first; those with a damaged JSON are reported with `say` and skipped.

    Raises:
        UserError: a checkpoint belongs to another training (someone has copied it there).
    """
    found = []
    for file in sorted(folder.glob("epoch_*.json"), reverse=True):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            whole = record.pop("sha256") == _hash_of(record)
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):  # raised for damaged JSON
            whole = False
        if whole:
            _check_identity(file, record)
            found.append(Checkpoint(file, record))
        elif say is not None:
            say(f"checkpoint {file} is damaged; an earlier one is used")
    return found


def first_whole(checkpoints: Iterable[Checkpoint], say: Callable[[str], None]) -> Checkpoint | None:
    """Return the first checkpoint whose files match their hashes; damaged ones are reported with `say`."""
    for checkpoint in checkpoints:
        damaged = [
            part["name"] for part in checkpoint.record["files"].values() if not _is_whole(checkpoint.file.parent, part)
        ]
        if not damaged:
            return checkpoint
        say(f"checkpoint {checkpoint.file} is damaged ({', '.join(damaged)}); an earlier one is used")
    return None


def drop_checkpoints(folder: Path, keep: Sequence[Checkpoint]) -> None:
    """Delete all checkpoints of a folder except `keep`, and the incomplete files of killed processes."""
    kept = {checkpoint.file for checkpoint in keep}
    used = {_file_of(checkpoint, part) for checkpoint in keep for part in checkpoint.record["files"]}
    # The JSON first: a partly deleted checkpoint then no longer counts as one.
    for file in [*folder.glob("epoch_*.json"), *folder.glob("*.npz"), *folder.glob(".part-*")]:
        if file not in kept and file not in used:
            file.unlink(missing_ok=True)  # incomplete .npz files match two patterns


def _check_identity(file: Path, record: Mapping[str, Any]) -> None:
    # Old checkpoints have no identity.
    identity, folder = record.get("identity", file.parent.name), file.parent
    if identity != folder.name:
        files = [file.name, *(part["name"] for part in record["files"].values())]
        raise UserError(
            f"checkpoints: {file}: belongs to training {identity}, not to {folder.name}; move {joined(files)} to "
            f"{folder.with_name(identity)}, or delete {file.name}"
        )


def _file_to_share(best: Mapping[str, Any], before: Sequence[Checkpoint]) -> Any:
    """Return the file of the last checkpoint but one if it has these best weights; consecutive ones must not share a file."""
    if len(before) < 2 or before[1].record["best"] != best:
        return None
    file, last = (checkpoint.record["files"]["best"] for checkpoint in reversed(before[:2]))
    return file if file != last else None


def _new_file(folder: Path, name: str) -> Path:
    """Choose an unused name, so that the best weights of a longer training are not overwritten with slightly different ones."""
    return next(file for place in count() if not (file := folder / f"{name}_{place}.npz").exists())


def _file_of(checkpoint: Checkpoint, part: str) -> Path:
    return checkpoint.file.with_name(checkpoint.record["files"][part]["name"])


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
    """Write arrays one by one in the format of `numpy.savez`, without a copy of all of them in memory."""
    with whole_file(file) as part:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for place, array in enumerate(arrays):
                with archive.open(f"{place:05}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
        return {"name": file.name, "bytes": part.stat().st_size, "sha256": sha256_of_file(part)}


def _read_arrays(file: Path, places: Collection[int] | None = None) -> Iterator[NDArray[Any]]:
    """Yield the arrays of a file, or only those at some places."""
    with np.load(file, allow_pickle=False) as arrays:
        for place, name in enumerate(sorted(arrays.files)):
            if places is None or place in places:
                yield arrays[name]


def _backend_randomness() -> str | None:
    """Read the random generators of the backend, in hexadecimal; None if training does not use them.

    Keras' dropout uses PyTorch's generators. With TensorFlow, it uses variables of the network.
    """
    if keras.backend.backend() != "torch":
        return None
    torch = sys.modules["torch"]
    generators = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return " ".join(generator.numpy().tobytes().hex() for generator in generators)


def _restore_backend_randomness(written: str | None) -> None:
    """Set the random generators of the backend to what `_backend_randomness` returned."""
    if written is None:
        return
    import torch

    generators = [torch.from_numpy(np.frombuffer(bytes.fromhex(part), np.uint8).copy()) for part in written.split(" ")]
    torch.set_rng_state(generators[0])
    torch.cuda.set_rng_state_all(generators[1 : 1 + torch.cuda.device_count()])
