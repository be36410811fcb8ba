"""One line an epoch, for the screen and the log."""

from collections.abc import Mapping, Sequence
from statistics import median

Rows = Sequence[Mapping[str, float]]


def progress_line(history: Rows, timing: Rows, epochs: int) -> str:
    """The newest epoch in one line: losses, accuracies, images a second, time left.

    Args:
        history: rows of epoch, loss, accuracy, val_loss, val_accuracy.
        timing: rows of epoch, seconds, images_per_second.
        epochs: epochs to train in all.
    """
    now, pace = history[-1], timing[-1]
    left = (epochs - len(history)) * median(row["seconds"] for row in timing[-5:])
    return (
        f"epoch {int(now['epoch']):>{len(str(epochs))}}/{epochs}"
        f"  loss {now['loss']:.4f}  accuracy {now['accuracy']:.3f}"
        f"  validation {now['val_loss']:.4f} {now['val_accuracy']:.3f}"
        f"  {pace['images_per_second']:.1f} images/s  {duration(left)} left"
    )


def duration(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
