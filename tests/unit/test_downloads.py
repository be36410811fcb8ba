"""Unreachable sources are reported before any job, within seconds, and through the proxies that a download uses."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cxrflow.run import downloads
from cxrflow.run.downloads import check_sources, weights_to_fetch
from cxrflow.run.images import find_images
from cxrflow.study.models import Config
from cxrflow.study.read import read_config
from file_server import FileServer, Handler, serving
from study_config import study_config

PROJECT = Path(__file__).resolve().parents[2]
NOBODY = "http://127.0.0.1:1/{path}"


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set no proxy, an empty Keras cache, and short timeouts."""
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(downloads, "SECONDS", 0.3)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        yield server


def study(*addresses: str, **values: Any) -> Config:
    raw = {**study_config(), "images": "published", **values}
    return read_config({**raw, "weights_sources": list(addresses), "image_sources": list(addresses)})


def test_outside_problem_24_a_source_that_answers_will_do_whatever_it_says(server: FileServer) -> None:
    """It need not serve the root of its files, nor support HEAD requests."""
    config = study(NOBODY, f"{server.address}/all/{{path}}")
    assert check_sources(config, ["MobileNet"], True) == []
    assert server.asked == []  # no file
    assert check_sources(study(NOBODY), [], False) == []


def test_outside_problem_24_sources_out_of_reach_are_a_fault_that_says_what_to_do() -> None:
    config = study(NOBODY, "http://127.0.0.1:2/{path}")
    images, weights = check_sources(config, ["InceptionV3", "MobileNet"], True)
    assert [(one.level, one.subject) for one in (images, weights)] == [("error", "images"), ("error", "weights")]
    assert images.text.startswith(
        "images have to be downloaded, but no source can be reached: 127.0.0.1:1: no connection ("
    )
    assert (
        "127.0.0.1:2: no connection" in images.text
        and "DATA=FOLDER" in images.text
        and "`image_sources`" in images.text
    )
    for words in (
        "ImageNet weights of InceptionV3, MobileNet",
        "WEIGHTS=FOLDER",
        "`weights: random`",
        "`weights_sources`",
    ):
        assert words in weights.text


def test_outside_problem_24_nobody_waits_for_minutes(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for a silent server nor for a slow name look-up."""

    class Silent(Handler):
        def do_HEAD(self) -> None:  # noqa: N802 - the name is that of the base class
            time.sleep(3)

    server.RequestHandlerClass = Silent
    began = time.monotonic()
    (silent,) = check_sources(study(f"{server.address}/{{path}}"), [], True)
    assert "no answer within 0.3 s" in silent.text
    monkeypatch.setattr(downloads, "why_unreachable", lambda *_: time.sleep(3))
    (unknown,) = check_sources(study("http://somewhere/{path}"), [], True)
    assert "somewhere: no answer within 0.6 s" in unknown.text
    assert time.monotonic() - began < 2.5


def test_outside_problem_24_a_proxy_is_asked_as_for_a_fetch(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Proxy(Handler):
        status = 404

        def do_HEAD(self) -> None:  # noqa: N802 - the name is that of the base class
            self.server.asked.append((self.path, None))
            self.head(self.status, Content_Length=0)

    server.RequestHandlerClass = Proxy
    monkeypatch.setenv("HTTP_PROXY", server.address)
    config = study("http://far.away/keras/{path}")
    assert check_sources(config, ["MobileNet"], False) == []
    assert server.asked == [("http://far.away/keras/", None)]
    Proxy.status = 504
    (gateway,) = check_sources(config, ["MobileNet"], False)
    assert "far.away: HTTP 504 from a proxy" in gateway.text
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    (gone,) = check_sources(config, ["MobileNet"], False)
    assert "far.away: no connection" in gone.text


@pytest.mark.parametrize(
    ("file", "backbone"),
    [
        ("inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5", "InceptionV3"),
        ("mobilenet_1_0_224_tf_no_top.h5", "MobileNet"),
        ("weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5", "MobileNetV3Large"),
        ("NASNet-large-no-top.h5", "NASNetLarge"),
    ],
)
def test_outside_problem_24_what_keras_has_fetched_needs_no_source(tmp_path: Path, file: str, backbone: str) -> None:
    assert len(check_sources(study(NOBODY), [backbone], False)) == 1
    (tmp_path / "keras/models").mkdir(parents=True)
    (tmp_path / "keras/models" / file).touch()
    assert check_sources(study(NOBODY), [backbone], False) == []
    assert len(check_sources(study(NOBODY), ["MobileNetV2"], False)) == 1


def test_outside_problem_24_what_is_there_is_not_fetched(tmp_path: Path) -> None:
    config = study(NOBODY, only="multiclass_mobilenet")
    assert weights_to_fetch(config, tmp_path) == ["MobileNet"] and find_images(config, tmp_path).to_fetch == 306
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/MobileNet.weights.h5").touch()
    assert weights_to_fetch(config, tmp_path) == []
    assert weights_to_fetch(study(NOBODY, weights="random"), tmp_path) == []
    assert find_images(study(NOBODY, images=str(tmp_path)), tmp_path).to_fetch == 0
