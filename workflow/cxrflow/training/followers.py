"""A process beside a training that shows how it goes: its code is no part of the training's."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from cxrflow.stage.faults import Fault
from cxrflow.stage.files import write_table

History = Sequence[Mapping[str, float]]


@contextmanager
def following(folder: Path, picture: Path | None, tensorboard: Path | None) -> Iterator[Callable[[History], None]]:
    """Run `cxrflow.follow_training` while a training is under way, where it has something to show.

    Args:
        folder: of the training's identity; the history so far is written there.
        picture: learning curves to draw, or None.
        tensorboard: folder of event files to write, or None.

    Yields:
        A function that takes the history behind each epoch. It raises a `Fault` where the history cannot be written.
    """
    file = folder / "history.csv"
    shown = [
        *(["--picture", str(picture)] if picture else []),
        *(["--tensorboard", str(tensorboard)] if tensorboard else []),
    ]

    def follow(history: History) -> None:
        try:
            write_table(file, pd.DataFrame(history))
        except OSError as error:  # pandas' own does not say which file it is
            raise Fault(
                f"states: {folder}: {error.strerror}; make room or mend it, then give the same command again"
            ) from error

    if not shown:
        yield follow
        return
    # It ends when its standard input does, so it outlives this process in no case.
    command = [sys.executable, "-m", "cxrflow.follow_training", "--history", str(file), *shown]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as follower:
        try:
            yield follow
        finally:
            assert follower.stdin is not None  # a pipe was asked for
            follower.stdin.close()
