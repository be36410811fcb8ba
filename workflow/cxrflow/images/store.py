"""Store the decoded pixels of each image under the hash of its contents, so that no image is decoded twice.

Each file starts with a hash of its pixels, which reveals files that were damaged by a power cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrflow.images.decode import decode_image, resized
from cxrflow.io.code_hash import code_hash
from cxrflow.io.errors import UserError
from cxrflow.io.files import PARTS, canonical_json, remove_abandoned, sha256_of_file, sha256_of_text, whole_file

DIGEST = 16  # bytes
DECODERS = ("numpy", "pillow", "pydicom", "pylibjpeg-openjpeg", "imagecodecs")


@dataclass(frozen=True)
class Store:
    """A folder of decoded pixels, and the sizes (in pixels) and resampling to store."""

    folder: Path
    sizes: Sequence[int]
    resampling: str


def decoding_hash() -> str:
    """Hash the current code and packages that decode images: eight hexadecimal digits."""
    decoder = {"code": code_hash("cxrflow.images.decode"), "versions": {name: version(name) for name in DECODERS}}
    return sha256_of_text(canonical_json(decoder))[:8]


def stored_file(store: Path, size: int, resampling: str, sha256: str, decoding: str) -> Path:
    """Return the path of an image's pixels, whether it exists or not.

    Args:
        store: folder of the store.
        size: height and width in pixels.
        resampling: one of `cxrflow.images.decode.RESAMPLING`.
        sha256: hash of the image's contents.
        decoding: from `decoding_hash`.
    """
    return store / f"{size}_{resampling}_{decoding}" / sha256[:2] / f"{sha256}.pixels"


def remove_abandoned_pixels(store: Path) -> None:
    """Delete the incomplete files of killed processes from a store."""
    remove_abandoned(store.glob(f"*/*/{PARTS}"))


def keep_pixels(file: Path, pixels: NDArray[np.uint8]) -> None:
    """Write the pixels of an image, shape (size, size, 3), to the store."""
    contents = pixels.tobytes()
    with whole_file(file, durable=False) as part:
        part.write_bytes(_digest(contents) + contents)


def kept_pixels(file: Path, size: int) -> NDArray[np.uint8] | None:
    """Read the pixels of an image, shape (size, size, 3), or None if they are missing or damaged."""
    if not file.is_file():
        return None
    contents = file.read_bytes()
    digest, pixels = contents[:DIGEST], contents[DIGEST:]
    if len(pixels) != size * size * 3 or _digest(pixels) != digest:
        return None
    return np.frombuffer(pixels, np.uint8).reshape(size, size, 3)


def pixels_of_file(
    path: Path, sha256: str, size: int, resampling: str, store: Path | None, decoding: str
) -> tuple[NDArray[np.uint8], bool]:
    """Read the pixels of an image from the store, or decode it and add them to the store.

    Args:
        path: image file.
        sha256: hash of its contents when it was indexed.
        size: height and width in pixels.
        resampling: one of `cxrflow.images.decode.RESAMPLING`.
        store: folder of the store; None: the image is decoded in any case.
        decoding: from `decoding_hash`.

    Returns:
        Pixels of shape (size, size, 3), and whether the image was decoded.

    Raises:
        UserError: the image has changed since it was indexed.
    """
    if store is None:
        return decode_image(path, size, resampling), True
    stored = stored_file(store, size, resampling, sha256, decoding)
    if (kept := kept_pixels(stored, size)) is not None:
        return kept, False
    if sha256_of_file(path) != sha256:
        raise UserError(f"{path}: has changed since it was indexed; run the same command again")
    pixels = decode_image(path, size, resampling)
    keep_pixels(stored, pixels)
    return pixels, True


def keep_sizes(store: Store, sha256: str, rgb: Image.Image, decoding: str) -> None:
    """Write a decoded image to the store, in each size that it does not have yet."""
    for size in store.sizes:
        file = stored_file(store.folder, size, store.resampling, sha256, decoding)
        if not file.is_file():
            keep_pixels(file, resized(rgb, size, store.resampling))


def _digest(pixels: bytes) -> bytes:
    return blake2b(pixels, digest_size=DIGEST).digest()
