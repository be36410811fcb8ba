"""Which epoch's weights are kept: the last, the best, or that with a given number."""

import numpy as np
import pandas as pd
import pytest
from cxrflow.io.errors import UserError
from small_training import epochs_trained, train_small
from tiny_training import TinyTraining

WEIGHTS = "model.weights.h5"


def test_selected_epoch_last(tiny: TinyTraining) -> None:
    train_small(tiny, "out", epochs=3)
    history = pd.read_csv(tiny.folder / "out/history.csv")
    assert tiny.training("out")["selected_epoch"] == {
        "rule": "last",
        "epoch": 3,
        "val_loss": pytest.approx(history["val_loss"].iloc[2], rel=1e-15),
    }


@pytest.mark.slow
def test_selected_epoch_best_has_the_weights_of_a_run_that_ends_there(tiny: TinyTraining) -> None:
    """At so high a rate the validation loss goes up and down."""
    train_small(tiny, "best", epochs=8, learning_rate=0.3, selected_epoch="best")
    losses = pd.read_csv(tiny.folder / "best/history.csv")["val_loss"]
    wanted = int(np.argmin(losses)) + 1
    assert 1 < wanted < 8, "the test needs a best epoch inside"
    reported = tiny.training("best")
    assert (reported["selected_epoch"]["epoch"], reported["trained_epochs"]) == (wanted, 8)
    train_small(tiny, "ends there", "other checkpoints", epochs=wanted, learning_rate=0.3)
    assert tiny.results("best")[WEIGHTS] == tiny.results("ends there")[WEIGHTS]
    # Another epoch of the same training: nothing is trained.
    assert epochs_trained(train_small(tiny, "last", epochs=8, learning_rate=0.3)) == []
    assert tiny.results("last")[WEIGHTS] != tiny.results("best")[WEIGHTS]


@pytest.mark.slow
def test_selected_epoch_of_a_number(tiny: TinyTraining) -> None:
    train_small(tiny, "whole", "other checkpoints", "--keep-checkpoints", "every", epochs=6)
    train_small(tiny, "out", epochs=6, selected_epoch=4)
    train_small(tiny, "ends there", "checkpoints of four", epochs=4)
    assert tiny.results("out")[WEIGHTS] == tiny.results("ends there")[WEIGHTS]
    assert tiny.results("out")["history.csv"] == tiny.results("whole")["history.csv"]
    assert tiny.training("out")["selected_epoch"]["epoch"] == 4
    assert tiny.training("out")["selected_epoch"]["rule"] == "number"
    # The same epoch again, and the last one: both checkpoints exist.
    assert epochs_trained(train_small(tiny, "again", epochs=6, selected_epoch=4)) == []
    assert tiny.results("again") == tiny.results("out")
    assert epochs_trained(train_small(tiny, "last", epochs=6)) == []
    assert tiny.results("last") == tiny.results("whole")


@pytest.mark.slow
def test_selected_epoch_that_was_not_kept_is_trained_again_from_an_earlier_checkpoint(tiny: TinyTraining) -> None:
    train_small(tiny, "out", epochs=6, selected_epoch=4)
    output = train_small(tiny, "other", epochs=6, selected_epoch=5)
    assert "resumes after epoch 4" in output
    assert set(epochs_trained(output)).isdisjoint({1, 2, 3, 4})
    train_small(tiny, "ends there", "checkpoints of five", epochs=5)
    assert tiny.results("other")[WEIGHTS] == tiny.results("ends there")[WEIGHTS]
    assert tiny.results("other")["history.csv"] == tiny.results("out")["history.csv"]


def test_selected_epoch_after_the_last_is_reported(tiny: TinyTraining) -> None:
    with pytest.raises(UserError, match="selected_epoch: 7 is after the last epoch, 6;"):
        train_small(tiny, "out", epochs=6, selected_epoch=7)
