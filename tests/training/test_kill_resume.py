"""A training that is killed at any moment resumes and ends with the same bytes as one that was not."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from killing import WAYS_OF_FORKED, Killed, Lines, kill_and_resume
from nursery import Nursery
from tiny_training import Reference, TinyTraining, make_files


def assert_unharmed(training: TinyTraining, killed: Killed, wanted: dict[str, bytes]) -> None:
    assert [line for line in killed.lines if "damaged" in line or "not used" in line] == []
    for name in killed.trainings:
        assert training.results(name) == wanted
        assert list((training.folder / f"checkpoints of {name}").glob("*/.part-*")) == []
    print(f"{killed.kills.total()} kills in {len(killed.trainings)} trainings: {dict(killed.kills)}")


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """Start trainings of the small network within a second."""
    started = Nursery(tmp_path)
    yield started
    started.close()


EXPONENTIAL = {"kind": "exponential", "factor": 0.5, "steps": 30, "staircase": False}
HEAD = [
    {"dropout": 0.1},
    {"conv": 8, "kernel": 3, "padding": "same", "activation": "relu", "l2": 0.001, "name": None},
    "flatten",
    {"dropout": 0.2},
    {"dense": 8, "activation": "tanh", "l2": 0.001, "name": "map"},
    {"dropout": 0.2},
]


@pytest.mark.slow
def test_kill_resume_with_convolutions_and_a_rate_that_falls_from_step_to_step(tmp_path: Path) -> None:
    """In processes as the rules start them."""
    training, epochs = make_files(tmp_path), 20
    changes = {"head": HEAD, "schedule": EXPONENTIAL, "optimizer": "rmsprop", "momentum": 0.5}
    training.run("whole", "checkpoints of the whole", epochs=epochs, **changes)
    killed = kill_and_resume(training, 3, 2, epochs=epochs, **changes)
    assert killed.kills.total() == 3
    assert_unharmed(training, killed, training.results("whole"))


@pytest.mark.parametrize(
    ("fewest", "epochs", "changes"),
    [
        pytest.param(4, 20, {}, id="once in each way"),
        pytest.param(12, 60, {}, id="constant", marks=[pytest.mark.slow, pytest.mark.long]),
        pytest.param(12, 60, {"schedule": EXPONENTIAL}, id="exponential", marks=pytest.mark.slow),
    ],
)
def test_kill_resume_at_many_moments(
    tmp_path: Path, nursery: Nursery, fewest: int, epochs: int, changes: dict[str, Any]
) -> None:
    """At least the fewest kills, or the number in CXRFLOW_KILLS."""
    training = make_files(tmp_path)
    with nursery.start(training.command("whole", "checkpoints of the whole", epochs=epochs, **changes)) as process:
        list(Lines(process))
    assert process.wait() == 0
    moments = max(fewest, int(os.environ.get("CXRFLOW_KILLS", "0")))
    killed = kill_and_resume(training, moments, 0, WAYS_OF_FORKED, nursery.start, epochs=epochs, **changes)
    assert killed.kills.total() == moments
    assert min(killed.kills[way] for way in WAYS_OF_FORKED) >= moments // len(WAYS_OF_FORKED)
    assert_unharmed(training, killed, training.results("whole"))


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_kill_resume_by_a_signal_that_requests_a_stop(reference: Reference, signum: signal.Signals) -> None:
    """The checkpoint is written after the next step, and the next run resumes exactly there."""
    training, place = reference.training, f"stopped by {signum.name}"
    checkpoints, flags = f"checkpoints {place}", ("--save-every", "3600")
    with training.start(place, checkpoints, *flags, epochs=reference.epochs) as process:
        lines = Lines(process)
        assert lines.until("epoch ")
        process.send_signal(signum)
        process.wait(timeout=10)
        list(lines)
    assert process.returncode == 128 + signum
    reported = re.fullmatch(
        rf"{place} after epoch (\d+)(?:, step (\d+) of epoch (\d+))?; run the same command again to resume",
        lines.read[-1],
    )
    assert reported, lines.read[-1]
    epoch, step, under_way = (int(number or 0) for number in reported.groups())
    assert 1 <= epoch < reference.epochs
    assert under_way == (epoch + 1 if step else 0)
    (checkpoint,) = training.checkpoint_folder(checkpoints).glob("epoch_*.json")
    assert checkpoint.name == f"epoch_{epoch:06}_batch_{step:04}.json"
    output = training.run(place, checkpoints, *flags, epochs=reference.epochs)
    assert f"\nresumes after epoch {epoch}{f', step {step} of epoch {int(epoch) + 1}' if step else ''}\n" in output
    assert f"\nepoch {epoch + 1:>2}/{reference.epochs} " in output
    assert f"\nepoch {epoch:>2}/{reference.epochs} " not in output
    assert training.results(place) == reference.results
