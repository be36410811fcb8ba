"""Kill trainings, again and again, and let each go on until it ends."""

import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tiny_training import TinyTraining

WAYS = ("training", "writing", "training", "writing", "starting")
"""When a process is killed, in turn: at any moment behind its first epoch, while it writes a state, before its first epoch."""


@dataclass
class Killed:
    """What became of trainings that were killed."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WAYS, 0))
    """How often a process was killed in each way."""
    trainings: list[str] = field(default_factory=list)
    """Folders of the results of trainings that ended in the end."""
    lines: list[str] = field(default_factory=list)
    """All that was printed."""


class Lines:
    """What a process prints, line by line, read by a thread so that nobody has to wait for it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.read: list[str] = []
        self._coming: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._listen, args=(process,), daemon=True)
        self._thread.start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._coming.put(line.rstrip("\n"))
        self._coming.put(None)

    def __iter__(self) -> Iterator[str]:
        while (line := self._coming.get()) is not None:
            self.read.append(line)
            yield line

    def until(self, beginning: str) -> str | None:
        """Wait for a line that begins so; None where the process ended without it."""
        return next((line for line in self if line.startswith(beginning)), None)


def kill_and_resume(training: TinyTraining, moments: int, seed: int, **changes: Any) -> Killed:
    """Kill a training by SIGKILL at so many random moments, each time followed by the same command; then let it end.

    A training that ends before it was killed so often is followed by another from its first epoch on.

    Args:
        training: files of a tiny training.
        moments: kills in all.
        seed: of the moments.
        changes: of its settings.
    """
    random = np.random.default_rng(seed)
    killed = Killed()
    while sum(killed.kills.values()) < moments:
        name = f"killed {seed} {len(killed.trainings)}"
        over = False
        while not over:
            behind = sum(killed.kills.values())
            way = WAYS[behind % len(WAYS)] if behind < moments else None
            over = _run_until_killed(training, name, way, random, killed, changes)
        killed.trainings.append(name)
    return killed


def _run_until_killed(
    training: TinyTraining,
    name: str,
    way: str | None,
    random: np.random.Generator,
    killed: Killed,
    changes: dict[str, Any],
) -> bool:
    """Run a training until it is killed in some way, or, without one, to its end; whether it ended."""
    flags = ("--save-every", "0")
    with training.start(name, f"states of {name}", *flags, **changes) as process:
        lines = Lines(process)
        if way == "starting" and lines.until("MobileNet on"):
            time.sleep(random.uniform(0, 4))
        elif way == "training" and lines.until("epoch "):
            time.sleep(random.uniform(0, 3))
        elif way == "writing":
            # The second: a state that is written behind the first one, so that there is one to lose.
            _wait_for_part(process, training.folder / f"states of {name}", int(random.integers(1, 3)))
            time.sleep(random.choice([0, random.uniform(0, 0.1)]))
        if way:
            process.send_signal(signal.SIGKILL)
        list(lines)
        killed.lines += lines.read
        status = process.wait()
        assert process.stderr is not None
        errors = process.stderr.read()
    if status == -signal.SIGKILL and way:
        killed.kills[way] += 1
        print(
            f"kill {sum(killed.kills.values())}, {way}: {lines.read[-1] if lines.read else 'nothing printed'}",
            flush=True,
        )
        return False
    assert status == 0, errors
    return True


def _wait_for_part(process: subprocess.Popen[str], states: Path, which: int) -> None:
    """Wait until the so-manieth state is half written, or the process has ended."""
    seen: set[str] = set()
    while process.poll() is None:
        # Files of earlier processes that were killed lie there too: their names hold other process ids.
        seen |= {part.name for part in states.glob(f"*/.part-{process.pid}-*.npz")}
        if len(seen) >= which:
            return
        time.sleep(0.001)
