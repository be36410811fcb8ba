"""Findings: what is wrong in the lungs of a phantom, one finding for each class.

All are drawn as opacity: the share of the air that is gone, at most that of the lung field, so that none reaches beyond
the lungs.
The constants say how plain the findings are (each pair is a range, lengths are in units of the chest); together with
`anatomy.Build.rib_strength` and `radiograph.Pose.noise` they make the demo's task easier or harder.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from cxrflow.phantoms.anatomy import PITCH, Chest, Grid, U, V
from cxrflow.phantoms.texture import branches, network, random_field

GROUND_GLASS_OPACITY = (0.70, 0.82)
GROUND_GLASS_MOST = 0.9
"""Where patches are densest, what lies behind still shows."""
GROUND_GLASS_BEGINS = (0.25, 0.38)
"""How far from the midline the haze begins, as a share of a lung's breadth."""
GROUND_GLASS_TOP = (-0.35, -0.15)
"""Height at which the haze begins (v: the apex of a lung is near -0.7, its base near 0.5)."""
CONSOLIDATION_OPACITY = (0.90, 1.00)
CONSOLIDATION_FISSURE = (-0.16, -0.02)
"""Height of the fissure that bounds the lobe."""
CONSOLIDATION_LOBES = {"right": ("upper", "middle", "lower"), "left": ("upper", "lower")}
INTERSTITIAL_OPACITY = (0.70, 0.85)
INTERSTITIAL_MESH = (0.115, 0.145)
"""Mean distance between the lines of the net: 0.13 is 6 pixels of a film that is 96 pixels wide."""
INTERSTITIAL_LINE = 0.036
"""Width of a line."""
INTERSTITIAL_REACH = (0.55, 0.75)
"""How far from the hila the net stays dense."""

Drawn = tuple[Grid, dict[str, Any]]
"""Opacity, (CANVAS, CANVAS) float32 in [0, 1], and what was drawn at random: strength, side, lobe."""


def draw_none(chest: Chest, random: np.random.Generator) -> Drawn:
    """Clear lungs."""
    return np.zeros_like(chest.absorption), {}


def draw_ground_glass(chest: Chest, random: np.random.Generator) -> Drawn:
    """Hazy patches in the outer and lower zones of both lungs, through which ribs and vessels stay visible."""
    strength = random.uniform(*GROUND_GLASS_OPACITY)
    begin = random.uniform(*GROUND_GLASS_BEGINS)
    top = random.uniform(*GROUND_GLASS_TOP)
    outer = np.clip((chest.lateral - begin) / 0.25, 0, 1)
    lower = np.clip((V - top) / 0.25, 0, 1)
    patches = np.clip(0.95 + 0.3 * random_field(random, 0.08), 0.25, 1.2)
    uneven = 1 + 0.08 * random_field(random, 0.02)
    haze = strength * outer * lower * patches * uneven
    hazes = [np.minimum(haze * random.uniform(0.85, 1.1), GROUND_GLASS_MOST) for _ in chest.lungs]
    right, left = (_within(lung, haze) for lung, haze in zip(chest.lungs, hazes, strict=True))
    return right + left, {"strength": strength}


def draw_consolidation(chest: Chest, random: np.random.Generator) -> Drawn:
    """One lobe of one lung, dense and even, with a sharp border along the fissure and air in its bronchi."""
    side = str(random.choice(list(CONSOLIDATION_LOBES)))
    lobe = str(random.choice(CONSOLIDATION_LOBES[side]))
    sign = -1 if side == "right" else 1
    strength = random.uniform(*CONSOLIDATION_OPACITY)
    fissure = random.uniform(*CONSOLIDATION_FISSURE)
    tilt = random.uniform(-0.15, 0.15)
    away = sign * U
    line = fissure + tilt * (away - 0.4) - random.uniform(0, 0.07) * np.sin(np.pi * away / 0.75)
    under, over = _edge(V - line), _edge(line - V)
    shape = {"upper": over, "lower": under, "middle": under * _edge(0.72 - away - 0.3 * (V - line))}[lobe]
    lung = chest.lungs[0 if side == "right" else 1]
    hilum = (sign * 0.2, fissure + (-0.1 if lobe == "upper" else 0.1))
    bronchi = branches(random, [hilum], 0.4)
    even = 1 + 0.03 * random_field(random, 0.08)
    share = strength * shape * even * (1 - 0.25 * bronchi)
    return _within(lung, share), {"strength": strength, "side": side, "lobe": lobe}


def draw_interstitial(chest: Chest, random: np.random.Generator) -> Drawn:
    """A net of lines over both lungs, densest around the hila, with little haze between the lines."""
    strength = random.uniform(*INTERSTITIAL_OPACITY)
    mesh = random.uniform(*INTERSTITIAL_MESH)
    strong = np.clip(0.75 + 0.35 * random_field(random, 0.05), 0.2, 1.2)
    lines = network(random, mesh, INTERSTITIAL_LINE)
    lines = np.maximum(lines, 0.8 * network(random, mesh, INTERSTITIAL_LINE))
    lines = lines * strong
    lines = np.maximum(lines, 1.2 * branches(random, [(-0.2, -0.02), (0.2, -0.02)], 0.6))
    reach = random.uniform(*INTERSTITIAL_REACH)
    from_hilum = np.hypot(np.abs(U) - 0.25, (V - 0.02) * 0.8)
    perihilar = 0.35 + 0.65 * np.exp(-0.5 * (from_hilum / reach) ** 2)
    share = strength * perihilar * (0.15 + 0.85 * lines)
    return _within(chest.lungs[0] + chest.lungs[1], share), {"strength": strength}


def _within(lung: Grid, share: Any) -> Grid:
    return (lung * np.clip(share, 0, 1)).astype(np.float32)


def _edge(distance: Any) -> Any:
    """1 where a distance is positive, over two pixels: as sharp as a fissure looks."""
    return np.clip(distance / (2 * PITCH) + 0.5, 0, 1)


FINDINGS: dict[str, Callable[[Chest, np.random.Generator], Drawn]] = {
    "none": draw_none,
    "ground_glass": draw_ground_glass,
    "consolidation": draw_consolidation,
    "interstitial": draw_interstitial,
}
