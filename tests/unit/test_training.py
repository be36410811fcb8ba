"""The training loop on a small network: batches, epochs, the selected epoch, the same numbers twice, Keras' fit as a peer."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from cxrflow.augmentation.draw import draw_epoch
from cxrflow.plan_augmentation import plan_augmentation
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import write_table
from cxrflow.train_model import epoch_rows
from cxrflow.training.batches import batches, images_per_pass, target_vectors
from cxrflow.training.loop import Trained, compile_network, train_network
from cxrflow.training.progress import duration, progress_line
from hypothesis import given
from hypothesis import strategies as st

CLASSES = ["dark", "light"]
SETTINGS = {
    "classes": CLASSES,
    "loss": "binary_crossentropy",
    "optimizer": "adam",
    "learning_rate": 1e-2,
    "batch_size": 4,
    "incomplete_batch": "dropped",
    "epochs": 3,
    "selected_epoch": "last",
}


@pytest.fixture(scope="module")
def split() -> pd.DataFrame:
    """22 training and 6 validation images."""
    rows = [
        {
            "image": f"train/{CLASSES[n % 2]}/{n:02}.png",
            "class": CLASSES[n % 2],
            "subset": "training" if n < 22 else "validation",
        }
        for n in range(28)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def pixels(split: pd.DataFrame) -> dict[str, np.ndarray]:
    """Noise of 12 px, the light class brighter."""
    random = np.random.default_rng(0)
    return {
        row["image"]: (random.integers(0, 156, (12, 12, 3)) + 100 * (row["class"] == "light")).astype(np.uint8)
        for row in split.to_dict("records")
    }


def small_network(outputs: int = 1) -> keras.Model:
    """Convolution, batch normalisation, dropout: all that keeps a state."""
    keras.utils.set_random_seed(7)
    activation = "sigmoid" if outputs == 1 else "softmax"
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.BatchNormalization(momentum=0.8),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(outputs, activation=activation),
        ]
    )


def train(split: pd.DataFrame, pixels: dict[str, np.ndarray], **changes: Any) -> tuple[keras.Model, Trained]:
    settings = {**SETTINGS, **changes}
    manifest = pd.concat(plan_augmentation(split, 0, settings["epochs"], None, "clean"))
    model = small_network(1 if settings["loss"] == "binary_crossentropy" else 2)
    compile_network(model, settings)
    rows = lambda epoch: manifest[manifest["epoch"] == epoch]  # noqa: E731
    return model, train_network(model, rows, pixels, target_vectors(split, settings), settings, lambda *_: None)


def test_same_numbers_twice(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    (first, one), (second, two) = train(split, pixels), train(split, pixels)
    pd.testing.assert_frame_equal(one.history, two.history, check_exact=True)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_more_epochs_begin_with_the_same(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    short, longer = train(split, pixels, epochs=2)[1], train(split, pixels, epochs=4)[1]
    pd.testing.assert_frame_equal(longer.history.head(2), short.history, check_exact=True)


def test_history_is_that_of_keras_fit(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    """The same batches through Keras' own `fit` give the same means of loss and accuracy."""
    targets = target_vectors(split, SETTINGS)
    rows = draw_epoch(split.loc[split["subset"] == "training", "image"].tolist(), "training", 0, 1, None)
    whole = list(batches(rows, pixels, targets, 4, "kept"))
    assert [len(x) for x, _ in whole] == [4, 4, 4, 4, 4, 2]
    _, ours = train(split, pixels, epochs=1, incomplete_batch="kept")
    peer = small_network()
    compile_network(peer, SETTINGS)
    fitted = peer.fit((batch for batch in whole), epochs=1, steps_per_epoch=len(whole), verbose=0).history
    # fit weighs its batches as we do; it runs the same steps, so only rounding may differ.
    assert ours.history["loss"].item() == pytest.approx(fitted["loss"][0], rel=1e-5)
    assert ours.history["accuracy"].item() == pytest.approx(fitted["accuracy"][0], rel=1e-6)


def test_it_learns(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    _, trained = train(split, pixels, epochs=25)
    assert trained.history["accuracy"].tail(5).mean() > 0.8
    assert trained.history["loss"].iloc[-1] < trained.history["loss"].iloc[0] / 2


@pytest.mark.parametrize("loss", ["binary_crossentropy", "categorical_crossentropy"])
def test_both_losses(split: pd.DataFrame, pixels: dict[str, np.ndarray], loss: str) -> None:
    _, trained = train(split, pixels, loss=loss, epochs=12)
    assert trained.history["loss"].iloc[-1] < trained.history["loss"].iloc[0]
    assert trained.history.columns.tolist() == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert trained.history["epoch"].tolist() == list(range(1, 13))


def test_the_best_epoch_is_kept(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    changes: dict[str, Any] = {"learning_rate": 0.3, "epochs": 8}
    best, trained = train(split, pixels, selected_epoch="best", **changes)
    wanted = int(trained.history["val_loss"].idxmin()) + 1
    assert trained.selected_epoch == wanted < 8
    stopped, _ = train(split, pixels, **{**changes, "epochs": wanted})
    for a, b in zip(best.get_weights(), stopped.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert train(split, pixels, **changes)[1].selected_epoch == 8


def test_numbers_that_are_not_finite_end_the_run(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    with pytest.raises(Fault, match="epoch 1: the training loss is nan"):
        train(split, pixels, learning_rate=float("nan"), epochs=2)


@given(images=st.integers(1, 50), batch_size=st.integers(1, 12))
def test_how_many_images_a_pass_shows(images: int, batch_size: int) -> None:
    names = [f"train/a/{n:02}.png" for n in range(images)]
    picture = np.zeros((3, 3, 3), np.uint8)
    rows = draw_epoch(names, "training", 0, 1, None)
    for reading in ("dropped", "kept"):
        made = list(
            batches(
                rows, dict.fromkeys(names, picture), dict.fromkeys(names, np.zeros(1, np.float32)), batch_size, reading
            )
        )
        assert sum(len(x) for x, _ in made) == images_per_pass(images, batch_size, reading)
        assert all(len(x) == batch_size for x, _ in made[:-1])
    assert images_per_pass(images, batch_size, "kept") == images
    assert images_per_pass(images, batch_size, "dropped") in (images // batch_size * batch_size or images,)


def test_batches_follow_the_manifest(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    names = split["image"].tolist()
    rows = draw_epoch(names, "training", 5, 2, None)
    targets = target_vectors(split, SETTINGS)
    x, y = zip(*batches(rows, pixels, targets, 5, "kept"), strict=True)
    np.testing.assert_array_equal(np.concatenate(x), np.stack([pixels[image] for image in rows["image"]]))
    of_class = rows["image"].str.contains("light").to_numpy()
    np.testing.assert_array_equal(np.concatenate(y)[:, 0], of_class.astype(np.float32))


def test_targets(split: pd.DataFrame) -> None:
    one_hot = target_vectors(split, {"classes": CLASSES, "loss": "categorical_crossentropy"})
    assert one_hot["train/dark/00.png"].tolist() == [1, 0]
    turned = target_vectors(split, {"classes": CLASSES[::-1], "loss": "binary_crossentropy"})
    assert turned["train/dark/00.png"].tolist() == [1]


def test_one_epoch_is_read_alone(split: pd.DataFrame, tmp_path: Path) -> None:
    manifest = pd.concat(plan_augmentation(split, 0, 5, None, "clean"))
    write_table(tmp_path / "m.parquet", manifest)
    pd.testing.assert_frame_equal(
        epoch_rows(tmp_path / "m.parquet", 4),
        manifest[manifest["epoch"] == 4].reset_index(drop=True),
        check_dtype=False,
    )


def test_progress_line() -> None:
    history = pd.DataFrame([{"epoch": 1, "loss": 0.5, "accuracy": 0.75, "val_loss": 0.25, "val_accuracy": 1.0}])
    timing = pd.DataFrame([{"epoch": 1, "seconds": 10.0, "images_per_second": 12.34}])
    assert progress_line(history, timing, 90) == (
        "epoch  1/90  loss 0.5000  accuracy 0.750  validation 0.2500 1.000  12.3 images/s  14:50 left"
    )
    assert [duration(seconds) for seconds in (0, 59.6, 3600, 3661)] == ["0:00", "1:00", "1:00:00", "1:01:01"]
