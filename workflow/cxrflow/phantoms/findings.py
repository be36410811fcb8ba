"""Findings: what is wrong in the lungs of a phantom, one finding for each class.

All are drawn as opacity in [0, 1], the share of a lung's air that is gone, so that none reaches beyond the lungs.
The constants say how plain the findings are; they are the only place to make the demo's task easier or harder.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from cxrflow.phantoms.anatomy import PITCH, Chest, Grid, U, V
from cxrflow.phantoms.texture import branches, network, random_field

GROUND_GLASS_OPACITY = (0.70, 0.82)
GROUND_GLASS_CORE = (0.25, 0.38)
"""How far from the midline the haze begins, as a share of the lung's breadth."""
CONSOLIDATION_OPACITY = (0.85, 0.95)
CONSOLIDATION_LOBES = {
    "right": ("upper", "middle", "lower"),
    "left": ("upper", "lower"),
}
INTERSTITIAL_OPACITY = (0.70, 0.85)
INTERSTITIAL_MESH = (0.115, 0.145)
"""Mean distance between the lines of the net, in units of the chest (2 units are the breadth of a film)."""
INTERSTITIAL_LINE = 0.036

Drawn = tuple[Grid, dict[str, Any]]


def draw_none(chest: Chest, random: np.random.Generator) -> Drawn:
    """Clear lungs."""
    return np.zeros_like(chest.absorption), {}


def draw_ground_glass(chest: Chest, random: np.random.Generator) -> Drawn:
    """Hazy patches in the outer and lower zones of both lungs, through which ribs and vessels stay visible."""
    strength = random.uniform(*GROUND_GLASS_OPACITY)
    begin = random.uniform(*GROUND_GLASS_CORE)
    top = random.uniform(-0.35, -0.15)
    outer = np.clip((chest.lateral - begin) / 0.25, 0, 1)
    lower = np.clip((V - top) / 0.25, 0, 1)
    patches = np.clip(0.95 + 0.3 * random_field(random, 0.08), 0.25, 1.2)
    uneven = 1 + 0.08 * random_field(random, 0.02)
    opacity = np.zeros_like(chest.absorption)
    for lung in chest.lungs:
        opacity += lung * outer * lower * patches * uneven * random.uniform(0.85, 1.1)
    return np.clip(strength * opacity, 0, 1).astype(np.float32), {"strength": strength}


def draw_consolidation(chest: Chest, random: np.random.Generator) -> Drawn:
    """One lobe of one lung, dense and even, with a sharp border along the fissure and air in its bronchi."""
    side = str(random.choice(list(CONSOLIDATION_LOBES)))
    lobe = str(random.choice(CONSOLIDATION_LOBES[side]))
    sign = -1 if side == "right" else 1
    strength = random.uniform(*CONSOLIDATION_OPACITY)
    fissure = random.uniform(-0.16, -0.02)
    tilt = random.uniform(-0.15, 0.15)
    away = sign * U
    line = fissure + tilt * (away - 0.4) - random.uniform(0, 0.07) * np.sin(np.pi * away / 0.75)
    under, over = _edge(V - line), _edge(line - V)
    shape = {"upper": over, "lower": under, "middle": under * _edge(0.72 - away - 0.3 * (V - line))}[lobe]
    lung = chest.lungs[0 if side == "right" else 1]
    bronchi = branches(random, [(sign * 0.2, fissure - 0.1 if lobe == "upper" else fissure + 0.1)], 0.4)
    even = 1 + 0.03 * random_field(random, 0.08)
    opacity = strength * shape * lung * even * (1 - 0.25 * bronchi)
    return np.clip(opacity, 0, 1).astype(np.float32), {"strength": strength, "side": side, "lobe": lobe}


def draw_interstitial(chest: Chest, random: np.random.Generator) -> Drawn:
    """A net of lines over both lungs, densest around the hila, with little haze between the lines."""
    strength = random.uniform(*INTERSTITIAL_OPACITY)
    mesh = random.uniform(*INTERSTITIAL_MESH)
    strong = np.clip(0.75 + 0.35 * random_field(random, 0.05), 0.2, 1.2)
    lines = np.maximum(network(random, mesh, INTERSTITIAL_LINE), 0.8 * network(random, mesh, INTERSTITIAL_LINE))
    lines = lines * strong
    lines = np.maximum(lines, 1.2 * branches(random, [(-0.2, -0.02), (0.2, -0.02)], 0.6))
    reach = random.uniform(0.55, 0.75)
    from_hilum = np.hypot(np.abs(U) - 0.25, (V - 0.02) * 0.8)
    perihilar = 0.35 + 0.65 * np.exp(-0.5 * (from_hilum / reach) ** 2)
    opacity = (chest.lungs[0] + chest.lungs[1]) * perihilar * strength * (0.15 + 0.85 * lines)
    return np.clip(opacity, 0, 1).astype(np.float32), {"strength": strength}


def _edge(distance: Any) -> Any:
    """1 where a distance is positive, over two pixels: as sharp as a fissure looks."""
    return np.clip(distance / (2 * PITCH) + 0.5, 0, 1)


FINDINGS: dict[str, Callable[[Chest, np.random.Generator], Drawn]] = {
    "none": draw_none,
    "ground_glass": draw_ground_glass,
    "consolidation": draw_consolidation,
    "interstitial": draw_interstitial,
}
