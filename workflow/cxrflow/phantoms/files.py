"""The file of a phantom: size, colour mode and format, which do not depend on its class."""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

SHORTER_SIDE = (250, 720)
LONGER_BY = (1.0, 1.25)
KINDS = (
    ("PNG", "L", "png"),
    ("PNG", "RGB", "png"),
    ("PNG", "RGBA", "png"),
    ("JPEG", "L", "jpeg"),
    ("JPEG", "RGB", "jpg"),
    ("JPEG", "RGB", "jpeg"),
)
JPEG_QUALITY = (80, 95)


@dataclass(frozen=True)
class FileForm:
    """Form of a film's file."""

    width: int
    height: int
    mode: str
    """A mode of Pillow: L, RGB or RGBA."""
    format: str
    """PNG or JPEG."""
    suffix: str
    quality: int
    """JPEG quality, 1 to 100."""


def draw_form(random: np.random.Generator) -> FileForm:
    """Draw a file's form at random: sizes from 250x250 to 720x900, portrait or landscape."""
    shorter = np.exp(random.uniform(*np.log(SHORTER_SIDE)))
    sides = [round(shorter), round(shorter * random.uniform(*LONGER_BY))]
    width, height = sides if random.random() < 0.5 else sides[::-1]
    file_format, mode, suffix = KINDS[random.integers(len(KINDS))]
    quality = int(random.integers(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1))
    return FileForm(width, height, mode, file_format, suffix, quality)


def encode(grey: npt.NDArray[np.uint8], form: FileForm) -> bytes:
    """Encode a film as an image file.

    Args:
        grey: grey levels (height, width), uint8; resized to the size of the form.
        form: form of the file.

    Returns:
        Bytes of the file, which depend only on the arguments and the version of Pillow.
    """
    picture = Image.fromarray(grey).resize((form.width, form.height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    if form.format == "PNG":
        picture.convert(form.mode).save(buffer, "PNG", compress_level=1)
    else:
        picture.convert(form.mode).save(buffer, "JPEG", quality=form.quality)
    return buffer.getvalue()
