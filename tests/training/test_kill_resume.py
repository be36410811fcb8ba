"""Killed at any moment, a training goes on by the same command, and ends with the bytes of one that was never killed."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import WAYS_OF_FORKED, Killed, Lines, kill_and_resume
from nursery import Nursery
from tiny_training import Reference, TinyTraining, make_files


def assert_unharmed(training: TinyTraining, killed: Killed, wanted: dict[str, bytes]) -> None:
    assert [line for line in killed.lines if "damaged" in line or "not used" in line] == []
    for name in killed.trainings:
        assert training.results(name) == wanted
        assert list((training.folder / f"states of {name}").glob("*/.part-*")) == []
    print(f"{killed.kills.total()} kills in {len(killed.trainings)} trainings: {dict(killed.kills)}")


def test_kill_resume_at_three_moments(reference: Reference) -> None:
    """MobileNet, in processes as the rules start them."""
    killed = kill_and_resume(reference.training, 3, 1, epochs=reference.epochs)
    assert killed.kills.total() == 3
    assert_unharmed(reference.training, killed, reference.results)


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """Starts trainings of the small network within a second."""
    started = Nursery(tmp_path)
    yield started
    started.close()


@pytest.mark.slow
def test_kill_resume_at_many_moments(tmp_path: Path, nursery: Nursery) -> None:
    """25 kills; as many as CXRFLOW_KILLS says where it is set."""
    training = make_files(tmp_path)
    with nursery.start(training.command("whole", "states of the whole", epochs=60)) as process:
        list(Lines(process))
    assert process.wait() == 0
    moments = int(os.environ.get("CXRFLOW_KILLS", "25"))
    killed = kill_and_resume(training, moments, 0, WAYS_OF_FORKED, nursery.start, epochs=60)
    assert killed.kills.total() == moments
    assert min(killed.kills[way] for way in WAYS_OF_FORKED) >= moments // len(WAYS_OF_FORKED)
    assert_unharmed(training, killed, training.results("whole"))


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_kill_resume_by_a_signal_that_asks(reference: Reference, signum: signal.Signals) -> None:
    """The state is written at the next step, and the next run goes on exactly behind it."""
    training, place = reference.training, f"stopped by {signum.name}"
    states, flags = f"states {place}", ("--save-every", "3600")
    with training.start(place, states, *flags, epochs=reference.epochs) as process:
        lines = Lines(process)
        assert lines.until("epoch ")
        process.send_signal(signum)
        process.wait(timeout=10)
        list(lines)
    assert process.returncode == 128 + signum
    told = re.fullmatch(
        rf"{place} behind epoch (\d+)(?:, step (\d+) of epoch (\d+))?; the same command goes on from there",
        lines.read[-1],
    )
    assert told, lines.read[-1]
    epoch, step, under_way = (int(number or 0) for number in told.groups())
    assert 1 <= epoch < reference.epochs
    assert under_way == (epoch + 1 if step else 0)
    (state,) = training.state_folder(states).glob("epoch_*.json")
    assert state.name == f"epoch_{epoch:06}_batch_{step:04}.json"
    output = training.run(place, states, *flags, epochs=reference.epochs)
    assert f"\ngoes on behind epoch {epoch}{f' and {step} steps' if step else ''}\n" in output
    assert f"\nepoch {epoch + 1:>2}/{reference.epochs} " in output
    assert f"\nepoch {epoch:>2}/{reference.epochs} " not in output
    assert training.results(place) == reference.results
