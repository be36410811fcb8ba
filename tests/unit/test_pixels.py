"""Decoding and the cache of pixels, against Keras' own loader."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from cxrflow.cache_pixels import cache_pixels
from cxrflow.images.decode import RESAMPLING, decode_image
from cxrflow.images.fingerprint import folder_fingerprint
from cxrflow.images.pixels import open_pixels, stack_pixels
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import write_table


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


def test_the_cache_gives_back_what_was_decoded(image_folder: Path, tmp_path: Path) -> None:
    images = [f"train/covid/covid_{number}.png" for number in (3, 0, 5)]
    np.save(tmp_path / "covid.npy", cache_pixels(image_folder, images, 24, "nearest"))
    write_table(tmp_path / "covid.csv", pd.DataFrame({"image": images}))
    pixels = open_pixels([tmp_path / "covid.npy"])
    for image in images:
        np.testing.assert_array_equal(pixels[image], decode_image(image_folder / image, 24, "nearest"))
    stacked = stack_pixels(pixels, images[::-1])
    assert stacked.shape == (3, 24, 24, 3) and stacked.dtype == np.float32
    np.testing.assert_array_equal(stacked[0], pixels[images[2]])


def test_a_cache_whose_names_do_not_fit(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 4, 3), np.uint8))
    write_table(tmp_path / "a.csv", pd.DataFrame({"image": ["x"]}))
    with pytest.raises(Fault, match=r"a\.npy: 2 images, but 1 lines"):
        open_pixels([tmp_path / "a.npy"])


def test_fingerprint_of_a_folder(image_folder: Path, draw: Callable[..., None]) -> None:
    folders = ["train/covid", "test/covid"]
    before = folder_fingerprint(image_folder, folders)
    assert folder_fingerprint(image_folder, folders[::-1]) == before
    draw(image_folder / "train/normal/new.png", 1)
    assert folder_fingerprint(image_folder, folders) == before
    draw(image_folder / "train/covid/new.png", 1)
    assert folder_fingerprint(image_folder, folders) != before
    assert folder_fingerprint(image_folder / "nowhere", folders) == folder_fingerprint(image_folder / "none", folders)
