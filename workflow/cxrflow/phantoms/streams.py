"""Random numbers by name: a stream for each thing drawn, apart from all others."""

import hashlib

import numpy as np


def stream(*name: str | int) -> np.random.Generator:
    """The random numbers that belong to a name, the same on every machine and in any order of asking.

    Args:
        name: parts of the name, such as ("phantom", 0, "train", "covid", 7).

    Returns:
        A generator on `numpy.random.Philox` (counter-based; Salmon et al., 2011), keyed by a BLAKE2 hash of the name.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in name)
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))
