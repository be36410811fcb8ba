"""A second index reads only new images, and gives the same result as a first one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.audits.duplicates import duplicate_images
from cxrflow.images.decode import decode_image
from cxrflow.images.fingerprint import changed_files, fingerprint, stamps_of, write_record
from cxrflow.images.grouping import groups_of
from cxrflow.images.store import Store
from cxrflow.io.files import sha256_of_file
from cxrflow.io.hashes import git_blob_sha1_of_file
from cxrflow.stages.cache_pixels import cache_pixels
from damage import damaged_forms
from made_data_sets import doubts_about
from made_images import index_images
from PIL import Image

CLASSES = ["covid", "normal"]
OPENED: list[str] = []
LISTENING: list[Path] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if LISTENING and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        OPENED.append(os.fsdecode(arguments[0]))


sys.addaudithook(_listen)  # cannot be removed from this process, and does nothing unless a test listens


@contextmanager
def opened_below(folder: Path) -> Iterator[set[str]]:
    """Record the files below a folder that are opened by any code, as paths below it."""
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
    """The cache of an index of the images."""
    with opened_below(image_folder) as opened:
        index_images(image_folder, CLASSES, cache=tmp_path / "known.parquet")
    assert len(opened) == 17
    return tmp_path / "known.parquet"


def assert_same(index: pd.DataFrame, root: Path, *more: Any) -> None:
    pd.testing.assert_frame_equal(index, index_images(root, CLASSES, *more)[0])


def no_decoding(path: Path) -> Any:
    raise AssertionError(f"{path} is decoded")


def test_nothing_is_read_again(image_folder: Path, known: Path) -> None:
    with opened_below(image_folder) as opened:
        index, errors = index_images(image_folder, CLASSES, cache=known)
    assert opened == set() and errors == []
    assert_same(index, image_folder)


def test_of_one_more_image_only_that_one_is_read(image_folder: Path, known: Path, draw: Callable[..., None]) -> None:
    draw(image_folder / "train/covid/new.png", 7)
    with opened_below(image_folder) as opened:
        index, _ = index_images(image_folder, CLASSES, cache=known)
    assert opened == {"train/covid/new.png"}
    assert_same(index, image_folder)
    with opened_below(image_folder) as opened:
        index_images(image_folder, CLASSES, cache=known)
    assert opened == set()


def test_a_replaced_image_has_its_current_facts(image_folder: Path, known: Path, draw: Callable[..., None]) -> None:
    draw(image_folder / "train/covid/covid_3.png", 99)
    with opened_below(image_folder) as opened:
        index, _ = index_images(image_folder, CLASSES, cache=known)
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
        index, _ = index_images(image_folder, CLASSES, cache=known)
    assert len(opened) == len([name for name in OPENED if name.endswith(".png")]) == 17
    monkeypatch.undo()
    assert_same(index, image_folder)


def test_a_file_as_long_as_a_known_image_that_is_not_an_image_is_reported(image_folder: Path, known: Path) -> None:
    file = image_folder / "train/covid/covid_3.png"
    length = file.stat().st_size
    file.write_bytes(b"<html>".ljust(length))
    (image_folder / "train/covid/new.png").symlink_to(("x/" * length)[:length])
    assert (image_folder / "train/covid/new.png").lstat().st_size == length
    _, errors = index_images(image_folder, CLASSES, cache=known)
    assert [error.partition(": ")[0] for error in errors] == [str(file), str(file.with_name("new.png"))]
    assert "in its first bytes, b'<html>" in errors[0] and "a broken link" in errors[1]


def test_images_of_another_folder_are_read(image_folder: Path, tmp_path: Path) -> None:
    """There, paths, sizes and times may be the same although the contents differ."""
    name, known, copy = "train/covid/covid_3.png", tmp_path / "known.parquet", tmp_path / "copy"
    file = image_folder / name
    file.write_bytes(file.read_bytes() + b"one")  # after the end of the picture
    index_images(image_folder, CLASSES, cache=known)
    shutil.copytree(image_folder, copy)
    before, file = file.stat(), copy / name
    file.write_bytes(file.read_bytes().removesuffix(b"one") + b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    index, _ = index_images(copy, CLASSES, cache=known)
    assert index.set_index("image").loc[name, "sha256"] == sha256_of_file(file)
    assert_same(index, copy)


def test_changed_code_reads_everything_again(image_folder: Path, known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxrflow.images.index.decoding_hash", lambda: "another")
    with opened_below(image_folder) as opened:
        index_images(image_folder, CLASSES, cache=known)
    assert len(opened) == 17


def test_other_classes_stay_known(image_folder: Path, known: Path) -> None:
    with opened_below(image_folder) as opened:
        index_images(image_folder, ["normal"], cache=known)
        index_images(image_folder, CLASSES, cache=known)
    assert opened == set()


def test_unusable_images_are_read_again_until_they_are_fixed(
    image_folder: Path, known: Path, draw: Callable[..., None]
) -> None:
    unusable = image_folder / "train/covid/new.png"
    unusable.write_bytes(b"<html>not found</html>")
    for _ in range(2):
        with opened_below(image_folder) as opened:
            _, errors = index_images(image_folder, CLASSES, cache=known)
        assert len(errors) == 1 and opened == {"train/covid/new.png"}
    draw(unusable, 5)
    index, errors = index_images(image_folder, CLASSES, cache=known)
    assert errors == []
    assert_same(index, image_folder)


def test_hashes_of_a_list_are_compared_with_known_ones(image_folder: Path, known: Path) -> None:
    files = [f"train/covid/covid_{number}.png" for number in range(4)] + ["test/normal/normal_t0.png"]
    right = [sha256_of_file(image_folder / file) for file in files]
    blobs = [git_blob_sha1_of_file(image_folder / file) for file in files]
    listed = pd.DataFrame(
        {
            "path": files,
            "sha256": [right[0], "0" * 64, "", "", right[4]],
            "git_blob_sha1": ["", "", blobs[2], "0" * 40, "0" * 40],  # SHA-256 decides if there is one
        }
    )
    wanted = {files[1]: "(SHA-256)", files[3]: "(git blob SHA-1)"}
    for opened_then in ({files[2], files[3]}, set()):  # the second hash was not needed before
        with opened_below(image_folder) as opened:
            index, errors = index_images(image_folder, CLASSES, listed, cache=known)
        assert opened == opened_then
        assert index[index["status"] == "changed"]["image"].tolist() == sorted(wanted)
        assert all(wanted[file] in error for file, error in zip(sorted(wanted), errors, strict=True))
        assert_same(index, image_folder, listed)


def test_images_decoded_by_the_index_are_not_decoded_again(
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


def test_the_same_folder_under_another_name_is_not_read(
    image_folder: Path, known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image_folder.parent)
    with opened_below(image_folder) as opened:
        index_images(Path(image_folder.name), CLASSES, cache=known)
    assert {str(name) for name in OPENED if name.endswith(".png")} == opened == set()


@pytest.mark.parametrize("how", ["swapped", "replaced", "one linked to the other"])
def test_equal_size_and_time_do_not_hide_other_images(image_folder: Path, how: str) -> None:
    """After a rename, `cp -p` or a link, the time of change and the inode show that it is another file."""
    first, second = image_folder / "train/covid/a.bmp", image_folder / "train/normal/b.bmp"
    for file, grey in ((first, 60), (second, 90)):
        Image.effect_noise((32, 32), grey).save(file)
        os.utime(file, (1e9, 1e9))
    assert first.stat().st_size == second.stat().st_size and first.read_bytes() != second.read_bytes()
    known, seen = image_folder / "known.parquet", image_folder / "seen.json"
    index, _ = index_images(image_folder, CLASSES, cache=known)
    stamps = stamps_of(image_folder, CLASSES, "train_test")
    before = fingerprint(image_folder, stamps)
    write_record(seen, image_folder, before, stamps, dict(zip(index["image"], index["sha256"], strict=True)))
    assert fingerprint(image_folder, stamps_of(image_folder, CLASSES, "train_test"), seen) == before

    if how == "swapped":
        first.rename(image_folder / "kept")
        second.rename(first)
        (image_folder / "kept").rename(second)
    elif how == "replaced":
        shutil.copy2(second, first)
    else:
        first.unlink()
        os.link(second, first)
    assert first.stat().st_mtime == 1e9
    assert fingerprint(image_folder, stamps_of(image_folder, CLASSES, "train_test"), seen) != before
    again, _ = index_images(image_folder, CLASSES, cache=known)
    assert again.set_index("image").loc["train/covid/a.bmp", "sha256"] == sha256_of_file(first)
    assert_same(again, image_folder)


def test_a_touched_file_is_the_same_image(image_folder: Path) -> None:
    """Changed permissions or times do not trigger a new index: the contents are compared once."""
    index, _ = index_images(image_folder, CLASSES)
    seen, stamps = image_folder / "seen.json", stamps_of(image_folder, CLASSES, "train_test")
    before = fingerprint(image_folder, stamps)
    write_record(seen, image_folder, before, stamps, dict(zip(index["image"], index["sha256"], strict=True)))
    (image_folder / index["image"][0]).chmod(0o600)
    os.utime(image_folder / index["image"][1])
    with opened_below(image_folder) as opened:
        assert fingerprint(image_folder, stamps_of(image_folder, CLASSES, "train_test"), seen) == before
    assert opened >= set(index["image"][:2]) and len(opened & set(index["image"])) == 2


def test_a_damaged_cache_is_rebuilt(image_folder: Path, known: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index, _ = index_images(image_folder, CLASSES)
    whole = known.read_bytes()
    for content in damaged_forms(whole):
        known.write_bytes(content)
        again, errors = index_images(image_folder, CLASSES, cache=known)
        pd.testing.assert_frame_equal(again, index)
        assert errors == []
        assert capsys.readouterr().out == f"warning: {known}: damaged; it is rebuilt, so every image is read once\n"
        assert known.read_bytes() == whole


def test_a_cache_with_other_columns_is_rebuilt(image_folder: Path, known: Path) -> None:
    """Such as one of an older version, which can be read but lacks columns."""
    index, _ = index_images(image_folder, CLASSES)
    table = pd.read_parquet(known)
    for other in (pd.DataFrame({"a": [1]}), table.drop(columns="sha256"), table.assign(bytes="many")):
        other.to_parquet(known)
        pd.testing.assert_frame_equal(index_images(image_folder, CLASSES, cache=known)[0], index)
        assert list(pd.read_parquet(known).columns) == list(table.columns)


def test_images_are_indexed_again_if_the_record_is_damaged(
    image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, stamps = tmp_path / "seen.json", stamps_of(image_folder, CLASSES, "train_test")
    write_record(seen, image_folder, "of the last index", stamps, {})
    whole = seen.read_bytes()
    assert fingerprint(image_folder, stamps, seen) == "of the last index"
    for content in damaged_forms(whole):
        seen.write_bytes(content)
        assert fingerprint(image_folder, stamps, seen) not in ("of the last index", fingerprint(image_folder, stamps))
        assert changed_files(image_folder, stamps, seen) == {}
        reported = f"warning: {seen}: damaged; the images are indexed again, which rebuilds it\n"
        assert capsys.readouterr().err == 2 * reported


def test_the_same_pixels_in_other_bytes_are_found(image_folder: Path, tmp_path: Path) -> None:
    """And only these: an image that differs in one pixel outside the sample is a different image."""
    values = np.random.default_rng(5).integers(0, 256, (300, 200), dtype=np.uint8)
    nearly = values.copy()
    nearly[-1, -1] ^= 255
    same = {
        "train/covid/a.png": {},
        "test/covid/b.bmp": {},
        "train/normal/c.png": {"compress_level": 1},
        "test/normal/d.tif": {},
    }
    for name, how in same.items():
        Image.fromarray(values).save(image_folder / name, **how)
    Image.fromarray(values).convert("RGBA").save(image_folder / "train/covid/e.png")
    shutil.copy(image_folder / "train/covid/a.png", image_folder / "train/covid/f.png")
    Image.fromarray(nearly).save(image_folder / "train/covid/nearly.png")
    wanted = sorted([*same, "train/covid/e.png", "train/covid/f.png"])
    known = tmp_path / "known.parquet"
    for turn in range(2):
        with opened_below(image_folder) as opened:
            index, _ = index_images(image_folder, CLASSES, workers=2, cache=known)
        assert (opened == set()) == (turn == 1)
        assert len(set(index["sample_blake2"])) == 18
        pixels = index.set_index("image")["pixels_blake2"].dropna()
        assert sorted(pixels.index) == sorted([*wanted, "train/covid/nearly.png"])
        assert pixels[wanted].nunique() == 1 and pixels.nunique() == 2
        assert duplicate_images(index)["same_pixels"] == [wanted]
        for where in ("several subsets", "several classes"):
            assert any(
                f"1 picture is in {where} with the same pixels in other bytes: " in one for one in doubts_about(index)
            )
        assert groups_of(index.assign(patient=None)).nunique() == 17 + 2
    for name in set(wanted) - {"train/covid/a.png", "train/covid/f.png"}:
        (image_folder / name).unlink()
    (image_folder / "train/covid/nearly.png").unlink()
    index, _ = index_images(image_folder, CLASSES, cache=known)
    assert index["pixels_blake2"].isna().all()
    assert_same(index, image_folder)


def test_the_same_picture_in_two_subsets_is_reported(image_folder: Path, tmp_path: Path) -> None:
    """For any kind of split: here a table puts the PNG into validation and the BMP into training."""
    with Image.open(image_folder / "train/covid/covid_0.png") as image:
        image.save(image_folder / "train/covid/covid_9.bmp")
    index, _ = index_images(image_folder, CLASSES)
    index.to_parquet(tmp_path / "images.parquet")
    subsets = index["image"].map(lambda image: "test" if image.startswith("test") else "training")
    table = index[["image"]].assign(
        subset=subsets.mask(index["image"].str.contains("_0.png", regex=False), "validation")
    )
    table.to_csv(tmp_path / "mine.csv", index=False)
    command = [sys.executable, "-m", "cxrflow.stages.split_images", "--images", "images.parquet", "--classes", *CLASSES]
    command += ["--settings", '{"split": "mine.csv"}', "--split", "split.csv"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    reported = (
        "warning: the same picture is in training and validation: train/covid/covid_9.bmp, train/covid/covid_0.png\n"
    )
    assert said.count("warning: ") == 1 and reported in said
