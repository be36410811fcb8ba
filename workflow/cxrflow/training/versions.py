"""The versions that a training's numbers depend on."""

import platform
from importlib.metadata import version

import keras

VERSIONED = ("tensorflow", "keras", "numpy", "scipy", "pillow")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a training's numbers depend on."""
    installed = {"python": platform.python_version(), "backend": keras.backend.backend()}
    for package in VERSIONED:
        installed[package] = _version_of(package)
    return installed


def _version_of(package: str) -> str:
    # TensorFlow's module comes in packages of several names; the module knows its own version.
    if package == "tensorflow":
        import tensorflow as tf

        return str(tf.__version__)
    return version(package)
