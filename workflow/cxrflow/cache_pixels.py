"""Decode and resize the images of one class folder once, so that no training decodes them again.

With --store, each image's pixels are kept under the hash of its contents: one image more decodes one image.
"""

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.images.decode import RESAMPLING, decode_image
from cxrflow.stage.code_hash import code_hash
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import canonical_json, sha256_of_file, sha256_of_text, whole_file, write_table

DECODERS = ("numpy", "pillow", "pydicom", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg")


def cache_pixels(root: Path, images: list[str], size: int, resampling: str) -> NDArray[np.uint8]:
    """Pixels of some images.

    Args:
        root: the data set's folder.
        images: ids, that is POSIX paths under `root`.
        size: height and width in pixels.
        resampling: one of `cxrflow.images.decode.RESAMPLING`.

    Returns:
        uint8 array of shape (n, size, size, 3), values 0 to 255, in the order of `images`.

    Raises:
        Fault: an image cannot be used (it has changed since it was indexed).
    """
    pixels = np.empty((len(images), size, size, 3), dtype=np.uint8)
    with warnings.catch_warnings(action="ignore"):  # index_images has looked at these files
        for row, image in enumerate(images):
            pixels[row] = decode_image(root / image, size, resampling)
    return pixels


def stored_pixels(
    root: Path, images: Sequence[tuple[str, str]], size: int, resampling: str, store: Path
) -> tuple[NDArray[np.uint8], int]:
    """Pixels of some images, from a store where they are there.

    Args:
        root: the data set's folder.
        images: ids and the SHA-256 of their contents.
        size, resampling: see `cache_pixels`.
        store: folder of the pixels of single images, by contents, size, resampling, and all that decodes.

    Returns:
        As `cache_pixels`, and how many images were decoded.

    Raises:
        Fault: an image is not, or no longer, the one that was indexed.
    """
    decoded = 0
    folder = store / _way_of_decoding(size, resampling)
    pixels = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for row, (image, sha256) in enumerate(images):
        file = folder / sha256[:2] / f"{sha256}.npy"
        if not file.is_file():
            if sha256_of_file(root / image) != sha256:
                raise Fault(f"{root / image}: has changed since it was indexed; give the same command again")
            with whole_file(file) as part:
                np.save(part, cache_pixels(root, [image], size, resampling)[0], allow_pickle=False)
            decoded += 1
        pixels[row] = np.load(file, allow_pickle=False)
    return pixels, decoded


def _way_of_decoding(size: int, resampling: str) -> str:
    """A folder's name for a size and a resampling, and the code and packages that decode now."""
    decoder = {"code": code_hash("cxrflow.images.decode"), "versions": {name: version(name) for name in DECODERS}}
    return f"{size}_{resampling}_{sha256_of_text(canonical_json(decoder))[:8]}"


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="index of the images (Parquet)")
    parser.add_argument("--root", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--folder", required=True, help="class folder, such as train/covid")
    parser.add_argument("--size", type=int, required=True, help="height and width in pixels")
    parser.add_argument("--resampling", choices=sorted(RESAMPLING), required=True)
    parser.add_argument(
        "--pixels", type=Path, required=True, help="array to write (.npy); its rows are named in a CSV beside it"
    )
    parser.add_argument(
        "--store", type=Path, help="folder of decoded images, by their contents, to take from and add to"
    )
    args = parser.parse_args()
    index = pd.read_parquet(args.images)
    rows = index[(index["folder"] == args.folder) & index["status"].isin(["ok", "changed"])]
    if args.store:
        contents = list(rows[["image", "sha256"]].itertuples(index=False, name=None))
        pixels, decoded = stored_pixels(args.root, contents, args.size, args.resampling, args.store)
    else:
        pixels, decoded = cache_pixels(args.root, rows["image"].tolist(), args.size, args.resampling), len(rows)
    write_table(args.pixels.with_suffix(".csv"), rows[["image", "sha256"]])
    with whole_file(args.pixels) as part:
        np.save(part, pixels, allow_pickle=False)
    print(f"{args.folder}: {len(rows)} images at {args.size} px, {decoded} decoded")


if __name__ == "__main__":
    run_stage(main)
