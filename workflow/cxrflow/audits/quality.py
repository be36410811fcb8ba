"""Pictures of poor quality, those that lie differently from the others, marks on films, and what is no chest X-ray."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.audits.findings import MOST_NAMED, Audited, DataSet, Finding, share_of_test_images
from cxrflow.audits.markings import SMALLEST, Markings, find_markings
from cxrflow.audits.orientation import orientation_of
from cxrflow.audits.picture_measures import PictureMeasures, Pixels, measure
from cxrflow.io.words import counted, joined, some_of

FEWEST = 20
"""Images from which on pictures are compared with the others of their data set."""
CONSTANT = 30
"""Levels (of 255) between the 1st and the 99th percentile of an almost constant picture."""
DARK, BRIGHT = (40, 70), (205, 185)
"""Mean grey levels: of any dark or bright picture, and of one that differs from the others."""
FEW_LEVELS = 120
"""Levels of a film that is so dark or bright that it looks flat."""
BLURRED = -0.95
"""Sharpness of a blurred picture, see `PictureMeasures`."""
ODD_SHAPE = (2.0, 3.0)
"""Ratio of the longer to the shorter side: of a picture that differs from the others, and of any picture."""
FAR = 4.5
"""Robust z-score of a picture that differs from the others."""
TURNED = 0.35
"""How much more upright a turned picture is when it is turned back, see `Orientation`."""
INVERTED = -0.2
"""`Orientation.upright` of a negative."""
STRANGE = 0.35
"""Share of the variation of a picture that is unlike the others, see `Orientation`; more where films differ a lot."""
SCREEN = 0.4
"""Flatness of a screenshot or drawing, see `PictureMeasures`."""
COLOURED = 0.02
"""Share of strongly coloured pixels of a photograph, a screenshot or a stained section."""

Values = NDArray[Any]


@dataclass(frozen=True)
class Kind:
    """A kind of problem, and the words of its finding."""

    of_one: str
    """What is found in one image, after `1 image`."""
    of_several: str
    effect: str
    """What it does to a score, without a full stop."""
    certainty: Literal["certain", "suspected"] = "suspected"


KINDS = {
    "constant": Kind("is almost constant", "are almost constant", "Networks cannot see anything in them", "certain"),
    "dark": Kind("is very dark", "are very dark", "Networks see little in them", "certain"),
    "bright": Kind("is very bright", "are very bright", "Networks see little in them", "certain"),
    "blurred": Kind(
        "is more blurred than the others",
        "are more blurred than the others",
        "Networks see no fine signs of disease in them",
    ),
    "inverted": Kind(
        "seems to be inverted (black and white exchanged)",
        "seem to be inverted (black and white exchanged)",
        "Networks are often wrong about such images",
    ),
    "turned": Kind("seems to be turned", "seem to be turned", "Networks are often wrong about such images"),
    "odd_shape": Kind(
        "has an unusual shape, and is distorted in a square",
        "have an unusual shape, and are distorted in a square",
        "Networks are often wrong about distorted images",
        "certain",
    ),
    "text": Kind(
        "has text burnt in",
        "have text burnt in",
        "Networks may learn text instead of signs of disease if it goes with a class",
    ),
    "arrows": Kind(
        "has arrows or coloured marks",
        "have arrows or coloured marks",
        "Arrows show where disease is, so the images are easier than new ones",
    ),
    "no_chest_xray": Kind(
        "is unlike the others: perhaps a photograph, a screenshot or another part of the body",
        "are unlike the others: perhaps photographs, screenshots or other parts of the body",
        "Results for such images say nothing about chest X-rays",
    ),
}
"""All kinds of problems. An image has one of the last kind only if it is no chest X-ray, and then it has few others."""


def audit_quality(data: DataSet) -> Audited:
    """Find images whose quality, orientation or contents differ from what networks should learn from.

    What reaches the networks is judged, so a blur or a text that is lost in their image size is not found. Measures of a
    picture are compared with fixed limits, or with the other pictures of the data set if there are at least 20.
    benchmarks/quality.py measures how many altered pictures each detector finds, and its false alarms.

    Returns:
        Findings: at most one for each of `KINDS`.

        Details: `images` (number), `compared` (whether there were enough images to compare them), `size` (of the networks'
        input, in pixels), `marks_searched` (whether letters and arrows were searched), `kinds` (kind to image ids), and
        `turns` (image to degrees, anticlockwise).
    """
    images = sorted({image for split in data.splits.values() for image in split["image"]})
    files = data.index.set_index("image").loc[images]
    sizes = zip(files["width"], files["height"], strict=True)
    pictures = [picture_of(data.pixels[image], *size) for image, size in zip(images, sizes, strict=True)]
    table = judge(pictures).set_index(pd.Index(images))
    found = {kind: table.index[table[kind]].tolist() for kind in KINDS}
    turns = {image: int(table.loc[image, "turn"]) for image in found["turned"]}
    findings = [_finding(data, kind, named, turns) for kind, named in found.items() if named]
    size = len(data.pixels[images[0]])
    return Audited(
        findings,
        {
            "images": len(images),
            "compared": len(images) >= FEWEST,
            "size": size,
            "marks_searched": size >= SMALLEST,
            "kinds": found,
            "turns": turns,
        },
    )


@dataclass(frozen=True)
class Picture:
    """What is known of an image before it is compared with others."""

    measures: PictureMeasures
    markings: Markings
    aspect: float
    """Width / height of the file."""


def picture_of(pixels: Pixels, width: int, height: int) -> Picture:
    """Measure an image.

    Args:
        pixels: uint8, shape (size, size, 3).
        width: width of the file, in pixels.
        height: height of the file, in pixels.
    """
    return Picture(measure(pixels), find_markings(pixels), width / height)


def judge(pictures: Sequence[Picture]) -> pd.DataFrame:
    """Judge pictures: fixed limits, and comparison with each other if there are at least 20.

    Returns:
        One row for each picture, one column of truth values for each of `KINDS`, and `turn`: the degrees, anticlockwise, by
        which a turned picture is turned.
    """
    measured = pd.DataFrame([vars(one.measures) for one in pictures]).drop(columns="small")
    marked = pd.DataFrame([vars(one.markings) for one in pictures])
    table = pd.concat([measured, marked], axis=1).assign(aspect=[one.aspect for one in pictures], turn=0)
    if len(pictures) >= FEWEST:
        orientation = orientation_of(np.array([one.measures.small for one in pictures]))
        table = table.assign(**vars(orientation))
    return pd.DataFrame(dict(_judged(table))).assign(turn=table["turn"])


def _judged(table: pd.DataFrame) -> Iterator[tuple[str, Values]]:
    """Yield each kind with the truth values of all images."""
    is_compared = len(table) >= FEWEST
    nowhere = np.zeros(len(table), bool)

    def far(values: Values, floor: float) -> Values:
        return robust_z(values, floor) if is_compared else nowhere.astype(float)

    brightness = table["brightness"].to_numpy(float)
    is_constant = table["levels"].to_numpy(float) < CONSTANT
    z = far(brightness, 5)
    is_dark = (brightness < DARK[0]) | ((brightness < DARK[1]) & (z < -FAR))
    is_bright = (brightness > BRIGHT[0]) | ((brightness > BRIGHT[1]) & (z > FAR))
    # A dark or bright film has few levels left, so neighbouring pixels are often equal, as on a screen.
    has_few_levels = (is_dark | is_bright) & (table["levels"] < FEW_LEVELS).to_numpy()
    is_screen = (table["flatness"] > SCREEN).to_numpy() & ~has_few_levels
    sharpness = table["sharpness"].to_numpy(float)
    is_coloured = (table["colour"] > COLOURED).to_numpy()
    is_turned, is_inverted, is_strange = nowhere, nowhere, nowhere
    if is_compared:
        strange = table["strange"].to_numpy(float)
        fence = max(STRANGE, upper_fence(strange))
        is_turned = (table["turned_by"] > TURNED).to_numpy() & (table["strange_if_turned_back"] < fence).to_numpy()
        is_inverted = (table["upright"] < INVERTED).to_numpy() & (strange < fence)
        is_strange = (strange >= fence) & ~is_turned & ~is_inverted
    is_other = (is_strange | is_screen | is_coloured) & ~is_constant
    yield "constant", is_constant
    yield "dark", is_dark & ~is_constant & ~is_other
    yield "bright", is_bright & ~is_constant & ~is_other
    yield "blurred", (sharpness < BLURRED) & (far(sharpness, 0.1) < -FAR) & ~is_constant & ~is_other
    yield "inverted", is_inverted & ~is_other & ~is_constant
    yield "turned", is_turned & ~is_inverted & ~is_other & ~is_constant
    aspect = table["aspect"].to_numpy(float)
    ratio = np.maximum(aspect, 1 / aspect)
    is_far = np.abs(far(np.log(aspect), 0.05)) > FAR
    yield "odd_shape", (ratio > ODD_SHAPE[1]) | ((ratio > ODD_SHAPE[0]) & is_far)
    yield "text", table["has_text"].to_numpy() & ~is_other
    yield "arrows", (table["has_arrow"] | table["has_colour"]).to_numpy() & ~is_other
    yield "no_chest_xray", is_other


def robust_z(values: Values, floor: float) -> NDArray[np.float64]:
    """Deviations from the median, in units of 1.4826 times the median absolute deviation, which is at least `floor`."""
    deviations = values - np.median(values)
    spread = 1.4826 * float(np.median(np.abs(deviations)))
    return deviations / max(spread, floor)


def upper_fence(shares: NDArray[np.float64]) -> float:
    """Value that a share exceeds by `FAR` robust standard deviations of its logarithm, at most 0.6."""
    logarithms = np.log(shares + 0.01)
    deviation = 1.4826 * float(np.median(np.abs(logarithms - np.median(logarithms))))
    return min(0.6, float(np.exp(np.median(logarithms) + FAR * deviation)))


def _finding(data: DataSet, kind: str, images: list[str], turns: dict[str, int]) -> Finding:
    words = KINDS[kind]
    named = [f"{image} (by {turns[image]}°)" if kind == "turned" else image for image in images]
    predicate = counted(len(images), f"image {words.of_one}", f"images {words.of_several}")
    counts = _by_class(data, images) if kind in ("text", "arrows") else ""
    tested = _tested(data, images)
    affected = f"; the score depends on {tested}." if tested else "; no test image is concerned."
    text = f"{predicate}{counts}: {some_of(named, MOST_NAMED)}."
    return Finding(text, words.effect + affected, images, None, words.certainty)


def _by_class(data: DataSet, images: list[str]) -> str:
    classes = data.index.loc[data.index["image"].isin(images), "class"].value_counts()
    return f" ({joined(f'{count} {name}' for name, count in classes.items())})"


def _tested(data: DataSet, images: list[str]) -> str:
    """Count the test images among some images, by class and task; empty if there are none."""
    found: dict[str, list[str]] = {}
    for task in data.splits:
        rows = data.images_of(task)
        if rows.loc[rows["subset"] == "test", "image"].isin(images).any():
            found.setdefault(share_of_test_images(rows, images), []).append(task)
    several = len(data.splits) > 1
    return (
        joined(f"{share} (task {joined(tasks)})" if several else share for share, tasks in found.items())
        if found
        else ""
    )
