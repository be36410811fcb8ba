"""Measure time and memory of indexing and decoding images, compared with plain Pillow and hashlib.

The compared methods take turns, and medians over the rounds are reported. Generated images, from 1,000 to 100,000, show how
time and memory grow.
"""

import hashlib
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from cxrflow.images.folder import SUFFIXES
from cxrflow.images.index import index_images
from cxrflow.images.listing import list_images
from cxrflow.io.command import stage_parser
from cxrflow.stages.cache_pixels import cache_pixels
from PIL import Image

COUNTS = (1_000, 10_000, 100_000)
BASE = 20  # number of images whose memory is subtracted
SIZE = 32  # px, of the generated images and of their pixels
CLASSES = '{"layout": "classes"}'
DAMAGED = 1_000
# The peak that the kernel reports for a finished process may be that of its parent, so the process prints its own.
PRINT_PEAK = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""

Rows = Iterator[tuple[str, float, str]]
"""Name, measured value, and target."""


def pillow_part(files: list[str], size: int, to: str, store: Path | None = None) -> None:
    """Decode and resize with Pillow and save one array; with a store, also save each image under its hash."""
    pixels = []
    for file in files:
        with Image.open(file) as image:
            pixels.append(np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.NEAREST)))
        if store:
            store.mkdir(exist_ok=True)
            np.save(store / f"{sha256_of(Path(file))}.npy", pixels[-1])
    np.save(to, np.stack(pixels))


def images_below(folder: Path) -> list[str]:
    """List the ids of all images in a folder."""
    found = (file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    return sorted(file.relative_to(folder).as_posix() for file in found)


def take_turns(methods: dict[str, Callable[[], Any]], rounds: int, before: Callable[[], Any]) -> dict[str, float]:
    """Measure the median seconds of each method; the time of `before`, which runs before each, is not included."""
    found: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(rounds + 1):
        for name, method in methods.items():
            before()
            begin = time.perf_counter()
            method()
            if turn:  # the first turn starts processes
                found[name].append(time.perf_counter() - begin)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def measure_decoding(folder: Path, size: int, workers: int, rounds: int, scratch: Path) -> dict[str, float]:
    """Measure the seconds to decode a folder with Pillow and with cache_pixels, without and with an empty store."""
    images = images_below(folder)
    parts = [[str(folder / image) for image in images[start::workers]] for start in range(workers)]
    hashed = [(image, sha256_of(folder / image)) for image in images]
    array, store = scratch / "pixels.npy", scratch / "store"
    written = [f"{scratch}/{number}.npy" for number in range(workers)]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        methods = {
            "pillow": lambda: list(pool.map(pillow_part, parts, [size] * workers, written)),
            "pillow and store": lambda: list(
                pool.map(pillow_part, parts, [size] * workers, written, [store] * workers)
            ),
            "decode": lambda: cache_pixels(array, folder, hashed, size, "nearest", workers=workers),
            "decode and store": lambda: cache_pixels(array, folder, hashed, size, "nearest", store, workers),
        }
        return take_turns(methods, rounds, lambda: shutil.rmtree(store, ignore_errors=True))


def measure_index(folder: Path, workers: int, rounds: int, scratch: Path) -> dict[str, float]:
    """Measure the seconds to hash images with hashlib and to index touched images, and the share that a second index reads.

    There are 2,000 copies of the images, each with different bytes at its end.
    """
    root, cache = scratch / "copies", scratch / "cache.parquet"
    (root / "images").mkdir(parents=True)
    images = images_below(folder)
    for number in range(2_000):
        image = images[number % len(images)]
        copy = root / "images" / f"{number:04}{Path(image).suffix}"
        copy.write_bytes((folder / image).read_bytes() + number.to_bytes(4, "little"))
    files = [root / image for image in images_below(root)]

    def index() -> None:
        index_images(root, list_images(root, ["images"], "classes"), workers, cache)

    def hash_all() -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(sha256_of, files))

    def forget() -> None:
        """Touch each file and remove it from the page cache."""
        for file in files:
            os.utime(file)
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    index()
    found = take_turns({"hashlib": hash_all, "index and hash": index}, rounds, forget)
    index()
    before = bytes_read()
    index()
    return {**found, "read again": (bytes_read() - before) / sum(file.stat().st_size for file in files)}


def sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def bytes_read() -> int:
    """Number of bytes that this process has read, from disk or page cache."""
    return int(Path("/proc/self/io").read_text(encoding="ascii").split()[1])


def make_images(folder: Path, count: int) -> None:
    """Write small JPEGs into the class folder `made`, up to `count`: the same picture, followed by a number."""
    picture = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
    Image.fromarray(pixels).save(picture, "JPEG")
    (folder / "made").mkdir(parents=True, exist_ok=True)
    for number in range(len(list((folder / "made").iterdir())), count):
        (folder / "made" / f"{number:06}.jpg").write_bytes(picture.getvalue() + number.to_bytes(4, "little"))


def run_stage_measured(name: str, *flags: object) -> tuple[float, float]:
    """Run a stage as a program; return its seconds and peak memory in MB."""
    begin = time.perf_counter()
    words = [sys.executable, "-c", PRINT_PEAK, f"cxrflow.stages.{name}", *map(str, flags)]
    output = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    return time.perf_counter() - begin, int(output.split()[-2]) / 1024


def measure_growth(workers: int, scratch: Path, count: int) -> dict[str, tuple[float, float]]:
    """Measure seconds and peak memory in MB of indexing generated images, of a second index, and of caching their pixels."""
    root, folder = scratch / "made", scratch / str(count)
    make_images(root, count)
    images, store = folder / "images.parquet", ["--store", folder / "store", "--resampling", "nearest"]
    index = ["--root", root, "--classes", "made", "--settings", CLASSES, "--workers", workers, "--images", images]
    index += ["--record", folder / "record.json", "--cache", folder / "cache.parquet", *store, "--sizes", SIZE]
    pixels = ["--images", images, "--root", root, "--folder", "made", "--size", SIZE, "--store", folder / "store"]
    pixels += ["--settings", '{"resampling": "nearest"}']
    pixels += ["--workers", workers, "--pixels", folder / "made.npy"]
    return {
        "index": run_stage_measured("index_images", *index),
        "second index": run_stage_measured("index_images", *index),
        "pixels": run_stage_measured("cache_pixels", *pixels),
    }


def measure_damaged_headers(workers: int, scratch: Path) -> float:
    """Measure the seconds from the start of index_images until it has reported a thousand damaged headers."""
    folder = scratch / "damaged" / "made"
    folder.mkdir(parents=True)
    for number in range(DAMAGED):
        (folder / f"{number:04}.jpg").write_bytes(b"<html>not found</html>")
    flags = ["--root", folder.parent, "--classes", "made", "--settings", CLASSES, "--workers", workers]
    words = [
        sys.executable,
        "-m",
        "cxrflow.stages.index_images",
        *map(str, flags),
        "--images",
        str(scratch / "none.parquet"),
    ]
    begin = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        for reported, _ in enumerate((line for line in process.stdout if line.startswith("problem: ")), start=1):
            if reported == DAMAGED:
                return time.perf_counter() - begin
    sys.exit("error: not all damaged headers were reported")


def decoding_rows(args: Any, scratch: Path) -> Rows:
    seconds = measure_decoding(args.images, args.size, args.workers, args.rounds, scratch)
    print(*(f"{name}: {value:.2f} s" for name, value in seconds.items()), sep="\n", file=sys.stderr)
    yield "decode", seconds["pillow"] / seconds["decode"], ">= 0.9"
    yield "decode and store", seconds["pillow and store"] / seconds["decode and store"], ">= 0.9"


def index_rows(args: Any, scratch: Path) -> Rows:
    found = measure_index(args.images, args.workers, args.rounds, scratch)
    print(*(f"{name}: {found[name]:.2f} s" for name in ("hashlib", "index and hash")), sep="\n", file=sys.stderr)
    yield "index and hash", found["hashlib"] / found["index and hash"], ">= 0.9"
    yield "read again", found["read again"], "<= 0.01"


def growth_rows(args: Any, scratch: Path) -> Rows:
    base = measure_growth(args.workers, scratch, BASE)
    for count in COUNTS:
        most = measure_growth(args.workers, scratch, count)
        results = (f"{name} {seconds:.1f} s, {memory:.0f} MB" for name, (seconds, memory) in most.items())
        print(f"{count} generated images: {'; '.join(results)}", file=sys.stderr)
    for name, (_, memory) in most.items():
        yield f"memory of {name}, MB", memory - base[name][1], "<= 200"


def damaged_header_rows(args: Any, scratch: Path) -> Rows:
    folders = [Path(tempfile.mkdtemp(dir=scratch)) for _ in range(args.rounds)]
    yield (
        "damaged headers, s",
        statistics.median(measure_damaged_headers(args.workers, folder) for folder in folders),
        "<= 2",
    )


PARTS = {"decoding": decoding_rows, "index": index_rows, "growth": growth_rows, "damaged": damaged_header_rows}


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of images, searched recursively")
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--workers", type=int, default=2, help="threads of cxrflow, and processes of Pillow")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds (default: %(default)s)")
    parser.add_argument("--scratch", type=Path, help="folder on the disk to measure (default: temporary folder)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    args = parser.parse_args()
    for part in args.only:
        with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
            for name, value, target in PARTS[part](args, Path(scratch)):
                print(f"{name:<26}{value:>10.3g}{target:>10}", flush=True)
    print(f"load of {os.cpu_count()} cores in the last minute: {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
