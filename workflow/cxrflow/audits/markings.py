"""Find what was drawn on a film: lines of text, grey arrows, and coloured marks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, find_objects, label, white_tophat

from cxrflow.audits.picture_measures import Array, Pixels, grey_levels, strongly_coloured

SMALLEST = 128
"""Side of the smallest pictures in which letters and arrows can be told from noise, in pixels."""
SCALE = 224
"""Lengths below are in pixels of a picture of this side."""
LETTERS = 5
"""Letters in a line that make a text; the side marks of radiographers have fewer."""
CONTRAST = 50
"""Levels by which letters and arrows exceed their surroundings."""
SAME_BRIGHTNESS = 25
"""Letters of a line differ by at most this many levels."""
FLAT = 3
"""An arrow is filled with one grey level, up to this many levels; anatomy and noise vary more."""
AROUND = 50
"""Levels by which an arrow exceeds nine tenths of the pixels around it."""
LARGEST_MARK = 0.02
"""Share of a picture that coloured marks cover at most; more colour is no mark on a film."""
SMALLEST_MARK = 12
"""Pixels of the smallest coloured mark."""
TOUCHING = np.ones((3, 3), bool)

Slices = tuple[slice, slice]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Markings:
    """What was drawn on a picture."""

    has_text: bool
    has_arrow: bool
    has_colour: bool
    """Coloured marks, such as red arrows."""


@dataclass(frozen=True)
class _Letter:
    top: int
    bottom: int
    left: int
    right: int
    count: int
    """The number of letters, more than 1 if they touch."""
    brightness: float

    @property
    def height(self) -> int:
        return self.bottom - self.top


def find_markings(pixels: Pixels) -> Markings:
    """Find marks on a picture, lighter or darker than the film.

    Args:
        pixels: uint8, shape (size, size, 3). Letters and arrows are searched from a size of `SMALLEST` on.
    """
    has_colour = _has_coloured_mark(pixels)
    if len(pixels) < SMALLEST:
        return Markings(False, False, has_colour)
    unit, grey = len(pixels) / SCALE, grey_levels(pixels)
    both = (grey, 255 - grey)
    return Markings(
        any(_longest_line(_letters(one, unit)) >= LETTERS for one in both),
        any(_has_arrow(one, unit) for one in both),
        has_colour,
    )


def _has_coloured_mark(pixels: Pixels) -> bool:
    coloured = strongly_coloured(pixels)
    if not SMALLEST_MARK <= coloured.sum() <= LARGEST_MARK * coloured.size:
        return False
    numbers, _ = label(coloured, TOUCHING)
    return bool(np.bincount(numbers.ravel())[1:].max() >= SMALLEST_MARK)


def _small_bright_parts(grey: Array, size: float) -> Iterator[tuple[Slices, Mask]]:
    """Connected parts that are brighter than what surrounds them within a square of a side; each with its place."""
    bright = white_tophat(grey, size=max(3, round(size))) > CONTRAST
    numbers, _ = label(bright, TOUCHING)
    for number, place in enumerate(find_objects(numbers), start=1):
        yield place, numbers[place] == number


def _letters(grey: Array, unit: float) -> list[_Letter]:
    """Parts of the size and the shape of a letter, or of letters that touch."""
    found = []
    for place, part in _small_bright_parts(grey, 9 * unit):
        height, width = part.shape
        if not (4 * unit <= height <= 22 * unit and width <= 14 * height):
            continue
        area = int(part.sum())
        if area < 6 or not 0.15 <= area / part.size <= 0.95:
            continue
        count = 1
        if width > 1.6 * height + 2:
            # A row across letters that touch crosses about a stroke for each half of their height; a wire or rib crosses one.
            middle = np.pad(part[height // 5 : height - height // 5], ((0, 0), (1, 0))).astype(np.int8)
            strokes = float((np.diff(middle, axis=1) > 0).sum(axis=1).mean())
            if strokes < 1.1 * width / height:
                continue
            count = int(min(strokes / 1.3, width / (0.6 * height)))
        brightness = float(np.percentile(grey[place][part], 80))
        found.append(_Letter(place[0].start, place[0].stop, place[1].start, place[1].stop, count, brightness))
    return found


def _longest_line(letters: list[_Letter]) -> int:
    """Letters in the longest line: of one height and brightness, side by side."""
    ordered = sorted(letters, key=lambda letter: letter.left)
    ends: list[int] = []
    for place, letter in enumerate(ordered):
        before = [ends[other] for other in range(place) if _continues(ordered[other], letter)]
        ends.append(letter.count + max(before, default=0))
    return max(ends, default=0)


def _continues(before: _Letter, letter: _Letter) -> bool:
    higher = max(before.height, letter.height)
    return (
        -1 <= letter.left - before.right <= 1.2 * higher
        and min(before.height, letter.height) >= 0.6 * higher
        and abs(before.top + before.bottom - letter.top - letter.bottom) <= 0.6 * higher
        and abs(before.brightness - letter.brightness) <= SAME_BRIGHTNESS
    )


def _has_arrow(grey: Array, unit: float) -> bool:
    return any(_is_arrow(grey, place, part, unit) for place, part in _small_bright_parts(grey, 13 * unit))


def _is_arrow(grey: Array, place: Slices, part: Mask, unit: float) -> bool:
    """Whether a part is long, of one grey level, brighter than all around, and wider at one end."""
    if not (12 * unit <= np.hypot(*part.shape) <= 60 * unit and 25 * unit**2 <= part.sum() <= 500 * unit**2):
        return False
    margin = 4
    part = np.pad(part, margin)
    around = tuple(slice(one.start - margin, one.stop + margin) for one in place)
    levels = np.pad(grey, margin, mode="edge")[tuple(slice(one.start + margin, one.stop + margin) for one in around)]
    inside = levels[binary_erosion(part, TOUCHING)]
    if len(inside) < 5 or np.percentile(inside, 90) - np.percentile(inside, 10) > FLAT:
        return False
    ring = binary_dilation(part, TOUCHING, iterations=3) & ~binary_dilation(part, TOUCHING)
    if inside.mean() - np.percentile(levels[ring], 90) < AROUND:
        return False
    return _is_wider_at_one_end(np.argwhere(part).astype(np.float64), 12 * unit)


def _is_wider_at_one_end(points: NDArray[np.float64], shortest: float) -> bool:
    """Whether a part is at least twice as long as wide, and one half of it at least 1.5 times as wide as the other."""
    spreads, axes = np.linalg.eigh(np.cov(points.T))
    across, along = ((points - points.mean(axis=0)) @ axes).T
    length = np.ptp(along)
    if length < shortest or spreads[1] < 2.2**2 * max(spreads[0], 0.05):
        return False
    is_first = along <= along.min() + length / 2
    widths = sorted([np.ptp(across[is_first]), np.ptp(across[~is_first])])
    return bool(widths[1] >= 1.5 * widths[0])
