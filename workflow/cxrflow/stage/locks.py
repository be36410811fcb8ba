"""Advisory locks (flock): the kernel gives them back however their process ends."""

import fcntl
from typing import IO


def lock_alone(file: IO[str]) -> bool:
    """Lock an open file for this process alone, without a wait; whether that was possible."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
