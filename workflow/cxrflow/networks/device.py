"""Set up the device that Keras runs on, for each of its backends."""

from typing import Any, Literal

import keras

from cxrflow.io.errors import UserError
from cxrflow.networks.keras_settings import set_up_keras

Kind = Literal["cpu", "gpu"]

CHOICES = ("auto", "cpu", "gpu")


def set_up_device(device: str, threads: int, deterministic: bool = False) -> Kind:
    """Set up Keras, choose the device and limit its threads; call it before the backend's first operation.

    Both backends allocate a GPU's memory as needed, so several trainings can share a GPU.

    Args:
        device: "cpu", "gpu", or "auto" for a GPU if there is one.
        threads: number of threads of the backend; results depend on it.
        deterministic: make the backend use deterministic operations also on a GPU, where they are slower. On a CPU, the
            default operations are deterministic already.

    Returns:
        The kind of device that is used.

    Raises:
        UserError: `device` is "gpu" and there is none.
    """
    set_up_keras()
    backend = keras.backend.backend()
    gpus = _BACKENDS[backend](device, threads, deterministic)
    if device == "gpu" and not gpus:
        raise UserError(
            f"device: gpu, but {backend} finds no GPU; choose auto or cpu to train on the CPU "
            "(`make doctor GPU=1` explains why no GPU is found)"
        )
    return "gpu" if gpus else "cpu"


def can_take_gpu() -> bool:
    """Whether the backend is built for NVIDIA GPUs; does not look for one."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.test.is_built_with_cuda())
    import torch

    return torch.version.cuda is not None


def device_name() -> str:
    """Return the device chosen by `set_up_device`: "cpu", or the name of the GPU."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.get_visible_devices("GPU")
        return (
            str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)) if gpus else "cpu"
        )
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "cpu"


def _tensorflow(device: str, threads: int, deterministic: bool) -> list[Any]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    gpus = [] if device == "cpu" else tf.config.list_physical_devices("GPU")
    if not gpus:
        tf.config.set_visible_devices([], "GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return list(gpus)


def _torch(device: str, threads: int, deterministic: bool) -> list[Any]:
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    found = list(range(torch.cuda.device_count()))
    if device == "cpu" and found:
        raise UserError("device: cpu, but PyTorch already uses a GPU; start with CUDA_VISIBLE_DEVICES= (empty)")
    return found


_BACKENDS = {"tensorflow": _tensorflow, "torch": _torch}
