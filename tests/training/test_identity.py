"""What is part of a training's identity, and what is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.augmentation.manifest import read_epoch
from cxrflow.images.pixels import open_pixels
from cxrflow.stage.faults import Fault
from cxrflow.training import identity
from cxrflow.training.identity import identity_of, identity_parts, rows_hash
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import CLASSES, SETTINGS, TinyTraining, make_files

Arguments = dict[str, Any]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TinyTraining:
    training = make_files(tmp_path_factory.mktemp("identity"))
    (training.folder / "weights.h5").write_bytes(b"some weights")
    return training


@pytest.fixture
def arguments(files: TinyTraining) -> Arguments:
    """Arguments of `identity_parts`, a test's own."""
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
    "early stopping": setting(early_stopping={"patience": 3, "min_delta": 0.0}),
    "dropout": setting(head={**SETTINGS["head"], "dropout": 0.31}),
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


@pytest.mark.parametrize("key", sorted(set(SETTINGS) - set(identity.WITHOUT_EFFECT_ON_STEPS) - {"weights"}))
def test_identity_has_each_setting(arguments: Arguments, key: str) -> None:
    before = name_of(arguments)
    arguments["settings"][key] = "another value"
    assert name_of(arguments) != before


def test_identity_does_not_know_names_or_order_of_files(arguments: Arguments, tmp_path: Path) -> None:
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
    monkeypatch.setattr(identity, "deciding_code", lambda: "0123456789abcdef")
    names.append(name_of(arguments))
    assert len(set(names)) == 3


def test_identity_needs_weights_as_the_settings_say(arguments: Arguments) -> None:
    with pytest.raises(Fault, match="weights: the settings say random, but the weights file is"):
        name_of({**arguments, "settings": {**arguments["settings"], "weights": "random"}})
    with pytest.raises(Fault, match="weights: the settings say file, but the weights file is None"):
        name_of({**arguments, "weights": None})


def test_identity_needs_all_pixels(arguments: Arguments) -> None:
    del arguments["pixels"]["train/covid/03.png"]
    with pytest.raises(Fault, match=r"1 images of the split have none: train/covid/03\.png"):
        name_of(arguments)


@given(
    numbers=st.lists(st.floats(-1, 1), min_size=2, max_size=5, unique=True),
    flags=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_identity_of_rows_is_that_of_their_values(numbers: list[float], flags: list[bool]) -> None:
    rows = pd.DataFrame({"image": [f"{n}.png" for n in range(len(numbers))], "a": numbers, "b": flags[: len(numbers)]})
    assert rows_hash(rows) == rows_hash(rows[["b", "image", "a"]].reset_index(drop=True))
    assert rows_hash(rows) != rows_hash(rows.iloc[::-1])
    assert rows_hash(rows) != rows_hash(rows.iloc[1:])
    assert rows_hash(rows) != rows_hash(rows.assign(b=~rows["b"]))
    assert rows_hash(rows) != rows_hash(rows.rename(columns={"a": "c"}))
