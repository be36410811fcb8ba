"""The environment of jobs: the package of this checkout, the Python of this run, and settings that results depend on."""

import os
import sys
from pathlib import Path


def set_environment(project: Path, backend: str) -> None:
    """Set the environment variables that jobs inherit.

    Jobs find the package in this checkout, even in a conda environment or container that has only its dependencies, and the
    Python that runs Snakemake, even if its environment is not activated. Modules in the working directory do not replace
    libraries.

    Args:
        project: the checkout.
        backend: backend of Keras.
    """
    os.environ.update(
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        PYTHONPATH=package_path(project),
        PYTHONSAFEPATH="1",
        PYTHONHASHSEED="0",
        PYTHONUNBUFFERED="1",
        MPLBACKEND="agg",
        KERAS_BACKEND=backend,
        TF_CPP_MIN_LOG_LEVEL="3",
    )
    # Without a writable home, Matplotlib would look through all fonts in every job.
    if not os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111 - Path has no home for a user unknown to the machine
        os.environ.setdefault("MPLCONFIGDIR", str(Path(".snakemake/matplotlib").resolve()))


def package_path(project: Path) -> str:
    """Return the folder in which Python finds the package."""
    return str((project / "workflow").resolve())
