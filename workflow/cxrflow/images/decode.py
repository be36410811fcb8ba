"""Image files to pixels, as Keras' `load_img` does it."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg")

# Pillow's modes of 8 bits a channel or fewer. Deeper ones (I;16, I, F) are clipped to white by its conversion to RGB.
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


def decode_image(path: Path, size: int, resampling: str) -> NDArray[np.uint8]:
    """Decode an image file to RGB and resize it.

    The steps and their order are those of `keras.utils.load_img(path, color_mode="rgb", target_size=(size, size),
    interpolation=resampling)`: convert to RGB (an alpha channel is dropped, grey is repeated), then resize.

    Returns:
        uint8 array of shape (size, size, 3), values 0 to 255.

    Raises:
        OSError: the file cannot be decoded.
    """
    with Image.open(path) as image:
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        if rgb.size != (size, size):
            rgb = rgb.resize((size, size), RESAMPLING[resampling])
        return np.asarray(rgb, dtype=np.uint8)


def header_and_fault(path: Path) -> tuple[dict[str, object], str]:
    """Width, height, mode and format of an image file, and why it cannot be decoded (an empty text when it can).

    The whole file is decoded, since a file that is cut off has a perfect header.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of images that are suspiciously large; here that is a fault like any other.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                header = {
                    "width": image.width,
                    "height": image.height,
                    "mode": image.mode,
                    "format": image.format,
                }
                image.load()
                if image.mode not in MODES:
                    return (
                        header,
                        f"mode {image.mode}: more than 8 bits a channel would be clipped; convert it to 8 bits",
                    )
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow raises all of these on files that are not, or no longer, images.
        return {}, " ".join(str(error).split()) or type(error).__name__
    return header, ""
