"""Fixtures for all tests: the checkout, and the images and weights of the study if environment variables name them."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same inputs in each run, so that failures are reproducible. HYPOTHESIS_PROFILE=search tries new ones.
settings.register_profile("same", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Hide the lines that TensorFlow prints when it is loaded: pytest captures them only in its own process.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project() -> Path:
    """The checkout."""
    return PROJECT


def _folder_named_by(variable: str) -> Path:
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set; it names a folder outside the project")
    folder = Path(os.environ[variable])
    assert folder.is_dir(), f"{variable} names {folder}, which is not a folder"
    return folder.resolve()


@pytest.fixture(scope="session")
def study_data() -> Path:
    """The X-rays of the study: the folder that CXRFLOW_STUDY_DATA names."""
    return _folder_named_by("CXRFLOW_STUDY_DATA")


@pytest.fixture(scope="session")
def study_weights() -> Path:
    """ImageNet weights of both backbones: the folder that CXRFLOW_WEIGHTS names."""
    return _folder_named_by("CXRFLOW_WEIGHTS")
