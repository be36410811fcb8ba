"""More epochs train only the missing ones, fewer epochs give a training of that length, with the same bytes."""

from typing import Any

import pytest
from cxrflow.io.errors import UserError
from small_training import epochs_trained, train_small
from tiny_training import TinyTraining

COSINE = {"kind": "cosine", "epochs": 5, "final": 0.1}
PLATEAU = {"kind": "plateau", "patience": 1, "factor": 0.5, "min_delta": 0.05, "minimum": 1e-5}
EXPONENTIAL = {"kind": "exponential", "factor": 0.5, "steps": 3, "staircase": False}
STEP = {"kind": "step", "at": [2, 4], "factor": 0.1}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"schedule": COSINE}, id="cosine", marks=pytest.mark.slow),
        pytest.param({"schedule": PLATEAU}, id="plateau", marks=[pytest.mark.slow, pytest.mark.long]),
        pytest.param({"schedule": STEP}, id="step", marks=[pytest.mark.slow, pytest.mark.long]),
        pytest.param({"schedule": EXPONENTIAL, "learning_rate": 0.1}, id="exponential", marks=pytest.mark.slow),
        pytest.param(
            {"schedule": {**EXPONENTIAL, "staircase": True}, "learning_rate": 0.1, "incomplete_batch": "dropped"},
            id="staircase",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"optimizer": "rmsprop", "momentum": 0.9}, id="rmsprop", marks=[pytest.mark.slow, pytest.mark.long]
        ),
        pytest.param({"selected_epoch": "best", "learning_rate": 0.3}, id="best"),
        pytest.param({"optimizer": "sgd", "momentum": 0.9}, id="sgd", marks=[pytest.mark.slow, pytest.mark.long]),
        pytest.param(
            {"optimizer": "adamw", "gradient_clip_norm": 0.1, "incomplete_batch": "dropped", "label_smoothing": 0.1},
            id="adamw",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_more_epochs_give_the_bytes_of_one_run(tiny: TinyTraining, changes: dict[str, Any]) -> None:
    assert epochs_trained(train_small(tiny, "once", "other checkpoints", epochs=6, **changes)) == [1, 2, 3, 4, 5, 6]
    assert epochs_trained(train_small(tiny, "out", epochs=3, **changes)) == [1, 2, 3]
    output = train_small(tiny, "out", epochs=6, **changes)
    assert "\nresumes after epoch 3\n" in output
    assert epochs_trained(output) == [4, 5, 6]
    assert tiny.results("out") == tiny.results("once")


@pytest.mark.parametrize("monitor", ["val_loss", pytest.param("val_accuracy", marks=pytest.mark.slow)])
def test_more_epochs_and_early_stopping(tiny: TinyTraining, monitor: str) -> None:
    """No curve improves by 1, so training ends three epochs after the first, regardless of `epochs`."""
    stopping = {"early_stopping": {"monitor": monitor, "patience": 3, "min_delta": 1.0}}
    assert epochs_trained(train_small(tiny, "once", "other checkpoints", epochs=9, **stopping)) == [1, 2, 3, 4]
    train_small(tiny, "out", epochs=2, **stopping)
    assert epochs_trained(train_small(tiny, "out", epochs=9, **stopping)) == [3, 4]
    assert tiny.results("out") == tiny.results("once")
    assert tiny.training("out")["trained_epochs"] == 4
    output = train_small(tiny, "out", epochs=12, **stopping)
    assert "already trained for 4 epochs" in output and epochs_trained(output) == []
    assert tiny.results("out") == tiny.results("once")
    with pytest.raises(
        UserError, match="selected_epoch: 5, but early stopping ended the training after epoch 4; choose last or best"
    ):
        train_small(tiny, "out", epochs=9, selected_epoch=5, **stopping)


@pytest.mark.slow
def test_fewer_epochs_are_reported_and_leave_the_longer_checkpoint(tiny: TinyTraining) -> None:
    train_small(tiny, "once", "other checkpoints", epochs=3)
    train_small(tiny, "long", epochs=6)
    longer = {file: file.stat().st_mtime_ns for file in tiny.checkpoint_folder().glob("epoch_*")}
    assert len(longer) == 2
    output = train_small(tiny, "short", epochs=3)
    assert "no usable checkpoint at or before epoch 3 was kept (the earliest was written after epoch 6), so" in output
    assert "the 3 epochs are trained again" in output
    assert epochs_trained(output) == [1, 2, 3]
    assert tiny.results("short") == tiny.results("once")
    assert {file: file.stat().st_mtime_ns for file in longer} == longer
    output = train_small(tiny, "long again", epochs=6)
    assert epochs_trained(output) == []
    assert tiny.results("long again") == tiny.results("long")


def test_fewer_epochs_with_every_checkpoint_kept_train_nothing(tiny: TinyTraining) -> None:
    train_small(tiny, "short", "checkpoints", "--keep-checkpoints", "every", epochs=3)
    train_small(tiny, "long", "checkpoints", "--keep-checkpoints", "every", epochs=6)
    output = train_small(tiny, "again", "checkpoints", "--keep-checkpoints", "every", epochs=3)
    assert "already trained for 3 epochs" in output and epochs_trained(output) == []
    assert tiny.results("again") == tiny.results("short") != tiny.results("long")


@pytest.mark.parametrize(("keep", "left"), [("longest", 1), ("every", 2), ("none", 0)])
@pytest.mark.slow
def test_checkpoints_that_stay(tiny: TinyTraining, keep: str, left: int) -> None:
    for epochs in (2, 4):
        train_small(tiny, "out", "checkpoints", "--save-every", "0", "--keep-checkpoints", keep, epochs=epochs)
    folder = tiny.checkpoint_folder()
    assert len(list(folder.glob("epoch_*.json"))) == left
    assert bool(list(folder.glob("*.npz"))) == bool(left)
    # If no checkpoint was kept, the second run started at the first epoch, with the same results.
    train_small(tiny, "once", "other checkpoints", epochs=4)
    assert tiny.results("out") == tiny.results("once")
