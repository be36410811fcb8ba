"""Measure what the audits cost, and how often they raise a false alarm on data without a problem.

    --images N …        seconds and megabytes of each audit for N images: phantoms that differ in pose, exposure and texture
    --false-alarms N    N data sets of phantoms without a problem: those with a finding, by audit and in total

`cxrflow audit --measure-power` measures what the audits find. Random numbers have fixed seeds.
"""

import resource
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from cxrflow.audits.findings import DataSet
from cxrflow.audits.registry import AUDITS
from cxrflow.images.decode import decode_image
from cxrflow.images.facts import FACTS
from cxrflow.images.index import index_images
from cxrflow.images.listing import KNOWN_OF_IMAGE, SPLIT_WORDS, list_images
from cxrflow.io.command import run_command, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.phantoms.files import draw_form, encode
from cxrflow.phantoms.opacities import PATTERNS
from cxrflow.phantoms.radiograph import draw_film
from cxrflow.phantoms.texture import random_stream
from cxrflow.stages.split_images import split_stratified
from cxrflow.statistics.intervals import wilson_interval
from numpy.typing import NDArray
from PIL import Image

SIZE = 96
"""Side of the pixels, as in the demo."""
CLASSES = ("a", "b", "c", "d")
PER_CLASS = 10
DRAWN = 200
"""Different phantoms that images are made of, to measure the cost."""
SPLIT = [*["training"] * 7, "validation", *["test"] * 2]
SUBSET_FOLDERS = {"training": "train", "validation": "train", "test": "test"}

Pixels = NDArray[np.uint8]


# ---- cost ---------------------------------------------------------------------------------------------------------------


@cache
def drawn(number: int) -> Image.Image:
    film = draw_film(list(PATTERNS)[number % len(PATTERNS)], "audits", number)
    return Image.fromarray(film.grey).resize((SIZE, SIZE), Image.Resampling.BICUBIC)


class Distorted(Mapping[str, Pixels]):
    """Phantoms in another pose and exposure, with another texture, made when they are read; the name of an image is its number.

    Without the texture, images of the same phantom would count as copies.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def __getitem__(self, image: str) -> Pixels:
        number = int(image)
        random = np.random.default_rng(number)
        a, b, d, e = np.array([1, 0, 0, 1]) + random.normal(0, 0.06, 4)
        middle = SIZE / 2 + random.normal(0, 3, 2)
        matrix = (a, b, middle[0] - (a + b) * SIZE / 2, d, e, middle[1] - (d + e) * SIZE / 2)
        posed = drawn(number % DRAWN).transform((SIZE, SIZE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        field = Image.fromarray(random.normal(0, 25, (SIZE // 4, SIZE // 4)).astype(np.float32))
        texture = np.asarray(field.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
        grey = random.uniform(0.8, 1.1) * np.asarray(posed, np.float32) + texture
        return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)

    def __iter__(self) -> Iterator[str]:
        return (str(number) for number in range(self.count))

    def __len__(self) -> int:
        return self.count


def many_images(count: int) -> DataSet:
    """A data set of two images for each patient, of whom nothing goes with the class or with the subset."""
    random = np.random.default_rng(0)
    image = pd.Series([str(number) for number in range(count)], dtype="string")
    patient = pd.Series(np.arange(count) // 2)
    rows = pd.DataFrame({"image": image, "status": "ok", "sha256": image, "patient": patient.astype("string")})
    rows["class"] = np.array(CLASSES, object)[random.integers(len(CLASSES), size=count // 2 + 1)][patient]
    subset = np.array(SPLIT, object)[random.integers(len(SPLIT), size=count // 2 + 1)][patient]
    rows["subset_folder"] = pd.Series(subset).map(SUBSET_FOLDERS)
    rows["folder"] = rows["subset_folder"] + "/" + rows["class"]
    of_image = {"source": ("x", "y", "z"), "sex": ("F", "M"), "view": ("AP", "PA"), "age": range(90)}
    of_image |= {"mode": ("L", "RGB"), "format": ("JPEG", "PNG")}
    for name, values in of_image.items():
        rows[name] = np.array(list(map(str, values)), object)[random.integers(len(values), size=count)]
    numbers = {"width": (500, 3000), "height": (500, 3000), "bytes": (30_000, 900_000), "jpeg_quantisation": (3, 60)}
    for name, (low, high) in numbers.items():
        rows[name] = random.integers(low, high, count)
    looks = {"brightness": (100, 150), "contrast": (40, 70), "colour": (0, 0), "flatness": (2, 20)}
    for name, (low, high) in looks.items():
        rows[name] = random.uniform(low, high, count)
    rows = rows.assign(**{name: None for name in (*FACTS, *KNOWN_OF_IMAGE) if name not in rows})
    rows = rows.astype({**FACTS, **dict.fromkeys(KNOWN_OF_IMAGE, "string")})
    split = rows[["image", "class", "patient"]].assign(subset=subset)
    return DataSet(rows, {"one": split}, {"one": list(CLASSES)}, Distorted(count))


def cost_of(audit: str, count: int) -> tuple[float, float, float, float]:
    """Seconds, seconds of a processor, and peak MB before and after an audit, in a process of its own."""
    data = many_images(count)
    _ = [drawn(number) for number in range(DRAWN)]
    before = peak_megabytes()
    wall, processor = time.perf_counter(), time.process_time()
    AUDITS[audit](data)
    return time.perf_counter() - wall, time.process_time() - processor, before, peak_megabytes()


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def print_costs(counts: list[int], names: list[str]) -> None:
    """Print the cost of each audit; memory includes the data set without its pixels, which are made when read."""
    for count in counts:
        for name in names:
            with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
                wall, processor, before, after = fresh.submit(cost_of, name, count).result()
            memory = f"{after:.0f} MB, of which {before:.0f} MB are Python and the table of images"
            print(f"{count:,} images, {name}: {wall:.1f} s, {processor:.1f} s of a processor, {memory}", flush=True)


# ---- false alarms -------------------------------------------------------------------------------------------------------


def clean_data(seed: int, root: Path) -> DataSet:
    """Draw and index a small data set without a problem.

    `PER_CLASS` phantoms of each of the four classes, each of another patient. Patterns of opacity are random, so that nothing
    goes with a class or a subset; neither do source, age, sex and view, nor form and size of the files.
    """
    rows = []
    for number in range(PER_CLASS * len(CLASSES)):
        random = random_stream("clean", seed, number)
        pattern = list(PATTERNS)[random.integers(len(PATTERNS))]
        form = draw_form(random)
        path = f"{CLASSES[number % len(CLASSES)]}/{number:04}.{form.suffix}"
        root.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
        root.joinpath(path).write_bytes(encode(draw_film(pattern, "clean", seed, number).grey, form))
        known = {"patient": f"{seed}-{number}", "age": str(random.integers(20, 90)), "sex": "FM"[random.integers(2)]}
        known |= {"view": ("AP", "PA")[random.integers(2)], "source": ("x", "y")[random.integers(2)]}
        rows.append({"path": path, **known})
    listed = list_images(root, list(CLASSES), "classes", pd.DataFrame(rows, dtype="string"))
    index, problems = index_images(root, listed)
    assert not problems, problems
    split = split_stratified(index, list(CLASSES), 0.2, 0.2, seed)
    pixels = {image: decode_image(root / image, SIZE, "nearest") for image in index["image"]}
    return DataSet(index, {"one": split}, {"one": list(CLASSES)}, pixels)


def print_false_alarms(sets: int, first_seed: int, names: list[str]) -> None:
    """Print, by audit and in total, the data sets with a finding, and those with one that is not only suspected."""
    found, certain = Counter[str](), Counter[str]()
    seconds = dict.fromkeys(names, 0.0)
    for seed in range(first_seed, first_seed + sets):
        with TemporaryDirectory() as folder:
            data = clean_data(seed, Path(folder))
        findings = {}
        for name in names:
            began = time.process_time()
            findings[name] = AUDITS[name](data).findings
            seconds[name] += time.process_time() - began
        findings["any audit"] = [one for of_audit in findings.values() for one in of_audit]
        for name, of_audit in findings.items():
            found[name] += bool(of_audit)
            certain[name] += any(one.certainty == "certain" for one in of_audit)
        texts = [f"{name}: {one.text}" for name in names for one in findings[name]]
        done = seed - first_seed + 1
        print(
            f"{done}/{sets}  {found['any audit']} with a finding, {certain['any audit']} certain  {texts}", flush=True
        )
    for name in (*names, "any audit"):
        print(f"{name}: {_rate(found[name], sets)} with a finding; {_rate(certain[name], sets)} with a certain one")
    print({name: round(value / sets, 2) for name, value in seconds.items()}, "s of a processor for each data set")


def _rate(number: int, sets: int) -> str:
    low, high = wilson_interval(number, sets)
    return f"{number} of {sets} ({100 * number / sets:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f} %)"


def main() -> None:
    assert set(SPLIT) == set(SPLIT_WORDS)
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[], help="numbers of images, to measure the cost")
    parser.add_argument("--false-alarms", type=int, default=0, help="data sets without a problem")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first of them (default: %(default)s)")
    parser.add_argument(
        "--only", nargs="+", choices=list(AUDITS), default=list(AUDITS), help="measure these audits only"
    )
    args = parser.parse_args()
    if not args.images and not args.false_alarms:
        raise UserError("nothing to measure: give --images N or --false-alarms N")
    print_costs(args.images, args.only)
    if args.false_alarms:
        print_false_alarms(args.false_alarms, args.first_seed, args.only)


if __name__ == "__main__":
    run_command(main)
