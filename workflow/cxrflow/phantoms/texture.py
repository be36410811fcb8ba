"""Named random streams, and the random fields and branching lines that vessels and opacities consist of."""

import hashlib
import math

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from cxrflow.phantoms.anatomy import CANVAS, HALF_FIELD, PITCH, Grid

OVERSAMPLED = 2
FORKS = 5
VESSEL_WIDTH = 0.021
VESSEL_BLUR = 0.0067


def random_stream(*name: str | int) -> np.random.Generator:
    """Create the random generator of a name, which is independent of all others and the same on every machine.

    Args:
        name: parts of the name, such as ("phantom", 0, "train", "clear", 7).

    Returns:
        A generator on `numpy.random.Philox` (counter-based; Salmon et al., 2011), keyed by a BLAKE2 hash of the name.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in name)
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))


def random_field(random: np.random.Generator, correlation: float) -> Grid:
    """Draw a smooth Gaussian random field of mean 0 and standard deviation 1.

    Args:
        random: source of random numbers.
        correlation: standard deviation of the smoothing, in units of the chest (`anatomy.PITCH` is one pixel).

    Returns:
        (CANVAS, CANVAS) float32.
    """
    # Coarse fields are drawn at low resolution and enlarged, which takes a fraction of the time.
    step = max(1, int(correlation / PITCH / 3))
    size = CANVAS // step + 2
    field = gaussian_filter(random.standard_normal((size, size), dtype=np.float32), correlation / PITCH / step)
    field = (field - field.mean()) / field.std()
    if step > 1:
        picture = Image.fromarray(field).resize((size * step, size * step), Image.Resampling.BICUBIC)
        field = np.asarray(picture)
    return np.ascontiguousarray(field[:CANVAS, :CANVAS])


def network(random: np.random.Generator, mesh: float, width: float) -> Grid:
    """Draw a net of fine lines: the zeros of a random field.

    Args:
        random: source of random numbers.
        mesh: mean distance between lines, in units of the chest.
        width: width of a line, in the same units.

    Returns:
        (CANVAS, CANVAS) float32, 1 on a line, 0 away from it.
    """
    correlation = mesh / (np.pi * np.sqrt(2))  # mean distance of zeros of a field with this smoothing (Rice, 1945)
    field = random_field(random, correlation)
    slope = 1 / (np.sqrt(2) * correlation)
    return np.exp(-0.5 * (field / (slope * width / 2)) ** 2).astype(np.float32)


def branches(random: np.random.Generator, roots: list[tuple[float, float]], reach: float) -> Grid:
    """Draw vessels (or bronchi) that leave the hilum of a lung, fork, and become thinner towards the chest wall.

    Args:
        random: source of random numbers.
        roots: hila (u, v), in units of the chest; vessels run away from the midline.
        reach: length of a vessel, in the same units.

    Returns:
        (CANVAS, CANVAS) float32 in [0, 1].
    """
    size = CANVAS * OVERSAMPLED
    picture = Image.new("L", (size, size))
    draw = ImageDraw.Draw(picture)
    for u, v in roots:
        for angle in np.linspace(-1.35, 1.45, 8) + random.normal(0, 0.12, 8):
            _grow(draw, random, (u, v), float(angle), reach)
    smaller = picture.reduce(OVERSAMPLED)
    return gaussian_filter(np.asarray(smaller, np.float32) / 255, VESSEL_BLUR / PITCH)


def _grow(
    draw: ImageDraw.ImageDraw, random: np.random.Generator, root: tuple[float, float], angle: float, reach: float
) -> None:
    """Draw a vessel and its branches in `FORKS` steps, each thinner and fainter than the last."""
    side = math.copysign(1, root[0])
    to_pixel = OVERSAMPLED / PITCH
    tips = [(*root, angle, 1.0)]
    for step in range(FORKS):
        width = max(1, round(VESSEL_WIDTH * 0.72**step * to_pixel))
        grown = []
        for u, v, heading, strength in tips:
            length = reach / FORKS * random.uniform(0.8, 1.2)
            end_u, end_v = u + side * math.cos(heading) * length, v + math.sin(heading) * length
            line = [(place + HALF_FIELD) * to_pixel for place in (u, v, end_u, end_v)]
            draw.line(line, fill=int(255 * strength), width=width)
            turns = (-0.3, 0.3) if random.random() < 0.6 else (0.0,)
            grown += [(end_u, end_v, heading + turn + random.normal(0, 0.22), strength * 0.78) for turn in turns]
        tips = grown
