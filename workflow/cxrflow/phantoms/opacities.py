"""Opacity patterns, the abnormal findings in the lungs of a phantom: one pattern for each class.

Opacity is the share of the air that is missing. It is limited to the lung fields.
The constants set how visible the patterns are (each pair is a range, lengths are in units of the chest). Together with
`anatomy.Build.rib_strength` and `radiograph.Pose.noise`, they determine the difficulty of the demo.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cxrflow.io.errors import raise_all
from cxrflow.io.words import did_you_mean
from cxrflow.phantoms.anatomy import PITCH, Chest, Grid, U, V
from cxrflow.phantoms.texture import branches, network, random_field

GROUND_GLASS_OPACITY = (0.70, 0.82)
GROUND_GLASS_MOST = 0.9
"""Largest opacity: even in the densest patches, other structures stay visible."""
GROUND_GLASS_BEGINS = (0.25, 0.38)
"""Where the haze starts: distance from the midline as a share of the lung's width."""
GROUND_GLASS_TOP = (-0.35, -0.15)
"""Where the haze starts: height v (the apex of a lung is near -0.7, its base near 0.5)."""
CONSOLIDATION_OPACITY = (0.90, 1.00)
CONSOLIDATION_FISSURE = (-0.16, -0.02)
"""Height v of the fissure that bounds the lobe."""
CONSOLIDATION_LOBES = {"right": ("upper", "middle", "lower"), "left": ("upper", "lower")}
INTERSTITIAL_OPACITY = (0.70, 0.85)
INTERSTITIAL_MESH = (0.115, 0.145)
"""Mean distance between the lines: 0.13 is 6 pixels in a film that is 96 pixels wide."""
INTERSTITIAL_LINE = 0.036
"""Width of a line."""
INTERSTITIAL_REACH = (0.55, 0.75)
"""Distance from the hila up to which the lines are dense."""

Drawn = tuple[Grid, dict[str, Any]]
"""Opacity, (CANVAS, CANVAS) float32 in [0, 1], and the random parameters: strength, side, lobe."""


def draw_none(chest: Chest, random: np.random.Generator) -> Drawn:
    """Draw clear lungs."""
    return np.zeros_like(chest.absorption), {}


def draw_ground_glass(chest: Chest, random: np.random.Generator) -> Drawn:
    """Draw hazy patches in the outer and lower zones of both lungs; ribs and vessels stay visible."""
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
    """Draw a dense, homogeneous lobe of one lung, with a sharp border along the fissure and air in its bronchi."""
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
    """Draw a net of lines over both lungs, densest around the hila, with little haze between the lines."""
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
    """1 for positive distances, 0 for negative ones, with a border of two pixels, as sharp as a fissure."""
    return np.clip(distance / (2 * PITCH) + 0.5, 0, 1)


PATTERNS: dict[str, Callable[[Chest, np.random.Generator], Drawn]] = {
    "none": draw_none,
    "ground_glass": draw_ground_glass,
    "consolidation": draw_consolidation,
    "interstitial": draw_interstitial,
}

PATTERN_OF_NAME = {"covid": "ground_glass", "normal": "none", "bac": "consolidation", "vir": "interstitial"}
"""Part of a class's name to the pattern of that class, unless the user chooses another."""


def choose_patterns(classes: list[str], chosen: dict[str, str]) -> dict[str, str]:
    """Choose the opacity pattern of each class.

    Args:
        classes: names of classes, which become folders.
        chosen: class to pattern, as given by the user; overrides `PATTERN_OF_NAME`.

    Raises:
        UserError: a class without a pattern, with several patterns, with an invalid name, or given twice; an unknown
            pattern; a pattern for an unknown class.
    """
    errors = [
        f"--patterns {name}: there is no class '{name}'{did_you_mean(name, classes)}"
        for name in chosen
        if name not in classes
    ]
    errors += [
        f"--patterns {name}={pattern}: there is no pattern '{pattern}'{did_you_mean(pattern, PATTERNS)}; "
        f"allowed: {', '.join(PATTERNS)}"
        for name, pattern in chosen.items()
        if pattern not in PATTERNS
    ]
    patterns = dict(chosen)
    for name in classes:
        if classes.count(name) > 1:
            errors.append(f"--classes: '{name}' is given twice")
        if name in (".", "..") or name != Path(name).name or "\\" in name:
            errors.append(f"--classes: '{name}' cannot be the name of a folder")
        found = [pattern for part, pattern in PATTERN_OF_NAME.items() if part in name.lower()]
        if name not in chosen and len(found) != 1:
            known = ", ".join(f"{part} -> {pattern}" for part, pattern in PATTERN_OF_NAME.items())
            errors.append(
                f"--classes: the name '{name}' has {'no' if not found else 'more than one'} pattern (parts of names: "
                f"{known}); add --patterns {name}=PATTERN, one of {', '.join(PATTERNS)}"
            )
        patterns.setdefault(name, found[0] if found else "")
    raise_all(list(dict.fromkeys(errors)))
    return {name: patterns[name] for name in classes}
