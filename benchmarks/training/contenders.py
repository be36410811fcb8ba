"""The compared methods of training: each is a process that trains one epoch on request.

Started by __main__.py. A line on standard input requests one epoch of training and validation. The answer is a line of JSON on
standard output: its seconds, its number of training images, and the peak memory of the process in bytes.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd
from cxrflow.augmentation.draw import draw_epoch
from cxrflow.images.pixels import open_pixels
from cxrflow.networks.build import build_network
from cxrflow.networks.device import set_up_device
from cxrflow.study.images import Augmentation
from cxrflow.training.batches import batches_per_pass
from cxrflow.training.engine import Progress, TrainingData, make_network, train

Epoch = Callable[[], int]
"""A function that trains and validates one epoch and returns the number of training images."""

STUDY_RANGES: dict[str, Any] = Augmentation().model_dump(exclude={"without_effect"})


def cxrflow(args: argparse.Namespace) -> Epoch:
    """Train like cxrflow: manifest rows, decoded pixels, the fused update, and a loop of train_on_batch."""
    settings = args.settings
    split = pd.read_csv(args.split)
    model = make_network(settings, 0, args.weights)

    def manifest(epoch: int) -> pd.DataFrame:
        images = {subset: rows["image"].tolist() for subset, rows in split.groupby("subset")}
        return pd.concat([draw_epoch(images[s], s, 0, epoch, STUDY_RANGES) for s in ("training", "validation")])

    pixels = open_pixels(args.pixels)
    moments = train(model, TrainingData(manifest, pixels, split, settings, args.threads), 1_000_000, Progress())
    images = int((split["subset"] == "training").sum()) // settings["batch_size"] * settings["batch_size"]

    def epoch() -> int:
        while next(moments) != "epoch":
            pass
        return images

    return epoch


def notebook(args: argparse.Namespace) -> Epoch:
    """Train like the study: ImageDataGenerator.flow_from_directory on the files, and model.fit with Keras' Adam."""
    settings = args.settings
    training, validation = _generators(args)
    steps, validation_steps = training.n // training.batch_size, max(1, validation.n // validation.batch_size)
    # The generator scales by 1/255 already, so `backbone` gives the study's double scaling.
    model = _with_keras_adam({**settings, "input_scaling": "backbone"}, args.weights)

    def epoch() -> int:
        model.fit(
            training,
            epochs=1,
            steps_per_epoch=steps,
            validation_data=validation,
            validation_steps=validation_steps,
            verbose=0,
        )
        return int(steps * training.batch_size)

    return epoch


def generator(args: argparse.Namespace) -> Epoch:
    """Run only the study's generator, without a network, over the training images of an epoch."""
    training, _ = _generators(args)
    steps = training.n // training.batch_size

    def epoch() -> int:
        for _ in range(steps):
            next(training)
        return int(steps * training.batch_size)

    return epoch


def _generators(args: argparse.Namespace) -> tuple[Any, Any]:
    """Create the study's generators of training and validation images."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    settings = args.settings
    augmented = ImageDataGenerator(
        rescale=1 / 255, validation_split=0.2, fill_mode="constant", cval=0.0, **STUDY_RANGES
    )
    common: dict[str, Any] = {
        "directory": str(args.images / "train"),
        "target_size": (settings["image_size"],) * 2,
        "batch_size": settings["batch_size"],
        "classes": settings["classes"],
        "class_mode": "binary" if settings["loss"] == "binary_crossentropy" else "categorical",
        "seed": 42,
    }
    return tuple(augmented.flow_from_directory(subset=subset, **common) for subset in ("training", "validation"))


def keras_layers(args: argparse.Namespace) -> Epoch:
    """Train as Keras recommends: tf.data from the files, decoded once, and random layers of about the study's strength."""
    import tensorflow as tf

    settings = args.settings
    batch, size = settings["batch_size"], settings["image_size"]
    random = keras.Sequential(
        [
            keras.layers.RandomRotation(50 / 360, fill_mode="constant"),
            keras.layers.RandomTranslation(0.2, 0.2, fill_mode="constant"),
            keras.layers.RandomShear(0.25 / 45, 0.0, fill_mode="constant"),
            keras.layers.RandomZoom(0.1, 0.1, fill_mode="constant"),
            keras.layers.RandomBrightness(20 / 255, value_range=(0, 255)),
            keras.layers.RandomFlip(),
        ]
    )
    sets = {
        subset: keras.utils.image_dataset_from_directory(
            str(args.images / "train"),
            class_names=settings["classes"],
            label_mode="binary" if settings["loss"] == "binary_crossentropy" else "categorical",
            image_size=(size, size),
            interpolation="nearest",
            batch_size=batch,
            validation_split=0.2,
            subset=subset,
            seed=42,
            follow_links=True,
            verbose=False,
        ).cache()
        for subset in ("training", "validation")
    }
    steps = {subset: max(1, sum(len(y) for _, y in data) // batch) for subset, data in sets.items()}
    augmented = {
        subset: data.map(lambda x, y: (random(x, training=True), y), num_parallel_calls=tf.data.AUTOTUNE)
        .repeat()
        .prefetch(tf.data.AUTOTUNE)
        for subset, data in sets.items()
    }
    model = _with_keras_adam(settings, args.weights)

    def epoch() -> int:
        model.fit(
            augmented["training"],
            epochs=1,
            steps_per_epoch=steps["training"],
            validation_data=augmented["validation"],
            validation_steps=steps["validation"],
            verbose=0,
        )
        return steps["training"] * batch

    return epoch


def bare_step(args: argparse.Namespace) -> Epoch:
    """Run only the steps, on random pixels that are in memory: a lower limit for the time of an epoch."""
    settings = args.settings
    split = pd.read_csv(args.split)
    counts = {subset: int((split["subset"] == subset).sum()) for subset in ("training", "validation")}
    size, pixels = settings["batch_size"], settings["image_size"]
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (size, pixels, pixels, 3)).astype(np.float32)
    outputs = 1 if settings["loss"] == "binary_crossentropy" else len(settings["classes"])
    y = np.zeros((size, outputs), np.float32)
    y[:, 0] = 1
    model = make_network(settings, 0, args.weights)
    steps = {subset: batches_per_pass(count, size, settings["incomplete_batch"]) for subset, count in counts.items()}

    def epoch() -> int:
        for _ in range(steps["training"]):
            model.train_on_batch(x, y, return_dict=True)
        for _ in range(steps["validation"]):
            model.test_on_batch(x, y, return_dict=True)
        return steps["training"] * size

    return epoch


def _with_keras_adam(settings: dict[str, Any], weights: Path) -> keras.Model:
    model = build_network(settings, 0, weights)
    optimizer = keras.optimizers.Adam(settings["learning_rate"])
    model.compile(optimizer=optimizer, loss=settings["loss"], metrics=["accuracy"], jit_compile=False)
    return model


CONTENDERS = {entry.__name__: entry for entry in (cxrflow, notebook, generator, keras_layers, bare_step)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("--settings", type=json.loads, required=True, help="settings of the experiment (JSON)")
    parser.add_argument("--images", type=Path, required=True, help="folder with train/<class>/")
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--pixels", type=Path, nargs="+", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", choices=["cpu", "gpu"], required=True)
    args = parser.parse_args()
    # Keras prints messages, but standard output is only for the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    set_up_device(args.device, args.threads)
    train_epoch = CONTENDERS[args.contender](args)
    for _ in sys.stdin:
        begin = time.perf_counter()
        images = train_epoch()
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "images": images, "peak_memory": peak}), file=answers, flush=True)


if __name__ == "__main__":
    main()
