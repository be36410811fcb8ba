"""One line an epoch, for the screen and the log."""

import pandas as pd


def progress_line(history: pd.DataFrame, timing: pd.DataFrame, epochs: int) -> str:
    """The newest epoch in one line: losses, accuracies, images a second, time left."""
    now, pace = history.iloc[-1], timing.iloc[-1]
    left = (epochs - len(history)) * timing["seconds"].tail(5).median()
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
