"""The file of a phantom: its size, colour mode and format, which have nothing to do with what is drawn on it."""

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
    """What kind of file a film becomes."""

    width: int
    height: int
    mode: str
    """A mode of Pillow: L, RGB or RGBA."""
    format: str
    """PNG or JPEG."""
    suffix: str
    quality: int
    """Of JPEG."""


def draw_form(random: np.random.Generator) -> FileForm:
    """A file's form: sizes from 250x250 to 720x900, upright and across alike."""
    shorter = np.exp(random.uniform(*np.log(SHORTER_SIDE)))
    sides = [round(shorter), round(shorter * random.uniform(*LONGER_BY))]
    width, height = sides if random.random() < 0.5 else sides[::-1]
    file_format, mode, suffix = KINDS[random.integers(len(KINDS))]
    quality = int(random.integers(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1))
    return FileForm(width, height, mode, file_format, suffix, quality)


def encode(grey: npt.NDArray[np.uint8], form: FileForm) -> bytes:
    """The bytes of a film's file.

    Args:
        grey: (height, width) grey levels of any size; they are enlarged or reduced to the form's.
        form: of the file.

    Returns:
        The same bytes for the same arguments and the same Pillow.
    """
    picture = Image.fromarray(grey).resize((form.width, form.height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    if form.format == "PNG":
        picture.convert(form.mode).save(buffer, "PNG", compress_level=1)
    else:
        picture.convert(form.mode).save(buffer, "JPEG", quality=form.quality)
    return buffer.getvalue()
