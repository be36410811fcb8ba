"""What the rivals get of an image: known answers."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from cxrflow.audits.rival_features import (
    RIVALS,
    border,
    brightness,
    centre,
    colour,
    correlated,
    file_features,
    histogram,
    picture_features,
    picture_of,
    shuffled,
    thumbnail,
    without_centre,
)
from hypothesis import given
from hypothesis import strategies as st

SHA256 = hashlib.sha256(b"image").hexdigest()


def grey_picture(grey, sha256=SHA256):
    return picture_of(np.repeat(np.asarray(grey, np.uint8)[..., None], 3, axis=2), sha256)


def noise(seed, size=64):
    return np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)


def test_files_differ_in_format_size_and_quality():
    rows = pd.DataFrame(
        {
            "mode": ["L", "RGB"],
            "format": ["JPEG", "PNG"],
            "width": pd.array([10, 20], "Int64"),
            "height": pd.array([10, 10], "Int64"),
            "bytes": pd.array([100, 400], "Int64"),
            "jpeg_quantisation": pd.array([1.5, None], "Float64"),
        }
    )
    np.testing.assert_allclose(
        file_features(rows),
        [
            [1, 0, 1, 0, np.log(10), np.log(10), 1, np.log(100), 1, 1.5, 1],
            [0, 1, 0, 1, np.log(20), np.log(10), 2, np.log(400), 2, 0, 0],
        ],
    )


def test_colour_ignores_the_small_differences_of_compression():
    pixels = np.full((10, 10, 3), 100, np.uint8)
    pixels[0, :, 0] = 108
    pixels[1, :, 1] = 91
    np.testing.assert_allclose(colour(picture_of(pixels, SHA256)), [0.1, (80 + 90) / 100])


def test_brightness_and_histogram():
    grey = np.zeros((8, 8), np.uint8)
    grey[:, :4] = 200
    np.testing.assert_allclose(brightness(grey_picture(grey)), [100, 100], atol=1e-3)
    shares = histogram(grey_picture(grey))
    assert (shares[0], shares[25], shares.sum(), len(shares)) == (0.5, 0.5, 1, 32)
    assert histogram(grey_picture(np.full((8, 8), 255)))[31] == 1


def test_a_thumbnail_averages_areas():
    grey = noise(1)
    means = grey.reshape(16, 4, 16, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(thumbnail(grey_picture(grey), 16), means, atol=1e-3)


def test_border_and_centre_see_only_their_part():
    grey = noise(2, 100)
    inside, outside = grey.copy(), grey.copy()
    inside[10:90, 10:90] = 0  # the outer tenth on each side stays
    outside[:25], outside[75:], outside[:, :25], outside[:, 75:] = 0, 0, 0, 0  # the central half stays
    np.testing.assert_allclose(border(grey_picture(inside)), border(grey_picture(grey)), atol=1e-3)
    assert len(border(grey_picture(grey))) == 20**2 - 16**2
    np.testing.assert_allclose(centre(grey_picture(outside)), centre(grey_picture(grey)), atol=1e-3)
    hole = grey.copy()
    hole[25:75, 25:75] = 0
    np.testing.assert_allclose(without_centre(grey_picture(hole)), without_centre(grey_picture(grey)), atol=1e-3)
    assert not np.allclose(without_centre(grey_picture(outside)), without_centre(grey_picture(grey)))


def test_patches_are_shuffled_in_an_order_of_their_own_file():
    grey = np.repeat(np.repeat(np.arange(16, dtype=np.uint8).reshape(4, 4), 16, axis=0), 16, axis=1)
    found = np.rint(shuffled(grey_picture(grey)).reshape(16, 16))
    assert np.all(found == found[:, :1])  # each patch is one grey level
    assert sorted(found[:, 0]) == list(range(16)) != list(found[:, 0])
    np.testing.assert_array_equal(np.rint(shuffled(grey_picture(grey)).reshape(16, 16)), found)
    other = hashlib.sha256(b"another image").hexdigest()
    assert not np.allclose(shuffled(grey_picture(grey, other)).reshape(16, 16), found)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_distances_order_images_by_their_correlation(first, second):
    one, two = (grey_picture(noise(seed)) for seed in (first, second))
    correlation = np.corrcoef(thumbnail(one, 32).ravel(), thumbnail(two, 32).ravel())[0, 1]
    distance = np.linalg.norm(correlated(one) - correlated(two))
    assert distance**2 == pytest.approx(2 - 2 * correlation, abs=1e-6)


@pytest.mark.parametrize("size", [1, 5, 33, 224])
def test_features_of_images_of_any_size_are_finite(size):
    pixels = {
        "black.png": np.zeros((size, size, 3), np.uint8),
        "noise.png": np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8),
    }
    rows = pd.DataFrame({"image": ["noise.png", "black.png"], "sha256": SHA256})
    rivals = [rival for rival in RIVALS if rival.reaches_network]
    lengths = [2, 2, 32, 64, 256, 144, 256, 256, 256, 1024]
    for features, length in zip(picture_features(rivals, rows, pixels), lengths, strict=True):
        assert features.shape == (2, length) and np.isfinite(features).all()


def test_rivals_have_different_names_and_descriptions():
    assert [rival.name for rival in RIVALS if not rival.reaches_network] == ["file"]
    assert len({rival.name for rival in RIVALS}) == len({rival.description for rival in RIVALS}) == len(RIVALS) == 11
