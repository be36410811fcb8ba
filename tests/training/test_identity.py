"""What is part of a training's identity, and what is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from cxrflow.augmentation.manifest import read_epoch
from cxrflow.images.pixels import open_pixels
from cxrflow.io.errors import UserError
from cxrflow.stages.plan_augmentation import plan_augmentation
from cxrflow.stages.split_images import split_as_listed, split_by_table, split_like_keras, split_stratified
from cxrflow.study.decides import DefaultChanged, Purpose, identifying, keys_that_decide
from cxrflow.study.experiment import (
    EvaluationSettings,
    LengthSettings,
    NetworkSettings,
    TrainedSettings,
    TrainingSettings,
)
from cxrflow.study.fields import Strict
from cxrflow.training import identity
from cxrflow.training.identity import identity_of, identity_parts, rows_hash
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import CLASSES, RANGES, SETTINGS, TinyTraining, make_files

Arguments = dict[str, Any]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TinyTraining:
    training = make_files(tmp_path_factory.mktemp("identity"))
    (training.folder / "weights.h5").write_bytes(b"some weights")
    return training


@pytest.fixture
def arguments(files: TinyTraining) -> Arguments:
    """Arguments of `identity_parts`, separate for each test."""
    return {
        "settings": {**SETTINGS, "weights": "file"},
        "seed": 0,
        "threads": 1,
        "device": "cpu",
        "weights": files.folder / "weights.h5",
        "split": pd.read_csv(files.folder / "split.csv"),
        "first_epoch": read_epoch(files.folder / "manifest.parquet", 1),
        "pixels": {k: np.array(v) for k, v in open_pixels([files.folder / f"{name}.npy" for name in CLASSES]).items()},
    }


def name_of(arguments: Arguments) -> str:
    return identity_of(identity_parts(**arguments))


def unused_image(arguments: Arguments) -> None:
    arguments["pixels"]["train/other/01.png"] = np.ones((32, 32, 3), np.uint8)


def one_pixel(subset: str) -> Callable[[Arguments], None]:
    def change(arguments: Arguments) -> None:
        split = arguments["split"]
        image = split.loc[split["subset"] == subset, "image"].iloc[1]
        arguments["pixels"][image][31, 0, 2] ^= 1

    return change


def cell(row_subset: str, column: str, value: str) -> Callable[[Arguments], None]:
    def change(arguments: Arguments) -> None:
        split = arguments["split"]
        arguments["split"].loc[split.index[split["subset"] == row_subset][0], column] = value

    return change


def setting(**changes: Any) -> Callable[[Arguments], None]:
    return lambda arguments: arguments["settings"].update(changes)


def argument(**changes: Any) -> Callable[[Arguments], None]:
    return lambda arguments: arguments.update(changes)


def another_row(arguments: Arguments) -> None:
    arguments["first_epoch"].loc[5, "channel_shift"] += 1e-12


CHANGED = {
    "pixel of a training image": one_pixel("training"),
    "pixel of a validation image": one_pixel("validation"),
    "class of a training image": cell("training", "class", "normal"),
    "subset of a training image": cell("training", "subset", "validation"),
    "subset of a test image": cell("test", "subset", "training"),
    "manifest row": another_row,
    "seed": argument(seed=1),
    "threads": argument(threads=2),
    "device": argument(device="gpu"),
    "learning rate": setting(learning_rate=1.0000001e-3),
    "precision": setting(precision="bfloat16"),
    "class order": setting(classes=CLASSES[::-1]),
    "early stopping": setting(early_stopping={"monitor": "val_loss", "patience": 3, "min_delta": 0.0}),
    "dropout": setting(head=[*SETTINGS["head"][:2], {"dropout": 0.31}, *SETTINGS["head"][3:]]),
}


@pytest.mark.parametrize("what", CHANGED)
def test_identity_changes_with(arguments: Arguments, what: str) -> None:
    before = name_of(arguments)
    CHANGED[what](arguments)
    assert name_of(arguments) != before


SAME = {
    "pixel of a test image": one_pixel("test"),
    "class of a test image": cell("test", "class", "normal"),
    "image of a class that the task leaves out": unused_image,
    "epochs": setting(epochs=5000),
    "selected epoch": setting(selected_epoch="best"),
    "number of the selected epoch": setting(selected_epoch=3),
}


@pytest.mark.parametrize("what", SAME)
def test_identity_does_not_change_with(arguments: Arguments, what: str) -> None:
    before = name_of(arguments)
    SAME[what](arguments)
    assert name_of(arguments) == before


ANOTHER: dict[str, Any] = {
    "backbone": "MobileNetV2",
    "image_size": 64,
    "frozen_layers": 7,
    "head": ["max_pooling", {"dense": 3}],
    "head_initialisation": "he_normal",
    "input_scaling": "unit",
    "backbone_batchnorm": "inference",
    "batchnorm_momentum": 0.7,
    "loss": "categorical_crossentropy",
    "precision": "bfloat16",
    "batch_size": 3,
    "incomplete_batch": "dropped",
    "optimizer": "sgd",
    "learning_rate": 0.5,
    "schedule": {"kind": "step", "at": [2]},
    "momentum": 0.1,
    "weight_decay": 0.1,
    "gradient_clip_norm": 2.0,
    "label_smoothing": 0.1,
    "class_weights": "balanced",
    "early_stopping": {"monitor": "loss"},
    "deterministic": True,
    "classes": ["a", "b"],
}


def test_another_value_of_each_setting_that_identifies() -> None:
    assert [*ANOTHER] == [*keys_that_decide(TrainedSettings, "network", "training"), "classes"]


@pytest.mark.parametrize("key", ANOTHER)
def test_identity_has_each_setting(arguments: Arguments, key: str) -> None:
    before = name_of(arguments)
    assert arguments["settings"][key] != ANOTHER[key]
    arguments["settings"][key] = ANOTHER[key]
    assert name_of(arguments) != before


def test_a_new_key_at_its_default_does_not_change_identities() -> None:
    class WarmUp(Strict):
        decides: ClassVar[Purpose] = "training"
        warm_up: int = 0

    class More(EvaluationSettings, LengthSettings, WarmUp, TrainingSettings, NetworkSettings):
        pass

    settings = {key: SETTINGS[key] for key in TrainedSettings.model_fields}
    before = identifying(TrainedSettings.model_validate(settings), "network", "training")
    assert identifying(More.model_validate(settings), "network", "training") == before
    changed = identifying(More.model_validate({**settings, "warm_up": 3}), "network", "training")
    assert changed == {**before, "warm_up": 3}


def test_a_changed_default_that_is_declared_stays_in_the_identity() -> None:
    class Changed(Strict):
        decides: ClassVar[Purpose] = "training"
        old: int = 0
        changed: Annotated[int, DefaultChanged()] = 2

    assert identifying(Changed(), "training") == {"changed": 2}
    assert identifying(Changed(old=1, changed=3), "training") == {"old": 1, "changed": 3}


def test_identity_does_not_depend_on_names_or_order_of_files(arguments: Arguments, tmp_path: Path) -> None:
    before = name_of(arguments)
    moved = tmp_path / "moved.h5"
    moved.write_bytes(arguments["weights"].read_bytes())
    arguments["weights"] = moved
    arguments["split"] = arguments["split"].sample(frac=1, random_state=0)
    arguments["pixels"] = dict(reversed(arguments["pixels"].items()))
    assert name_of(arguments) == before
    moved.write_bytes(b"other weights")
    assert name_of(arguments) != before


@pytest.mark.parametrize("variable", ["TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS", "NVIDIA_TF32_OVERRIDE"])
def test_identity_changes_with_a_variable(arguments: Arguments, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv(variable, raising=False)
    names = [name_of(arguments)]
    for value in ("0", "1"):
        monkeypatch.setenv(variable, value)
        names.append(name_of(arguments))
    monkeypatch.setenv("CXRFLOW_OF_NO_ACCOUNT", "1")
    names.append(name_of(arguments))
    assert len(set(names[:3])) == 3 and names[3] == names[2]


def test_identity_changes_with_versions_and_code(arguments: Arguments, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name_of(arguments)]
    monkeypatch.setattr(identity, "version", lambda package: "0.0")
    names.append(name_of(arguments))
    monkeypatch.setattr(identity, "training_code_hash", lambda: "0123456789abcdef")
    names.append(name_of(arguments))
    assert len(set(names)) == 3


def test_identity_needs_weights_as_the_settings_say(arguments: Arguments) -> None:
    with pytest.raises(UserError, match="weights: the settings say random, but the weights file is"):
        name_of({**arguments, "settings": {**arguments["settings"], "weights": "random"}})
    with pytest.raises(UserError, match="weights: the settings say file, but the weights file is None"):
        name_of({**arguments, "weights": None})


def test_identity_needs_all_pixels(arguments: Arguments) -> None:
    del arguments["pixels"]["train/covid/03.png"]
    with pytest.raises(UserError, match=r"no pixels for 1 images of the split: train/covid/03\.png"):
        name_of(arguments)


@given(
    numbers=st.lists(st.floats(-1, 1), min_size=2, max_size=5, unique=True),
    flags=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_identity_of_rows_depends_on_their_values(numbers: list[float], flags: list[bool]) -> None:
    rows = pd.DataFrame({"image": [f"{n}.png" for n in range(len(numbers))], "a": numbers, "b": flags[: len(numbers)]})
    assert rows_hash(rows) == rows_hash(rows[["b", "image", "a"]].reset_index(drop=True))
    assert rows_hash(rows) != rows_hash(rows.iloc[::-1])
    assert rows_hash(rows) != rows_hash(rows.iloc[1:])
    assert rows_hash(rows) != rows_hash(rows.assign(b=~rows["b"]))
    assert rows_hash(rows) != rows_hash(rows.rename(columns={"a": "c"}))


def made_index() -> pd.DataFrame:
    """24 training and 6 test images of two classes, two per patient; the list also has subsets."""
    rows = []
    for name in CLASSES:
        for number in range(15):
            side = "train" if number < 12 else "test"
            listed = "test" if side == "test" else "validation" if number < 3 else "training"
            rows.append(
                (f"{side}/{name}/{number:02}.png", side, name, listed, f"{name}{number // 2}", f"{name}{number}")
            )
    columns = ["image", "subset_folder", "class", "listed_subset", "patient", "sha256"]
    return pd.DataFrame(rows, columns=columns).assign(status="ok")


def with_rows(index: pd.DataFrame, **values: str) -> pd.DataFrame:
    """Add a test image, whose name comes first, to the index."""
    row = {
        "image": "test/0.png",
        "subset_folder": "test",
        "class": CLASSES[0],
        "listed_subset": "test",
        "patient": "new",
    }
    return pd.concat([index, pd.DataFrame([{**row, "sha256": "new", "status": "ok", **values}])], ignore_index=True)


def is_test(index: pd.DataFrame) -> "pd.Series[bool]":
    return index["subset_folder"] == "test"


TEST_IMAGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "one more": with_rows,
    "one more, with the bytes of a training image": lambda index: with_rows(index, sha256=f"{CLASSES[0]}5"),
    "the bytes of all training images again": lambda index: pd.concat(
        [
            index,
            index[~is_test(index)].assign(
                image="test/" + index["image"], subset_folder="test", listed_subset="test", patient=None
            ),
        ],
        ignore_index=True,
    ),
    "one more, of a training patient": lambda index: with_rows(index, patient=f"{CLASSES[0]}1"),
    "one more, between two training patients": lambda index: with_rows(
        index, patient=f"{CLASSES[0]}1", sha256=f"{CLASSES[0]}9"
    ),
    "one more, which is missing": lambda index: with_rows(index, status="missing"),
    "one less": lambda index: index.drop(index[is_test(index)].index[0]),
    "one replaced": lambda index: index.assign(sha256=index["sha256"].mask(index["image"] == "test/covid/13.png", "x")),
    "an external set": lambda index: index.assign(
        image=index["image"].mask(is_test(index), "external/" + index["image"])
    ),
    "labels swapped": lambda index: index.assign(
        **{
            "class": index["class"].mask(
                is_test(index), index["class"].map(dict(zip(CLASSES, CLASSES[::-1], strict=True)))
            )
        }
    ),
}
RULES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "keras": lambda index: split_like_keras(index, CLASSES, 0.25),
    "stratified": lambda index: split_stratified(index, CLASSES, 0.2, 0.25, 0),
    "listed": lambda index: split_as_listed(index, CLASSES),
    "a CSV": lambda index: split_by_table(
        index, CLASSES, index[["image"]].assign(subset=index["listed_subset"]).astype("string")
    ),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("change", TEST_IMAGES)
def test_test_images_are_not_part_of_a_training(arguments: Arguments, rule: str, change: str) -> None:
    def identity_by(index: pd.DataFrame) -> str:
        split = RULES[rule](index)
        first_epoch = next(plan_augmentation(split, 0, 1, RANGES, "study"))
        pixels = {image: np.full((8, 8, 3), number, np.uint8) for number, image in enumerate(made_index()["image"])}
        return name_of({**arguments, "split": split, "first_epoch": first_epoch, "pixels": pixels})

    index = made_index()
    changed = TEST_IMAGES[change](index)
    assert not changed.equals(index)
    assert identity_by(changed) == identity_by(index)
    moved = index.assign(image=index["image"].str.replace("train/covid/04", "train/covid/044"))
    with pytest.raises(UserError, match="no pixels for 1 images of the split"):
        identity_by(moved)
