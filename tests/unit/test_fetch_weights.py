"""Download ImageNet weights from a server on this machine: the right file is requested, and no other is accepted."""

import ast
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from cxrflow.io.errors import UserError
from cxrflow.io.files import sha256_of_file
from cxrflow.io.transfer import Limits
from cxrflow.stages import fetch_weights
from cxrflow.stages.fetch_weights import MD5_UNKNOWN_TO_KERAS, PUBLISHED_AT, fetch_backbone
from cxrflow.study.fields import BACKBONES
from cxrflow.study.models import Config
from file_server import FileServer, serving
from keras.src.legacy.saving import legacy_h5_format
from keras.src.utils import file_utils

QUICK = Limits(connect_seconds=2, read_seconds=2, tries=2, pause_seconds=0.01)
MOBILENET = "mobilenet_1_0_224_tf_no_top.h5"
AT = f"tensorflow/keras-applications/mobilenet/{MOBILENET}"
INCEPTION = (
    "tensorflow/keras-applications/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "bcbd6486424b2319ff4ef7d526e38f63",
)


@pytest.fixture(scope="module")
def made_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new weights file of MobileNet, in the old format of the published ones."""
    path = tmp_path_factory.mktemp("made") / "made.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, made_model())
    return path


def made_model() -> Any:
    keras.utils.set_random_seed(5)
    return keras.applications.MobileNet(include_top=False, weights=None)


@pytest.fixture
def server(
    made_weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FileServer]:
    """A server that publishes this file as MobileNet's, with its checksum."""
    contents = made_weights.read_bytes()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetch_weights, "keras_home", lambda: str(tmp_path_factory.getbasetemp() / "no cache"))
    monkeypatch.setitem(MD5_UNKNOWN_TO_KERAS, MOBILENET, hashlib.md5(contents, usedforsecurity=False).hexdigest())
    with serving() as server:
        server.files[AT] = contents
        yield server


def test_the_published_file_becomes_the_weights_file(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, record = tmp_path / "weights/MobileNet.weights.h5", tmp_path / "weights/MobileNet.json"
    values = {
        "--backbone": "MobileNet",
        "--sources": f"{server.address}/{{path}}",
        "--weights": str(weights),
        "--record": str(record),
    }
    monkeypatch.setattr(sys, "argv", ["fetch_weights", *(word for pair in values.items() for word in pair)])
    fetch_weights.main()
    ours = keras.applications.MobileNet(include_top=False, weights=None)
    ours.load_weights(weights)
    for one, other in zip(ours.get_weights(), made_model().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert json.loads(record.read_text()) == {
        "backbone": "MobileNet",
        "url": PUBLISHED_AT + AT,
        "file": MOBILENET,
        "hash": MD5_UNKNOWN_TO_KERAS[MOBILENET],
        "sha256": sha256_of_file(weights),
    }
    left = sorted(file.name for file in weights.parent.iterdir())
    assert left == [".lock", "MobileNet.json", "MobileNet.weights.h5"]


def test_another_file_is_never_taken(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is a valid weights file of the backbone, but not the published one."""
    monkeypatch.setitem(MD5_UNKNOWN_TO_KERAS, MOBILENET, "725ccbd03d61d7ced5b5c4cd17e7d527")
    original = file_utils.get_file
    with pytest.raises(
        UserError, match=r"MobileNet: .* cannot be downloaded: .*MD5 differs.*set a weights file or folder"
    ):
        fetch_backbone("MobileNet", [f"{server.address}/{{path}}"], tmp_path, QUICK)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [".lock"]
    assert file_utils.get_file is original, "Keras is unchanged"


def test_inception_is_requested_by_keras_own_address_and_checksum(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    fetch_files = fetch_weights.fetch_files
    monkeypatch.setattr(
        fetch_weights, "fetch_files", lambda wanted, *rest: asked.extend(wanted) or fetch_files(wanted, *rest)
    )
    with pytest.raises(UserError, match=r"InceptionV3: .*HTTP 404"):
        fetch_backbone("InceptionV3", [f"{server.address}/{{path}}"], tmp_path, QUICK)
    assert [(one.addresses, one.contents.md5) for one in asked] == [
        ((f"{server.address}/{INCEPTION[0]}",), INCEPTION[1])
    ]


def test_a_mirror_is_asked_when_the_first_source_fails(server: FileServer, tmp_path: Path) -> None:
    sources = [f"{server.address}/nothing/{{path}}", f"{server.address}/{{path}}"]
    _, published = fetch_backbone("MobileNet", sources, tmp_path, QUICK)
    assert published["file"] == MOBILENET and server.count[AT] == 1


@pytest.mark.parametrize("right", [True, False])
def test_keras_own_cache_is_used_when_it_holds_the_right_file(
    server: FileServer, made_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    cached = tmp_path / "keras/models" / MOBILENET
    cached.parent.mkdir(parents=True)
    shutil.copyfile(made_weights, cached)
    if not right:
        cached.write_bytes(cached.read_bytes()[:-1])
    monkeypatch.setattr(fetch_weights, "keras_home", lambda: str(tmp_path / "keras"))
    fetch_backbone("MobileNet", [f"{server.address}/{{path}}"], tmp_path / "weights", QUICK)
    assert server.count[AT] == (0 if right else 1)


def test_a_file_without_a_known_checksum_is_not_taken(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"MobileNetV2: no checksum is known for mobilenet_v2.*set the file as `weights`"
    ):
        fetch_backbone("MobileNetV2", [f"{server.address}/{{path}}"], tmp_path, QUICK)
    assert server.asked == []


def calls_of_get_file() -> Iterator[tuple[str, set[str]]]:
    """List the downloads of weights in keras.applications: module and keyword arguments of each."""
    folder = Path(keras.src.applications.__file__).parent
    for file in sorted(folder.glob("*.py")):
        if file.stem in ("imagenet_utils", "applications_test"):  # no weights
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get_file":
                yield file.stem, {word.arg or "" for word in node.keywords}


def test_keras_knows_a_checksum_of_all_other_backbones() -> None:
    """All modules use the one function that is replaced here; two of them without a checksum."""
    calls = list(calls_of_get_file())
    modules = {getattr(keras.applications, name).__module__.rpartition(".")[2] for name in BACKBONES}
    assert modules - {module for module, _ in calls} == {"resnet_v2"}, "which builds and loads by resnet"
    assert {module for module, words in calls if "file_hash" not in words} == {"mobilenet", "mobilenet_v2"}


def test_keras_publishes_at_the_one_address_that_mirrors_stand_in_for() -> None:
    texts = [
        node.value
        for name in sorted({getattr(keras.applications, name).__module__ for name in BACKBONES})
        for node in ast.walk(ast.parse(Path(sys.modules[name].__file__ or "").read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("https://")
    ]
    published = [text for text in texts if "keras-applications" in text or "storage" in text]
    assert len(published) > 10
    assert [text for text in published if not text.startswith(PUBLISHED_AT)] == []
    assert Config.model_fields["weights_sources"].default == [f"{PUBLISHED_AT}{{path}}"]
