"""A store of decoded pixels, an image a file, under the hash of the image's contents: no image is decoded twice.

A file begins with a hash of its pixels, so that one that a power cut has left in parts is told from a whole one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrflow.images.decode import resized
from cxrflow.stage.code_hash import code_hash
from cxrflow.stage.files import canonical_json, sha256_of_text, whole_file

DIGEST = 16  # bytes
DECODERS = ("numpy", "pillow", "pydicom", "pylibjpeg-openjpeg", "imagecodecs")


@dataclass(frozen=True)
class Store:
    """Where pixels are kept while images are decoded, and in which form."""

    folder: Path
    sizes: Sequence[int]
    resampling: str


def decoding_hash() -> str:
    """Eight hexadecimal digits for the code and the packages that decode images now."""
    decoder = {"code": code_hash("cxrflow.images.decode"), "versions": {name: version(name) for name in DECODERS}}
    return sha256_of_text(canonical_json(decoder))[:8]


def stored_file(store: Path, size: int, resampling: str, sha256: str, decoding: str) -> Path:
    """Where the pixels of an image are, or would be.

    Args:
        store: the store's folder.
        size: height and width in pixels.
        resampling: one of `cxrflow.images.decode.RESAMPLING`.
        sha256: of the image's contents.
        decoding: `decoding_hash()`.
    """
    return store / f"{size}_{resampling}_{decoding}" / sha256[:2] / f"{sha256}.pixels"


def keep_pixels(file: Path, pixels: NDArray[np.uint8]) -> None:
    """Put the pixels of an image, shape (size, size, 3), into the store."""
    contents = pixels.tobytes()
    with whole_file(file, durable=False) as part:
        part.write_bytes(_digest(contents) + contents)


def kept_pixels(file: Path, size: int) -> NDArray[np.uint8] | None:
    """The pixels of an image, shape (size, size, 3), or None where the store does not have them, or not whole."""
    if not file.is_file():
        return None
    contents = file.read_bytes()
    digest, pixels = contents[:DIGEST], contents[DIGEST:]
    if len(pixels) != size * size * 3 or _digest(pixels) != digest:
        return None
    return np.frombuffer(pixels, np.uint8).reshape(size, size, 3)


def keep_sizes(store: Store, sha256: str, rgb: Image.Image, decoding: str) -> None:
    """Put a decoded image into the store, in each of its sizes that is not there yet."""
    for size in store.sizes:
        file = stored_file(store.folder, size, store.resampling, sha256, decoding)
        if not file.is_file():
            keep_pixels(file, resized(rgb, size, store.resampling))


def _digest(pixels: bytes) -> bytes:
    return blake2b(pixels, digest_size=DIGEST).digest()
