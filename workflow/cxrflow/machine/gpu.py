"""GPUs: those that are in the machine, and those that TensorFlow really sees."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cxrflow.config.models import Config
from cxrflow.machine.findings import Finding, fault, note, ok
from cxrflow.machine.gpu_claim import gpu_ids

ASK_TENSORFLOW = """
import json, sys
import tensorflow as tf
gpus = tf.config.list_physical_devices("GPU")
names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
print(json.dumps({"version": tf.__version__, "cuda": bool(tf.test.is_built_with_cuda()), "gpus": names}))
"""

# Words in TensorFlow's own messages that tell why it takes no GPU.
TELLING = ("dlopen", "libcud", "libcub", "cuInit", "CUDA_ERROR", "driver version", "Could not load")


@dataclass(frozen=True)
class TensorFlowView:
    """What TensorFlow says of itself: version, whether it is a CUDA build, GPUs that it sees; or why it says nothing."""

    version: str = ""
    cuda_build: bool = False
    gpus: tuple[str, ...] = ()
    failure: str = ""
    complaint: str = ""
    """The line in which TensorFlow tells why it takes no GPU, where it has one."""


def cuda_packages_installed() -> bool:
    """Whether NVIDIA's CUDA libraries are installed as packages."""
    try:
        metadata.version("nvidia-cudnn-cu12")
    except metadata.PackageNotFoundError:
        return False
    return True


def trainings_at_once(config: Config, environ: Mapping[str, str]) -> int:
    """Trainings that this machine runs at one time unless the command line says how many; one where it has no GPU."""
    takes_gpu = config.device != "cpu" and (config.environment == "gpu" or cuda_packages_installed())
    return max(1, len(gpu_ids(environ)) * config.trainings_per_gpu) if takes_gpu else 1


def gpus_in_machine(root: Path = Path("/"), ask_driver: bool = True) -> list[str]:
    """NVIDIA GPUs that are in this machine, by nvidia-smi or, without it, by the driver's files.

    Args:
        root: folder in which proc/ and dev/ are looked for.
        ask_driver: run nvidia-smi too, which may take seconds.
    """
    if ask_driver and shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ["a GPU whose driver does not answer (nvidia-smi)"]
        lines = [line.strip() for line in (told.stdout or told.stderr).splitlines() if line.strip()]
        if told.returncode == 0 and lines:
            return [", driver ".join(part.strip() for part in line.split(",")) for line in lines]
        if "No devices" not in told.stdout:
            return [f"a GPU whose driver fails: {lines[0] if lines else 'nvidia-smi says nothing'}"]
    files = sorted((root / "proc/driver/nvidia/gpus").glob("*")) or sorted((root / "dev").glob("nvidia[0-9]*"))
    return [f"GPU {file.name}" for file in files]


def ask_tensorflow(seconds: float = 300, python: str = sys.executable) -> TensorFlowView:
    """Ask TensorFlow, in a process of its own, which GPUs it sees."""
    answer = _run(python, "3", seconds)
    if isinstance(answer, str):
        return TensorFlowView(failure=answer)
    seen = json.loads(answer.stdout.splitlines()[-1])
    complaint = ""
    if seen["cuda"] and not seen["gpus"]:
        again = _run(python, "0", seconds)
        lines = [] if isinstance(again, str) else again.stderr.splitlines()
        complaint = next((line.split("] ", 1)[-1] for line in lines if any(word in line for word in TELLING)), "")
    return TensorFlowView(seen["version"], seen["cuda"], tuple(seen["gpus"]), complaint=complaint)


def _run(python: str, log_level: str, seconds: float) -> subprocess.CompletedProcess[str] | str:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": log_level}
    command = [python, "-c", ASK_TENSORFLOW]
    try:
        told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"does not answer within {seconds:.0f} s"
    if told.returncode == 0 and told.stdout.strip():
        return told
    if told.returncode < 0:
        return f"was ended by signal {-told.returncode} (4: this processor lacks instructions that TensorFlow is built for)"
    return f"cannot be loaded: {(told.stderr.strip().splitlines() or ['no message'])[-1]}"


def gpu_finding(
    there: list[str],
    view: TensorFlowView | None,
    environ: Mapping[str, str],
    cuda_packages: bool,
    device: str = "auto",
    trainings_per_gpu: int = 1,
) -> Finding:
    """The GPU in one line, and why one that is there is not used.

    Args:
        there: what `gpus_in_machine` found.
        view: what TensorFlow says, or None where it was not asked.
        environ: the environment, for CUDA_VISIBLE_DEVICES.
        cuda_packages: whether NVIDIA's CUDA libraries are installed as packages.
        device: the config's `device`.
        trainings_per_gpu: the config's.
    """
    if view is not None and view.failure:
        return fault("TensorFlow", view.failure)
    if device == "cpu":
        return ok("GPU", "not asked for (device: cpu): trainings run on the processor")
    if view is not None and view.gpus:
        return ok(
            "GPU",
            f"TensorFlow {view.version} trains on {', '.join(view.gpus)}{_shared(len(view.gpus), trainings_per_gpu)}",
        )
    names, reason = ", ".join(there), _why_unused(view, environ, cuda_packages) if there else ""
    if device == "gpu" and (reason or not there):
        return _lacking(f"{names} is not used: {reason}" if there else "there is none here", view is not None)
    if reason:
        return note("GPU", f"{names}: not used: {reason}")
    here = f"{names} (`make doctor GPU=1` tells whether TensorFlow sees it){_shared(len(there), trainings_per_gpu)}"
    return ok("GPU", here if there else "none here: trainings run on the processor")


def _shared(gpus: int, trainings_per_gpu: int) -> str:
    """How many trainings there are at one time; empty for the plain case of one on one GPU."""
    if gpus == trainings_per_gpu == 1:
        return ""
    trainings = "one training" if trainings_per_gpu == 1 else f"{trainings_per_gpu} trainings"
    return f"; {gpus} GPUs, {trainings} each" if gpus > 1 else f"; {trainings} at a time"


def _lacking(why: str, asked: bool) -> Finding:
    """A GPU that the config asks for and that cannot be had; `asked`: by TensorFlow's own word."""
    if asked:
        return fault("GPU", f"device: gpu, but {why}; device: auto or cpu trains on the processor")
    # Jobs may run on other machines than the one where they are planned.
    return note("GPU", f"device: gpu, but {why}; trainings that run on this machine will fail")


def _why_unused(view: TensorFlowView | None, environ: Mapping[str, str], cuda_packages: bool) -> str:
    """Why a GPU that is there is not used, and what to do; empty where nothing speaks against it."""
    hidden = environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return f"hidden by CUDA_VISIBLE_DEVICES={hidden!r}; unset it to use the GPU"
    if not (cuda_packages if view is None else view.cuda_build):
        return "TensorFlow's CPU build is installed; `make study GPU=1` takes the CUDA build"
    if view is None:
        return ""
    lacking = "the CUDA libraries of envs/gpu.lock are not installed"
    reason = view.complaint or ("TensorFlow does not say why" if cuda_packages else lacking)
    return (
        f"TensorFlow {view.version} does not see it ({reason}); the driver must be loaded, be new enough for CUDA 12, "
        "and be open to this user (nvidia-smi)"
    )
