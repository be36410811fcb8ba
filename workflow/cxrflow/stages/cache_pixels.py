"""Decode and resize the images of one class folder once, for all trainings.

With --store, the pixels of each image are kept under the hash of its contents, so only new images are decoded. Pixels that
index_images has put there are also used.
"""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.images.store import decoding_hash, pixels_of_file, remove_abandoned_pixels
from cxrflow.io.command import add_settings, run_stage, stage_parser
from cxrflow.io.files import whole_file, write_table
from cxrflow.io.words import counted
from cxrflow.study.models import PixelSettings

AT_ONCE = 32  # images per thread in memory: 100,000 images at 224 px would take 15 GB


def cache_pixels(
    file: Path,
    root: Path,
    images: Sequence[tuple[str, str]],
    size: int,
    resampling: str,
    store: Path | None = None,
    workers: int = 1,
) -> int:
    """Write the pixels of some images as one array; memory holds a few images at a time.

    Args:
        file: array to write (.npy), uint8 of shape (n, size, size, 3), values 0 to 255, in the order of `images`.
        root: folder of the images.
        images: ids (POSIX paths relative to `root`), each with the SHA-256 of its contents (used only with a store).
        size: height and width in pixels.
        resampling: one of `cxrflow.images.decode.RESAMPLING`.
        store: folder of the pixels of single images (see `cxrflow.images.store`), to read and update.
        workers: number of threads that decode.

    Returns:
        Number of decoded images.

    Raises:
        UserError: an image has changed since it was indexed.
    """
    decoding = decoding_hash() if store else ""
    if store:
        remove_abandoned_pixels(store)

    def pixels_of(image: tuple[str, str]) -> tuple[NDArray[np.uint8], bool]:
        return pixels_of_file(root / image[0], image[1], size, resampling, store, decoding)

    decoded = 0
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(images), size, size, 3)}
    with (
        whole_file(file) as part,
        part.open("wb") as array,
        ThreadPoolExecutor(workers) as pool,
        warnings.catch_warnings(action="ignore"),  # index_images has reported on these files
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
    parser.add_argument("--root", type=Path, required=True, help="folder of the images")
    parser.add_argument("--folder", required=True, help="class folder, such as train/normal")
    parser.add_argument("--size", type=int, required=True, help="height and width in pixels")
    add_settings(parser, PixelSettings)
    parser.add_argument("--workers", type=int, default=1, help="threads that decode (default: %(default)s)")
    parser.add_argument(
        "--pixels", type=Path, required=True, help="array to write (.npy); a CSV in the same folder names its rows"
    )
    parser.add_argument("--store", type=Path, help="folder of decoded images to use and update")
    args = parser.parse_args()
    index = pd.read_parquet(args.images, columns=["image", "folder", "status", "sha256"])
    rows = index[(index["folder"] == args.folder) & index["status"].isin(["ok", "changed"])]
    contents = list(rows[["image", "sha256"]].itertuples(index=False, name=None))
    decoded = cache_pixels(
        args.pixels, args.root, contents, args.size, args.settings.resampling, args.store, args.workers
    )
    write_table(args.pixels.with_suffix(".csv"), rows[["image", "sha256"]])
    print(f"{args.folder}: {counted(len(rows), 'image')} at {args.size} px, {decoded} decoded")


if __name__ == "__main__":
    run_stage(main)
