"""Signals that ask a training to stop: it ends at the next step, with its state on disk."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):  # noqa: N818 - asked for, not an error
    """A training was asked to stop, and has."""

    def __init__(self, signum: int, where: str) -> None:
        self.exit_status = 128 + signum  # as a shell tells of a signal
        super().__init__(f"stopped by {signal.Signals(signum).name} {where}; the same command goes on from there")


@contextmanager
def noticed_signals(nothing_to_save: Callable[[], bool]) -> Iterator[Callable[[], int | None]]:
    """Notice SIGTERM and SIGINT instead of dying of them.

    Args:
        nothing_to_save: whether the process may end at once: the first step of a network takes many seconds.

    Yields:
        A function that gives the number of the signal that came, or None.
    """
    came: list[int] = []

    def notice(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        if nothing_to_save():
            print(f"stopped by {signal.Signals(signum).name}; no step is lost", flush=True)
            raise SystemExit(128 + signum)

    before = {signum: signal.signal(signum, notice) for signum in SIGNALS}
    try:
        yield lambda: came[0] if came else None
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
