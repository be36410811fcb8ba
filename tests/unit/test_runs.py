"""One run at a time on one folder of results, told by real processes."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cxrflow.machine import runs
from cxrflow.machine.runs import join_run, run_of
from cxrflow.stage.faults import Fault

PROGRAM = """
import subprocess, sys
from pathlib import Path
from cxrflow.machine.runs import claim_results, join_run, run_of
from cxrflow.stage.faults import Fault
locks, results, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
say = lambda line: print(line, flush=True)
try:
    if what == "job":
        join_run(locks, results, sys.argv[4])
    else:
        file = claim_results(locks, results, say)
        if what == "run with a job":
            job = [sys.executable, "-c", "import sys; sys.stdin.read()", "-m", "cxrflow.audit_data"]
            print(subprocess.Popen(job, stdin=sys.stdin, pass_fds=[file]).pid, flush=True)
    say("begins")
    sys.stdin.read()
except Fault as fault:
    say(str(fault))
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start("run" | "run with a job" | "job", …)` is a process that lives until its input ends."""
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


def test_second_run_is_turned_away_until_the_first_is_gone(start: Start, tmp_path: Path) -> None:
    first = start("run")
    assert line(first) == "begins"
    told = line(start("run"))
    assert told.startswith(f"process {first.pid} on {socket.gethostname()}, since ")
    assert told.endswith(f", makes {tmp_path}/results/study already")
    assert line(start("run", folder="other")) == "begins"
    first.kill()
    first.wait()
    assert line(start("run")) == "begins"


def test_jobs_of_a_killed_run_are_waited_for(start: Start, tmp_path: Path) -> None:
    first = start("run with a job")
    job = int(line(first))
    assert line(first) == "begins"
    first.kill()
    first.wait()
    second = start("run")
    killed = f"of a run that was killed still makes {tmp_path}/results/study"
    assert line(second) == f"waits: process {job} (cxrflow.audit_data) {killed}"
    assert first.stdin is not None
    first.stdin.close()  # the job ends
    assert line(second) == "begins"


def test_job_of_a_cluster_holds_up_the_next_run_and_comes_behind_none(
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
    assert line(second).startswith(f"waits: process {job.pid} of a run that was killed still makes ")
    job.communicate()
    assert line(second) == "begins"
    monkeypatch.setattr(runs, "LATE", 0.0)
    with pytest.raises(Fault, match=f"the run that handed this job in \\({run}\\) has ended; the job makes nothing"):
        join_run(locks, folder, run)
    assert join_run(locks, folder, run_of(locks, folder)) > 2


def test_no_run_has_no_name(tmp_path: Path) -> None:
    assert run_of(tmp_path / "locks", tmp_path / "study") == ""
