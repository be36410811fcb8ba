"""A chest: the absorption of its tissues, and its lung fields.

Coordinates are in units of the chest: u from the midline to the picture's right (the patient's left), v downwards; a film shows
-1 to 1. Absorption is relative to the soft tissue in the middle of the trunk; the air in a lung reduces it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Grid = npt.NDArray[np.float32]

HALF_FIELD = 1.35
CANVAS = 270
PITCH = 2 * HALF_FIELD / CANVAS
GRID = (np.arange(CANVAS, dtype=np.float32) + np.float32(0.5)) * np.float32(PITCH) - np.float32(HALF_FIELD)
U = GRID[None, :]
V = GRID[:, None]

AIR = 0.62
"""Reduction of absorption by a healthy lung, compared with soft tissue."""


@dataclass(frozen=True)
class Build:
    """The build of a chest, which varies between people but does not depend on the class."""

    width: float
    lung_width: float
    apex: float
    bases: tuple[float, float]
    dome: float
    heart: float
    rib_distance: float
    rib_phase: float
    rib_slope: float
    rib_strength: float
    shoulders: float
    clavicle_slope: float
    bend: float
    fat: float
    arms: float


@dataclass(frozen=True)
class Chest:
    """A chest as maps of shape (CANVAS, CANVAS), float32."""

    absorption: Grid
    body: Grid
    """1 in the body, 0 in the air around it."""
    lungs: tuple[Grid, Grid]
    """Lung fields, right (u < 0) and left, 1 inside; without heart and mediastinum."""
    lateral: Grid
    """0 at the medial border of a lung, 1 at the chest wall."""


def draw_build(random: np.random.Generator) -> Build:
    """Draw a person's build at random."""
    between = random.uniform
    return Build(
        width=between(0.88, 1.0),
        lung_width=between(0.70, 0.78),
        apex=between(-0.78, -0.68),
        bases=(between(0.42, 0.52), between(0.46, 0.58)),
        dome=between(0.10, 0.2),
        heart=between(0.8, 1.15),
        rib_distance=between(0.145, 0.18),
        rib_phase=between(0, 1),
        rib_slope=between(0.22, 0.38),
        rib_strength=between(0.45, 0.75),
        shoulders=between(-0.05, 0.05),
        clavicle_slope=between(0.05, 0.22),
        bend=between(-0.035, 0.035),
        fat=between(0.0, 0.12),
        arms=between(0.02, 0.3),
    )


def draw_chest(build: Build) -> Chest:
    """Compute a healthy chest without vessels; depends only on the build."""
    half_width = build.width * _profile(
        [-1.4, -0.98, -0.9, -0.8, -0.7, -0.5, -0.25, 0.1, 0.6, 1.4],
        [0.23, 0.26, 0.38, 0.76, 0.97, 1.02, 0.95, 0.90, 0.91, 0.95],
        V - build.shoulders,
    )
    trunk = _inside(half_width - np.abs(U), 0.012)
    arm = _arm(build)
    body = np.maximum(trunk, arm)
    depth = np.sqrt(np.clip(1 - (U / half_width) ** 2, 0, 1))
    absorption = trunk * (0.30 + 0.62 * depth + build.fat * depth * _inside(V - 0.2, 0.3))
    absorption = np.maximum(absorption, 0.42 * arm)

    axis = build.bend * (1 - V**2)
    borders = [axis + side * _mediastinal_border(build, side) for side in (-1, 1)]
    fields = [_lung_field(build, side, np.abs(border)) for side, border in zip((-1, 1), borders, strict=True)]
    lungs = [field.astype(np.float32) for field, _ in fields]
    below = np.where(axis > U, fields[0][1], fields[1][1])  # 1 under the diaphragm
    middle = _inside(U - borders[0], 0.02) * _inside(borders[1] - U, 0.02) * _inside(V + 0.75, 0.1)
    absorption -= AIR * (lungs[0] + lungs[1]) * (0.86 + 0.14 * depth)
    absorption += trunk * (0.14 * middle * (1 - below) + 0.20 * below)
    absorption -= 0.13 * _ellipse(0.42, 0.74, 0.16, 0.07, 0.3) * below * trunk  # air in the stomach
    absorption += body * (
        _spine(axis) + _ribs(build, axis, np.maximum(0.65 * below, 0.65 * middle)) + _shoulder_girdle(build)
    )
    absorption -= body * _airways(axis)
    lateral = np.maximum(_lateral(build, -1), _lateral(build, 1))
    return Chest(absorption.astype(np.float32), body.astype(np.float32), (lungs[0], lungs[1]), lateral)


def _profile(at: list[float], values: list[float], v: Any) -> Any:
    """Smooth curve through given points, evaluated at v."""
    fine = np.linspace(-HALF_FIELD - 0.2, HALF_FIELD + 0.2, 500)
    coarse = np.interp(fine, at, values)
    window = np.hanning(21)
    smooth = np.convolve(np.pad(coarse, 10, mode="edge"), window / window.sum(), mode="valid")
    return np.interp(v, fine, smooth).astype(np.float32)


def _inside(distance: Any, softness: float) -> Any:
    """1 for positive signed distances, 0 for negative ones, with a soft border."""
    return 0.5 + 0.5 * np.tanh(distance / softness)


def _ellipse(u: float, v: float, radius_u: float, radius_v: float, turn: float) -> Any:
    cos, sin = np.cos(turn), np.sin(turn)
    along, across = (U - u) * cos + (V - v) * sin, (V - v) * cos - (U - u) * sin
    radius = np.sqrt((along / radius_u) ** 2 + (across / radius_v) ** 2)
    return _inside((1 - radius) * min(radius_u, radius_v), 0.022)


def _arm(build: Build) -> Any:
    """Upper arms next to the trunk."""
    middle = 0.95 * build.width + build.arms * (V + 0.62) + 0.05
    return _inside(0.13 - np.abs(np.abs(U) - middle), 0.012) * _inside(V + 0.62 - build.shoulders, 0.05)


def _mediastinal_border(build: Build, side: int) -> Any:
    """Distance of the border of mediastinum and heart from the axis, for each row."""
    at = [-1.4, -0.5, -0.36, -0.28, -0.18, -0.06, 0.05, 0.16, 0.28, 0.40, 0.52, 1.4]
    left = [0.10, 0.10, 0.13, 0.16, 0.13, 0.15, 0.21, 0.30, 0.38, 0.42, 0.43, 0.43]
    right = [0.10, 0.10, 0.10, 0.10, 0.10, 0.12, 0.15, 0.19, 0.21, 0.21, 0.18, 0.18]
    border = _profile(at, right if side < 0 else left, V)
    return 0.10 + (border - 0.10) * build.heart


def _wall(build: Build) -> Any:
    """Distance of the inner chest wall from the midline, for each row."""
    widest = 0.34
    height = np.clip((widest - V) / (widest - build.apex), 0, 1)
    return 0.16 + (build.lung_width - 0.16) * np.sqrt(1 - height**2.8) + 0.05 * np.clip(V - widest, 0, 1)


def _lung_field(build: Build, side: int, border: Any) -> tuple[Any, Any]:
    """Lung field of a side, and the area below its diaphragm."""
    away = side * U
    base = build.bases[0 if side < 0 else 1]
    diaphragm = base + build.dome * (((away - 0.34) / 0.36) ** 2)
    apex = build.apex + 0.5 * np.clip(0.34 - away, 0, 1) ** 1.5  # round towards the midline, too
    field = _inside(away - border, 0.016) * _inside(_wall(build) - away, 0.014)
    field = field * _inside(diaphragm - V, 0.014) * _inside(V - apex, 0.014)
    return field, _inside(V - diaphragm, 0.014)


def _lateral(build: Build, side: int) -> Any:
    share = (side * U - 0.1) / np.maximum(_wall(build) - 0.1, 0.05)
    return np.clip(share, 0, 1).astype(np.float32)


def _spine(axis: Any) -> Any:
    away = np.abs(U - axis)
    vertebra = 0.5 + 0.5 * np.cos(2 * np.pi * V / 0.155)
    column = _inside(0.08 - away, 0.018) * (0.055 + 0.03 * vertebra)
    processes = _inside(0.12 - away, 0.02) * 0.035 * vertebra**3
    return (column + processes) * (1 - 0.35 * _inside(-0.75 - V, 0.1))


def _ribs(build: Build, axis: Any, hidden: Any) -> Any:
    """Posterior ribs with bright edges, and fainter anterior ribs that slope the other way."""
    away = np.abs(U - axis)
    wall = _wall(build) + 0.035
    cage = _inside(wall - away, 0.012) * _inside(V - build.apex - 0.02, 0.03) * _inside(0.75 - V, 0.1)
    out = np.clip(away / wall, 0, 1.05)
    back = (V + 0.06 * np.sin(np.pi * out) - build.rib_slope * out**2.6) / build.rib_distance + build.rib_phase
    front = (V + 0.5 * out - 0.25) / (build.rib_distance * 1.15) + build.rib_phase + 0.4
    edge_on = 1 + 1.2 * np.clip((out - 0.8) / 0.2, 0, 1)  # at the side of the chest, ribs are viewed along their length
    posterior = _band(back, 0.22) * 0.15 * edge_on * _inside(away - 0.09, 0.03)
    anterior = _band(front, 0.27) * 0.075 * _inside(out - 0.5, 0.12)
    return build.rib_strength * cage * (posterior + anterior) * (1 - hidden)


def _band(phase: Any, half: float) -> Any:
    """Bands around integers, slightly brighter along their edges."""
    off = np.abs(phase - np.round(phase))
    return _inside(half - off, 0.06) * (0.75 + 0.25 * np.clip(off / half, 0, 1) ** 3)


def _shoulder_girdle(build: Build) -> Any:
    away = np.abs(U)
    middle = -0.62 + build.shoulders - build.clavicle_slope * away - 0.05 * np.sin(np.pi * away / 0.45)
    off = np.abs(V - middle)
    clavicle = (
        _inside(0.032 - off, 0.008) * (0.11 + 2.4 * off) * _inside(away - 0.08, 0.02) * _inside(0.82 - away, 0.03)
    )
    joint = 0.95 * build.width - 0.02
    head = _inside(0.12 - np.hypot(away - joint, V + 0.6 - build.shoulders), 0.02) * 0.14
    shaft = _inside(0.055 - np.abs(away - joint - 0.05 - build.arms * (V + 0.62)), 0.015)
    shaft = shaft * _inside(V + 0.6 - build.shoulders, 0.03) * 0.16
    scapula = _inside(0.020 - np.abs(away - 0.72 - 0.2 * (V + 0.3)), 0.012) * 0.06
    scapula = scapula * _inside(0.05 - V, 0.08) * _inside(V + 0.52, 0.06)
    return clavicle + head + shaft + scapula


def _airways(axis: Any) -> Any:
    """Trachea and main bronchi, which are dark because they contain air."""
    away = np.abs(U - axis + 0.012)
    trachea = _inside(0.036 - away, 0.012) * _inside(-0.22 - V, 0.03)
    bronchi = _inside(0.024 - np.abs(V + 0.23 - 0.75 * away), 0.012) * _inside(0.17 - away, 0.03)
    return 0.11 * np.maximum(trachea, bronchi * _inside(V + 0.26, 0.02))
