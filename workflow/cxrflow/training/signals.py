"""Stop a training by a signal: it ends after the current step, with a checkpoint on disk."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):  # noqa: N818 - requested, not an error
    """A training was stopped by a signal."""

    def __init__(self, signum: int, where: str) -> None:
        self.exit_status = 128 + signum  # the shell's convention for signals
        super().__init__(f"stopped by {signal.Signals(signum).name} {where}; run the same command again to resume")


@contextmanager
def catch_signals(nothing_to_save: Callable[[], bool]) -> Iterator[Callable[[], int | None]]:
    """Record SIGTERM and SIGINT instead of ending the process.

    Args:
        nothing_to_save: whether the process may end immediately: the first step of a network takes many seconds.

    Yields:
        A function that returns the number of the signal that was received, or None.
    """
    received: list[int] = []

    def record(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        if nothing_to_save():
            print(f"stopped by {signal.Signals(signum).name}; no step is lost", flush=True)
            raise SystemExit(128 + signum)

    before = {signum: signal.signal(signum, record) for signum in SIGNALS}
    try:
        yield lambda: received[0] if received else None
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
