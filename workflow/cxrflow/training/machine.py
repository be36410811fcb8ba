"""The machine that a training runs on: its threads, its device, the versions that results depend on."""

import platform
from importlib.metadata import version

import keras

VERSIONED = ("tensorflow", "keras", "numpy", "scipy", "pillow")


def set_threads(threads: int) -> None:
    """Give TensorFlow so many threads; must come before its first operation. Results depend on the number."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def device_name() -> str:
    """The device that Keras trains on: "cpu", or the name of the first GPU that TensorFlow sees."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "cpu"
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name))


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
