"""The device of a stage that computes with a network: where it takes a GPU, one that no other process of a run has."""

import atexit
from collections.abc import Callable

from cxrflow.machine.gpu_claim import take_own_gpu
from cxrflow.networks.device import Kind, can_take_gpu, set_up_device


def set_up_own_device(
    device: str, threads: int, trainings_per_gpu: int, say: Callable[[str], None], deterministic: bool = False
) -> Kind:
    """Set up a device (`set_up_device`); a GPU is claimed before, and given back when the process ends.

    Args:
        device, threads, deterministic: see `set_up_device`.
        trainings_per_gpu: processes that may share a GPU.
        say: is told that this process waits for one.

    Raises:
        Fault: see `set_up_device` and `take_own_gpu`.
    """
    own = take_own_gpu(trainings_per_gpu, say) if device != "cpu" and can_take_gpu() else None
    kind = set_up_device(device, threads, deterministic)
    if own is not None:
        if kind == "cpu":  # the backend cannot use it: others may
            own.close()
        else:
            atexit.register(own.close)
    return kind
