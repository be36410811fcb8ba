"""Fetch the images of a list from a server on this machine: addresses, errors, licences, the record."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cxrflow.io.errors import UserError
from cxrflow.io.fetch import NotFetched
from cxrflow.io.files import sha256_of_text
from cxrflow.io.transfer import Limits
from cxrflow.stages import fetch_images
from cxrflow.stages.fetch_images import download_errors, licences, wanted_images
from cxrflow.study.read import read_config
from file_server import FileServer, serving
from study_config import study_config

FILES = {"train/covid/a b.png": b"one", "train/normal/b.png": b"two", "test/covid/c.png": b"three"}
LIST = pd.DataFrame(
    {
        "path": list(FILES),
        "bytes": ["3", "3", None],
        "sha256": [sha256_of_text(contents.decode()) for contents in FILES.values()],
        "source": ["x", "x", "y"],
        "licence": ["CC BY 4.0", "CC BY 4.0", None],
    }
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        server.files = {path.replace(" ", "%20"): contents for path, contents in FILES.items()}
        yield server


@pytest.fixture
def fetch(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`fetch(flag, value …)` runs the stage on the list of this test."""
    LIST.to_csv(tmp_path / "list.csv", index=False)

    def run(*more: str) -> pd.DataFrame:
        values = {
            "--image-list": str(tmp_path / "list.csv"),
            "--sources": f"{server.address}/{{path}}",
            "--limits": '{"tries": 2, "pause_seconds": 0.01, "read_seconds": 1}',
            "--folder": str(tmp_path / "images"),
            "--record": str(tmp_path / "images.csv"),
        }
        monkeypatch.setattr(sys, "argv", ["fetch_images", *(w for pair in values.items() for w in pair), *more])
        fetch_images.main()
        return pd.read_csv(tmp_path / "images.csv", keep_default_na=False)

    return run


def test_every_image_exists_and_is_recorded(fetch: Any, tmp_path: Path) -> None:
    record = fetch()
    assert {path: (tmp_path / "images" / path).read_bytes() for path in FILES} == FILES
    assert record["image"].tolist() == sorted(FILES)
    assert dict(zip(record["image"], record["sha256"], strict=True)) == dict(
        zip(LIST["path"], LIST["sha256"], strict=True)
    )
    assert set(record["missing"]) == {""}


def test_licences_are_reported_once(fetch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fetch()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "licences, with the number of images: x: CC BY 4.0 (2); y: not given in the list (1)"
    assert re.fullmatch(r"3 of 3 files, 0\.0 of at least 0\.0 MB, \d+\.\d MB/s", lines[1])
    assert lines[2].endswith("images: 3 of 3 images, checked against the list")
    fetch()
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_licences_of_the_study(project: Path) -> None:
    text = licences(pd.read_csv(project / "studies/sha_2021/images.csv", dtype="string"))
    assert "kermany-2018: CC BY 4.0 (237)" in text
    assert "covid-chestxray-dataset: not given in the list (49), CC BY-NC-ND (10), CC BY-NC-SA (10)" in text


def test_a_file_that_no_source_has_is_an_error_or_a_line(
    fetch: Any, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del server.files["train/normal/b.png"], server.files["test/covid/c.png"]
    with pytest.raises(UserError) as caught:
        fetch()
    *files, what = caught.value.messages
    assert [re.match(r"(\S+): no source has it: 127\S+: HTTP 404$", one)[1] for one in files] == [  # type: ignore[index]
        "test/covid/c.png",
        "train/normal/b.png",
    ]
    assert "missing_images: warn" in what
    assert not (tmp_path / "images.csv").exists()
    capsys.readouterr()
    record = fetch("--missing-images", "warn").set_index("image")
    assert record["missing"].ne("").to_dict() == {
        "test/covid/c.png": True,
        "train/covid/a b.png": False,
        "train/normal/b.png": True,
    }
    assert capsys.readouterr().out.count("warning: ") == 2
    assert server.count["train/covid/a%20b.png"] == 1


def test_a_file_that_may_be_available_later_is_an_error_even_with_warn() -> None:
    failed = [NotFetched(f"{n}.png", "host: no connection", False) for n in range(4)]
    nowhere = NotFetched("x.png", "host: HTTP 404", True)
    messages = download_errors([*failed, nowhere], "warn")
    assert messages[0] == "4 images were not downloaded, 0.png, 1.png, 2.png and 1 more: host: no connection"
    assert len(messages) == 2 and messages[1].startswith("run again")
    assert download_errors([nowhere], "warn") == []
    assert len(download_errors([*failed, nowhere], "error")) == 3


def test_the_studys_files_have_two_addresses_each(project: Path) -> None:
    config = read_config(study_config())
    listed = pd.read_csv(project / "studies/sha_2021/images.csv", dtype="string")
    wanted = wanted_images(listed, config.image_sources)
    assert len(wanted) == 306
    assert sum(one.contents.bytes is None for one in wanted) == 1
    lacking = next(one for one in wanted if one.path.endswith("covid-19-pneumonia-14-PA.png"))
    assert lacking.contents.git_blob_sha1 == "4f594f4fa9377c4ac9710b465b99687f084528bb" and not lacking.contents.sha256
    assert lacking.addresses == (
        "https://raw.githubusercontent.com/danieldelijani/COVID-Detection-Machine-Learning-Model/"
        "6137995d9f7ec98bdab4f2f51fb71c9e42f8a0cd/Covid_Data_GradientCrescent/all/train/covid/covid-19-pneumonia-14-PA.png",
        "https://archive.softwareheritage.org/api/1/content/sha1_git:4f594f4fa9377c4ac9710b465b99687f084528bb/raw/",
    )


def test_a_hash_in_upper_case_is_requested_in_lower_case() -> None:
    table = pd.DataFrame({"path": ["a.png"], "sha256": ["AB" * 32], "git_blob_sha1": ["CD" * 20]}, dtype="string")
    (wanted,) = wanted_images(table, ["https://nowhere/{sha256}/{git_blob_sha1}"])
    assert wanted.addresses == (f"https://nowhere/{'ab' * 32}/{'cd' * 20}",)


def test_the_studys_list_says_what_each_file_is(project: Path) -> None:
    listed = pd.read_csv(project / "studies/sha_2021/images.csv", dtype="string")
    columns = "path,bytes,sha256,git_blob_sha1,source,patient,sex,age,view,licence,subset"
    assert list(listed.columns) == columns.split(",") and len(listed) == 306
    assert listed["git_blob_sha1"].str.fullmatch(r"[0-9a-f]{40}").all()
    assert listed["sha256"].str.fullmatch(r"[0-9a-f]{64}").sum() == 305
    assert listed[["source", "patient", "subset"]].notna().all(axis=None)


def test_the_studys_list_is_that_of_the_study(project: Path, study_data: Path) -> None:
    listed = pd.read_csv(project / "studies/sha_2021/images.csv", dtype="string")
    wanted = wanted_images(listed, ["https://nowhere/{path}"])
    lacking = {one.path: why for one in wanted if (why := one.contents.mismatch(study_data / one.path))}
    assert lacking == {"train/covid/covid-19-pneumonia-14-PA.png": "missing"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": ["a"]}, "no column `path`; the columns are name"),
        ({"path": ["train/a/b.png"]}, "neither `sha256` nor `git_blob_sha1`"),
        ({"path": ["train/a/b.png"], "sha256": ["0" * 64], "bytes": ["many"]}, "'many' is not a whole number"),
        ({"path": ["train/a/b.png"], "sha256": ["0" * 64], "bytes": ["²"]}, "'²' is not a whole number"),
        ({"path": ["train/a/b.png"], "sha256": ["0" * 64], "bytes": ["1" * 5000]}, "1' is not a whole number"),
        ({"path": ["train/a/b.png"] * 2, "sha256": ["0" * 64] * 2}, "listed twice"),
    ],
)
def test_lists_that_cannot_be_fetched(table: dict[str, list[str]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        wanted_images(pd.DataFrame(table, dtype="string"), ["https://nowhere/{path}"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("3", "not a JSON object; allowed keys: connect_seconds"),
        ('{"trys": 2}', "trys: unknown; did you mean 'tries'?"),
        ('{"tries": 2.5}', "tries: 2.5 is not a whole number above 0"),
        ('{"read_seconds": 0}', "read_seconds: 0 is not a number above 0"),
        ('{"read_seconds": NaN}', "read_seconds: nan is not a number above 0"),
        ('{"read_seconds": true}', "read_seconds: True is not a number above 0"),
    ],
)
def test_invalid_limits(text: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        Limits.read(text)


def test_limits_override_the_defaults() -> None:
    assert Limits.read('{"tries": 2, "pause_seconds": 0.5}') == Limits(tries=2, pause_seconds=0.5)
