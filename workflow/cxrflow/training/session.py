"""Run a training with checkpoints: where it resumes, when it saves, and which checkpoints it keeps."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from cxrflow.io.errors import UserError
from cxrflow.training.batches import batches_per_pass, images_per_pass
from cxrflow.training.checkpoints import (
    Checkpoint,
    drop_checkpoints,
    find_checkpoints,
    first_whole,
    read_checkpoint,
    write_checkpoint,
)
from cxrflow.training.early_stopping import epoch_of_stopping
from cxrflow.training.engine import Progress, TrainingData, train
from cxrflow.training.identity import rows_hash
from cxrflow.training.progress import Rows
from cxrflow.training.signals import Stopped, catch_signals

Say = Callable[[str], None]
Manifest = Callable[[int], pd.DataFrame]

KEEP_CHECKPOINTS = ("longest", "every", "none")
# The latest checkpoint and the one before it, in case the latest is damaged.
LATEST_KEPT = 2
# The share of the time that saving may take: slow checkpoints are written less often than every `save_every` seconds.
SHARE_OF_SAVING = 0.025


@dataclass(frozen=True)
class Saving:
    """When a training writes checkpoints, and which of them it keeps."""

    every: float
    """Seconds between two checkpoints."""
    kept_epochs: Collection[int | None] = ()
    """Epochs whose checkpoint is kept; the last one is always kept."""


@dataclass
class Timing:
    """Seconds by epoch, over all processes that ran a training."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    """Rows of epoch, seconds, saving (the part of these seconds spent on checkpoints), images_per_second (training)."""
    seconds: float = 0.0
    """Seconds of the current epoch."""
    saving: float = 0.0
    """Seconds of the current epoch that were spent on checkpoints."""

    def end_epoch(self, epoch: int, images: int) -> None:
        """Add the row of an epoch that has used this number of training images."""
        self.epochs.append(
            {
                "epoch": epoch,
                "seconds": round(self.seconds, 3),
                "saving": round(self.saving, 3),
                "images_per_second": round(images / self.seconds, 2),
            }
        )
        self.seconds = self.saving = 0.0


def latest_checkpoint(folder: Path, manifest: Manifest, epochs: int, say: Say) -> Checkpoint | None:
    """Find the checkpoint to resume from: the latest intact one with the same manifest rows and at most `epochs` epochs.

    Args:
        folder: checkpoint folder of the training.
        manifest: epoch to its manifest rows.
        epochs: number of epochs to train.
        say: called with the reason for each checkpoint that cannot be used.
    """
    checkpoints = _with_same_rows(find_checkpoints(folder, say), manifest, epochs, say)
    checkpoint = first_whole((checkpoint for checkpoint in checkpoints if _position(checkpoint) <= (epochs, 0)), say)
    if checkpoint is None and checkpoints:
        say(
            f"no usable checkpoint at or before epoch {epochs} was kept (the earliest was written "
            f"{position_text(checkpoints[-1])}), so the {epochs} epochs are trained again; to keep such checkpoints in future, "
            "set `keep_checkpoints: every`"
        )
    return checkpoint


def _with_same_rows(checkpoints: Sequence[Checkpoint], manifest: Manifest, epochs: int, say: Say) -> list[Checkpoint]:
    hash_of = cache(lambda epoch: rows_hash(manifest(epoch)))
    fitting = []
    for checkpoint in checkpoints:
        # The manifest may be shorter than the checkpoint: a longer manifest starts with the rows of a shorter one.
        recorded = enumerate(checkpoint.record["rows"][:epochs], start=1)
        differing = next((epoch for epoch, digest in recorded if digest != hash_of(epoch)), None)
        if differing is None:
            fitting.append(checkpoint)
        else:
            say(
                f"checkpoint {checkpoint.file} is not used: the augmentation of epoch {differing} has changed since it was "
                "written"
            )
    return fitting


def is_finished(checkpoint: Checkpoint, epochs: int, settings: Mapping[str, Any]) -> bool:
    """Whether a training has nothing left to do after a checkpoint."""
    return not checkpoint.batches and is_over(checkpoint.record["history"], epochs, settings)


def is_over(history: Sequence[Mapping[str, float]], epochs: int, settings: Mapping[str, Any]) -> bool:
    """Whether a training ends after the epochs of a history."""
    return len(history) >= epochs or epoch_of_stopping(settings, history) is not None


def train_with_checkpoints(
    folder: Path,
    model: keras.Model,
    start: Checkpoint | None,
    data: TrainingData,
    epochs: int,
    saving: Saving,
    report: Callable[[Rows, Rows], None],
) -> Checkpoint:
    """Train from a checkpoint, or from the beginning, to the end, and write checkpoints.

    Args:
        folder: checkpoint folder of the training.
        model: from `cxrflow.training.engine.make_network`.
        start: checkpoint to resume from, or None.
        data: what the training reads.
        epochs: total number of epochs.
        saving: when to write checkpoints, and which to keep.
        report: called after each epoch with the rows of history and timing so far.

    Returns:
        The checkpoint after the last epoch.

    Raises:
        Stopped: the process received SIGTERM or SIGINT; a checkpoint has been written.
        UserError: a loss is not finite, or the disk is full.
    """
    settings = data.settings
    if start is not None and start.batches:
        _trace_both_batch_sizes(model, start, data)  # before `read_checkpoint`, which undoes its changes
    progress = read_checkpoint(start, model) if start else Progress()
    timing = Timing(**start.record["timing"]) if start else Timing()
    row_hashes = list(start.record["rows"]) if start else []
    written, unsaved = [start] if start else [], False
    saved_at, saving_seconds = time.monotonic(), 0.0
    images_per_epoch = images_per_pass(data.training_images, settings["batch_size"], settings["incomplete_batch"])

    def recorded_manifest(epoch: int) -> pd.DataFrame:
        table = data.manifest(epoch)
        row_hashes[epoch - 1 :] = [rows_hash(table)]  # replaces the hash of this epoch and forgets later ones
        return table

    def save(kept: bool) -> None:
        nonlocal written, unsaved, saved_at, saving_seconds
        save_began = time.monotonic()
        timing_record = {"epochs": timing.epochs, "seconds": timing.seconds, "saving": timing.saving}
        try:
            newest = write_checkpoint(folder, model, progress, row_hashes, timing_record, written, kept)
        except OSError as error:
            last = f" (the checkpoint of epoch {written[0].epoch} is kept)" if written else ""
            raise UserError(
                f"cannot write a checkpoint to {folder}: {error.strerror}{last}; free disk space or make the folder writable, "
                "then run the same command again"
            ) from error
        written = [newest, *written[:1]]
        saved_at, unsaved = time.monotonic(), False
        saving_seconds = saved_at - save_began
        timing.saving += saving_seconds
        drop_checkpoints(folder, _kept_checkpoints(find_checkpoints(folder), newest))

    with catch_signals(lambda: not unsaved) as received_signal:
        last_moment = time.monotonic()
        for moment in train(model, replace(data, manifest=recorded_manifest), epochs, progress):
            # A validation batch changes nothing, so there is nothing to save.
            unsaved = unsaved or moment != "validation"
            now = time.monotonic()
            timing.seconds, last_moment = timing.seconds + now - last_moment, now
            if moment == "epoch":
                timing.end_epoch(progress.epoch, images_per_epoch)
                report(progress.history, timing.epochs)
            is_due = now - saved_at >= max(saving.every, saving_seconds / SHARE_OF_SAVING)
            is_last = is_over(progress.history, epochs, settings)
            is_kept = moment == "epoch" and (progress.epoch in saving.kept_epochs or is_last)
            signum = received_signal()
            if unsaved and (signum or is_kept or (is_due and moment != "validation")):
                save(is_kept)
            if signum and not is_last:
                raise Stopped(signum, position_text(progress))
    return written[0]  # the checkpoint of the last epoch is always written


def _trace_both_batch_sizes(model: keras.Model, start: Checkpoint, data: TrainingData) -> None:
    """Make TensorFlow see the full batch size before the last, smaller one, as in an uninterrupted training.

    TensorFlow traces the training step for the size of the first batch that it sees, and for any size when it sees a second
    one; the two versions round differently. A training that resumes before the last batch of an epoch therefore runs a first
    step, whose changes the checkpoint then overwrites.
    """
    settings = data.settings
    steps = batches_per_pass(data.training_images, settings["batch_size"], settings["incomplete_batch"])
    if start.batches == steps - 1:
        before = Progress([dict(row) for row in start.record["history"]])
        next(train(model, data, start.epoch + 1, before))


def tidy_checkpoints(folder: Path, keep_checkpoints: str, used: Sequence[Checkpoint]) -> None:
    """Delete the checkpoints that are not needed after a finished training.

    Args:
        folder: checkpoint folder of the training.
        keep_checkpoints: "longest" keeps the checkpoints in `used` and those of longer trainings; "every" also keeps the last
            checkpoints of shorter trainings; "none" deletes all.
        used: the checkpoints of the last and of the selected epoch.
    """
    last = max(_position(checkpoint) for checkpoint in used)
    kept = [
        checkpoint
        for checkpoint in find_checkpoints(folder)
        if keep_checkpoints != "none"
        and (
            checkpoint.file in [other.file for other in used]
            or _position(checkpoint) > last
            or (keep_checkpoints == "every" and checkpoint.record["kept"])
        )
    ]
    drop_checkpoints(folder, kept)


def _kept_checkpoints(checkpoints: Sequence[Checkpoint], newest: Checkpoint) -> list[Checkpoint]:
    """Select the checkpoints that are kept during a training: its latest, those marked as kept, and those further ahead."""
    own = [checkpoint for checkpoint in checkpoints if _position(checkpoint) <= _position(newest)][:LATEST_KEPT]
    return [
        checkpoint
        for checkpoint in checkpoints
        if checkpoint in own or checkpoint.record["kept"] or _position(checkpoint) > _position(newest)
    ]


def _position(checkpoint: Checkpoint) -> tuple[int, int]:
    return checkpoint.epoch, checkpoint.batches


def position_text(training: Progress | Checkpoint) -> str:
    """Describe the progress of a training, such as "after epoch 2, step 1 of epoch 3"."""
    inside = f", step {training.batches} of epoch {training.epoch + 1}" if training.batches else ""
    return f"after epoch {training.epoch}{inside}"
