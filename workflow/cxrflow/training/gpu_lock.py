"""Lock a GPU for each process, so that two trainings do not use the same one by accident.

A GPU has one lock file for each training that may use it at the same time. The lock files are on the machine's own disk, in
one folder per user, so runs in several checkouts respect each other. The kernel releases a lock when its process ends.
"""

import atexit
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cxrflow.io.errors import UserError
from cxrflow.io.files import try_lock
from cxrflow.io.words import counted

if TYPE_CHECKING:
    from cxrflow.networks.device import Kind

POLL = 1.0  # seconds between attempts while all GPUs are in use


def gpu_ids(environ: Mapping[str, str], root: Path = Path("/")) -> list[str]:
    """List the GPUs that a process may use, by names valid in CUDA_VISIBLE_DEVICES.

    These are the GPUs in CUDA_VISIBLE_DEVICES if it is set; otherwise all GPUs that the driver's files or nvidia-smi list.

    Args:
        environ: the environment.
        root: folder that contains proc/.
    """
    if "CUDA_VISIBLE_DEVICES" in environ:
        named = [name.strip() for name in environ["CUDA_VISIBLE_DEVICES"].split(",")]
        return [name for name in named if name and name != "-1"]
    files = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    found = [re.search(r"GPU UUID:\s*(GPU-[0-9a-f-]+)\s", file.read_text(encoding="utf-8")) for file in files]
    if files and all(found):
        return [one[1] for one in found if one]
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    output = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return [line.strip() for line in output.stdout.splitlines() if line.startswith("GPU-")]


def given_by_scheduler(environ: Mapping[str, str]) -> bool:
    """Whether Slurm, or the user with CUDA_VISIBLE_DEVICES, has already assigned a GPU to this process."""
    named = environ.get("CUDA_VISIBLE_DEVICES")
    return "SLURM_JOB_ID" in environ or (named is not None and len(gpu_ids(environ)) < 2)


def lock_folder() -> Path:
    """Return the folder of this user's locks; independent of TMPDIR, which can differ between runs."""
    return Path("/tmp") / f"cxrflow-gpus-{os.getuid()}"


def lock_gpu(
    gpus: Sequence[str], trainings_per_gpu: int, say: Callable[[str], None], folder: Path
) -> tuple[str, IO[str]]:
    """Lock the GPU with the fewest other processes; wait while all are in use.

    Args:
        gpus: at least one name from `gpu_ids`.
        trainings_per_gpu: number of processes that may share a GPU.
        say: called once with a message if this process has to wait.
        folder: folder of the locks; created if it does not exist.

    Returns:
        The GPU, and the open lock file: closing it releases the GPU.

    Raises:
        UserError: the folder belongs to another user.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise UserError(
            f"{folder}: belongs to another user, but is needed for the locks of GPUs; ask that user to delete it"
        )
    waiting = False
    while True:
        # The first place on each GPU before the second place on any.
        for place in range(trainings_per_gpu):
            for gpu in gpus:
                name = re.sub(r"[^\w.-]", "_", f"{socket.gethostname()}-{gpu}-{place}")
                if (lock := _locked(folder / f"{name}.lock")) is not None:
                    return gpu, lock
        if not waiting:
            each = counted(trainings_per_gpu, "training")
            say(f"waiting: no free GPU ({counted(len(gpus), 'GPU')}, {each} each)")
            waiting = True
        time.sleep(POLL)


def set_up_own_device(
    device: str, threads: int, trainings_per_gpu: int, say: Callable[[str], None], deterministic: bool = False
) -> "Kind":
    """Set up the device (`cxrflow.networks.device.set_up_device`); lock a GPU first, until this process ends.

    Args:
        device, threads, deterministic: see `set_up_device`.
        trainings_per_gpu: number of processes that may share a GPU.
        say: called once with a message if this process has to wait.

    Raises:
        UserError: see `set_up_device` and `lock_gpu`.
    """
    from cxrflow.networks.device import can_take_gpu, set_up_device  # imports Keras

    lock = _lock_visible_gpu(trainings_per_gpu, say) if device != "cpu" and can_take_gpu() else None
    kind = set_up_device(device, threads, deterministic)
    if lock is not None:
        if kind == "cpu":  # the backend cannot use the GPU: release it
            lock.close()
        else:
            atexit.register(lock.close)
    return kind


def _lock_visible_gpu(trainings_per_gpu: int, say: Callable[[str], None]) -> IO[str] | None:
    """Lock a GPU and hide the others from the backend; None if there is none or one is already assigned."""
    gpus = gpu_ids(os.environ)
    if not gpus or given_by_scheduler(os.environ):
        return None
    os.environ["CUDA_VISIBLE_DEVICES"], lock = lock_gpu(gpus, trainings_per_gpu, say, lock_folder())
    return lock


def _locked(file: Path) -> IO[str] | None:
    lock = file.open("a", encoding="utf-8")
    if not try_lock(lock):
        lock.close()
        return None
    return lock
