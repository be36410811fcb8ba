"""A GPU for each training of a machine: claims by lock files, so that two trainings never take the same one by chance.

A GPU has as many places as trainings may share it. The locks lie on the machine's own disk, one folder a user, so that runs in
several checkouts see each other; the kernel gives a lock back however its process ends.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from cxrflow.stage.faults import Fault
from cxrflow.stage.locks import lock_alone

POLL = 1.0  # seconds between two looks at GPUs that are all taken


def gpu_ids(environ: Mapping[str, str], root: Path = Path("/")) -> list[str]:
    """The GPUs that a process may use, by the names that CUDA_VISIBLE_DEVICES takes.

    Where CUDA_VISIBLE_DEVICES is set, those that it names; otherwise all, by the driver's files or nvidia-smi.

    Args:
        environ: the environment.
        root: folder in which proc/ is looked for.
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
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return [line.strip() for line in told.stdout.splitlines() if line.startswith("GPU-")]


def given_by_scheduler(environ: Mapping[str, str]) -> bool:
    """Whether somebody else has seen to it that this process has a GPU of its own: Slurm, or one that was named by hand."""
    named = environ.get("CUDA_VISIBLE_DEVICES")
    return "SLURM_JOB_ID" in environ or (named is not None and len(gpu_ids(environ)) < 2)


def lock_folder() -> Path:
    """The folder of this user's locks; not by TMPDIR, which differs between runs."""
    return Path("/tmp") / f"cxrflow-gpus-{os.getuid()}"


def claim_gpu(
    gpus: Sequence[str], trainings_per_gpu: int, say: Callable[[str], None], folder: Path
) -> tuple[str, IO[str]]:
    """Claim a place on a GPU, one on which fewest others are; wait, and say so once, while there is none.

    Args:
        gpus: at least one, as from `gpu_ids`.
        trainings_per_gpu: places of each.
        say: is told that this process waits.
        folder: of the locks, made where it is not there.

    Returns:
        The GPU, and the open lock: closing it gives the place back.

    Raises:
        Fault: the folder belongs to another user.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise Fault(f"{folder}: belongs to another user; locks of GPUs are kept there: have it deleted")
    told = False
    while True:
        # Each GPU's first place before any GPU's second.
        for place in range(trainings_per_gpu):
            for gpu in gpus:
                name = re.sub(r"[^\w.-]", "_", f"{socket.gethostname()}-{gpu}-{place}")
                if (lock := _locked(folder / f"{name}.lock")) is not None:
                    return gpu, lock
        if not told:
            each = "one training" if trainings_per_gpu == 1 else f"{trainings_per_gpu} trainings"
            say(f"waits: {len(gpus)} GPU{'s' if len(gpus) > 1 else ''}, {each} each, and no place is free")
            told = True
        time.sleep(POLL)


def take_own_gpu(trainings_per_gpu: int, say: Callable[[str], None]) -> IO[str] | None:
    """Claim a GPU and let this process see it alone; must come before the backend looks for GPUs.

    Args:
        trainings_per_gpu: trainings that may share one.
        say: is told that this process waits.

    Returns:
        The open lock; None where there is no GPU, or a scheduler has chosen one.
    """
    gpus = gpu_ids(os.environ)
    if not gpus or given_by_scheduler(os.environ):
        return None
    os.environ["CUDA_VISIBLE_DEVICES"], lock = claim_gpu(gpus, trainings_per_gpu, say, lock_folder())
    return lock


def _locked(file: Path) -> IO[str] | None:
    lock = file.open("a", encoding="utf-8")
    if not lock_alone(lock):
        lock.close()
        return None
    return lock
