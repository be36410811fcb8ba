"""Turn a chest into a film: vessels, pose, exposure, blur and noise."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from cxrflow.phantoms.anatomy import AIR, HALF_FIELD, PITCH, Chest, Grid, draw_build, draw_chest
from cxrflow.phantoms.opacities import PATTERNS
from cxrflow.phantoms.texture import branches, random_stream

FILM = 224
VESSELS = 0.17
"""Absorption of the vessels at the hilum, in the units of `anatomy`."""
SHARES = np.array([0.0, 0.05, 0.25, 0.50, 0.75, 0.95, 1.0])
GREY_LEVELS = np.array([22.0, 42.0, 88.0, 140.0, 182.0, 212.0, 240.0])
"""Grey levels of the body at these quantiles of its pixels, to which the exposure is mapped."""

LETTER_R = [(0, 1.4), (0, 0), (0.6, 0), (0.8, 0.15), (0.8, 0.55), (0.6, 0.7), (0, 0.7), (0.3, 0.7), (0.85, 1.4)]


@dataclass(frozen=True)
class Pose:
    """Position of the person, and exposure of the film."""

    rotation_degrees: float
    size: float
    shift_u: float
    shift_v: float
    brightness: float
    contrast: float
    gradient_u: float
    gradient_v: float
    blur: float
    noise: float


@dataclass(frozen=True)
class Film:
    """A film and the parameters that it was drawn with."""

    grey: npt.NDArray[np.uint8]
    """Grey levels, shape (FILM, FILM)."""
    lungs: tuple[Grid, Grid]
    """Right lung field (left in the picture) and left lung field, shape (FILM, FILM), 0 to 1."""
    parameters: dict[str, Any]


def draw_pose(random: np.random.Generator) -> Pose:
    """Draw a pose and an exposure at random."""
    return Pose(
        rotation_degrees=random.normal(0, 3),
        size=random.uniform(0.98, 1.16),
        shift_u=random.uniform(-0.06, 0.06),
        shift_v=random.uniform(-0.06, 0.06),
        brightness=random.uniform(-14, 14),
        contrast=random.uniform(0.85, 1.1),
        gradient_u=random.uniform(-0.06, 0.06),
        gradient_v=random.uniform(-0.08, 0.04),
        blur=random.uniform(0.5, 0.8),
        noise=random.uniform(2.0, 4.5),
    )


def draw_absorption(pattern: str, *name: str | int) -> tuple[Chest, Grid, dict[str, Any]]:
    """Draw a chest with an opacity pattern.

    Args:
        pattern: one of `PATTERNS`.
        name: name of the person; the chest does not depend on the pattern.

    Returns:
        The healthy chest; the absorption of the chest with vessels and pattern, (CANVAS, CANVAS) float32; and parameters of
        the pattern: strength, side, lobe (None if it has none), extent (share of the lungs' air that is missing).
    """
    chest = draw_chest(draw_build(random_stream(*name, "build")))
    air = chest.lungs[0] + chest.lungs[1]
    vessels = random_stream(*name, "vessels")
    hila = [(side * 0.17, vessels.uniform(-0.06, 0.02)) for side in (-1, 1)]
    tree = air * branches(vessels, hila, 0.62)
    opacity, drawn = PATTERNS[pattern](chest, random_stream(*name, "finding"))
    absorption = chest.absorption + AIR * opacity + VESSELS * tree * (1 - opacity)
    found = {"strength": None, "side": None, "lobe": None, **drawn}
    return chest, absorption.astype(np.float32), {**found, "extent": float(opacity.sum() / air.sum())}


def draw_film(pattern: str, *name: str | int) -> Film:
    """Draw the film of a person with an opacity pattern; depends only on the arguments.

    Args:
        pattern: one of `PATTERNS`.
        name: name of the person.
    """
    chest, absorption, drawn = draw_absorption(pattern, *name)
    random = random_stream(*name, "film")
    pose = draw_pose(random)
    posed = [_posed(layer, pose) for layer in (absorption, chest.body, *chest.lungs)]
    across = np.linspace(-1, 1, FILM, dtype=np.float32)
    exposed = posed[0] + pose.gradient_u * across[None, :] + pose.gradient_v * across[:, None]
    # Blur before windowing, and include the soft edge of the body: otherwise, grey levels would reveal the pattern.
    exposed = gaussian_filter(exposed, pose.blur)
    grey = np.clip(10 * posed[1], 0, 1) * _windowed(exposed, posed[1] > 0.1, pose)
    mottle = gaussian_filter(random.standard_normal((FILM, FILM), dtype=np.float32), 0.5)
    grey = grey + 2 * pose.noise * mottle * (0.4 + 0.6 * posed[1])
    levels = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    return Film(_marked(levels, random), (posed[2], posed[3]), {**asdict(pose), **drawn})


def _posed(layer: Grid, pose: Pose) -> Grid:
    """Transform a layer of the canvas to the film."""
    turn = np.deg2rad(pose.rotation_degrees)
    cos, sin = np.cos(turn) / pose.size, np.sin(turn) / pose.size
    # From film pixels to canvas pixels, about the centre of the film.
    scale = 2 / FILM / PITCH
    middle, centre = FILM / 2, HALF_FIELD / PITCH
    du, dv = pose.shift_u / PITCH, pose.shift_v / PITCH
    a, b, d, e = scale * cos, scale * sin, -scale * sin, scale * cos
    matrix = (a, b, centre - du - (a + b) * middle, d, e, centre - dv - (d + e) * middle)
    picture = Image.fromarray(layer).transform((FILM, FILM), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(picture)


def _windowed(exposed: Grid, body: npt.NDArray[np.bool_], pose: Pose) -> Grid:
    """Convert an exposure to grey levels, with the same distribution within the body on every film.

    Look-up tables of digital radiography do the same. Here they also prevent the histogram of grey levels from revealing the
    pattern.
    """
    fine = np.linspace(0, 1, 65)
    values = np.quantile(exposed[::2, ::2][body[::2, ::2]], fine)
    values = np.maximum.accumulate(values + np.arange(65) * 1e-6)
    levels = np.interp(fine, SHARES, GREY_LEVELS)
    levels = 128 + (levels - 128) * pose.contrast + pose.brightness
    return np.interp(exposed, values, levels).astype(np.float32)


def _marked(levels: npt.NDArray[np.uint8], random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Add the radiographer's marker to most films: an R next to the right shoulder."""
    if random.random() < 0.25:
        return levels
    left, top, size = random.uniform(4, 14), random.uniform(8, 40), random.uniform(6, 11)
    picture = Image.fromarray(levels)
    strokes = [(left + u * size, top + v * size) for u, v in LETTER_R]
    ImageDraw.Draw(picture).line(strokes, fill=int(random.uniform(200, 250)), width=2, joint="curve")
    return np.asarray(picture)
