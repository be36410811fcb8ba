"""What several tests share: the checkout's folder, and the study's own images and weights where they are lent."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same inputs each time: a test that fails does so for everyone. HYPOTHESIS_PROFILE=search tries new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# What TensorFlow says when it is loaded; pytest keeps it back only where it runs the tests itself.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project() -> Path:
    """The checkout."""
    return PROJECT


def _lent(variable: str) -> Path:
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set: it names a folder that is not part of the project")
    folder = Path(os.environ[variable])
    assert folder.is_dir(), f"{variable} names {folder}, which is not a folder"
    return folder.resolve()


@pytest.fixture(scope="session")
def study_data() -> Path:
    """The study's own X-rays: the folder that CXRFLOW_STUDY_DATA names."""
    return _lent("CXRFLOW_STUDY_DATA")


@pytest.fixture(scope="session")
def study_weights() -> Path:
    """ImageNet weights of both backbones: the folder that CXRFLOW_WEIGHTS names."""
    return _lent("CXRFLOW_WEIGHTS")
