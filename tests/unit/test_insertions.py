"""Known problems are inserted as they say, into copies, and the same for the same seed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cxrflow.audits.findings import DataSet
from cxrflow.audits.insertions import (
    INSERTED_SOURCE,
    OTHER_SOURCE,
    TRANSFORMATIONS,
    Originals,
    copy_name,
    some_images,
    with_contrast,
    with_copies,
    with_marks,
    with_permuted_classes,
    with_same_pixels,
    with_shared_patients,
    with_source,
)
from cxrflow.images.decode import resized
from cxrflow.io.errors import UserError
from numpy.typing import NDArray
from phantom_files import SIZE, phantom_data

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataSet, Originals]:
    return phantom_data(tmp_path_factory.mktemp("phantoms"), patients=8)


@pytest.fixture
def data(made: tuple[DataSet, Originals]) -> DataSet:
    return made[0]


@pytest.fixture
def originals(made: tuple[DataSet, Originals]) -> Originals:
    return made[1]


def copies_of(data: DataSet, originals: Originals, transformation: str, seed: int = 0) -> dict[str, Pixels]:
    images = list(data.index["image"])[:3]
    found = with_copies(data, images, transformation, originals, np.random.default_rng(seed))
    return {image: found.pixels[copy_name(image)] for image in images}


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_copies_are_the_same_for_the_same_seed(data: DataSet, originals: Originals, transformation: str) -> None:
    one, two, other = (copies_of(data, originals, transformation, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(one[image], two[image]) for image in one)
    assert all(not np.array_equal(one[image], data.pixels[image]) for image in one)
    assert all(copy.shape == (SIZE, SIZE, 3) and copy.dtype == np.uint8 for copy in one.values())
    is_random = transformation in ("resized by 0.4 to 1.5", "cropped by 10 %", "a letter burnt in")
    assert is_random == any(not np.array_equal(one[image], other[image]) for image in one)


@pytest.mark.parametrize(
    ("transformation", "change"),
    [
        ("flipped left to right", lambda full: full[:, ::-1]),
        ("flipped upside down", lambda full: full[::-1]),
        ("rotated by 90°", np.rot90),
        ("inverted", lambda full: 255 - full),
        ("brightened by 40 %", lambda full: np.minimum(full * 1.4, 255)),
    ],
)
def test_a_file_is_altered_before_it_is_resized(
    data: DataSet, originals: Originals, transformation: str, change: Callable[[Pixels], Pixels]
) -> None:
    for image, copy in copies_of(data, originals, transformation).items():
        full = np.asarray(originals.picture(image))
        # Nearest neighbours of half the side are every second pixel, beginning with the second one.
        assert full.shape == (2 * SIZE, 2 * SIZE, 3)
        assert np.abs(change(full)[1::2, 1::2] - copy.astype(float)).max() <= 1


def test_a_crop_is_a_part_and_a_letter_is_white(data: DataSet, originals: Originals) -> None:
    for image, copy in copies_of(data, originals, "a letter burnt in").items():
        is_new = (copy != data.pixels[image]).any(axis=2)
        assert 0.001 < is_new.mean() < 0.02 and copy[is_new].max() == 255
    side = round(0.9 * 2 * SIZE)
    for image, copy in copies_of(data, originals, "cropped by 10 %").items():
        full = np.asarray(originals.picture(image))
        parts = [
            np.asarray(resized(originals.picture(image).crop((x, y, x + side, y + side)), SIZE, "nearest"))
            for x in range(2 * SIZE - side + 1)
            for y in range(2 * SIZE - side + 1)
        ]
        assert len(full) == 2 * SIZE and any(np.array_equal(part, copy) for part in parts)


def test_copies_are_rows_of_index_and_split_and_the_data_set_stays_as_it_is(
    data: DataSet, originals: Originals
) -> None:
    before = data.index.copy(), data.splits["one"].copy(), {image: one.copy() for image, one in data.pixels.items()}
    images = list(data.index["image"])[:4]
    found = with_copies(data, images, "inverted", originals, np.random.default_rng(0))
    assert list(found.index["image"]) == [*data.index["image"], *map(copy_name, images)]
    assert found.index["sha256"].is_unique and dict(found.index.dtypes) == dict(data.index.dtypes)
    rows = found.images_of("one").set_index("image")
    for image in images:
        assert rows.loc[copy_name(image), "class"] == rows.loc[image, "class"]
        assert rows.loc[copy_name(image), "subset"] in ("training", "test")
    assert rows.loc[[copy_name(image) for image in images], "patient"].isna().all()
    assert rows["group"].nunique() == 8 + len(images)
    assert data.index.equals(before[0]) and data.splits["one"].equals(before[1])
    assert all(np.array_equal(data.pixels[image], pixels) for image, pixels in before[2].items())


def test_the_same_pixels_have_the_same_hash_and_other_bytes(data: DataSet, originals: Originals) -> None:
    images = list(data.index["image"])[:3]
    rows = with_same_pixels(data, images, originals, np.random.default_rng(0)).index.set_index("image")
    for image in images:
        assert rows.loc[image, "pixels_blake2"] == rows.loc[copy_name(image), "pixels_blake2"]
        assert rows.loc[image, "sha256"] != rows.loc[copy_name(image), "sha256"]
    assert rows["pixels_blake2"].nunique() == 3 and rows["pixels_blake2"].notna().sum() == 6


def test_a_file_that_is_gone_is_reported(data: DataSet, tmp_path: Path) -> None:
    elsewhere = Originals(tmp_path, "nearest")
    with pytest.raises(UserError, match=r"train/a/00\.png: no such file; run the same command again"):
        with_copies(data, ["train/a/00.png"], "inverted", elsewhere, np.random.default_rng(0))


def test_shared_patients(data: DataSet) -> None:
    first, second, *_ = data.index["image"]
    rows = with_shared_patients(data, [(first, second)]).images_of("one").set_index("image")
    assert rows.loc[[first, second], "patient"].tolist() == ["inserted patient 0"] * 2
    others = data.index.set_index("image")["patient"].drop([first, second])
    assert rows["patient"].drop([first, second]).to_dict() == others.to_dict()


def test_classes_are_permuted_among_patients(data: DataSet) -> None:
    permuted = [with_permuted_classes(data, "one", seed) for seed in range(20)]
    for one in permuted:
        rows = one.images_of("one")
        # Of 8 patients with 12 images, each has images of one class, and 4 are of each class.
        assert rows.groupby("patient")["class"].nunique().eq(1).all()
        assert rows.drop_duplicates("patient")["class"].value_counts().to_dict() == {"a": 4, "b": 4}
        assert one.index["class"].tolist() == one.splits["one"]["class"].tolist()
    assert len({tuple(one.splits["one"]["class"]) for one in permuted}) > 10
    assert permuted[3].splits["one"].equals(with_permuted_classes(data, "one", 3).splits["one"])


def test_a_mark_is_a_square_in_the_corner(data: DataSet) -> None:
    first, second, *_ = data.index["image"]
    start, end = round(0.02 * SIZE), round(0.02 * SIZE) + round(0.1 * SIZE)
    for opacity in (1.0, 0.25):
        marked = with_marks(data, [first], 0.1, opacity).pixels
        expected = data.pixels[first].astype(float)
        expected[start:end, start:end] += opacity * (255 - expected[start:end, start:end])
        assert np.abs(marked[first] - expected).max() <= 0.5
        assert marked[second] is data.pixels[second]


def test_contrast_is_multiplied_about_the_mean(data: DataSet) -> None:
    first, second, *_ = data.index["image"]
    grey = np.full((SIZE, SIZE, 3), 100, np.uint8)
    grey[::2], grey[1::2] = 90, 110
    changed = with_contrast(replace(data, pixels={**data.pixels, first: grey}), [first], 1.5).pixels
    assert np.unique(changed[first]).tolist() == [85, 115] and changed[second] is data.pixels[second]


def test_a_source_is_given_to_the_chosen_images_only(data: DataSet) -> None:
    first, second, *others = data.index["image"]
    known = replace(data, index=data.index.assign(source=data.index["source"].mask(data.index["image"] == second, "x")))
    source = with_source(known, [first]).index.set_index("image")["source"]
    assert (source[first], source[second], set(source[others])) == (INSERTED_SOURCE, "x", {OTHER_SOURCE})


def test_some_images_are_whole_patients(data: DataSet) -> None:
    some = some_images(data, 7)
    assert 4 <= len(some.index) <= 7
    assert set(some.pixels) == set(some.index["image"]) == set(some.splits["one"]["image"])
    kept = set(some.index["patient"])
    assert set(data.index.loc[data.index["patient"].isin(kept), "image"]) == set(some.pixels)
    assert some_images(data, 12) is data and len(some_images(data, 1).index) in (1, 2)
