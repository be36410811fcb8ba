"""Kill trainings repeatedly, and let each resume until it ends."""

import queue
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nursery import Forked
from tiny_training import TinyTraining, environment

Process = subprocess.Popen[str] | Forked

WAYS = ("training", "writing", "starting")
"""When a process is killed, in turn: after its first epoch, while it writes a checkpoint, before its first epoch."""
WAYS_OF_FORKED = ("step", "validation", "writing", "starting")
"""Of those that tell each moment: within some milliseconds of a training step, in the validation."""


@dataclass
class Killed:
    """The results of trainings that were killed."""

    kills: Counter[str] = field(default_factory=Counter)
    """How often a process was killed in each way."""
    trainings: list[str] = field(default_factory=list)
    """Folders of the results of trainings that ended in the end."""
    lines: list[str] = field(default_factory=list)
    """Everything that was printed."""


class Lines:
    """The output of a process, line by line, read by a thread so that the process never blocks."""

    def __init__(self, process: Process) -> None:
        self.read: list[str] = []
        self._coming: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._listen, args=(process,), daemon=True)
        self._thread.start()

    @property
    def coming(self) -> bool:
        """Whether the process may still print."""
        return self._thread.is_alive()

    def _listen(self, process: Process) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._coming.put(line.rstrip("\n"))
        self._coming.put(None)

    def __iter__(self) -> Iterator[str]:
        while (line := self._coming.get()) is not None:
            self.read.append(line)
            yield line
        self._coming.put(None)  # for the next call

    def until(self, beginning: str) -> str | None:
        """Wait for a line with this beginning; None if the process ended without it."""
        return next((line for line in self if line.startswith(beginning)), None)


def kill_and_resume(
    training: TinyTraining,
    moments: int,
    seed: int,
    ways: Sequence[str] = WAYS,
    start: Callable[[list[str]], AbstractContextManager[Process]] | None = None,
    **changes: Any,
) -> Killed:
    """Kill a training by SIGKILL at a number of random moments, restart it each time, then let it finish.

    A training that ends before it was killed that often is followed by another one from the first epoch.

    Args:
        training: files of a tiny training.
        moments: total number of kills.
        seed: seed of the moments.
        ways: ways from `WAYS` or, with the `start` of a nursery, from `WAYS_OF_FORKED`, in turn.
        start: starts the training of a command; by default, as a process.
        changes: changes of its settings.
    """
    random = np.random.default_rng(seed)
    killed = Killed()
    while killed.kills.total() < moments:
        name = f"killed {seed} {len(killed.trainings)}"
        over = False
        while not over:
            behind = killed.kills.total()
            way = ways[behind % len(ways)] if behind < moments else None
            command = training.command(name, f"checkpoints of {name}", "--save-every", "0", **changes)
            with (start or _as_it_stands)(command) as process:
                over = _run_until_killed(process, training.folder / f"checkpoints of {name}", way, random, killed)
        killed.trainings.append(name)
    return killed


def _as_it_stands(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())


def _run_until_killed(
    process: Process, checkpoints: Path, way: str | None, random: np.random.Generator, killed: Killed
) -> bool:
    """Let a training run until it is killed in some way or, without one, to its end; return whether it ended."""
    lines = Lines(process)
    _wait_for_moment(process, lines, checkpoints, way, random)
    if way:
        process.send_signal(signal.SIGKILL)
    list(lines)
    killed.lines += lines.read
    status = process.wait()
    if status == -signal.SIGKILL and way:
        killed.kills[way] += 1
        print(f"kill {killed.kills.total()}, {way}: {lines.read[-1] if lines.read else 'nothing printed'}", flush=True)
        return False
    assert status == 0, "\n".join(lines.read)
    return True


def _wait_for_moment(
    process: Process, lines: Lines, checkpoints: Path, way: str | None, random: np.random.Generator
) -> None:
    if way == "starting" and lines.until("MobileNet on"):
        time.sleep(random.uniform(0, 4 if isinstance(process, subprocess.Popen) else 1))
    elif way == "training" and lines.until("epoch "):
        time.sleep(random.uniform(0, 3))
    elif way == "writing":
        # The second or third, so that there is an earlier checkpoint to fall back on.
        _wait_for_part(process, lines, checkpoints, int(random.integers(1, 4)))
        time.sleep(random.choice([0, random.uniform(0, 0.1)]))
    elif way in ("step", "validation"):
        for _ in range(random.integers(1, 40)):
            lines.until("moment ")
        if lines.until(f"moment {way}"):  # a step with its checkpoint takes longer than what is left of the validation
            time.sleep(random.uniform(0, 0.02 if way == "step" else 0.002))


def _wait_for_part(process: Process, lines: Lines, checkpoints: Path, which: int) -> None:
    """Wait until the checkpoint with this number is half written, or the process has ended."""
    seen: set[str] = set()
    while lines.coming:
        # There are also files of earlier, killed processes, whose names contain other process ids.
        seen |= {part.name for part in checkpoints.glob(f"*/.part-{process.pid}-*.npz")}
        if len(seen) >= which:
            return
        time.sleep(0.001)
