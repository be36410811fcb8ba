"""Small generated images for unit tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = ("covid", "normal")


def draw_png(path: Path, seed: int, size: tuple[int, int] = (40, 30), mode: str = "L") -> None:
    """Draw a PNG of noise, the same for the same seed."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values, mode).save(path)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """train/ and test/ with two classes: 7 and 6 training images, 2 test images each."""
    root = tmp_path / "images"
    for place, name in enumerate(CLASSES):
        for number in range(7 - place):
            draw_png(root / "train" / name / f"{name}_{number}.png", 100 * place + number)
        for number in range(2):
            draw_png(root / "test" / name / f"{name}_t{number}.png", 1000 + 100 * place + number, mode="RGB")
    return root


@pytest.fixture
def draw() -> Callable[..., None]:
    """`draw(path, seed, size, mode)` writes a PNG of noise."""
    return draw_png
