"""Environment variables by which libraries compute otherwise. A training's identity has them, and so have the rules' params."""

from collections.abc import Mapping

# By families where these are the libraries' own: another number by an unseen way is worse than a look too many.
FAMILIES = ("CUBLAS_", "CUDNN_", "DNNL_", "MKL_CBWR", "NPY_", "ONEDNN_", "XLA_")
# By name where others use the same first letters (TF_VAR_… is Terraform's).
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
# What is only told: no number depends on it.
WITHOUT_EFFECT = ("CUBLAS_LOG", "CUBLASLT_LOG", "CUDNN_LOG", "DNNL_VERBOSE", "ONEDNN_VERBOSE")


def computing_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Those variables of an environment by which libraries compute otherwise, by name."""
    return {
        name: value
        for name, value in sorted(environ.items())
        if name in NAMES or (name.startswith(FAMILIES) and not name.startswith(WITHOUT_EFFECT))
    }
