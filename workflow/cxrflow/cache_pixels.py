"""Decode and resize the images of one class folder once, so that no training decodes them again.

With --store, each image's pixels are kept under the hash of its contents: one image more decodes one image, and what
index_images has put there is not decoded again.
"""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.images.decode import RESAMPLING, decode_image
from cxrflow.images.store import decoding_hash, keep_pixels, kept_pixels, stored_file
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import sha256_of_file, whole_file, write_table

AT_ONCE = 32  # images of each thread that are in memory: all of them would take 15 GB for 100,000 at 224 px


def cache_pixels(
    file: Path,
    root: Path,
    images: Sequence[tuple[str, str]],
    size: int,
    resampling: str,
    store: Path | None = None,
    workers: int = 1,
) -> int:
    """Write the pixels of some images as one array; memory holds a few of them at a time.

    Args:
        file: array to write (.npy), uint8 of shape (n, size, size, 3), values 0 to 255, in the order of `images`.
        root: the data set's folder.
        images: ids, that is POSIX paths under `root`, each with the SHA-256 of its contents (only a store asks for it).
        size: height and width in pixels.
        resampling: one of `cxrflow.images.decode.RESAMPLING`.
        store: folder of pixels of single images (see `cxrflow.images.store`), to take from and add to.
        workers: threads that decode.

    Returns:
        How many images were decoded.

    Raises:
        Fault: an image is not, or no longer, the one that was indexed.
    """
    decoding = decoding_hash() if store else ""

    def pixels_of(image: tuple[str, str]) -> tuple[NDArray[np.uint8], bool]:
        path, sha256 = root / image[0], image[1]
        if store is None:
            return decode_image(path, size, resampling), True
        stored = stored_file(store, size, resampling, sha256, decoding)
        if (kept := kept_pixels(stored, size)) is not None:
            return kept, False
        if sha256_of_file(path) != sha256:
            raise Fault(f"{path}: has changed since it was indexed; give the same command again")
        pixels = decode_image(path, size, resampling)
        keep_pixels(stored, pixels)
        return pixels, True

    decoded = 0
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(images), size, size, 3)}
    with (
        whole_file(file) as part,
        part.open("wb") as array,
        ThreadPoolExecutor(workers) as pool,
        warnings.catch_warnings(action="ignore"),  # index_images has looked at these files
    ):
        np.lib.format.write_array_header_1_0(array, header)
        for start in range(0, len(images), AT_ONCE * workers):
            for pixels, fresh in pool.map(pixels_of, images[start : start + AT_ONCE * workers]):
                array.write(np.ascontiguousarray(pixels).data)
                decoded += fresh
    return decoded


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="index of the images (Parquet)")
    parser.add_argument("--root", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--folder", required=True, help="class folder, such as train/covid")
    parser.add_argument("--size", type=int, required=True, help="height and width in pixels")
    parser.add_argument("--resampling", choices=sorted(RESAMPLING), required=True)
    parser.add_argument("--workers", type=int, default=1, help="threads that decode")
    parser.add_argument(
        "--pixels", type=Path, required=True, help="array to write (.npy); its rows are named in a CSV beside it"
    )
    parser.add_argument(
        "--store", type=Path, help="folder of decoded images, by their contents, to take from and add to"
    )
    args = parser.parse_args()
    index = pd.read_parquet(args.images, columns=["image", "folder", "status", "sha256"])
    rows = index[(index["folder"] == args.folder) & index["status"].isin(["ok", "changed"])]
    contents = list(rows[["image", "sha256"]].itertuples(index=False, name=None))
    decoded = cache_pixels(args.pixels, args.root, contents, args.size, args.resampling, args.store, args.workers)
    write_table(args.pixels.with_suffix(".csv"), rows[["image", "sha256"]])
    print(f"{args.folder}: {len(rows)} images at {args.size} px, {decoded} decoded")


if __name__ == "__main__":
    run_stage(main)
