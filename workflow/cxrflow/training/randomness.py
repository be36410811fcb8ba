"""Random numbers that a backend draws from a generator of its own, beside those that Keras keeps in variables."""

import sys

import keras


def backend_randomness() -> str | None:
    """The state of the backend's own generators, in hex; None where it has none that training draws from.

    Keras' dropout draws from PyTorch's generators; with TensorFlow and JAX, from variables of the network.
    """
    if keras.backend.backend() != "torch":
        return None
    torch = sys.modules["torch"]
    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return " ".join(state.numpy().tobytes().hex() for state in states)


def restore_randomness(written: str | None) -> None:
    """Set the backend's own generators to what `backend_randomness` gave."""
    if written is None:
        return
    import numpy as np
    import torch

    states = [torch.from_numpy(np.frombuffer(bytes.fromhex(part), np.uint8).copy()) for part in written.split(" ")]
    torch.set_rng_state(states[0])
    torch.cuda.set_rng_state_all(states[1 : 1 + torch.cuda.device_count()])
