"""Decode image files. PNG and JPEG with 8 bits per channel give the pixels of Keras' `load_img`.

docs/reference/image_formats.md describes all formats.

Files may be damaged in any way: each function returns pixels or raises a UserError, whose message follows the file's name.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin

from cxrflow.images.pixel_values import CONSTANT, TOO_LARGE, check_size, to_8_bits, value_range
from cxrflow.io.errors import UserError

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
"""Pillow's formats that are opened: the others run programs (EPS) or do not contain photographs."""

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
NAMED_MODES = {"P": "palette", "PA": "palette", "CMYK": "CMYK", "1": "1 bit"}
DEEP_COLOUR = "16 bits a channel in colour, by the upper 8"  # as Pillow, and so Keras, reads them

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


@dataclass(frozen=True)
class Header:
    """Size in pixels, Pillow's mode (or DICOM's photometric interpretation) and format of an image file.

    The fields of the patient are from a DICOM header (`cxrflow.images.dicom_patient`) and None if unknown.
    `jpeg_quantisation` is the mean of a JPEG's first quantisation table (luminance), 1 for the best quality; otherwise None.
    """

    width: int
    height: int
    mode: str
    format: str
    dicom_patient: str | None = None
    dicom_sex: str | None = None
    dicom_age: str | None = None
    dicom_view: str | None = None
    jpeg_quantisation: float | None = None


def decode_image(path: Path, size: int, resampling: str) -> NDArray[np.uint8]:
    """Decode an image file to RGB and resize it.

    The steps and their order are those of `keras.utils.load_img(path, color_mode="rgb", target_size=(size, size),
    interpolation=resampling)`: convert to RGB (an alpha channel is dropped, grey is repeated), then resize.

    Returns:
        uint8 array of shape (size, size, 3), values 0 to 255.

    Raises:
        UserError: the file cannot be used.
    """
    try:
        rgb, _ = read_image(path)
    except UserError as error:
        raise UserError(f"{path}: unreadable: {error}") from None
    return resized(rgb, size, resampling)


def resized(rgb: Image.Image, size: int, resampling: str) -> NDArray[np.uint8]:
    """Resize a decoded image to a uint8 array of shape (size, size, 3)."""
    if rgb.size != (size, size):
        rgb = rgb.resize((size, size), RESAMPLING[resampling])
    return np.asarray(rgb, dtype=np.uint8)


def read_header(path: Path) -> Header:
    """Read and check an image file's header, without decoding pixels.

    Raises:
        UserError: the file cannot be used; the message does not contain its name.
    """
    with _decoder_errors():
        _check_file(path)
        if _is_dicom(path):
            from cxrflow.images.dicom import (
                read_dicom_header,  # its import takes half a second, which most data sets do not need
            )

            return Header(*read_dicom_header(path))
        with _opened(path) as image:
            quantisation = _jpeg_quantisation(image)
            return Header(image.width, image.height, image.mode, str(image.format), jpeg_quantisation=quantisation)


def read_image(path: Path) -> tuple[Image.Image, list[str]]:
    """Decode an image file to RGB, without resizing it.

    Returns:
        The image, and the conversions of its pixels; none for grey or RGB of 8 bits.

    Raises:
        UserError: the file cannot be used; the message does not contain its name.
    """
    read_header(path)
    with _decoder_errors():
        if _is_dicom(path):
            from cxrflow.images.dicom import read_dicom

            values, conversions = read_dicom(path)
            rgb = Image.fromarray(values).convert("RGB")
        else:
            with _opened(path) as image:
                conversions = _conversions(image)
                image.load()
                conversions += _exif_remarks(image)
                grey = Image.fromarray(_deep_to_grey(image)) if image.mode in DEEP_MODES else image
                rgb = grey.convert("RGB")
            if DEEP_COLOUR in conversions and max(high for _, high in _extrema(rgb)) < 64:
                raise UserError(
                    "16 bits per channel in colour, of which the upper 8 are used, but they are almost empty"
                )
        if _is_constant(rgb):
            raise UserError(CONSTANT)
    return rgb, conversions


def _is_constant(rgb: Image.Image) -> bool:
    some = rgb.resize((16, 16), Image.Resampling.NEAREST)  # decides almost all pictures in a fifth of the time
    return all(all(low == high for low, high in _extrema(part)) for part in (some, rgb))


def _extrema(rgb: Image.Image) -> tuple[tuple[int, int], ...]:
    """Return the smallest and largest value of each channel."""
    return cast(tuple[tuple[int, int], ...], rgb.getextrema())


@contextmanager
def _decoder_errors() -> Iterator[None]:
    """Convert everything that decoders raise for damaged files to a UserError."""
    try:
        yield
    except (UserError, ImportError):  # a missing package is not an error of the image
        raise
    except Image.DecompressionBombError:
        raise UserError(f"has {TOO_LARGE}") from None
    except OSError as error:
        words = f"read: {error.strerror}" if error.strerror else f"decoded: {error}"
        raise UserError(f"cannot be {words}") from error
    except Exception as error:  # undocumented, and different by format and version
        words = " ".join(str(error).split())
        raise UserError(f"cannot be decoded: {type(error).__name__}{': ' if words else ''}{words}") from error


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UserError("a broken link" if path.is_symlink() else "no such file") from None
    if stat.S_ISDIR(status.st_mode):
        raise UserError("a folder, not an image")
    if not stat.S_ISREG(status.st_mode):
        raise UserError("a pipe, socket or device, not an image")
    if status.st_size == 0:
        raise UserError("empty (0 bytes)")


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """Open an image file with Pillow and check its header."""
    try:
        opened = Image.open(path, formats=FORMATS)
    except Image.UnidentifiedImageError:
        with path.open("rb") as file:
            start = file.read(12)
        raise UserError(f"not PNG, JPEG, TIFF, WebP, BMP or DICOM, or damaged in its first bytes, {start!r}") from None
    with opened as image:
        check_size(image.width, image.height)
        if getattr(image, "is_animated", False):
            raise UserError("holds several pictures (pages, or an animation); save the right one as a separate file")
        yield image


def _jpeg_quantisation(image: ImageFile.ImageFile) -> float | None:
    """Return the mean of the table that JPEG uses for luminance, by convention the first one; None without it."""
    table = getattr(image, "quantization", {}).get(0)
    return sum(table) / len(table) if table else None


def _conversions(image: ImageFile.ImageFile) -> list[str]:
    found = [NAMED_MODES[image.mode]] if image.mode in NAMED_MODES else []
    if image.mode in DEEP_MODES:
        found.append("more than 8 bits, by its own range")
        found += ["negative turned positive"] if _is_deep_negative(image) else []
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La"):
        found.append("alpha channel dropped")
    # The tile of a PNG or TIFF describes the stored pixels; it is deleted when they are read.
    if image.format in ("PNG", "TIFF") and image.mode not in DEEP_MODES and ";16" in str(image.tile):
        found.append(DEEP_COLOUR)
    return found


def _exif_remarks(image: Image.Image) -> list[str]:
    """Report EXIF data that would rotate the image: like Keras, we use pixels as they are stored."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - as above; Pillow can read the pixels without EXIF
        return ["EXIF not readable"]
    return [] if orientation == 1 else ["EXIF orientation not applied"]


def _deep_to_grey(image: Image.Image) -> NDArray[np.uint8]:
    """Scale an image with one deep channel to (height, width), its smallest value to 0 and its largest to 255."""
    values = np.asarray(image)
    if image.mode == "I" and _tiff_tag(image, TiffImagePlugin.SAMPLEFORMAT, (1,)) == (1,):
        values = values.view(np.uint32)  # unsigned integers, which Pillow reads as signed ones
    grey = to_8_bits(values, *value_range(values))
    return 255 - grey if _is_deep_negative(image) else grey


def _is_deep_negative(image: Image.Image) -> bool:
    """Whether a deep TIFF stores white as 0: Pillow inverts such files only up to 8 bits."""
    return bool(_tiff_tag(image, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0)


def _tiff_tag(image: Image.Image, tag: int, default: object = None) -> object:
    return image.tag_v2.get(tag, default) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
