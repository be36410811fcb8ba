"""A second index reads what is new, and nothing else; what it says is what a first one would say."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.cache_pixels import cache_pixels
from cxrflow.download.contents import git_blob_sha1_of_file
from cxrflow.images.decode import decode_image
from cxrflow.images.store import Store
from cxrflow.index_images import index_images
from cxrflow.stage.files import sha256_of_file

CLASSES = ["covid", "normal"]
OPENED: list[str] = []
LISTENING: list[Path] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if LISTENING and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        OPENED.append(os.fsdecode(arguments[0]))


sys.addaudithook(_listen)  # of this process, for good; it does nothing where nobody listens


@contextmanager
def opened_below(folder: Path) -> Iterator[set[str]]:
    """The files below a folder that are opened meanwhile, whoever opens them: their paths below it."""
    found: set[str] = set()
    OPENED.clear()
    LISTENING.append(folder)
    try:
        yield found
    finally:
        LISTENING.clear()
        found |= {str(Path(name).relative_to(folder)) for name in OPENED if Path(name).is_relative_to(folder)}


@pytest.fixture
def known(image_folder: Path, tmp_path: Path) -> Path:
    """What an index of the images found."""
    with opened_below(image_folder) as opened:
        index_images(image_folder, CLASSES, known=tmp_path / "known.parquet")
    assert len(opened) == 17
    return tmp_path / "known.parquet"


def assert_same(index: pd.DataFrame, root: Path, *more: Any) -> None:
    pd.testing.assert_frame_equal(index, index_images(root, CLASSES, *more)[0])


def no_decoding(path: Path) -> Any:
    raise AssertionError(f"{path} is decoded")


def test_nothing_is_read_again(image_folder: Path, known: Path) -> None:
    with opened_below(image_folder) as opened:
        index, faults = index_images(image_folder, CLASSES, known=known)
    assert opened == set() and faults == []
    assert_same(index, image_folder)


def test_of_one_image_more_that_one_is_read(image_folder: Path, known: Path, draw: Callable[..., None]) -> None:
    draw(image_folder / "train/covid/new.png", 7)
    with opened_below(image_folder) as opened:
        index, _ = index_images(image_folder, CLASSES, known=known)
    assert opened == {"train/covid/new.png"}
    assert_same(index, image_folder)
    with opened_below(image_folder) as opened:
        index_images(image_folder, CLASSES, known=known)
    assert opened == set()


def test_an_image_that_was_replaced_is_what_it_is_now(
    image_folder: Path, known: Path, draw: Callable[..., None]
) -> None:
    draw(image_folder / "train/covid/covid_3.png", 99)
    with opened_below(image_folder) as opened:
        index, _ = index_images(image_folder, CLASSES, known=known)
    assert opened == {"train/covid/covid_3.png"}
    found = index.set_index("image")["sha256"]
    assert found["train/covid/covid_3.png"] == sha256_of_file(image_folder / "train/covid/covid_3.png")
    assert_same(index, image_folder)


def test_touched_and_renamed_images_are_read_once_and_not_decoded(
    image_folder: Path, known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in image_folder.rglob("*.png"):
        os.utime(file, ns=(1, 1))
    (image_folder / "train/covid/covid_3.png").rename(image_folder / "train/normal/renamed.png")
    for decoder in ("read_header", "read_image"):
        monkeypatch.setattr(f"cxrflow.images.facts.{decoder}", no_decoding)
    with opened_below(image_folder) as opened:
        index, _ = index_images(image_folder, CLASSES, known=known)
    assert len(opened) == len([name for name in OPENED if name.endswith(".png")]) == 17
    monkeypatch.undo()
    assert_same(index, image_folder)


def test_a_file_as_long_as_a_known_one_that_is_none_is_told(image_folder: Path, known: Path) -> None:
    file = image_folder / "train/covid/covid_3.png"
    length = file.stat().st_size
    file.write_bytes(b"<html>".ljust(length))
    (image_folder / "train/covid/new.png").symlink_to(("x/" * length)[:length])
    assert (image_folder / "train/covid/new.png").lstat().st_size == length
    _, faults = index_images(image_folder, CLASSES, known=known)
    assert [fault.partition(": ")[0] for fault in faults] == [str(file), str(file.with_name("new.png"))]
    assert "begins with b'<html>" in faults[0] and "leads nowhere" in faults[1]


def test_images_of_another_folder_are_read(image_folder: Path, tmp_path: Path) -> None:
    """Paths, sizes and times may all be the same there, and the contents others."""
    name, known, copy = "train/covid/covid_3.png", tmp_path / "known.parquet", tmp_path / "copy"
    file = image_folder / name
    file.write_bytes(file.read_bytes() + b"one")  # behind the end of the picture
    index_images(image_folder, CLASSES, known=known)
    shutil.copytree(image_folder, copy)
    before, file = file.stat(), copy / name
    file.write_bytes(file.read_bytes().removesuffix(b"one") + b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    index, _ = index_images(copy, CLASSES, known=known)
    assert index.set_index("image").loc[name, "sha256"] == sha256_of_file(file)
    assert_same(index, copy)


def test_other_code_looks_at_everything_again(image_folder: Path, known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxrflow.index_images.decoding_hash", lambda: "another")
    with opened_below(image_folder) as opened:
        index_images(image_folder, CLASSES, known=known)
    assert len(opened) == 17


def test_other_classes_stay_known(image_folder: Path, known: Path) -> None:
    with opened_below(image_folder) as opened:
        index_images(image_folder, ["normal"], known=known)
        index_images(image_folder, CLASSES, known=known)
    assert opened == set()


def test_faults_are_looked_at_again_until_they_are_mended(
    image_folder: Path, known: Path, draw: Callable[..., None]
) -> None:
    faulty = image_folder / "train/covid/new.png"
    faulty.write_bytes(b"<html>not found</html>")
    for _ in range(2):
        with opened_below(image_folder) as opened:
            _, faults = index_images(image_folder, CLASSES, known=known)
        assert len(faults) == 1 and opened == {"train/covid/new.png"}
    draw(faulty, 5)
    index, faults = index_images(image_folder, CLASSES, known=known)
    assert faults == []
    assert_same(index, image_folder)


def test_hashes_of_a_list_are_held_against_what_is_known(image_folder: Path, known: Path) -> None:
    files = [f"train/covid/covid_{number}.png" for number in range(4)] + ["test/normal/normal_t0.png"]
    right = [sha256_of_file(image_folder / file) for file in files]
    blobs = [git_blob_sha1_of_file(image_folder / file) for file in files]
    listed = pd.DataFrame(
        {
            "path": files,
            "sha256": [right[0], "0" * 64, "", "", right[4]],
            "git_blob_sha1": ["", "", blobs[2], "0" * 40, "0" * 40],  # SHA-256 decides where there is one
        }
    )
    wanted = {files[1]: "SHA-256 differs", files[3]: "git blob SHA-1 differs"}
    for opened_then in ({files[2], files[3]}, set()):  # the second hash was not asked for before
        with opened_below(image_folder) as opened:
            index, faults = index_images(image_folder, CLASSES, listed, known=known)
        assert opened == opened_then
        assert index[index["status"] == "changed"]["image"].tolist() == sorted(wanted)
        assert all(wanted[file] in fault for file, fault in zip(sorted(wanted), faults, strict=True))
        assert_same(index, image_folder, listed)


def test_what_the_index_decodes_is_not_decoded_again(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, _ = index_images(image_folder, CLASSES, workers=2, store=Store(tmp_path / "store", [24, 40], "bilinear"))
    rows = list(index[["image", "sha256"]].itertuples(index=False, name=None))
    with opened_below(image_folder) as opened:
        for size in (24, 40):
            assert cache_pixels(tmp_path / f"{size}.npy", image_folder, rows, size, "bilinear", tmp_path / "store") == 0
    assert opened == set()
    peer = [decode_image(image_folder / image, 40, "bilinear") for image, _ in rows]
    np.testing.assert_array_equal(np.load(tmp_path / "40.npy"), np.stack(peer))


def test_the_same_folder_by_another_name_is_not_read(
    image_folder: Path, known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image_folder.parent)
    with opened_below(image_folder) as opened:
        index_images(Path(image_folder.name), CLASSES, known=known)
    assert {str(name) for name in OPENED if name.endswith(".png")} == opened == set()
