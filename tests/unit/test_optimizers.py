"""The fused update against Keras' own Adam."""

import keras
import numpy as np
import pytest
from cxrflow.training.optimizers import FusedAdam, make_optimizer

SHAPES = [(64, 32), (32,), (3, 3, 8, 16)]


@pytest.mark.parametrize("learning_rate", [1e-3, 1e-5])
def test_fused_adam_is_keras_adam(learning_rate: float) -> None:
    """100 given gradients: the weights differ by less than a millionth."""
    random = np.random.default_rng(0)
    initial = [random.normal(size=shape).astype(np.float32) for shape in SHAPES]
    ours, peers = ([keras.Variable(values) for values in initial] for _ in range(2))
    fused, peer = FusedAdam(learning_rate), keras.optimizers.Adam(learning_rate)
    fused.build(ours)
    peer.build(peers)
    for _ in range(100):
        gradients = [random.normal(scale=0.1, size=shape).astype(np.float32) for shape in SHAPES]
        for optimizer, variables in ((fused, ours), (peer, peers)):
            optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], variables)
    for mine, theirs, start in zip(ours, peers, initial, strict=True):
        difference = np.linalg.norm(np.asarray(mine) - np.asarray(theirs))
        assert difference / np.linalg.norm(np.asarray(theirs)) < 1e-6
        assert np.linalg.norm(np.asarray(mine) - start) > 10 * learning_rate
    assert int(fused.iterations) == 100


def test_the_config_names_it() -> None:
    optimizer = make_optimizer("adam", 0.25)
    assert isinstance(optimizer, keras.optimizers.Adam)
    assert float(optimizer.learning_rate) == 0.25
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.9, 0.999, 1e-7)
