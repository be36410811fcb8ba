"""Learning rates and early stopping: known answers, and Keras' own callbacks and schedules as peers."""

import math
from types import SimpleNamespace
from typing import Any

import keras
import pytest
from cxrflow.training.early_stopping import epoch_of_stopping
from cxrflow.training.schedules import learning_rate_of
from hypothesis import given
from hypothesis import strategies as st

# Multiples of 1/64: sums and differences of them are exact, so that both sides judge the same numbers.
LOSSES = st.lists(st.integers(0, 256).map(lambda n: n / 64), min_size=1, max_size=40)
DELTAS = st.integers(0, 32).map(lambda n: n / 64)


def history_of(losses: list[float]) -> list[dict[str, float]]:
    return [{"val_loss": loss} for loss in losses]


def rates(schedule: Any, losses: list[float], rate: float = 1.0) -> list[float]:
    """The rates of all epochs up to the one after the last loss, each computed from the earlier history."""
    settings = {"learning_rate": rate, "schedule": schedule}
    history = history_of(losses)
    return [learning_rate_of(settings, epoch, history[: epoch - 1], 0) for epoch in range(1, len(losses) + 2)]


def test_constant() -> None:
    assert rates("constant", [1.0, 2.0, 3.0], 0.25) == [0.25] * 4


def test_cosine() -> None:
    schedule = {"kind": "cosine", "epochs": 4, "final": 0.0}
    wanted = [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0.0, 0.0]
    assert rates(schedule, [0.0] * 5) == pytest.approx(wanted, abs=1e-15)
    assert rates({**schedule, "final": 0.2}, [0.0] * 5)[2:] == pytest.approx([0.6, 0.2 + 0.8 * wanted[3], 0.2, 0.2])


def test_step() -> None:
    assert rates({"kind": "step", "at": [2, 4], "factor": 0.1}, [0.0] * 5) == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


def test_plateau() -> None:
    """The loss falls and stays for two epochs, twice; a fall by less than min_delta does not count."""
    schedule = {"kind": "plateau", "patience": 2, "factor": 0.5, "min_delta": 0.1, "minimum": 0.2}
    losses = [1.0, 0.5, 0.5, 0.45, 0.6, 0.41, 0.41, 0.41]
    assert rates(schedule, losses) == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.2]


@given(epochs=st.integers(1, 30), final=st.floats(0, 1), rate=st.floats(1e-5, 1))
def test_cosine_is_that_of_keras(epochs: int, final: float, rate: float) -> None:
    peer = keras.optimizers.schedules.CosineDecay(rate, decay_steps=epochs, alpha=final)
    ours = rates({"kind": "cosine", "epochs": epochs, "final": final}, [0.0] * (epochs + 2), rate)
    assert ours == pytest.approx([float(peer(step)) for step in range(epochs + 3)], rel=1e-4, abs=1e-6 * rate)


@given(losses=LOSSES, patience=st.integers(1, 6), min_delta=DELTAS, minimum=st.sampled_from([0.0, 0.01, 0.3]))
def test_plateau_is_that_of_keras(losses: list[float], patience: int, min_delta: float, minimum: float) -> None:
    peer = keras.callbacks.ReduceLROnPlateau(
        monitor="val_loss", factor=0.5, patience=patience, min_delta=min_delta, min_lr=minimum, mode="min"
    )
    optimizer = SimpleNamespace(learning_rate=1.0)
    peer.set_model(SimpleNamespace(optimizer=optimizer))
    peer.on_train_begin()
    wanted = [1.0]
    for epoch, loss in enumerate(losses):
        peer.on_epoch_end(epoch, {"val_loss": loss})
        wanted.append(float(optimizer.learning_rate))
    schedule = {"kind": "plateau", "patience": patience, "factor": 0.5, "min_delta": min_delta, "minimum": minimum}
    assert rates(schedule, losses) == pytest.approx(wanted, rel=1e-6)


@given(
    factor=st.floats(0.01, 0.99),
    steps=st.integers(1, 50),
    staircase=st.booleans(),
    rate=st.floats(1e-5, 1),
    first=st.integers(0, 200),
)
def test_exponential_is_that_of_keras(factor: float, steps: int, staircase: bool, rate: float, first: int) -> None:
    peer = keras.optimizers.schedules.ExponentialDecay(rate, steps, factor, staircase=staircase)
    schedule = {"kind": "exponential", "factor": factor, "steps": steps, "staircase": staircase}
    settings = {"learning_rate": rate, "schedule": schedule}
    seen = range(first, first + 5)
    wanted = [float(peer(step)) for step in seen]
    assert [learning_rate_of(settings, 1, [], step) for step in seen] == pytest.approx(wanted, rel=1e-3, abs=1e-30)


def test_exponential_falls_by_its_factor_in_its_steps() -> None:
    settings = {
        "learning_rate": 1.0,
        "schedule": {"kind": "exponential", "factor": 0.25, "steps": 4, "staircase": False},
    }
    assert [learning_rate_of(settings, 1, [], step) for step in (0, 2, 4, 6, 8)] == [1, 0.5, 0.25, 0.125, 0.0625]
    settings["schedule"]["staircase"] = True
    assert [learning_rate_of(settings, 1, [], step) for step in (0, 3, 4, 7, 8)] == [1, 1, 0.25, 0.25, 0.0625]


@given(
    losses=LOSSES,
    patience=st.integers(1, 6),
    min_delta=DELTAS,
    monitor=st.sampled_from(["val_loss", "val_accuracy", "loss", "accuracy"]),
)
def test_early_stopping_is_that_of_keras(losses: list[float], patience: int, min_delta: float, monitor: str) -> None:
    mode = "max" if monitor.endswith("accuracy") else "min"
    peer = keras.callbacks.EarlyStopping(monitor=monitor, patience=patience, min_delta=min_delta, mode=mode)
    peer.set_model(SimpleNamespace(stop_training=False))
    peer.on_train_begin()
    wanted = None
    for epoch, loss in enumerate(losses):
        peer.on_epoch_end(epoch, {monitor: loss})
        if peer.model.stop_training:
            wanted = epoch + 1
            break
    settings = {"early_stopping": {"monitor": monitor, "patience": patience, "min_delta": min_delta}}
    history = [{monitor: loss} for loss in losses]
    assert epoch_of_stopping(settings, history) == wanted
    # Called after each epoch, as in training, it stops at that epoch and not before.
    first = next((n for n in range(len(losses) + 1) if epoch_of_stopping(settings, history[:n])), None)
    assert first == wanted


def test_no_early_stopping() -> None:
    assert epoch_of_stopping({"early_stopping": None}, history_of([1.0] * 100)) is None
