"""What the tests of training share: files of a tiny training, and one run of it that nothing disturbed."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_training import TinyTraining, make_files

REFERENCE_EPOCHS = 30


@dataclass(frozen=True)
class Reference:
    """A training in one process, from its first epoch to its last, in the folder `reference`."""

    training: TinyTraining
    epochs: int

    @property
    def results(self) -> dict[str, bytes]:
        """The bytes that any other way of training so many epochs must give."""
        return self.training.results("reference")


@pytest.fixture
def tiny(tmp_path: Path) -> TinyTraining:
    """Files of a tiny training, a test's own."""
    return make_files(tmp_path)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A tiny training that ran in one go; its states lie in `states of the reference`."""
    training = make_files(tmp_path_factory.mktemp("reference"))
    training.run("reference", "states of the reference", epochs=REFERENCE_EPOCHS)
    return Reference(training, REFERENCE_EPOCHS)
