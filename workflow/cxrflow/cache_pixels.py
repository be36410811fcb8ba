"""Decode and resize the images of one class folder once, so that no training decodes them again."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.images.decode import RESAMPLING, decode_image
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.files import whole_file, write_table


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
    args = parser.parse_args()
    index = pd.read_parquet(args.images)
    rows = index[(index["folder"] == args.folder) & index["status"].isin(["ok", "changed"])]
    pixels = cache_pixels(args.root, rows["image"].tolist(), args.size, args.resampling)
    write_table(args.pixels.with_suffix(".csv"), rows[["image", "sha256"]])
    with whole_file(args.pixels) as part:
        np.save(part, pixels, allow_pickle=False)
    print(f"{args.folder}: {len(rows)} images at {args.size} px")


if __name__ == "__main__":
    run_stage(main)
