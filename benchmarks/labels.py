"""Measure how many exchanged labels the audit `labels` finds, and how many of its suspects were exchanged.

A share of the labels (5 %) is exchanged for another class at random, in several repetitions. The images are phantoms of four
patterns or, with --images, radiographs in class folders. The number of suspects without exchanged labels is printed, too, and
with --sets, the share of data sets of phantoms that have any. Random numbers have fixed seeds.
"""

from pathlib import Path

import numpy as np
from cxrflow.audits.labels import SURE, Labels, Numbers, calibrated, gradients, out_of_fold_probabilities, suspected
from cxrflow.images.decode import read_image, resized
from cxrflow.io.command import stage_parser
from cxrflow.phantoms.opacities import PATTERNS
from pictures import phantom

SUFFIXES = (".jpg", ".jpeg", ".png")
SIZE = 224


def print_alarms(sets: int, size: int) -> None:
    """Print in how many data sets of phantoms with correct labels any is suspected."""
    alarms = 0
    for seed in range(1, sets + 1):
        pictures = (phantom(number, seed) for number in range(size))
        features = np.array([gradients(resized(one, SIZE, "nearest")) for one in pictures])
        labels = np.array([list(PATTERNS)[number % len(PATTERNS)] for number in range(size)])
        alarms += bool(suspects_of(features, labels))
    print(f"{alarms} of {sets} data sets of {size} phantoms with a suspect")


def read(images: Path | None, classes: list[str]) -> tuple[Numbers, Labels]:
    """Read features of shape (images, features), and labels."""
    if images:
        paths = [path for path in sorted(images.rglob("*")) if path.suffix.lower() in SUFFIXES]
        paths = [path for path in paths if not classes or path.parent.name in classes]
        pictures = (read_image(path)[0] for path in paths)
        labels = [path.parent.name for path in paths]
    else:
        pictures = (phantom(number, 0) for number in range(300))
        labels = [list(PATTERNS)[number % len(PATTERNS)] for number in range(300)]
    return np.array([gradients(resized(one, SIZE, "nearest")) for one in pictures]), np.array(labels)


def suspects_of(features: Numbers, labels: Labels, sure: float = SURE) -> set[int]:
    """Return the positions of images whose labels are suspected."""
    places = [str(place) for place in range(len(labels))]
    _, probabilities = calibrated(out_of_fold_probabilities(features, labels, np.array(places)), labels)
    return {int(one.image) for one in suspected(places, labels, probabilities, sure)}


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, help="folder of radiographs in class folders, at any depth")
    parser.add_argument("--classes", nargs="+", default=[], help="use only these classes")
    parser.add_argument("--share", type=float, default=0.05, help="share of exchanged labels")
    parser.add_argument("--repeats", type=int, default=10, help="repetitions")
    parser.add_argument(
        "--sure", type=float, default=SURE, help="probability of the own label of suspects (default: %(default)s)"
    )
    parser.add_argument("--sets", type=int, help="instead, count data sets of phantoms with any suspect")
    parser.add_argument("--set-size", type=int, default=100, help="phantoms in each of them")
    args = parser.parse_args()
    if args.sets:
        print_alarms(args.sets, args.set_size)
        return
    features, labels = read(args.images, args.classes)
    classes = np.unique(labels)
    print(
        f"{len(labels)} images, {len(classes)} classes: {len(suspects_of(features, labels, args.sure))} suspects as they are"
    )
    found = reported = exchanged = 0
    for seed in range(args.repeats):
        random = np.random.default_rng(seed)
        chosen = random.permutation(len(labels))[: round(args.share * len(labels))]
        changed = labels.copy()
        for place in chosen:
            changed[place] = random.choice(classes[classes != labels[place]])
        suspects = suspects_of(features, changed, args.sure)
        found += len(suspects & set(chosen.tolist()))
        reported += len(suspects)
        exchanged += len(chosen)
    print(
        f"exchanged {exchanged}, suspected {reported}: recall {found / exchanged:.2f}, precision {found / reported:.2f}"
    )


if __name__ == "__main__":
    main()
