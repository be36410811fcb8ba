"""A training and its states: where it begins, when it is saved, what is kept of it."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.stage.faults import Fault
from cxrflow.training.batches import batches_per_pass
from cxrflow.training.engine import Progress, train
from cxrflow.training.identity import rows_hash
from cxrflow.training.progress import Rows
from cxrflow.training.schedules import epoch_of_stopping
from cxrflow.training.states import State, drop_states, find_states, first_whole, read_state, write_state
from cxrflow.training.stopping import Stopped, noticed_signals

Say = Callable[[str], None]
Manifest = Callable[[int], pd.DataFrame]

KEEP_STATES = ("longest", "every", "none")
GENERATIONS = 2
# Saving may take this share of the time: where a state takes long to write, it is written less often than `save_every`.
SHARE_OF_SAVING = 0.025


@dataclass
class Timing:
    """Seconds by epoch, over all processes that a training took."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    """Rows of epoch, seconds, saving (seconds of these that went into states), images_per_second (of training)."""
    seconds: float = 0.0
    """Of the epoch under way."""
    saving: float = 0.0

    def end_epoch(self, epoch: int, images: int) -> None:
        """Close the row of an epoch in which so many training images were seen."""
        self.epochs.append(
            {
                "epoch": epoch,
                "seconds": round(self.seconds, 3),
                "saving": round(self.saving, 3),
                "images_per_second": round(images / self.seconds, 2),
            }
        )
        self.seconds = self.saving = 0.0


def furthest_state(folder: Path, manifest: Manifest, epochs: int, say: Say) -> State | None:
    """The state to go on from to so many epochs: the furthest that is whole, of the same manifest rows, and not beyond them.

    Args:
        folder: of the training's identity.
        manifest: epoch to its rows.
        epochs: epochs that are asked for.
        say: is told of states that are not used, and why.
    """
    states = _of_these_rows(find_states(folder, say), manifest, epochs, say)
    state = first_whole((state for state in states if _position(state) <= (epochs, 0)), say)
    if state is None and states:
        say(
            f"the states that are kept are of epoch {states[-1].epoch} and later; the first {epochs} epochs are trained "
            "again (keep_states: every keeps the state at the end of each length)"
        )
    return state


def _of_these_rows(states: Sequence[State], manifest: Manifest, epochs: int, say: Say) -> list[State]:
    hash_of = cache(lambda epoch: rows_hash(manifest(epoch)))
    fitting = []
    for state in states:
        # A longer manifest begins with the shorter one, so that rows beyond those asked for need not be there.
        other = next((e for e, seen in enumerate(state.record["rows"][:epochs], 1) if seen != hash_of(e)), None)
        if other is None:
            fitting.append(state)
        else:
            say(f"the state {state.file} was made with other manifest rows in epoch {other}; it is not used")
    return fitting


def is_finished(state: State, epochs: int, settings: Mapping[str, Any]) -> bool:
    """Whether nothing is left to train behind a state."""
    return not state.batches and is_over(state.record["history"], epochs, settings)


def is_over(history: Sequence[Mapping[str, float]], epochs: int, settings: Mapping[str, Any]) -> bool:
    """Whether nothing is left to train behind the epochs of a history."""
    return len(history) >= epochs or epoch_of_stopping(settings, history) is not None


def train_with_states(
    folder: Path,
    model: keras.Model,
    start: State | None,
    manifest: Manifest,
    pixels: Mapping[str, NDArray[np.uint8]],
    split: pd.DataFrame,
    settings: Mapping[str, Any],
    epochs: int,
    *,
    marks: Collection[int | None],
    save_every: float,
    workers: int,
    images_per_epoch: int,
    report: Callable[[Rows, Rows], None],
) -> State:
    """Train from a state, or from the beginning, to the end; write states on the way.

    Args:
        folder: of the training's identity.
        model: of `cxrflow.training.engine.make_network`.
        start: state to go on from.
        manifest, pixels, split, settings, epochs, workers: see `cxrflow.training.engine.train`.
        marks: epochs behind which a state is to stay.
        save_every: seconds between two states.
        images_per_epoch: training images that an epoch shows, for the pace in the timing.
        report: called behind each epoch with the rows of history and timing so far.

    Returns:
        The state behind the last epoch.

    Raises:
        Stopped: SIGTERM or SIGINT came; the state is written.
        Fault: a loss is no longer finite, or the disk is full.
    """
    if start is not None and start.batches:
        _make_steps_of_both_sizes(model, start, manifest, pixels, split, settings, workers)
    progress = read_state(start, model) if start else Progress()
    timing = Timing(**start.record["timing"]) if start else Timing()
    rows = list(start.record["rows"]) if start else []
    written, unsaved = [start] if start else [], False
    saved_at, cost = time.monotonic(), 0.0

    def rows_of(epoch: int) -> pd.DataFrame:
        table = manifest(epoch)
        rows[epoch - 1 :] = [rows_hash(table)]
        return table

    def save(kept: bool) -> None:
        nonlocal written, unsaved, saved_at, cost
        begin = time.monotonic()
        record = {"epochs": timing.epochs, "seconds": timing.seconds, "saving": timing.saving}
        try:
            written = [write_state(folder, model, progress, rows, record, written, kept), *written[:1]]
        except OSError as error:
            at = f"; the state of epoch {written[0].epoch} is kept" if written else ""
            raise Fault(
                f"states: {folder}: {error.strerror}{at}; make room or mend it, then give the same command again"
            ) from error
        saved_at, unsaved = time.monotonic(), False
        cost = saved_at - begin
        timing.saving += cost
        drop_states(folder, _to_keep(find_states(folder), written[0]))

    with noticed_signals(lambda: not unsaved) as came:
        begin = time.monotonic()
        for moment in train(model, rows_of, pixels, split, settings, epochs, progress, workers):
            unsaved = unsaved or moment != "validation"
            now = time.monotonic()
            timing.seconds, begin = timing.seconds + now - begin, now
            if moment == "epoch":
                timing.end_epoch(progress.epoch, images_per_epoch)
                report(progress.history, timing.epochs)
            due = now - saved_at >= max(save_every, cost / SHARE_OF_SAVING)
            stays = moment == "epoch" and (progress.epoch in marks or is_over(progress.history, epochs, settings))
            signum = came()
            if unsaved and (signum or stays or (due and moment != "validation")):
                save(kept=stays)
            if signum and not is_over(progress.history, epochs, settings):
                raise Stopped(signum, _place(progress))
    return written[0]  # the last epoch's state always stays


def _make_steps_of_both_sizes(
    model: keras.Model,
    start: State,
    manifest: Manifest,
    pixels: Mapping[str, NDArray[np.uint8]],
    split: pd.DataFrame,
    settings: Mapping[str, Any],
    workers: int,
) -> None:
    """Do the first step of an epoch that goes on in front of its last batch, which may be a smaller one.

    TensorFlow makes a step for the size of the first batch that it sees, and one for all sizes when it sees another; they round
    differently. So whoever goes on has to see the sizes in the order of one who was never stopped. What the step changes is
    overwritten by the state.
    """
    images = int((split["subset"] == "training").sum())
    if start.batches == batches_per_pass(images, settings["batch_size"], settings["incomplete_batch"]) - 1:
        before = Progress([dict(row) for row in start.record["history"]])
        next(train(model, manifest, pixels, split, settings, start.epoch + 1, before, workers))


def tidy_states(folder: Path, keep_states: str, used: Sequence[State]) -> None:
    """Delete the states that a finished training leaves behind.

    Args:
        folder: of the training's identity.
        keep_states: "longest" keeps the states that were used and those of longer trainings; "every" also those at the end of
            shorter ones; "none" deletes all.
        used: the states that the network was taken from.
    """
    last = max(_position(state) for state in used)
    keep = [
        state
        for state in find_states(folder)
        if keep_states != "none"
        and (
            state.file in [other.file for other in used]
            or _position(state) > last
            or (keep_states == "every" and state.record["kept"])
        )
    ]
    drop_states(folder, keep)


def _to_keep(states: Sequence[State], newest: State) -> list[State]:
    """What stays while a training is under way: its last states, all that are marked, all that are further."""
    own = [state for state in states if _position(state) <= _position(newest)][:GENERATIONS]
    return [state for state in states if state in own or state.record["kept"] or _position(state) > _position(newest)]


def _position(state: State) -> tuple[int, int]:
    return state.epoch, state.batches


def _place(progress: Progress) -> str:
    inside = f", step {progress.batches} of epoch {progress.epoch + 1}" if progress.batches else ""
    return f"behind epoch {progress.epoch}{inside}"
