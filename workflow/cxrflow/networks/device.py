"""The device that Keras runs on, and how much of it: for each of its backends."""

from typing import Any, Literal

import keras

from cxrflow.networks.keras_settings import set_up_keras
from cxrflow.stage.faults import Fault

Kind = Literal["cpu", "gpu"]

CHOICES = ("auto", "cpu", "gpu")


def set_up_device(device: str, threads: int, deterministic: bool = False) -> Kind:
    """Choose the device, limit its threads, and set Keras up (`set_up_keras`); must come before the backend's first operation.

    TensorFlow and PyTorch take a GPU's memory as it is needed, not all of it at once, so that several trainings can share it;
    JAX does with XLA_PYTHON_CLIENT_PREALLOCATE=false.

    Args:
        device: "cpu", "gpu", or "auto" for a GPU where there is one.
        threads: threads of TensorFlow or PyTorch; results depend on the number. JAX has no such setting.
        deterministic: ask the backend for operations that give the same bytes each time, on a GPU too. Slower there;
            on a processor the backend's ordinary operations are deterministic already.

    Returns:
        The kind of device that is used.

    Raises:
        Fault: a GPU is wanted and there is none, or the backend cannot be asked for determinism.
    """
    set_up_keras()
    backend = keras.backend.backend()
    gpus = _BACKENDS[backend](device, threads, deterministic)
    if device == "gpu" and not gpus:
        raise Fault(
            f"device: gpu, but {backend} sees none; device: auto or cpu trains on the processor "
            "(`make doctor GPU=1` says why a GPU is not seen)"
        )
    return "gpu" if gpus else "cpu"


def can_take_gpu() -> bool:
    """Whether the backend is built for GPUs of NVIDIA; asks for none."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.test.is_built_with_cuda())
    if backend == "torch":
        import torch

        return torch.version.cuda is not None
    return True


def device_name() -> str:
    """The device that Keras trains on: "cpu", or the name of the GPU; the choice of `set_up_device` is kept."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.get_visible_devices("GPU")
        return (
            str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)) if gpus else "cpu"
        )
    if backend == "jax":
        import jax

        first = jax.devices()[0]
        return "cpu" if first.platform == "cpu" else str(first.device_kind)
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


def _jax(device: str, threads: int, deterministic: bool) -> list[Any]:
    import jax

    if deterministic:
        raise Fault("deterministic: true is asked of TensorFlow and PyTorch only; JAX takes XLA_FLAGS of its own")
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    return [found for found in jax.devices() if found.platform != "cpu"]


def _torch(device: str, threads: int, deterministic: bool) -> list[Any]:
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    found = list(range(torch.cuda.device_count()))
    if device == "cpu" and found:
        raise Fault("device: cpu: PyTorch has taken a GPU already; start with CUDA_VISIBLE_DEVICES= (empty)")
    return found


_BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
