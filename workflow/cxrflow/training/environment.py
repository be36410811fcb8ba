"""The environment of a training: the code and the environment variables that change its numbers, and its hardware."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from cxrflow.io.code_hash import code_hash

# Prefixes that belong to one library each. An irrelevant variable costs a new training, a missed one a wrong result.
PREFIXES = ("CUBLAS_", "CUDNN_", "DNNL_", "MKL_CBWR", "NPY_", "ONEDNN_", "XLA_")
# Full names where other programs share the prefix (TF_VAR_… is Terraform's).
NAMES = {
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "OPENBLAS_CORETYPE",
    "TF_AUTOTUNE_THRESHOLD",
    "TF_CUDNN_DETERMINISTIC",
    "TF_CUDNN_USE_AUTOTUNE",
    "TF_CUDNN_USE_FRONTEND",
    "TF_CUDNN_USE_RUNTIME_FUSION",
    "TF_CUDNN_WORKSPACE_LIMIT_IN_MB",
    "TF_DETERMINISTIC_OPS",
    "TF_DISABLE_MKL",
    "TF_ENABLE_CUBLAS_TENSOR_OP_MATH_FP32",
    "TF_ENABLE_CUDNN_TENSOR_OP_MATH_FP32",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_ENABLE_WINOGRAD_NONFUSED",
    "TF_FP16_CONV_USE_FP32_COMPUTE",
    "TF_FP16_MATMUL_USE_FP32_COMPUTE",
    "TF_USE_CUBLASLT",
    "TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT",
    "TF_XLA_FLAGS",
}
# Variables that only switch logging on.
WITHOUT_EFFECT = ("CUBLAS_LOG", "CUBLASLT_LOG", "CUDNN_LOG", "DNNL_VERBOSE", "ONEDNN_VERBOSE")


def training_code_hash() -> str:
    """Hash the code of the training steps and of the backend's set-up (threads, determinism): 16 hexadecimal digits."""
    return code_hash("cxrflow.training.engine", "cxrflow.networks.device")


def computing_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Select the environment variables that change what libraries compute; name to value, sorted by name.

    KERAS_BACKEND is one of them only if it is not TensorFlow.
    """
    return {
        name: value
        for name, value in sorted(environ.items())
        if name in NAMES
        or (name == "KERAS_BACKEND" and value != "tensorflow")
        or (name.startswith(PREFIXES) and not name.startswith(WITHOUT_EFFECT))
    }


def describe_hardware() -> dict[str, str | int]:
    """Describe this machine: processor, cores available to this process, memory in bytes, and operating system."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _processor() -> str:
    table = Path("/proc/cpuinfo")  # Linux; on other systems the platform module knows the processor
    lines = table.read_text(encoding="utf-8").splitlines() if table.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
