"""Which epoch's weights are kept: the last, the best, or that of a number."""

import numpy as np
import pandas as pd
import pytest
from cxrflow.stage.faults import Fault
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


def test_selected_epoch_best_has_the_weights_of_a_run_that_ends_there(tiny: TinyTraining) -> None:
    """At so high a rate the validation loss goes up and down."""
    train_small(tiny, "best", epochs=8, learning_rate=0.3, selected_epoch="best")
    losses = pd.read_csv(tiny.folder / "best/history.csv")["val_loss"]
    wanted = int(np.argmin(losses)) + 1
    assert 1 < wanted < 8, "the test needs a best epoch inside"
    told = tiny.training("best")
    assert (told["selected_epoch"]["epoch"], told["trained_epochs"]) == (wanted, 8)
    train_small(tiny, "ends there", "other states", epochs=wanted, learning_rate=0.3)
    assert tiny.results("best")[WEIGHTS] == tiny.results("ends there")[WEIGHTS]
    # One training, another epoch of it: nothing is trained.
    assert epochs_trained(train_small(tiny, "last", epochs=8, learning_rate=0.3)) == []
    assert tiny.results("last")[WEIGHTS] != tiny.results("best")[WEIGHTS]


def test_selected_epoch_of_a_number(tiny: TinyTraining) -> None:
    train_small(tiny, "whole", "other states", "--keep-states", "every", epochs=6)
    train_small(tiny, "out", epochs=6, selected_epoch=4)
    train_small(tiny, "ends there", "states of four", epochs=4)
    assert tiny.results("out")[WEIGHTS] == tiny.results("ends there")[WEIGHTS]
    assert tiny.results("out")["history.csv"] == tiny.results("whole")["history.csv"]
    assert tiny.training("out")["selected_epoch"]["epoch"] == 4
    assert tiny.training("out")["selected_epoch"]["rule"] == "number"
    # Asked again, and for the last one: both states are there.
    assert epochs_trained(train_small(tiny, "again", epochs=6, selected_epoch=4)) == []
    assert tiny.results("again") == tiny.results("out")
    assert epochs_trained(train_small(tiny, "last", epochs=6)) == []
    assert tiny.results("last") == tiny.results("whole")


def test_selected_epoch_that_was_not_kept_is_trained_again_from_the_state_before_it(tiny: TinyTraining) -> None:
    train_small(tiny, "out", epochs=6, selected_epoch=4)
    output = train_small(tiny, "other", epochs=6, selected_epoch=5)
    assert "goes on behind epoch 4" in output
    assert set(epochs_trained(output)).isdisjoint({1, 2, 3, 4})
    train_small(tiny, "ends there", "states of five", epochs=5)
    assert tiny.results("other")[WEIGHTS] == tiny.results("ends there")[WEIGHTS]
    assert tiny.results("other")["history.csv"] == tiny.results("out")["history.csv"]


def test_selected_epoch_behind_the_last_is_told(tiny: TinyTraining) -> None:
    with pytest.raises(Fault, match="selected_epoch: 7 is behind the last of 6 epochs"):
        train_small(tiny, "out", epochs=6, selected_epoch=7)
