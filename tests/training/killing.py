"""Kill trainings, again and again, and let each go on until it ends."""

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
"""When a process is killed, in turn: at any moment behind its first epoch, while it writes a state, before its first epoch."""
WAYS_OF_FORKED = ("step", "validation", "writing", "starting")
"""Of those that tell each moment: within some milliseconds of a training step, in the validation."""


@dataclass
class Killed:
    """What became of trainings that were killed."""

    kills: Counter[str] = field(default_factory=Counter)
    """How often a process was killed in each way."""
    trainings: list[str] = field(default_factory=list)
    """Folders of the results of trainings that ended in the end."""
    lines: list[str] = field(default_factory=list)
    """All that was printed."""


class Lines:
    """What a process prints, line by line, read by a thread so that nobody has to wait for it."""

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
        self._coming.put(None)  # who asks again is told again

    def until(self, beginning: str) -> str | None:
        """Wait for a line that begins so; None where the process ended without it."""
        return next((line for line in self if line.startswith(beginning)), None)


def kill_and_resume(
    training: TinyTraining,
    moments: int,
    seed: int,
    ways: Sequence[str] = WAYS,
    start: Callable[[list[str]], AbstractContextManager[Process]] | None = None,
    **changes: Any,
) -> Killed:
    """Kill a training by SIGKILL at so many random moments, each time followed by the same command; then let it end.

    A training that ends before it was killed so often is followed by another from its first epoch on.

    Args:
        training: files of a tiny training.
        moments: kills in all.
        seed: of the moments.
        ways: of `WAYS` or, where `start` is that of a nursery, of `WAYS_OF_FORKED`, in turn.
        start: how the training of a command is started, if not as it stands.
        changes: of its settings.
    """
    random = np.random.default_rng(seed)
    killed = Killed()
    while killed.kills.total() < moments:
        name = f"killed {seed} {len(killed.trainings)}"
        over = False
        while not over:
            behind = killed.kills.total()
            way = ways[behind % len(ways)] if behind < moments else None
            command = training.command(name, f"states of {name}", "--save-every", "0", **changes)
            with (start or _as_it_stands)(command) as process:
                over = _run_until_killed(process, training.folder / f"states of {name}", way, random, killed)
        killed.trainings.append(name)
    return killed


def _as_it_stands(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())


def _run_until_killed(
    process: Process, states: Path, way: str | None, random: np.random.Generator, killed: Killed
) -> bool:
    """Let a training run until it is killed in some way, or, without one, to its end; whether it ended."""
    lines = Lines(process)
    _wait_for_moment(process, lines, states, way, random)
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
    process: Process, lines: Lines, states: Path, way: str | None, random: np.random.Generator
) -> None:
    if way == "starting" and lines.until("MobileNet on"):
        time.sleep(random.uniform(0, 4 if isinstance(process, subprocess.Popen) else 1))
    elif way == "training" and lines.until("epoch "):
        time.sleep(random.uniform(0, 3))
    elif way == "writing":
        # The second or third: a state that is written behind the first one, so that there is one to lose.
        _wait_for_part(process, lines, states, int(random.integers(1, 4)))
        time.sleep(random.choice([0, random.uniform(0, 0.1)]))
    elif way in ("step", "validation"):
        for _ in range(random.integers(1, 40)):
            lines.until("moment ")
        if lines.until(f"moment {way}"):  # a step with its state takes longer than what is left of the validation
            time.sleep(random.uniform(0, 0.02 if way == "step" else 0.002))


def _wait_for_part(process: Process, lines: Lines, states: Path, which: int) -> None:
    """Wait until the so-manieth state is half written, or the process has ended."""
    seen: set[str] = set()
    while lines.coming:
        # Files of earlier processes that were killed lie there too: their names hold other process ids.
        seen |= {part.name for part in states.glob(f"*/.part-{process.pid}-*.npz")}
        if len(seen) >= which:
            return
        time.sleep(0.001)
