"""How an image looks, in three numbers: what a network may notice before it notices lungs."""

import numpy as np
from PIL import Image

LOOKS = ("brightness", "contrast", "colour")
SIDE = 64
"""The numbers are those of SIDE x SIDE pixels, taken evenly: they cost nothing beside decoding."""


def looks_of(rgb: Image.Image) -> dict[str, float]:
    """Brightness (mean), contrast (standard deviation) and colour of an RGB image, each 0 to 255, to two digits.

    Colour is the mean difference between a pixel's largest and smallest channel: 0 for grey.
    """
    values = np.asarray(rgb.resize((SIDE, SIDE), Image.Resampling.NEAREST), dtype=np.int64)
    grey = values.mean(axis=2)
    spread = values.max(axis=2) - values.min(axis=2)
    numbers = (float(grey.mean()), float(grey.std()), float(spread.mean()))
    return {name: round(number, 2) for name, number in zip(LOOKS, numbers, strict=True)}
