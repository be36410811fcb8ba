"""GPUs: those in the machine, and those that TensorFlow can use."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from cxrflow.run.checks import Check, error, note, ok
from cxrflow.study.models import Config
from cxrflow.training.gpu_lock import gpu_ids

ASK_TENSORFLOW = """
import ctypes, json
from importlib import metadata
import tensorflow as tf
gpus = tf.config.list_physical_devices("GPU")
names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
answer = {"version": tf.__version__, "cuda": bool(tf.test.is_built_with_cuda()), "gpus": names}
if answer["cuda"]:
    with open("/proc/self/maps") as maps:
        loaded = sorted({line.split(maxsplit=5)[-1].strip() for line in maps if "/libcudnn.so" in line})
    if loaded:
        answer.update(cudnn_file=loaded[0], cudnn_number=ctypes.CDLL(loaded[0]).cudnnGetVersion())
    packages = {}
    for found in metadata.distributions():  # the first is the one that is imported
        packages.setdefault(found.name, found)
    if "nvidia-cudnn-cu12" in packages:
        answer["cudnn_package"] = packages["nvidia-cudnn-cu12"].version
    if "tensorflow" in packages:
        answer["requires"] = packages["tensorflow"].requires
print(json.dumps(answer))
"""

CUDNN = "nvidia-cudnn-cu12"

# Words in those messages of TensorFlow that explain why it does not use a GPU.
EXPLAINING = ("dlopen", "libcud", "libcub", "cuInit", "CUDA_ERROR", "driver version", "Could not load")


@dataclass(frozen=True)
class TensorFlowView:
    """TensorFlow's answer: version, whether it is a CUDA build, and the GPUs that it sees; or why there is no answer."""

    version: str = ""
    cuda_build: bool = False
    gpus: tuple[str, ...] = ()
    failure: str = ""
    complaint: str = ""
    """The line in which TensorFlow explains why it uses no GPU; empty if there is none."""
    cudnn: str = ""
    """Version of the loaded cuDNN, or else of the installed package; empty if there is none."""
    cudnn_needed: str = ""
    """The oldest version that this TensorFlow's package accepts; empty if it requires none."""
    cudnn_file: str = ""
    """The loaded library file of cuDNN."""


def cuda_packages_installed() -> bool:
    """Whether NVIDIA's CUDA libraries are installed as packages."""
    try:
        metadata.version(CUDNN)
    except metadata.PackageNotFoundError:
        return False
    return True


def trainings_at_once(config: Config, environ: Mapping[str, str]) -> int:
    """Number of trainings that this machine runs at the same time by default; one without a GPU."""
    return max(1, _usable_gpus(config, environ) * config.trainings_per_gpu)


def gpus_of_training(config: Config, environ: Mapping[str, str]) -> int:
    """GPUs that a training on this machine declares: 1 if the config requires a GPU or one can be used, otherwise 0."""
    return int(config.device == "gpu" or _usable_gpus(config, environ) > 0)


def _usable_gpus(config: Config, environ: Mapping[str, str]) -> int:
    uses_gpu = config.device != "cpu" and (config.environment == "gpu" or cuda_packages_installed())
    return len(gpu_ids(environ)) if uses_gpu else 0


def gpus_in_machine(root: Path = Path("/"), ask_driver: bool = True) -> list[str]:
    """List the NVIDIA GPUs of this machine, by nvidia-smi or, without it, by the driver's files.

    Args:
        root: folder that contains proc/ and dev/.
        ask_driver: run nvidia-smi too, which may take seconds.
    """
    if ask_driver and shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ["a GPU whose driver does not answer (nvidia-smi)"]
        lines = [line.strip() for line in (run.stdout or run.stderr).splitlines() if line.strip()]
        if run.returncode == 0 and lines:
            return [", driver ".join(part.strip() for part in line.split(",")) for line in lines]
        if "No devices" not in run.stdout:
            return [f"a GPU whose driver fails: {lines[0] if lines else 'nvidia-smi says nothing'}"]
    files = sorted((root / "proc/driver/nvidia/gpus").glob("*")) or sorted((root / "dev").glob("nvidia[0-9]*"))
    return [f"GPU {file.name}" for file in files]


def ask_tensorflow(seconds: float = 300, python: str = sys.executable) -> TensorFlowView:
    """Ask TensorFlow, in a separate process, which GPUs it sees."""
    answer = _run(python, "3", seconds)
    if isinstance(answer, str):
        return TensorFlowView(failure=answer)
    seen = json.loads(answer.stdout.splitlines()[-1])
    complaint = ""
    if seen["cuda"] and not seen["gpus"]:
        verbose = _run(python, "0", seconds)
        lines = [] if isinstance(verbose, str) else verbose.stderr.splitlines()
        complaint = next((line.split("] ", 1)[-1] for line in lines if any(word in line for word in EXPLAINING)), "")
    return TensorFlowView(
        seen["version"],
        seen["cuda"],
        tuple(seen["gpus"]),
        complaint=complaint,
        cudnn=cudnn_version(seen["cudnn_number"]) if seen.get("cudnn_number") else seen.get("cudnn_package", ""),
        cudnn_needed=_needed_cudnn(seen.get("requires") or []),
        cudnn_file=seen.get("cudnn_file", ""),
    )


def cudnn_version(number: int) -> str:
    """Format cuDNN's version number: 90301 is 9.3.1, and before version 9, 8907 is 8.9.7."""
    major = 10_000 if number >= 90_000 else 1_000
    return f"{number // major}.{number % major // 100}.{number % 100}"


def _needed_cudnn(requires: list[str]) -> str:
    """Find the oldest cuDNN that TensorFlow's package accepts in its extra `and-cuda`; empty if it requires none."""
    for requirement in map(Requirement, requires):
        if requirement.name == CUDNN:
            return next((one.version for one in requirement.specifier if one.operator == ">="), "")
    return ""


def is_too_old(cudnn: str, needed: str) -> bool:
    """Whether TensorFlow refuses a cuDNN: it needs the same major version, and the same or a higher minor version."""
    found, least = Version(cudnn).release, Version(needed).release
    return found[0] != least[0] or found[1] < least[1]


def _run(python: str, log_level: str, seconds: float) -> subprocess.CompletedProcess[str] | str:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": log_level}
    command = [python, "-c", ASK_TENSORFLOW]
    try:
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"does not answer within {seconds:.0f} s"
    if run.returncode == 0 and run.stdout.strip():
        return run
    if run.returncode < 0:
        return f"was ended by signal {-run.returncode} (4: this processor lacks instructions that TensorFlow needs)"
    return f"cannot be loaded: {(run.stderr.strip().splitlines() or ['no message'])[-1]}"


def check_gpu(
    gpus: list[str],
    view: TensorFlowView | None,
    environ: Mapping[str, str],
    cuda_packages: bool,
    device: str = "auto",
    trainings_per_gpu: int = 1,
) -> Check:
    """Check which GPUs will be used, and why others are not.

    Args:
        gpus: GPUs of the machine, see `gpus_in_machine`.
        view: TensorFlow's answer, or None if it was not asked.
        environ: the environment, for CUDA_VISIBLE_DEVICES.
        cuda_packages: whether NVIDIA's CUDA libraries are installed as packages.
        device: the config's `device`.
        trainings_per_gpu: the config's `trainings_per_gpu`.
    """
    if view is not None and view.failure:
        return error("TensorFlow", view.failure)
    if device == "cpu":
        return ok("GPU", "not used (device: cpu): trainings run on the processor")
    if view is not None and view.gpus:
        return _check_seen_gpus(view, trainings_per_gpu)
    names, reason = ", ".join(gpus), _why_unused(view, environ, cuda_packages) if gpus else ""
    if reason or not gpus:
        return _check_unused(names, reason, device, view is not None)
    shared = _shared(len(gpus), trainings_per_gpu)
    return ok("GPU", f"{names} (`make doctor GPU=1` checks whether TensorFlow sees it){shared}")


def _check_unused(names: str, reason: str, device: str, is_certain: bool) -> Check:
    """Check whether a run can work without a GPU, if it uses none or the machine has none.

    Args:
        names: the GPUs; an empty text if there are none.
        reason: why they are not used.
        device: the config's `device`.
        is_certain: whether TensorFlow was asked.
    """
    if device == "gpu":
        why = f"device: gpu, but {f'{names} is not used: {reason}' if names else 'this machine has none'}"
        if is_certain:
            return error("GPU", f"{why}; device: auto or cpu trains on the processor")
        # Jobs may run on other machines than the one where they are planned.
        return note("GPU", f"{why}; trainings on this machine will fail")
    if names:
        return note("GPU", f"{names}: not used: {reason}")
    return ok("GPU", "none in this machine: trainings run on the processor")


def _check_seen_gpus(view: TensorFlowView, trainings_per_gpu: int) -> Check:
    """Check GPUs that TensorFlow sees. It also uses them with an old cuDNN, and then fails at the first convolution."""
    names = ", ".join(view.gpus)
    if wrong := _wrong_cudnn(view):
        return error("GPU", f"{names}: {wrong}; or train on the processor, device: cpu")
    return ok("GPU", f"TensorFlow {view.version} trains on {names}{_shared(len(view.gpus), trainings_per_gpu)}")


def _shared(gpus: int, trainings_per_gpu: int) -> str:
    """Describe how many trainings run at the same time; an empty text for one training on one GPU."""
    if gpus == trainings_per_gpu == 1:
        return ""
    trainings = "one training" if trainings_per_gpu == 1 else f"{trainings_per_gpu} trainings"
    return f"; {gpus} GPUs, {trainings} each" if gpus > 1 else f"; {trainings} at a time"


def _wrong_cudnn(view: TensorFlowView) -> str:
    """Describe that cuDNN is older than TensorFlow needs, and the fix; an empty text if it is not, or if that is unknown."""
    if not (view.cudnn and view.cudnn_needed and is_too_old(view.cudnn, view.cudnn_needed)):
        return ""
    where = f" ({view.cudnn_file})" if view.cudnn_file else ""
    return (
        f"TensorFlow {view.version} needs cuDNN {view.cudnn_needed} or a later {view.cudnn_needed.split('.')[0]}.x, "
        f"found {view.cudnn}{where}; install the packages of envs/gpu.lock (`make doctor GPU=1`), and remove folders of other "
        "CUDA libraries from LD_LIBRARY_PATH"
    )


def _why_unused(view: TensorFlowView | None, environ: Mapping[str, str], cuda_packages: bool) -> str:
    """Explain why the GPU of the machine is not used, and the fix; an empty text if nothing is known to prevent it."""
    hidden = environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return f"hidden by CUDA_VISIBLE_DEVICES={hidden!r}; unset it to use the GPU"
    if not (cuda_packages if view is None else view.cuda_build):
        return "TensorFlow's CPU build is installed; `make study GPU=1` installs the CUDA build"
    if view is None:
        return ""
    missing = "the CUDA libraries of envs/gpu.lock are not installed"
    reason = view.complaint or ("TensorFlow gives no reason" if cuda_packages else missing)
    if wrong := _wrong_cudnn(view):
        return f"TensorFlow {view.version} does not see it ({reason}); {wrong}"
    return (
        f"TensorFlow {view.version} does not see it ({reason}); the driver must be loaded, be new enough for CUDA 12, "
        "and allow access to this user (nvidia-smi)"
    )
