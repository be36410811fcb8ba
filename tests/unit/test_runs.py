"""One run at a time per folder of results, with real processes."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cxrflow.io.errors import UserError
from cxrflow.run import runs
from cxrflow.run.runs import join_run, run_of

PROGRAM = """
import subprocess, sys
from pathlib import Path
from cxrflow.run.runs import lock_results, join_run, run_of
from cxrflow.io.errors import UserError
locks, results, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
say = lambda line: print(line, flush=True)
try:
    if what == "job":
        join_run(locks, results, sys.argv[4])
    else:
        file = lock_results(locks, results, say)
        if what == "run with a job":
            job = [sys.executable, "-c", "import sys; sys.stdin.read()", "-m", "cxrflow.stages.audit_data"]
            print(subprocess.Popen(job, stdin=sys.stdin, pass_fds=[file]).pid, flush=True)
    say("begins")
    sys.stdin.read()
except UserError as wrong:
    say(str(wrong))
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start("run" | "run with a job" | "job", …)` starts a process that runs until its input ends."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, folder: str = "study") -> subprocess.Popen[str]:
        results = tmp_path / "results"
        command = [sys.executable, "-c", PROGRAM, str(results / "locks"), str(results / folder), *arguments]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield begin
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def test_a_second_run_is_refused_until_the_first_has_ended(start: Start, tmp_path: Path) -> None:
    first = start("run")
    assert line(first) == "begins"
    message = line(start("run"))
    assert message.startswith(f"process {first.pid} on {socket.gethostname()} (since ")
    assert message.endswith(f") is writing {tmp_path}/results/study")
    assert line(start("run", folder="other")) == "begins"
    first.kill()
    first.wait()
    assert line(start("run")) == "begins"


def test_a_run_waits_for_jobs_of_a_killed_run(start: Start, tmp_path: Path) -> None:
    first = start("run with a job")
    job = int(line(first))
    assert line(first) == "begins"
    first.kill()
    first.wait()
    second = start("run")
    killed = f"of a killed run is still writing {tmp_path}/results/study"
    assert line(second) == f"waiting: process {job} (cxrflow.stages.audit_data) {killed}"
    assert first.stdin is not None
    first.stdin.close()  # the job ends
    assert line(second) == "begins"


def test_a_job_of_a_cluster_delays_the_next_run_and_needs_its_own(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks, folder = tmp_path / "results/locks", tmp_path / "results/study"
    first = start("run")
    assert line(first) == "begins"
    run = run_of(locks, folder)
    assert run.startswith(f"{socket.gethostname()} {first.pid} ")
    job = start("job", run)
    assert line(job) == "begins"
    first.kill()
    first.wait()
    second = start("run")
    assert line(second).startswith(f"waiting: process {job.pid} of a killed run is still writing ")
    job.communicate()
    assert line(second) == "begins"
    monkeypatch.setattr(runs, "LATE", 0.0)
    with pytest.raises(
        UserError, match=f"the run that submitted this job \\({run}\\) has ended; the job writes nothing"
    ):
        join_run(locks, folder, run)
    assert join_run(locks, folder, run_of(locks, folder)) > 2


def test_without_a_run_the_name_is_empty(tmp_path: Path) -> None:
    assert run_of(tmp_path / "locks", tmp_path / "study") == ""
