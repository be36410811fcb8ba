"""`make why` predicts what a training will do in the run."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from cxrflow.run.jobs import Job
from cxrflow.run.planned_trainings import Verdict, verdict_on
from cxrflow.run.why import explain
from small_training import epochs_trained, train_small
from tiny_training import TinyTraining

OUT = "out"


@pytest.fixture(autouse=True)
def on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's threads cannot be set after it has started, as in a process with many tests."""
    monkeypatch.setattr("cxrflow.run.checkpoints_ahead._device_kind", lambda *_: "cpu")


def planned(tiny: TinyTraining, **changes: Any) -> Job:
    """A training as planned by Snakemake, without a record."""
    model = str(tiny.folder / OUT / "model.keras")
    inputs = [str(tiny.folder / "manifest.parquet")]
    command = shlex.join(tiny.command(OUT, **changes))
    return Job("train_model", "Train", {"seed": "0"}, inputs, [model], None, "Missing output files", command)


def verdict(tiny: TinyTraining, *before: Job, **changes: Any) -> Verdict:
    jobs = [planned(tiny, **changes), *before]
    return verdict_on(jobs[0], {output: job for job in jobs for output in job.outputs})


@pytest.mark.slow
def test_an_earlier_training_is_predicted(tiny: TinyTraining) -> None:
    """Another learning rate, then the first one again, for the same number of epochs or more."""
    train_small(tiny, OUT, epochs=2)
    assert verdict(tiny, epochs=2).epochs == 0
    assert verdict(tiny, epochs=2, learning_rate=2e-3).epochs == 2
    train_small(tiny, OUT, epochs=2, learning_rate=2e-3)
    again = verdict(tiny, epochs=2)
    assert (again.epochs, again.is_sure) == (0, True)
    more = verdict(tiny, epochs=3)
    assert (more.epochs, more.is_sure) == (1, True)
    assert more.reasons == ["learning_rate went from 0.002 to 0.001", "it resumes after epoch 2"]
    assert epochs_trained(train_small(tiny, OUT, epochs=3)) == [3]


@pytest.mark.slow
def test_a_training_without_its_record_is_predicted(tiny: TinyTraining) -> None:
    train_small(tiny, OUT, epochs=2)
    record = tiny.folder / OUT / "training.json"
    for content in (b"", record.read_bytes()[:200], b"{}", b"[]"):
        record.write_bytes(content)
        assert verdict(tiny, epochs=2).epochs == 0
    (tiny.folder / OUT / "timing.csv").write_bytes(b"")
    record.unlink()
    assert explain([planned(tiny, epochs=2)])[1:] == [
        "reused (the checkpoint exists, and its outputs are written in seconds):",
        "  Train: there is no record of how it was made",
    ]


def test_unknown_checkpoints_are_reported(tiny: TinyTraining) -> None:
    """If the same run creates the inputs of a training, it is unknown whether it has checkpoints."""
    train_small(tiny, OUT, epochs=2)
    (tiny.folder / OUT / "training.json").unlink()
    manifest = str(tiny.folder / "manifest.parquet")
    draws = Job("plan_augmentation", "Draw", {}, [], [manifest], None, "Missing output files", "")
    unsure = verdict(tiny, draws, epochs=2)
    assert (unsure.epochs, unsure.is_sure) == (2, False)
    assert "fewer epochs, or none, if an earlier one" in explain([planned(tiny, epochs=2), draws])[-1]
    assert verdict(tiny, epochs=2) == Verdict(0, [*unsure.reasons, "it resumes after epoch 2"], None)
    Path(manifest).unlink()
    assert verdict(tiny, epochs=2) == Verdict(2, unsure.reasons, None, is_sure=False)
