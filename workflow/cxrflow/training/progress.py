"""Show the progress of a training: a line for each epoch, and learning curves that another process draws."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pandas as pd

from cxrflow.io.errors import UserError
from cxrflow.io.files import write_table

Rows = Sequence[Mapping[str, float]]


def progress_line(history: Rows, timing: Rows, epochs: int) -> str:
    """Describe the latest epoch in one line: losses, accuracies, images per second, remaining time.

    Args:
        history: rows of epoch, loss, accuracy, val_loss, val_accuracy.
        timing: rows of epoch, seconds, images_per_second.
        epochs: total number of epochs.
    """
    now, pace = history[-1], timing[-1]
    left = (epochs - len(history)) * median(row["seconds"] for row in timing[-5:])
    return (
        f"epoch {int(now['epoch']):>{len(str(epochs))}}/{epochs}"
        f"  loss {now['loss']:.4f}  accuracy {now['accuracy']:.3f}"
        f"  validation {now['val_loss']:.4f} {now['val_accuracy']:.3f}"
        f"  {pace['images_per_second']:.1f} images/s  {clock_time(left)} left"
    )


def clock_time(seconds: float) -> str:
    """Format seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def following(folder: Path, picture: Path | None, tensorboard: Path | None) -> Iterator[Callable[[Rows], None]]:
    """Run `cxrflow.stages.follow_training` during a training if there is something to draw.

    It is a separate process so that its code is not part of the training's code.

    Args:
        folder: checkpoint folder of the training; the history so far is written to its history.csv.
        picture: learning curves to draw (PNG), or None.
        tensorboard: folder of event files to write, or None.

    Yields:
        A function to call with the history after each epoch. It raises a `UserError` if the history cannot be written.
    """
    file = folder / "history.csv"
    outputs = [
        *(["--picture", str(picture)] if picture else []),
        *(["--tensorboard", str(tensorboard)] if tensorboard else []),
    ]

    def follow(history: Rows) -> None:
        try:
            write_table(file, pd.DataFrame(history))
        except OSError as error:  # pandas' own errors do not name the file
            raise UserError(
                f"cannot write {file}: {error.strerror}; free disk space or make the folder writable, then run the same "
                "command again"
            ) from error

    if not outputs:
        yield follow
        return
    # It ends when its standard input is closed, so it never outlives this process.
    command = [sys.executable, "-m", "cxrflow.stages.follow_training", "--history", str(file), *outputs]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as follower:
        try:
            yield follow
        finally:
            assert follower.stdin is not None  # opened as a pipe above
            follower.stdin.close()
