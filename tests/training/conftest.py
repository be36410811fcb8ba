"""Fixtures for the tests of training: files of a tiny training, and one undisturbed run of it."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from small_training import train_small
from tiny_training import Reference, TinyTraining, make_files

REFERENCE_EPOCHS = 30


@pytest.fixture(scope="session")
def files_of_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a tiny training, to be copied."""
    return make_files(tmp_path_factory.mktemp("tiny")).folder


@pytest.fixture
def tiny(files_of_tiny: Path, tmp_path: Path) -> TinyTraining:
    """Files of a tiny training, separate for each test."""
    shutil.copytree(files_of_tiny, tmp_path, dirs_exist_ok=True)
    return TinyTraining(tmp_path)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A tiny training that was not interrupted; its checkpoints are in `checkpoints of the reference`."""
    training = make_files(tmp_path_factory.mktemp("reference"))
    training.run("reference", "checkpoints of the reference", epochs=REFERENCE_EPOCHS)
    return Reference(training, REFERENCE_EPOCHS)


@pytest.fixture(scope="session")
def in_one_go(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], dict[str, bytes]]:
    """Map a number of epochs to the results of an uninterrupted training of the small network with `SETTINGS`."""
    training = make_files(tmp_path_factory.mktemp("in one go"))

    @cache
    def results(epochs: int) -> dict[str, bytes]:
        train_small(training, str(epochs), f"checkpoints of {epochs}", epochs=epochs)
        return training.results(str(epochs))

    return results
