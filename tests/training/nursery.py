"""Start trainings in a second, forked from a process that has loaded TensorFlow and computed nothing.

The small network trains with a checkpoint after each step, and prints a line at each moment. Killing a forked process kills
the whole training: the parent process contains no part of it.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from unittest.mock import patch

from tiny_training import environment


@dataclass
class Forked:
    """A running training, with the part of `subprocess.Popen` that the tests use."""

    pid: int
    stdout: IO[str]
    """What it prints, errors too."""
    nursery: subprocess.Popen[str]
    returncode: int | None = None

    def send_signal(self, signum: int) -> None:
        """Send it a signal; since it has not been waited for, its process id is not reused."""
        if self.returncode is None:
            os.kill(self.pid, signum)

    def wait(self) -> int:
        """Wait until it ends, and return its exit status."""
        assert self.nursery.stdout is not None
        if self.returncode is None:
            self.returncode = int(self.nursery.stdout.readline())
            assert self.nursery.stdin is not None
            self.nursery.stdin.write("\n")  # it may be reaped now
        return self.returncode


class Nursery:
    """The process that forks trainings, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.pipe = folder / "output of trainings"
        os.mkfifo(self.pipe)
        command = [sys.executable, __file__]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment()
        )

    @contextmanager
    def start(self, command: Sequence[str]) -> Iterator[Forked]:
        """Start the training of a command, `python -m cxrflow.stages.train_model …`."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"arguments": command[3:], "output": str(self.pipe)}) + "\n")
        pid = int(self.process.stdout.readline())
        with self.pipe.open(encoding="utf-8") as stdout:
            training = Forked(pid, stdout, self.process)
            try:
                yield training
            except Exception:
                training.send_signal(signal.SIGKILL)
                raise
            finally:
                training.wait()

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def serve() -> None:
    """Fork a training for each line of standard input; print its process id, and how it ended."""
    from cxrflow.stages import train_model
    from cxrflow.training import engine, session
    from small_training import small_networks

    def telling(*arguments: Any) -> Iterator[engine.Moment]:
        for moment in engine.train(*arguments):
            print(f"moment {moment}", flush=True)
            yield moment

    def train(arguments: Sequence[str]) -> None:
        with (
            small_networks(),
            patch.object(sys, "argv", ["train_model.py", *arguments]),
            patch.object(session, "SHARE_OF_SAVING", float("inf")),
            patch.object(session, "train", telling),
        ):
            train_model.main()

    while line := sys.stdin.readline():
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            output = os.open(job["output"], os.O_WRONLY)
            os.dup2(output, 1)
            os.dup2(output, 2)
            status = 1
            try:
                train(job["arguments"])
                status = 0
            finally:  # in any case, the child must not return to this loop
                if status:
                    traceback.print_exc()
                sys.stdout.flush()
                os._exit(status)
        print(pid, flush=True)
        print(_exit_status(pid), flush=True)
        sys.stdin.readline()
        os.waitpid(pid, 0)


def _exit_status(pid: int) -> int:
    """Wait for a process, without reaping it, and return its exit status."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


if __name__ == "__main__":
    serve()
