"""The manifest: pure, extendable, distributed as Keras draws; and pixels transformed as Keras transforms them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.augmentation.draw import FLIPS, NUMBERS, draw_epoch
from cxrflow.augmentation.transform import transform_image
from cxrflow.stages.plan_augmentation import plan_augmentation
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from PIL import Image
from scipy import stats

STUDY = {
    "rotation_range": 50,
    "width_shift_range": 0.2,
    "height_shift_range": 0.2,
    "shear_range": 0.25,
    "zoom_range": 0.1,
    "channel_shift_range": 20,
    "horizontal_flip": True,
    "vertical_flip": True,
}
IMAGES = [f"train/covid/{number:03}.png" for number in range(20)]


def keras_generator(**switches: bool) -> ImageDataGenerator:
    return ImageDataGenerator(rescale=1 / 255, fill_mode="constant", cval=0.0, **STUDY, **switches)


def a_split(images: list[str]) -> pd.DataFrame:
    subsets = ["validation" if number % 4 == 0 else "training" for number in range(len(images))]
    return pd.DataFrame({"image": images, "class": "covid", "subset": subsets})


def planned(*arguments: Any) -> pd.DataFrame:
    """Concatenate the epochs of a plan."""
    return pd.concat(plan_augmentation(*arguments), ignore_index=True)


def by_image(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["subset", "epoch", "image"], ignore_index=True).drop(columns="position")


def test_a_longer_manifest_starts_with_the_shorter_one() -> None:
    short = planned(a_split(IMAGES), 3, 4, STUDY, "study")
    longer = planned(a_split(IMAGES), 3, 9, STUDY, "study")
    pd.testing.assert_frame_equal(longer[longer["epoch"] <= 4].reset_index(drop=True), short)


def test_a_single_epoch_is_that_of_the_manifest() -> None:
    manifest = planned(a_split(IMAGES), 3, 6, STUDY, "study")
    images = a_split(IMAGES).query("subset == 'training'")["image"].tolist()
    single = draw_epoch(images, "training", 3, 5, STUDY)
    wanted = manifest[(manifest["epoch"] == 5) & (manifest["subset"] == "training")].reset_index(drop=True)
    pd.testing.assert_frame_equal(single, wanted, check_dtype=False)


def test_one_more_image_does_not_change_the_numbers_of_others() -> None:
    few = draw_epoch(IMAGES, "training", 0, 1, STUDY)
    more = draw_epoch(["train/a/new.png", *IMAGES], "training", 0, 1, STUDY)
    pd.testing.assert_frame_equal(by_image(more[more["image"].isin(IMAGES)]), by_image(few))
    assert more.loc[more["image"].isin(IMAGES), "image"].tolist() == few["image"].tolist()


def test_the_order_of_the_list_does_not_matter() -> None:
    pd.testing.assert_frame_equal(
        draw_epoch(IMAGES, "training", 0, 1, STUDY), draw_epoch(IMAGES[::-1], "training", 0, 1, STUDY)
    )


def test_clean_validation_does_not_move_training() -> None:
    augmented = planned(a_split(IMAGES), 0, 3, STUDY, True)
    clean = planned(a_split(IMAGES), 0, 3, STUDY, False)
    training = augmented["subset"] == "training"
    pd.testing.assert_frame_equal(clean[training], augmented[training])
    numbers = clean.loc[~training, list(NUMBERS)].drop_duplicates()
    assert numbers.to_dict("records") == [
        {"theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1, "flip_horizontal": False, "flip_vertical": False,
         "channel_shift": 0}
    ]  # fmt: skip


def test_seeds_epochs_subsets_and_images_differ() -> None:
    seen = {
        draw_epoch([image], subset, seed, epoch, STUDY)["theta"].item()
        for image in IMAGES[:3]
        for subset in ("training", "validation")
        for seed in (0, 1)
        for epoch in (1, 2)
    }
    assert len(seen) == 3 * 2 * 2 * 2


def test_known_numbers() -> None:
    """Recorded numbers reveal a change of the random stream, which would change every result."""
    row = draw_epoch(["train/covid/a.png"], "training", 0, 1, STUDY).iloc[0]
    known = [30.310202947, -0.001995512, -0.094991937, -0.23712231, 0.985865498, 1.024320266, 1.0, 1.0, 11.216986549]
    assert [round(float(row[name]), 9) for name in NUMBERS] == known


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    """10,000 drawn rows."""
    return pd.concat([draw_epoch(IMAGES, "training", 0, epoch, STUDY) for epoch in range(1, 501)])


@pytest.fixture(scope="module")
def many_of_keras() -> pd.DataFrame:
    """10,000 transformations drawn by Keras, with shifts as shares of the size."""
    generator = keras_generator()
    drawn = pd.DataFrame([generator.get_random_transform((224, 112, 3), seed=seed) for seed in range(10_000)])
    drawn["tx"] /= 224
    drawn["ty"] /= 112
    return drawn.rename(columns={"channel_shift_intensity": "channel_shift"})


@pytest.mark.parametrize("name", [name for name in NUMBERS if name not in FLIPS])
def test_distributions_are_those_of_keras(many: pd.DataFrame, many_of_keras: pd.DataFrame, name: str) -> None:
    assert stats.ks_2samp(many[name], many_of_keras[name]).pvalue > 0.001


@pytest.mark.parametrize("name", FLIPS)
def test_flips_are_as_frequent_as_in_keras(many: pd.DataFrame, many_of_keras: pd.DataFrame, name: str) -> None:
    table = [[int(drawn[name].sum()), int((~drawn[name].astype(bool)).sum())] for drawn in (many, many_of_keras)]
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_the_nine_numbers_are_independent(many: pd.DataFrame) -> None:
    correlation = many[list(NUMBERS)].astype(float).corr().to_numpy()
    assert np.abs(correlation - np.eye(len(NUMBERS))).max() < 4 / np.sqrt(len(many))


def test_each_place_of_an_epoch_is_equally_likely_for_every_image(many: pd.DataFrame) -> None:
    counts = many.groupby(["image", "position"]).size()
    assert len(counts) == 400
    assert stats.chisquare(counts).pvalue > 0.001


def keras_pixels(image: np.ndarray, row: dict[str, Any], **switches: bool) -> np.ndarray:
    """Transform an image with Keras by a row of the manifest, in the range 0 to 255."""
    generator = keras_generator(**switches)
    parameters = {**row, "channel_shift_intensity": row["channel_shift"], "brightness": None}
    parameters["tx"], parameters["ty"] = row["tx"] * image.shape[0], row["ty"] * image.shape[1]
    transformed = generator.apply_transform(image.astype(np.float32), parameters)
    return generator.standardize(transformed) * 255


def rows_of(count: int, seed: int) -> list[dict[str, Any]]:
    drawn = draw_epoch([f"train/x/{number}.png" for number in range(count)], "training", seed, 1, STUDY)
    return [dict(zip(NUMBERS, row, strict=True)) for row in drawn[list(NUMBERS)].itertuples(index=False)]


@pytest.mark.parametrize("shape", [(64, 64), (65, 65), (48, 81), (81, 48), (7, 5)])
@pytest.mark.parametrize("grey", [True, False])
def test_keras_pixels_of_made_images(shape: tuple[int, int], grey: bool) -> None:
    random = np.random.default_rng(5)
    for place, row in enumerate(rows_of(25, seed=place_of(shape))):
        channels = random.integers(0, 256, (*shape, 1 if grey else 3))
        image = np.broadcast_to(channels, (*shape, 3)).astype(np.uint8)
        ours = transform_image(image, row)
        assert ours.dtype == np.float32 and ours.shape == image.shape
        np.testing.assert_allclose(ours, keras_pixels(image, row), rtol=0, atol=1e-3, err_msg=f"row {place}")


def place_of(shape: tuple[int, int]) -> int:
    return shape[0] * 100 + shape[1]


@pytest.mark.parametrize("shape", [(224, 224), (225, 225), (224, 181), (97, 128)])
def test_keras_pixels_of_the_study(study_data: Path, shape: tuple[int, int]) -> None:
    """Fifty of the study's images from all classes: most are grey, some coloured."""
    files = sorted(study_data.glob("train/*/*"))[2::5][:50]
    assert len(files) == 50 and len({file.parent for file in files}) == 4
    coloured = 0
    for file, row in zip(files, rows_of(50, seed=place_of(shape)), strict=True):
        with Image.open(file) as opened:
            image = np.asarray(opened.convert("RGB").resize(shape[::-1], Image.Resampling.NEAREST))
        coloured += bool((image != image[..., :1]).any())
        np.testing.assert_allclose(transform_image(image, row), keras_pixels(image, row), rtol=0, atol=1e-3)
    assert 0 < coloured < 50


@pytest.mark.parametrize("name", [*NUMBERS, "none"])
def test_keras_pixels_of_each_number_separately(name: str) -> None:
    image = np.random.default_rng(1).integers(0, 256, (30, 41, 3)).astype(np.uint8)
    unchanged = draw_epoch(["a"], "training", 0, 1, None)[list(NUMBERS)].to_dict("records")[0]
    drawn = rows_of(1, seed=4)[0]
    row = {**unchanged, **({} if name == "none" else {name: True if name in FLIPS else drawn[name]})}
    np.testing.assert_allclose(transform_image(image, row), keras_pixels(image, row), rtol=0, atol=1e-3)
    if name == "none":
        np.testing.assert_array_equal(transform_image(image, row), image)
    else:
        assert not np.array_equal(transform_image(image, row), image)


def test_keras_pixels_with_switches_that_were_never_fitted() -> None:
    """The study's three further switches change no pixel, as Keras itself warns."""
    image = np.random.default_rng(2).integers(0, 256, (30, 41, 3)).astype(np.uint8)
    row = rows_of(1, seed=4)[0]
    switches = {"featurewise_center": True, "featurewise_std_normalization": True, "zca_whitening": True}
    with pytest.warns(UserWarning, match="hasn't been fit"):
        found = keras_pixels(image, row, **switches)
    np.testing.assert_array_equal(found, keras_pixels(image, row))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(2, 40))
def test_pixels_stay_within_their_range(seed: int, height: int, width: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    out = transform_image(image, rows_of(1, seed)[0])
    assert np.isfinite(out).all() and out.min() >= 0 and out.max() <= 255
