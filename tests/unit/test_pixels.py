"""Decoding and the cache of pixels, against Keras' own loader."""

import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from cxrflow.images.decode import RESAMPLING, decode_image
from cxrflow.images.fingerprint import fingerprint, stamps_of
from cxrflow.images.pixels import open_pixels, stack_pixels
from cxrflow.io.errors import UserError
from cxrflow.io.files import sha256_of_file, write_table
from cxrflow.stages.cache_pixels import cache_pixels


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("resampling", sorted(RESAMPLING))
@pytest.mark.parametrize("size", [(40, 30), (17, 63), (32, 32)])
def test_decoding_is_that_of_keras(
    tmp_path: Path, draw: Callable[..., None], mode: str, resampling: str, size: tuple[int, int]
) -> None:
    file = tmp_path / "a.png"
    draw(file, 3, size, mode)
    peer = keras.utils.img_to_array(
        keras.utils.load_img(file, color_mode="rgb", target_size=(32, 32), interpolation=resampling)
    )
    np.testing.assert_array_equal(decode_image(file, 32, resampling), peer)


def test_decoding_of_the_study_is_that_of_keras(study_data: Path) -> None:
    files = sorted(study_data.glob("train/covid/*"))[::4] + sorted(study_data.glob("test/*/*"))[::9]
    assert len(files) > 15
    for file in files:
        peer = keras.utils.img_to_array(keras.utils.load_img(file, target_size=(224, 224)))
        np.testing.assert_array_equal(decode_image(file, 224, "nearest"), peer)


def test_the_cache_returns_the_decoded_pixels(image_folder: Path, tmp_path: Path) -> None:
    images = [f"train/covid/covid_{number}.png" for number in (3, 0, 5)]
    assert cache_pixels(tmp_path / "covid.npy", image_folder, [(image, "") for image in images], 24, "nearest") == 3
    write_table(tmp_path / "covid.csv", pd.DataFrame({"image": images}))
    pixels = open_pixels([tmp_path / "covid.npy"])
    for image in images:
        np.testing.assert_array_equal(pixels[image], decode_image(image_folder / image, 24, "nearest"))
    stacked = stack_pixels(pixels, images[::-1])
    assert stacked.shape == (3, 24, 24, 3) and stacked.dtype == np.float32
    np.testing.assert_array_equal(stacked[0], pixels[images[2]])


def test_names_of_digits_are_names(tmp_path: Path) -> None:
    """The name of a listed file may be a number."""
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 4, 3), np.uint8))
    write_table(tmp_path / "a.csv", pd.DataFrame({"image": ["007", "1", "2e5"], "sha256": ["0", "1", "2"]}))
    assert list(open_pixels([tmp_path / "a.npy"])) == ["007", "1", "2e5"]


def test_a_cache_with_other_names(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 4, 3), np.uint8))
    write_table(tmp_path / "a.csv", pd.DataFrame({"image": ["x"]}))
    with pytest.raises(UserError, match=r"a\.npy: 2 images, but 1 rows"):
        open_pixels([tmp_path / "a.npy"])


def test_fingerprint_of_a_folder(image_folder: Path, draw: Callable[..., None]) -> None:
    def of(root: Path, *classes: str) -> str:
        return fingerprint(root, stamps_of(root, classes, "train_test"))

    before = of(image_folder, "covid")
    draw(image_folder / "train/normal/new.png", 1)
    assert of(image_folder, "covid") == before
    assert of(image_folder, "covid", "normal") == of(image_folder, "normal", "covid") != before
    draw(image_folder / "train/covid/new.png", 1)
    assert of(image_folder, "covid") != before
    assert of(image_folder / "nowhere", "covid") == of(image_folder / "none", "covid")


def hashed(root: Path, *images: str) -> list[tuple[str, str]]:
    return [(image, sha256_of_file(root / image)) for image in images]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_array_is_that_of_numpy(image_folder: Path, tmp_path: Path, workers: int) -> None:
    """Written a few images at a time, it has the same bytes as one saved in one go."""
    images = [file.relative_to(image_folder).as_posix() for file in sorted(image_folder.rglob("*.png"))] * 9
    cache_pixels(tmp_path / "a.npy", image_folder, [(image, "") for image in images], 8, "box", workers=workers)
    np.save(tmp_path / "b.npy", np.stack([decode_image(image_folder / image, 8, "box") for image in images]))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_the_store_uses_contents_not_names(image_folder: Path, tmp_path: Path) -> None:
    first, array, store = image_folder / "train/covid/covid_0.png", tmp_path / "a.npy", tmp_path / "store"
    names = [f"train/covid/copy_{number}.png" for number in range(40)]
    for name in names:
        shutil.copyfile(first, image_folder / name)
    cache_pixels(array, image_folder, hashed(image_folder, *names), 8, "nearest", store, workers=4)
    assert len(list(store.rglob("*.pixels"))) == 1 and list(store.rglob(".part-*")) == []
    both = hashed(image_folder, "train/covid/covid_0.png", "train/covid/covid_1.png")
    assert cache_pixels(array, image_folder, both, 8, "nearest", store) == 1
    np.testing.assert_array_equal(np.load(array)[0], decode_image(first, 8, "nearest"))
    assert cache_pixels(array, image_folder, both, 8, "bilinear", store) == 2
    np.testing.assert_array_equal(np.load(array)[0], decode_image(first, 8, "bilinear"))


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda whole: bytes(len(whole)), lambda whole: b""])
def test_an_incomplete_stored_image_is_decoded_again(
    image_folder: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """As after a power cut."""
    array, store = tmp_path / "a.npy", tmp_path / "store"
    images = hashed(image_folder, "train/covid/covid_0.png", "train/covid/covid_1.png")
    assert cache_pixels(array, image_folder, images, 8, "nearest", store) == 2
    whole = array.read_bytes()
    file = sorted(store.rglob("*.pixels"))[0]
    file.write_bytes(damage(file.read_bytes()))
    assert cache_pixels(array, image_folder, images, 8, "nearest", store) == 1
    assert cache_pixels(array, image_folder, images, 8, "nearest", store) == 0
    assert array.read_bytes() == whole


def test_an_image_that_differs_from_the_index_leaves_the_array_unchanged(image_folder: Path, tmp_path: Path) -> None:
    images = hashed(image_folder, "train/covid/covid_0.png", "train/covid/covid_1.png")
    cache_pixels(tmp_path / "a.npy", image_folder, images, 8, "nearest")
    before = (tmp_path / "a.npy").read_bytes()
    shutil.copyfile(image_folder / "train/covid/covid_2.png", image_folder / "train/covid/covid_1.png")
    with pytest.raises(UserError, match=r"covid_1\.png: has changed since it was indexed; run the same command again"):
        cache_pixels(tmp_path / "a.npy", image_folder, images, 9, "nearest", tmp_path / "store")
    assert (tmp_path / "a.npy").read_bytes() == before and list(tmp_path.glob(".part-*")) == []
