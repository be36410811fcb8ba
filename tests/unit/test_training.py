"""The training loop on a small network: batches, epochs, losses by hand, repeatability, and comparison with Keras' fit."""

from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from cxrflow.augmentation.draw import draw_epoch
from cxrflow.io.errors import UserError
from cxrflow.stages.plan_augmentation import plan_augmentation
from cxrflow.study.images import Augmentation
from cxrflow.training import engine
from cxrflow.training.batches import batches, batches_per_pass, image_weights, images_per_pass, target_vectors
from cxrflow.training.engine import Progress, TrainingData, compile_network
from cxrflow.training.progress import clock_time, progress_line
from hypothesis import given
from hypothesis import strategies as st

CLASSES = ["dark", "light"]
SETTINGS = {
    "classes": CLASSES,
    "loss": "binary_crossentropy",
    "optimizer": "adam",
    "learning_rate": 1e-2,
    "schedule": "constant",
    "momentum": 0.0,
    "weight_decay": 0.004,
    "gradient_clip_norm": None,
    "label_smoothing": 0.0,
    "class_weights": "none",
    "early_stopping": None,
    "batch_size": 4,
    "incomplete_batch": "dropped",
    "epochs": 3,
}
RANGES = Augmentation().model_dump(exclude={"without_effect"})


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
    """Noise of 12 px; the class `light` is brighter."""
    random = np.random.default_rng(0)
    return {
        row["image"]: (random.integers(0, 156, (12, 12, 3)) + 100 * (row["class"] == "light")).astype(np.uint8)
        for row in split.to_dict("records")
    }


def small_network(outputs: int = 1) -> keras.Model:
    """Convolution, batch normalisation, dropout: everything that has variables."""
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


def train(
    split: pd.DataFrame, pixels: dict[str, np.ndarray], model: keras.Model | None = None, **changes: Any
) -> tuple[keras.Model, Progress, pd.DataFrame, list[str]]:
    """Train; return the network, its progress, its history, and the moments during training."""
    settings = {**SETTINGS, **changes}
    manifest = list(plan_augmentation(split, 0, settings["epochs"], None, "clean"))
    model = model or small_network(1 if settings["loss"] == "binary_crossentropy" else 2)
    compile_network(model, settings)
    progress = Progress()
    steps = engine.train(
        model, TrainingData(lambda n: manifest[n - 1], pixels, split, settings), settings["epochs"], progress
    )
    moments = [str(moment) for moment in steps]
    return model, progress, pd.DataFrame(progress.history), moments


def test_same_numbers_twice(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    (first, _, one, _), (second, _, two, _) = train(split, pixels), train(split, pixels)
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_more_epochs_start_with_the_same_numbers(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    short, longer = train(split, pixels, epochs=2)[2], train(split, pixels, epochs=4)[2]
    pd.testing.assert_frame_equal(longer.head(2), short, check_exact=True)


def test_moments_of_an_epoch(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    """22 training images are 5 batches of 4 and 2 left over; 6 validation images one batch and 2 left over."""
    assert train(split, pixels, epochs=2)[3] == 2 * [*["step"] * 5, "validation", "epoch"]
    kept = train(split, pixels, epochs=1, incomplete_batch="kept")[3]
    assert kept == [*["step"] * 6, *["validation"] * 2, "epoch"]


@pytest.mark.parametrize("monitor", ["val_loss", "accuracy"])
def test_early_stopping_ends_it(split: pd.DataFrame, pixels: dict[str, np.ndarray], monitor: str) -> None:
    """No curve improves by 10 after the first epoch."""
    stopping = {"monitor": monitor, "patience": 2, "min_delta": 10.0}
    assert train(split, pixels, epochs=9, early_stopping=stopping)[2]["epoch"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(("incomplete", "steps"), [("dropped", 5), ("kept", 6)])
def test_an_exponential_schedule_sets_the_rate_of_each_step(
    split: pd.DataFrame, pixels: dict[str, np.ndarray], incomplete: str, steps: int
) -> None:
    """As Keras' own schedule in an optimizer would; a training that is resumed within an epoch continues at its step."""
    schedule = {"kind": "exponential", "factor": 0.5, "steps": 4, "staircase": False}
    settings = {**SETTINGS, "schedule": schedule, "epochs": 2, "incomplete_batch": incomplete}
    manifest = list(plan_augmentation(split, 0, 2, None, "clean"))
    peer = keras.optimizers.schedules.ExponentialDecay(settings["learning_rate"], 4, 0.5)
    model, progress, rates = small_network(1), Progress(), []
    compile_network(model, settings)
    for epochs in (1, 2):  # a new pass of `train` from the middle of each epoch
        for _ in range(2):
            moments = engine.train(
                model, TrainingData(lambda n: manifest[n - 1], pixels, split, settings), epochs, progress
            )
            for moment in moments:
                rates += [float(model.optimizer.learning_rate)] if moment == "step" else []
                if moment == "step" and progress.batches == 3:
                    break
            moments.close()
    assert len(rates) == 2 * steps == int(model.optimizer.iterations)
    assert rates == pytest.approx([float(peer(step)) for step in range(2 * steps)], rel=1e-6)


def test_schedule_sets_the_rate_of_the_epoch(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    step = {"kind": "step", "at": [1], "factor": 0.5}
    model = train(split, pixels, epochs=2, schedule=step)[0]
    assert float(model.optimizer.learning_rate) == pytest.approx(0.005)
    frozen = train(split, pixels, epochs=2, schedule={"kind": "cosine", "epochs": 1, "final": 0.0}, optimizer="sgd")[0]
    once = train(split, pixels, epochs=1, optimizer="sgd")[0]
    for a, b in zip(frozen.trainable_variables, once.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)  # a rate of 0 moves nothing


def plain_network(outputs: int = 1) -> keras.Model:
    """A network without dropout and batch normalisation, so its output in training can be computed beforehand."""
    keras.utils.set_random_seed(7)
    layers = [keras.Input((12, 12, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(outputs, activation="sigmoid" if outputs == 1 else "softmax")])


@pytest.mark.parametrize(("smoothing", "weights"), [(0.0, "none"), (0.2, "none"), (0.0, {"dark": 0.5, "light": 3.0})])
def test_loss_of_a_batch_by_hand(
    split: pd.DataFrame, pixels: dict[str, np.ndarray], smoothing: float, weights: Any
) -> None:
    """All 22 training images in one batch: binary cross-entropy, label smoothing and class weights as formulas."""
    training = split[split["subset"] == "training"]
    p = plain_network().predict_on_batch(np.stack([pixels[i] for i in training["image"]]).astype(np.float32))[:, 0]
    light = (training["class"] == "light").to_numpy().astype(float)
    y = light * (1 - smoothing) + smoothing / 2
    each = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    counts = 1.0 if weights == "none" else np.where(light == 1, weights["light"], weights["dark"])
    history = train(
        split, pixels, plain_network(), epochs=1, batch_size=22, label_smoothing=smoothing, class_weights=weights
    )[2]
    assert history["loss"].item() == pytest.approx(np.mean(counts * each), rel=1e-5)


@pytest.mark.parametrize(("smoothing", "weights"), [(0.0, "none"), (0.2, "none"), (0.1, {"dark": 0.5, "light": 3.0})])
def test_loss_of_a_batch_over_classes_by_hand(
    split: pd.DataFrame, pixels: dict[str, np.ndarray], smoothing: float, weights: Any
) -> None:
    """Categorical cross-entropy; a smoothed target has its share of 1 / classes everywhere. Validation is not weighted."""
    images = {subset: split[split["subset"] == subset] for subset in ("training", "validation")}

    def wanted(subset: str) -> np.ndarray:
        p = plain_network(2).predict_on_batch(np.stack([pixels[i] for i in images[subset]["image"]]).astype(np.float32))
        y = np.eye(2)[(images[subset]["class"] == "light").astype(int)] * (1 - smoothing) + smoothing / 2
        return -(y * np.log(p)).sum(axis=1)

    counts = 1.0 if weights == "none" else images["training"]["class"].map(weights).to_numpy()
    changes = {"loss": "categorical_crossentropy", "label_smoothing": smoothing, "class_weights": weights}
    still = {"optimizer": "sgd", "learning_rate": 1e-30}  # validation uses the unchanged network
    history = train(split, pixels, plain_network(2), epochs=1, batch_size=22, **changes, **still)[2]
    assert history["loss"].item() == pytest.approx(np.mean(counts * wanted("training")), rel=1e-5)
    assert history["val_loss"].item() == pytest.approx(np.mean(wanted("validation")), rel=1e-5)


def test_class_weights_balanced_are_those_of_scikit_learn(split: pd.DataFrame) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    uneven = split.drop(split.index[split["class"] == "dark"][:7])
    training = uneven[uneven["subset"] == "training"]
    wanted = compute_class_weight("balanced", classes=np.array(CLASSES), y=training["class"])
    weights = image_weights(uneven, {"classes": CLASSES, "class_weights": "balanced"})
    assert weights is not None and sorted(weights) == sorted(training["image"])
    assert wanted[0] > wanted[1]
    for image, name in zip(training["image"], training["class"], strict=True):
        assert weights[image] == pytest.approx(dict(zip(CLASSES, wanted, strict=True))[name])
    assert image_weights(uneven, {"classes": CLASSES, "class_weights": "none"}) is None


def test_history_is_that_of_keras_fit(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    """The same batches through Keras' own `fit` give the same means of loss and accuracy."""
    targets = target_vectors(split, SETTINGS)
    rows = draw_epoch(split.loc[split["subset"] == "training", "image"].tolist(), "training", 0, 1, None)
    whole = list(batches(rows, pixels, targets, 4, "kept"))
    assert [len(batch.x) for batch in whole] == [4, 4, 4, 4, 4, 2]
    ours = train(split, pixels, epochs=1, incomplete_batch="kept")[2]
    peer = small_network()
    compile_network(peer, SETTINGS)
    made = ((batch.x, batch.y) for batch in whole)
    fitted = peer.fit(made, epochs=1, steps_per_epoch=len(whole), shuffle=False, verbose=0).history
    # fit weights its batches in the same way and runs the same steps, so only rounding may differ.
    assert ours["loss"].item() == pytest.approx(fitted["loss"][0], rel=1e-5)
    assert ours["accuracy"].item() == pytest.approx(fitted["accuracy"][0], rel=1e-6)


def test_it_learns(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    history = train(split, pixels, epochs=25)[2]
    assert history["accuracy"].tail(5).mean() > 0.8
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 2


@pytest.mark.parametrize("loss", ["binary_crossentropy", "categorical_crossentropy"])
def test_both_losses(split: pd.DataFrame, pixels: dict[str, np.ndarray], loss: str) -> None:
    history = train(split, pixels, loss=loss, epochs=12)[2]
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert history.columns.tolist() == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert history["epoch"].tolist() == list(range(1, 13))


def test_the_best_epoch_is_kept(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    changes: dict[str, Any] = {"learning_rate": 0.3, "epochs": 8}
    _, progress, history, _ = train(split, pixels, **changes)
    wanted = int(history["val_loss"].idxmin()) + 1
    assert progress.best is not None and progress.best.epoch == wanted < 8
    assert progress.best.val_loss == history["val_loss"].min()
    stopped = train(split, pixels, **{**changes, "epochs": wanted})[0]
    for a, b in zip(progress.best.weights, stopped.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_numbers_that_are_not_finite_end_the_run(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    with pytest.raises(UserError, match="epoch 1, step 2: the training loss is nan"):
        train(split, pixels, learning_rate=float("nan"), epochs=2)
    # In the only step of the epoch: the validation is the first to show its effect.
    with pytest.raises(
        UserError, match=r"epoch 1, step 1: the validation loss is nan; the batch contains the validation rows 0 to 5 "
    ):
        train(split, pixels, learning_rate=float("nan"), epochs=2, batch_size=22)


@given(images=st.integers(1, 50), batch_size=st.integers(1, 12))
def test_number_of_images_in_a_pass(images: int, batch_size: int) -> None:
    names = [f"train/a/{n:02}.png" for n in range(images)]
    picture = np.zeros((3, 3, 3), np.uint8)
    rows = draw_epoch(names, "training", 0, 1, None)
    for reading in ("dropped", "kept"):
        made = list(
            batches(
                rows, dict.fromkeys(names, picture), dict.fromkeys(names, np.zeros(1, np.float32)), batch_size, reading
            )
        )
        assert sum(len(batch.x) for batch in made) == images_per_pass(images, batch_size, reading)
        assert all(len(batch.x) == batch_size for batch in made[:-1])
        assert len(made) == batches_per_pass(images, batch_size, reading)
    assert images_per_pass(images, batch_size, "kept") == images
    assert images_per_pass(images, batch_size, "dropped") in (images // batch_size * batch_size or images,)


def test_batches_follow_the_manifest(split: pd.DataFrame, pixels: dict[str, np.ndarray]) -> None:
    names = split["image"].tolist()
    rows = draw_epoch(names, "training", 5, 2, None)
    targets = target_vectors(split, SETTINGS)
    x, y, parts = zip(*batches(rows, pixels, targets, 5, "kept"), strict=True)
    pd.testing.assert_frame_equal(pd.concat(parts), rows)
    np.testing.assert_array_equal(np.concatenate(x), np.stack([pixels[image] for image in rows["image"]]))
    of_class = rows["image"].str.contains("light").to_numpy()
    np.testing.assert_array_equal(np.concatenate(y)[:, 0], of_class.astype(np.float32))


@given(first=st.integers(0, 6), workers=st.integers(1, 4))
def test_batches_from_any_start_and_with_any_threads(first: int, workers: int) -> None:
    names = [f"train/a/{n:02}.png" for n in range(22)]
    random = np.random.default_rng(1)
    pixels = {name: random.integers(0, 256, (9, 9, 3), dtype=np.uint8) for name in names}
    targets = {name: np.full(1, n, np.float32) for n, name in enumerate(names)}
    rows = draw_epoch(names, "training", 0, 1, RANGES)
    whole = list(batches(rows, pixels, targets, 4, "kept"))
    rest = list(batches(rows, pixels, targets, 4, "kept", first, workers))
    assert len(rest) == 6 - first
    for a, b in zip(whole[first:], rest, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)


def test_targets(split: pd.DataFrame) -> None:
    one_hot = target_vectors(split, {"classes": CLASSES, "loss": "categorical_crossentropy"})
    assert one_hot["train/dark/00.png"].tolist() == [1, 0]
    turned = target_vectors(split, {"classes": CLASSES[::-1], "loss": "binary_crossentropy"})
    assert turned["train/dark/00.png"].tolist() == [1]


def test_progress_line() -> None:
    history = [{"epoch": 1, "loss": 0.5, "accuracy": 0.75, "val_loss": 0.25, "val_accuracy": 1.0}]
    timing = [{"epoch": 1, "seconds": 10.0, "images_per_second": 12.34}]
    assert progress_line(history, timing, 90) == (
        "epoch  1/90  loss 0.5000  accuracy 0.750  validation 0.2500 1.000  12.3 images/s  14:50 left"
    )
    assert [clock_time(seconds) for seconds in (0, 59.6, 3600, 3661)] == ["0:00", "1:00", "1:00:00", "1:01:01"]
