"""The optimizers of the config, and the fused update against Keras' own Adam."""

from typing import Any

import keras
import numpy as np
import pytest
from cxrflow.training.optimizers import FusedAdam, make_optimizer

SHAPES = [(64, 32), (32,), (3, 3, 8, 16)]
SETTINGS = {
    "optimizer": "adam",
    "learning_rate": 0.25,
    "momentum": 0.0,
    "weight_decay": 0.004,
    "gradient_clip_norm": None,
}


def apply_gradients(optimizer: Any, steps: int, scale: float = 0.1) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return variables before and after some given gradients."""
    random = np.random.default_rng(0)
    initial = [random.normal(size=shape).astype(np.float32) for shape in SHAPES]
    variables = [keras.Variable(values) for values in initial]
    optimizer.build(variables)
    for _ in range(steps):
        gradients = [random.normal(scale=scale, size=shape).astype(np.float32) for shape in SHAPES]
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], variables)
    assert int(optimizer.iterations) == steps
    return initial, [np.asarray(variable) for variable in variables]


@pytest.mark.parametrize("clip", [None, 0.5], ids=["free", "clipped"])
@pytest.mark.parametrize("learning_rate", [1e-3, 1e-5])
def test_fused_adam_is_keras_adam(learning_rate: float, clip: float | None) -> None:
    """100 given gradients: the weights differ by less than a millionth."""
    initial, ours = apply_gradients(FusedAdam(learning_rate, global_clipnorm=clip), 100)
    _, peers = apply_gradients(keras.optimizers.Adam(learning_rate, global_clipnorm=clip), 100)
    for mine, theirs, start in zip(ours, peers, initial, strict=True):
        assert np.linalg.norm(mine - theirs) / np.linalg.norm(theirs) < 1e-6
        assert np.linalg.norm(mine - start) > 10 * learning_rate


def test_the_config_selects_it() -> None:
    adam = make_optimizer(SETTINGS)
    assert isinstance(adam, FusedAdam)
    assert float(adam.learning_rate) == 0.25
    assert (adam.beta_1, adam.beta_2, adam.epsilon, adam.global_clipnorm) == (0.9, 0.999, 1e-7, None)
    adamw = make_optimizer({**SETTINGS, "optimizer": "adamw", "weight_decay": 0.5})
    assert isinstance(adamw, keras.optimizers.AdamW) and adamw.weight_decay == 0.5
    rmsprop = make_optimizer({**SETTINGS, "optimizer": "rmsprop", "momentum": 0.75, "gradient_clip_norm": 2.0})
    assert isinstance(rmsprop, keras.optimizers.RMSprop) and (rmsprop.momentum, rmsprop.global_clipnorm) == (0.75, 2.0)
    assert (rmsprop.rho, rmsprop.epsilon, rmsprop.centered) == (0.9, 1e-7, False)
    sgd = make_optimizer({**SETTINGS, "optimizer": "sgd", "momentum": 0.75, "gradient_clip_norm": 2.0})
    assert isinstance(sgd, keras.optimizers.SGD) and (sgd.momentum, sgd.global_clipnorm) == (0.75, 2.0)


def by_hand(settings: dict[str, Any], weights: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
    """In double precision: Tieleman and Hinton 2012 (rmsprop), Sutskever et al. 2013 (momentum), Kingma and Ba 2015 (adam),
    Loshchilov and Hutter 2019 (adamw).
    """
    rate, velocity, first, second = settings["learning_rate"], 0.0, 0.0, 0.0
    for step, gradient in enumerate(gradients, start=1):
        if settings["optimizer"] == "rmsprop":
            second = 0.9 * second + 0.1 * gradient**2
            velocity = settings["momentum"] * velocity + rate * gradient / np.sqrt(second + 1e-7)
            weights = weights - velocity
            continue
        if settings["optimizer"] == "sgd":
            velocity = settings["momentum"] * velocity - rate * gradient
            weights = weights + velocity
            continue
        if settings["optimizer"] == "adamw":
            weights = weights - rate * settings["weight_decay"] * weights
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        corrected = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        weights = weights - corrected * first / (np.sqrt(second) + 1e-7)
    return weights


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.5},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "rmsprop"},
        {"optimizer": "rmsprop", "momentum": 0.9},
    ],
    ids=["adam", "adamw", "sgd", "momentum", "rmsprop", "rmsprop with momentum"],
)
def test_steps_are_those_of_the_formulas(changes: dict[str, Any]) -> None:
    settings = {**SETTINGS, "learning_rate": 0.01, **changes}
    random = np.random.default_rng(1)
    initial, *gradients = random.normal(size=(6, 40)).astype(np.float32)
    variable = keras.Variable(initial)
    optimizer = make_optimizer(settings)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    wanted = by_hand(settings, initial.astype(np.float64), [gradient.astype(np.float64) for gradient in gradients])
    np.testing.assert_allclose(np.asarray(variable), wanted, rtol=0, atol=2e-6)


def test_gradient_clip_norm_is_that_of_all_gradients_together() -> None:
    """Plain SGD with rate 1 moves by the gradients themselves; much longer ones are clipped to the norm."""
    settings = {**SETTINGS, "optimizer": "sgd", "learning_rate": 1.0, "gradient_clip_norm": 0.125}
    before, after = apply_gradients(make_optimizer(settings), 1)
    moved = np.concatenate([(new - old).ravel() for old, new in zip(before, after, strict=True)])
    assert np.linalg.norm(moved) == pytest.approx(0.125, rel=1e-4)


def test_optimizers_differ() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"optimizer": "adamw"},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "sgd", "gradient_clip_norm": 0.1},
        {"optimizer": "rmsprop"},
        {"optimizer": "rmsprop", "momentum": 0.9},
    ]
    ends = [
        apply_gradients(make_optimizer({**SETTINGS, "learning_rate": 0.01, **c}), 3)[1][0].tobytes() for c in changes
    ]
    assert len(set(ends)) == len(changes)
