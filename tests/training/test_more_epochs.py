"""More epochs than before train only those that are missing, fewer give a training of that length, to the same bytes."""

from typing import Any

import pytest
from cxrflow.stage.faults import Fault
from small_training import epochs_trained, train_small
from tiny_training import TinyTraining

COSINE = {"kind": "cosine", "epochs": 5, "final": 0.1}
PLATEAU = {"kind": "plateau", "patience": 1, "factor": 0.5, "min_delta": 0.05, "minimum": 1e-5}
STEP = {"kind": "step", "at": [2, 4], "factor": 0.1}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"schedule": COSINE}, id="cosine"),
        pytest.param({"schedule": PLATEAU}, id="plateau"),
        pytest.param({"schedule": STEP}, id="step", marks=pytest.mark.slow),
        pytest.param({"selected_epoch": "best", "learning_rate": 0.3}, id="best"),
        pytest.param({"optimizer": "sgd", "momentum": 0.9}, id="sgd", marks=pytest.mark.slow),
        pytest.param(
            {"optimizer": "adamw", "gradient_clip_norm": 0.1, "incomplete_batch": "dropped", "label_smoothing": 0.1},
            id="adamw",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_more_epochs_give_the_bytes_of_one_run(tiny: TinyTraining, changes: dict[str, Any]) -> None:
    assert epochs_trained(train_small(tiny, "once", "other states", epochs=6, **changes)) == [1, 2, 3, 4, 5, 6]
    assert epochs_trained(train_small(tiny, "out", epochs=3, **changes)) == [1, 2, 3]
    output = train_small(tiny, "out", epochs=6, **changes)
    assert "\ngoes on behind epoch 3\n" in output
    assert epochs_trained(output) == [4, 5, 6]
    assert tiny.results("out") == tiny.results("once")


def test_more_epochs_and_early_stopping(tiny: TinyTraining) -> None:
    """No loss falls by 1: three epochs behind the first, training ends, however many are asked for."""
    stopping = {"early_stopping": {"patience": 3, "min_delta": 1.0}}
    assert epochs_trained(train_small(tiny, "once", "other states", epochs=9, **stopping)) == [1, 2, 3, 4]
    train_small(tiny, "out", epochs=2, **stopping)
    assert epochs_trained(train_small(tiny, "out", epochs=9, **stopping)) == [3, 4]
    assert tiny.results("out") == tiny.results("once")
    assert tiny.training("out")["trained_epochs"] == 4
    output = train_small(tiny, "out", epochs=12, **stopping)
    assert "trained already, 4 epochs" in output and epochs_trained(output) == []
    assert tiny.results("out") == tiny.results("once")
    with pytest.raises(
        Fault, match="selected_epoch: 5, but training stopped early behind epoch 4; choose last or best"
    ):
        train_small(tiny, "out", epochs=9, selected_epoch=5, **stopping)


def test_fewer_epochs_are_told_and_leave_the_longer_state(tiny: TinyTraining) -> None:
    train_small(tiny, "once", "other states", epochs=3)
    train_small(tiny, "long", epochs=6)
    longer = {file: file.stat().st_mtime_ns for file in tiny.state_folder().glob("epoch_*")}
    assert len(longer) == 2
    output = train_small(tiny, "short", epochs=3)
    assert "the states that are kept are of epoch 6 and later; the first 3 epochs are trained again" in output
    assert epochs_trained(output) == [1, 2, 3]
    assert tiny.results("short") == tiny.results("once")
    assert {file: file.stat().st_mtime_ns for file in longer} == longer
    output = train_small(tiny, "long again", epochs=6)
    assert epochs_trained(output) == []
    assert tiny.results("long again") == tiny.results("long")


def test_fewer_epochs_with_every_state_kept_train_nothing(tiny: TinyTraining) -> None:
    train_small(tiny, "short", "states", "--keep-states", "every", epochs=3)
    train_small(tiny, "long", "states", "--keep-states", "every", epochs=6)
    output = train_small(tiny, "again", "states", "--keep-states", "every", epochs=3)
    assert "trained already, 3 epochs" in output and epochs_trained(output) == []
    assert tiny.results("again") == tiny.results("short") != tiny.results("long")


@pytest.mark.parametrize(("keep", "left"), [("longest", 1), ("every", 2), ("none", 0)])
def test_states_that_stay(tiny: TinyTraining, keep: str, left: int) -> None:
    for epochs in (2, 4):
        train_small(tiny, "out", "states", "--save-every", "0", "--keep-states", keep, epochs=epochs)
    folder = tiny.state_folder()
    assert len(list(folder.glob("epoch_*.json"))) == left
    assert bool(list(folder.glob("*.npz"))) == bool(left)
    # Where no state was kept, the second run began at its first epoch, and its results are no others.
    train_small(tiny, "once", "other states", epochs=4)
    assert tiny.results("out") == tiny.results("once")
