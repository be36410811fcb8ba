"""The split: Keras' own, or from a table."""

from pathlib import Path

import keras
import pandas as pd
import pytest
from cxrflow.io.errors import UserError
from cxrflow.stages.split_images import check_split, split_by_table, split_like_keras
from hypothesis import given
from hypothesis import strategies as st

# The generator that the study used still lives in Keras; it is the oracle here.
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from made_images import index_images


def keras_files(root: Path, fraction: float, subset: str, classes: list[str]) -> set[str]:
    generator = ImageDataGenerator(validation_split=fraction)
    flow = generator.flow_from_directory(root / "train", classes=classes, subset=subset, shuffle=False)
    return {f"train/{name}" for name in flow.filenames}


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.29, 0.5])
def test_the_split_is_that_of_keras(image_folder: Path, fraction: float) -> None:
    classes = ["covid", "normal"]
    split = split_like_keras(index_images(image_folder, classes)[0], classes, fraction)
    for subset in ("training", "validation"):
        ours = set(split.loc[split["subset"] == subset, "image"])
        assert ours == keras_files(image_folder, fraction, subset, classes)
    assert set(split.loc[split["subset"] == "test", "image"]) == {
        f"test/{name}/{name}_t{number}.png" for name in classes for number in (0, 1)
    }


def test_the_study_is_split_as_keras_would(study_data: Path) -> None:
    classes = ["normal", "pneumonia_bac", "pneumonia_vir"]  # complete: none of their images is missing
    split = split_like_keras(index_images(study_data, classes, workers=2)[0], classes, 0.2)
    for subset in ("training", "validation"):
        ours = set(split.loc[split["subset"] == subset, "image"])
        assert ours == keras_files(study_data, 0.2, subset, classes)


def test_a_missing_image_moves_no_other(image_folder: Path) -> None:
    classes = ["covid", "normal"]
    index, _ = index_images(image_folder, classes)
    whole = split_like_keras(index, classes, 0.2)
    index.loc[index["image"] == "train/covid/covid_0.png", "status"] = "missing"
    without = split_like_keras(index, classes, 0.2)
    pd.testing.assert_frame_equal(without, whole[whole["image"] != "train/covid/covid_0.png"].reset_index(drop=True))


@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=4),
    fraction=st.floats(0.01, 0.99),
)
def test_properties_of_the_split(sizes: list[int], fraction: float) -> None:
    rows = [
        {"image": f"train/c{place}/{number:03}.png", "class": f"c{place}", "subset_folder": "train"}
        for place, size in enumerate(sizes)
        for number in range(size)
    ]
    index = pd.DataFrame(rows).assign(status="ok", patient=None)
    split = split_like_keras(index, [f"c{place}" for place in range(len(sizes))], fraction)
    assert len(split) == sum(sizes) and split["image"].is_unique
    counts = split[split["subset"] == "validation"].groupby("class").size()
    for place, size in enumerate(sizes):
        assert counts.get(f"c{place}", 0) == int(fraction * size)
    for _, of_class in split.groupby("class"):
        last = of_class.loc[of_class["subset"] == "validation", "image"].max()
        first = of_class.loc[of_class["subset"] == "training", "image"].min()
        assert pd.isna(last) or pd.isna(first) or last < first


def test_a_split_from_a_table(image_folder: Path) -> None:
    index, _ = index_images(image_folder, ["covid", "normal"])
    table = pd.DataFrame(
        {"image": ["train/covid/covid_0.png", "test/normal/normal_t0.png"], "subset": ["test", "training"]}
    )
    split = split_by_table(index, ["covid", "normal"], table)
    assert split.to_dict("records") == [
        {"image": "test/normal/normal_t0.png", "class": "normal", "subset": "training", "patient": None},
        {"image": "train/covid/covid_0.png", "class": "covid", "subset": "test", "patient": None},
    ]


def test_all_errors_of_a_table(image_folder: Path) -> None:
    index, _ = index_images(image_folder, ["covid", "normal"])
    table = pd.DataFrame(
        {
            "image": ["train/covid/covid_0.pgn", "train/covid/covid_1.png", "train/covid/covid_1.png"],
            "subset": ["Train", "traning", "test"],
        }
    )
    with pytest.raises(UserError) as caught:
        split_by_table(index, ["covid", "normal"], table)
    assert caught.value.messages == [
        "split: train/covid/covid_0.pgn: not among the images; did you mean 'train/covid/covid_0.png'?",
        "split: train/covid/covid_1.png: listed twice",
        "split: train/covid/covid_1.png: subset 'traning' is not allowed; allowed: training, validation, test",
    ]
    with pytest.raises(UserError, match="no column image and no column subset; the columns are a"):
        split_by_table(index, ["covid"], pd.DataFrame({"a": []}))


def test_a_class_without_images_in_a_subset(image_folder: Path) -> None:
    index, _ = index_images(image_folder, ["covid", "normal"])
    with pytest.raises(UserError) as caught:
        check_split(split_like_keras(index, ["covid", "normal"], 0.15), ["covid", "normal"])
    assert len(caught.value.messages) == 1
    assert "class normal has no validation image" in caught.value.messages[0]


def test_keras_is_the_one_that_is_locked() -> None:
    assert keras.__version__.startswith("3.")
