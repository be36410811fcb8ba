"""Image files to pixels. PNG and JPEG of 8 bits a channel give what Keras' `load_img` gives; docs/images.md has the rest.

Decoders meet whatever people bring: each outcome here is pixels or a Fault, whose message goes behind the file's name.
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

from cxrflow.images.grey import own_range, to_8_bits
from cxrflow.images.limits import CONSTANT, TOO_LARGE, check_size
from cxrflow.stage.faults import Fault

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
"""Those of Pillow that are opened at all: others run programs (EPS) or hold no photograph."""

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
NAMED_MODES = {"P": "palette", "PA": "palette", "CMYK": "CMYK", "1": "1 bit"}
DEEP_COLOUR = "16 bits a channel in colour, by the upper 8"  # as Pillow and so Keras read them, one of the study's, too

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
    """What an image file says of itself: size in pixels, Pillow's mode (or DICOM's photometric interpretation), format."""

    width: int
    height: int
    mode: str
    format: str


def decode_image(path: Path, size: int, resampling: str) -> NDArray[np.uint8]:
    """Decode an image file to RGB and resize it.

    The steps and their order are those of `keras.utils.load_img(path, color_mode="rgb", target_size=(size, size),
    interpolation=resampling)`: convert to RGB (an alpha channel is dropped, grey is repeated), then resize.

    Returns:
        uint8 array of shape (size, size, 3), values 0 to 255.

    Raises:
        Fault: the file cannot be used.
    """
    try:
        rgb, _ = read_image(path)
    except Fault as fault:
        raise Fault(f"{path}: unreadable: {fault}") from None
    return resized(rgb, size, resampling)


def resized(rgb: Image.Image, size: int, resampling: str) -> NDArray[np.uint8]:
    """A decoded image as uint8 array of shape (size, size, 3)."""
    if rgb.size != (size, size):
        rgb = rgb.resize((size, size), RESAMPLING[resampling])
    return np.asarray(rgb, dtype=np.uint8)


def read_header(path: Path) -> Header:
    """Read an image file's header, and check what can be told from it, without decoding a pixel.

    Raises:
        Fault: the file cannot be used; its name is not part of the message.
    """
    with _decoder_faults():
        _check_file(path)
        if _is_dicom(path):
            from cxrflow.images.dicom import read_dicom_header  # half a second that most data sets need not spend

            return Header(*read_dicom_header(path))
        with _opened(path) as image:
            return Header(image.width, image.height, image.mode, str(image.format))


def read_image(path: Path) -> tuple[Image.Image, list[str]]:
    """Decode an image file to RGB in its own size.

    Returns:
        The image, and how its pixels were converted, for those that are not grey or RGB of 8 bits.

    Raises:
        Fault: the file cannot be used; its name is not part of the message.
    """
    read_header(path)
    with _decoder_faults():
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
                raise Fault(
                    "16 bits a channel in colour, of which the upper 8 are taken, and they hold next to nothing"
                )
        if _is_constant(rgb):
            raise Fault(CONSTANT)
    return rgb, conversions


def _is_constant(rgb: Image.Image) -> bool:
    some = rgb.resize((16, 16), Image.Resampling.NEAREST)  # nearly all pictures are told by these: a fifth of the time
    return all(all(low == high for low, high in _extrema(part)) for part in (some, rgb))


def _extrema(rgb: Image.Image) -> tuple[tuple[int, int], ...]:
    """Smallest and largest value of each channel."""
    return cast(tuple[tuple[int, int], ...], rgb.getextrema())


@contextmanager
def _decoder_faults() -> Iterator[None]:
    """Whatever a decoder raises on damaged bytes, as a Fault."""
    try:
        yield
    except (Fault, ImportError):  # a package that is not installed is no fault of the image
        raise
    except Image.DecompressionBombError:
        raise Fault(f"has {TOO_LARGE}") from None
    except OSError as error:
        words = f"read: {error.strerror}" if error.strerror else f"decoded: {error}"
        raise Fault(f"cannot be {words}") from error
    except Exception as error:  # decoders do not say what they raise, and it differs by format and version
        words = " ".join(str(error).split())
        raise Fault(f"cannot be decoded: {type(error).__name__}{': ' if words else ''}{words}") from error


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise Fault("a link that leads nowhere" if path.is_symlink() else "no such file") from None
    if stat.S_ISDIR(status.st_mode):
        raise Fault("a folder, not an image")
    if not stat.S_ISREG(status.st_mode):
        raise Fault("a pipe, socket or device, not an image")
    if status.st_size == 0:
        raise Fault("empty (0 bytes)")


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """An image file that Pillow can open, its header checked."""
    try:
        opened = Image.open(path, formats=FORMATS)
    except Image.UnidentifiedImageError:
        with path.open("rb") as file:
            beginning = file.read(12)
        raise Fault(
            f"not PNG, JPEG, TIFF, WebP, BMP or DICOM, or damaged in its first bytes; it begins with {beginning!r}"
        ) from None
    with opened as image:
        check_size(image.width, image.height)
        if getattr(image, "is_animated", False):
            raise Fault(
                "holds several pictures (pages, or an animation); save the one that counts as a file of its own"
            )
        yield image


def _conversions(image: ImageFile.ImageFile) -> list[str]:
    found = [NAMED_MODES[image.mode]] if image.mode in NAMED_MODES else []
    if image.mode in DEEP_MODES:
        found.append("more than 8 bits, by its own range")
        found += ["negative turned positive"] if _is_deep_negative(image) else []
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La"):
        found.append("alpha channel dropped")
    # A PNG or TIFF tells by its tile what is read; once it is read the tile is gone.
    if image.format in ("PNG", "TIFF") and image.mode not in DEEP_MODES and ";16" in str(image.tile):
        found.append(DEEP_COLOUR)
    return found


def _exif_remarks(image: Image.Image) -> list[str]:
    """Keras leaves EXIF alone, and so do we: pixels are taken as they are stored. That is said where it matters."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - as above; Pillow reads pixels whatever the EXIF is
        return ["EXIF not readable"]
    return [] if orientation == 1 else ["EXIF orientation not applied"]


def _deep_to_grey(image: Image.Image) -> NDArray[np.uint8]:
    """A decoded image of one deep channel, shape (height, width), its smallest value as 0 and its largest as 255."""
    values = np.asarray(image)
    if image.mode == "I" and _tiff_tag(image, TiffImagePlugin.SAMPLEFORMAT, (1,)) == (1,):
        values = values.view(np.uint32)  # whole numbers without a sign, which Pillow takes for signed ones
    grey = to_8_bits(values, *own_range(values))
    return 255 - grey if _is_deep_negative(image) else grey


def _is_deep_negative(image: Image.Image) -> bool:
    """Whether a deep TIFF is written with white as 0: Pillow inverts such files of 8 bits and fewer alone."""
    return bool(_tiff_tag(image, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0)


def _tiff_tag(image: Image.Image, tag: int, default: object = None) -> object:
    return image.tag_v2.get(tag, default) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
