"""The code that decides a training's numbers, as one hash: a part of the training's identity."""

from cxrflow.stage.code_hash import code_hash


def deciding_code() -> str:
    """Hash of the steps and of what sets the backend up for them (threads, determinism, precision): 16 hexadecimal digits."""
    return code_hash("cxrflow.training.engine", "cxrflow.networks.device")
