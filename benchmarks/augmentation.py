"""Measure the speed of batch preparation, compared with Keras' ImageDataGenerator, on one core and on two.

In each round, each method makes one pass over all images; medians over the rounds are compared.
"""

import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from cxrflow.augmentation.draw import NUMBERS, draw_epoch
from cxrflow.augmentation.transform import transform_image
from cxrflow.images.folder import SUFFIXES
from cxrflow.images.pixels import open_pixels
from cxrflow.io.command import stage_parser
from cxrflow.stages.cache_pixels import cache_pixels
from cxrflow.study.images import Augmentation
from numpy.typing import NDArray

STUDY = Augmentation()
RANGES = STUDY.model_dump(exclude={"without_effect"})

Arrays = tuple[Path, ...]
Part = list[tuple[str, dict[str, Any]]]
"""Images of a batch, each with its nine augmentation parameters."""


def make_batch(pixels: dict[str, NDArray[np.uint8]], part: Part) -> NDArray[np.float32]:
    """Prepare a batch for training: float32 (batch, size, size, 3)."""
    return np.stack([transform_image(pixels[image], row) for image, row in part])


def parts_of(images: list[str], batch_size: int) -> list[Part]:
    """Draw the batches of an epoch with the study's ranges."""
    rows = draw_epoch(images, "training", 0, 1, RANGES)
    drawn = [
        (image, dict(zip(NUMBERS, numbers, strict=True)))
        for image, numbers in zip(rows["image"], rows[list(NUMBERS)].itertuples(index=False), strict=True)
    ]
    return [drawn[start : start + batch_size] for start in range(0, len(drawn), batch_size)]


def decode(folder: Path, size: int, to: Path) -> Arrays:
    """Decode all class folders; return the files of pixels."""
    arrays = []
    for name in sorted(path.name for path in folder.iterdir() if path.is_dir()):
        files = sorted(file for file in (folder / name).iterdir() if file.suffix.lower() in SUFFIXES)
        images = [file.relative_to(folder).as_posix() for file in files]
        cache_pixels(to / f"{name}.npy", folder, [(image, "") for image in images], size, "nearest")
        pd.DataFrame({"image": images}).to_csv(to / f"{name}.csv", index=False)
        arrays.append(to / f"{name}.npy")
    return tuple(arrays)


def keras_pass(folder: Path, size: int, batch_size: int) -> Callable[[], None]:
    """Prepare one pass of Keras' generator over the original files, with the study's settings."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator  # not needed in the processes below

    # Keras warns that three of the study's switches need a fitted generator.
    warnings.filterwarnings("ignore", "This ImageDataGenerator specifies")
    generator = ImageDataGenerator(
        rescale=1 / 255, fill_mode="constant", cval=0.0, **RANGES, **dict.fromkeys(STUDY.without_effect, True)
    )
    flow = generator.flow_from_directory(
        folder, target_size=(size, size), batch_size=batch_size, class_mode="categorical", seed=0
    )

    def one_pass() -> None:
        for _ in range(len(flow)):
            next(flow)

    return one_pass


opened_pixels = cache(open_pixels)
opened_memory = cache(SharedMemory)


def keep_freed_memory() -> None:
    """Make a new process reuse the memory of freed arrays.

    Until a process has freed a block of this size, glibc returns each array to the kernel, and page faults take a third of
    the time. Processes that have loaded TensorFlow have done so.
    """
    np.empty(32_000_000, np.uint8)


def fill_place(arrays: Arrays, memory: str, place: int, part: Part) -> None:
    """Write a batch to its place in the shared memory; runs in another process, which opens its files once."""
    pixels = opened_pixels(arrays)
    shape = (len(part), *pixels[part[0][0]].shape)
    shared = cast(memoryview, opened_memory(memory).buf)
    batch = np.ndarray(shape, np.float32, shared, place * np.prod(shape) * 4)
    for at, (image, row) in enumerate(part):
        batch[at] = transform_image(pixels[image], row)


def images_per_second(images: int, cores: set[int], one_pass: Callable[[], Any]) -> float:
    """Measure one pass in images per second, with this thread and those that it starts on some cores."""
    os.sched_setaffinity(0, cores)
    start = time.perf_counter()
    one_pass()
    return images / (time.perf_counter() - start)


def measure(folder: Path, size: int, batch_size: int, rounds: int) -> dict[str, float]:
    """Measure the median images per second of each method, in turns."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("error: two cores are needed")
    one, two = set(cores[:1]), set(cores[:2])
    with tempfile.TemporaryDirectory() as scratch:
        arrays = decode(folder, size, Path(scratch))
        pixels = open_pixels(list(arrays))
        whole = len(pixels) // batch_size * batch_size
        # Only complete batches, so that each has its place in the shared memory.
        parts = parts_of(list(pixels), batch_size)[: whole // batch_size]
        memory = SharedMemory(create=True, size=whole * size * size * 3 * 4)
        os.sched_setaffinity(0, two)
        processes = ProcessPoolExecutor(2, get_context("spawn"), keep_freed_memory)
        try:
            with processes, ThreadPoolExecutor(2) as threads:
                make = partial(make_batch, pixels)
                fill = partial(fill_place, arrays, memory.name)
                methods: dict[str, tuple[int, set[int], Callable[[], Any]]] = {
                    "cxrflow": (whole, one, lambda: [None for _ in map(make, parts)]),
                    "keras": (len(pixels), one, keras_pass(folder, size, batch_size)),
                    "two threads": (whole, two, lambda: [None for _ in threads.map(make, parts)]),
                    "two processes": (whole, two, lambda: list(processes.map(fill, range(len(parts)), parts))),
                }
                found: dict[str, list[float]] = {name: [] for name in methods}
                for turn in range(rounds + 1):
                    for name, method in methods.items():
                        speed = images_per_second(*method)
                        if turn:  # the first turn reads files and starts processes
                            found[name].append(speed)
        finally:
            memory.close()
            memory.unlink()
    return {name: statistics.median(speeds) for name, speeds in found.items()}


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder with a folder of images for each class")
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--batch-size", type=int, default=20, help="images per batch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds (default: %(default)s)")
    args = parser.parse_args()
    speed = measure(args.images, args.size, args.batch_size, args.rounds)
    for name, value in speed.items():
        print(f"{name}: {value:.1f} images/s", file=sys.stderr)
    print(f"load of {os.cpu_count()} cores in the last minute: {os.getloadavg()[0]:.1f}", file=sys.stderr)
    rows = {
        "augmentation: one core": (speed["cxrflow"] / speed["keras"], ">= 10"),
        "augmentation: two threads": (speed["two threads"] / (2 * speed["cxrflow"]), ">= 0.8"),
        "augmentation: two processes": (speed["two processes"] / (2 * speed["cxrflow"]), ">= 0.8"),
    }
    for name, (ratio, target) in rows.items():
        print(f"{name:<75} {ratio:6.2f}   {target}")


if __name__ == "__main__":
    main()
