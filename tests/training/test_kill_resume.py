"""Killed at any moment, a training goes on by the same command, and ends with the bytes of one that was never killed."""

import os
import re
import signal

import pytest
from killing import Lines, kill_and_resume
from tiny_training import Reference, TinyTraining, make_files


def assert_unharmed(training: TinyTraining, moments: int, seed: int, epochs: int, wanted: dict[str, bytes]) -> None:
    killed = kill_and_resume(training, moments, seed, epochs=epochs)
    assert sum(killed.kills.values()) == moments
    assert [line for line in killed.lines if "damaged" in line or "not used" in line] == []
    for name in killed.trainings:
        assert training.results(name) == wanted
        assert list((training.folder / f"states of {name}").glob("*/.part-*")) == []
    print(f"{moments} kills in {len(killed.trainings)} trainings: {killed.kills}")


def test_kill_resume_at_three_moments(reference: Reference) -> None:
    assert_unharmed(reference.training, 3, 1, reference.epochs, reference.results)


@pytest.mark.slow
def test_kill_resume_at_many_moments(tmp_path_factory: pytest.TempPathFactory) -> None:
    """25 kills; as many as CXRFLOW_KILLS says where it is set."""
    training = make_files(tmp_path_factory.mktemp("kills"))
    training.run("whole", "states of the whole", epochs=60)
    moments = int(os.environ.get("CXRFLOW_KILLS", "25"))
    assert_unharmed(training, moments, 0, 60, training.results("whole"))


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
