"""The download of ImageNet weights, without a network: what Keras is asked for, and what becomes of a failure."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cxrflow.fetch_weights import MD5_UNKNOWN_TO_KERAS, fetch_backbone
from cxrflow.stage.faults import Fault
from keras.src.utils import file_utils


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Keras' download gives a weights file made here; what it was asked for is written down."""
    asked: list[dict[str, Any]] = []

    def get_file(fname: str, origin: str, file_hash: str | None = None, **options: Any) -> str:
        asked.append({"fname": fname, "origin": origin, "file_hash": file_hash})
        keras.utils.set_random_seed(5)
        path = tmp_path / "made.weights.h5"
        name = "MobileNet" if fname.startswith("mobilenet") else "InceptionV3"
        getattr(keras.applications, name)(include_top=False, weights=None).save_weights(path)
        return str(path)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    return asked


def test_mobilenet_is_held_against_a_checksum_that_keras_does_not_have(published: list[dict[str, Any]]) -> None:
    model, record = fetch_backbone("MobileNet")
    assert [one["fname"] for one in published] == ["mobilenet_1_0_224_tf_no_top.h5"]
    assert published[0]["file_hash"] == MD5_UNKNOWN_TO_KERAS["mobilenet_1_0_224_tf_no_top.h5"]
    assert record["file"] == "mobilenet_1_0_224_tf_no_top.h5" and record["url"].endswith(record["file"])
    keras.utils.set_random_seed(5)
    wanted = keras.applications.MobileNet(include_top=False, weights=None).get_weights()
    for ours, theirs in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_inception_is_held_against_keras_own_checksum(published: list[dict[str, Any]]) -> None:
    fetch_backbone("InceptionV3")
    assert published[0]["file_hash"] == "bcbd6486424b2319ff4ef7d526e38f63"


def test_a_file_without_a_known_checksum_is_not_taken(published: list[dict[str, Any]]) -> None:
    with pytest.raises(Fault, match=r"MobileNetV2: no checksum is known of mobilenet_v2.*name the file as `weights`"):
        fetch_backbone("MobileNetV2")
    assert published == []


def test_a_download_that_fails_is_told_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_file(*_: Any, **__: Any) -> str:
        raise Exception("URL fetch failure on https://example.invalid: None -- no route")

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with pytest.raises(Fault, match=r"InceptionV3: cannot be had \(https://.*notop\.h5\): URL fetch failure") as caught:
        fetch_backbone("InceptionV3")
    assert "name a weights file or folder" in caught.value.messages[0]
    assert file_utils.get_file is get_file, "Keras is left as it was"
