"""Write an image as the network gets it in an epoch: augmented, but before preprocessing.

The picture is a PNG of the decoded size. Values are rounded to whole grey levels, halves to even; the network gets them
unrounded. With --original, the picture before augmentation is on its left.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cxrflow.augmentation.draw import NUMBERS
from cxrflow.augmentation.manifest import read_epoch
from cxrflow.augmentation.transform import transformed_picture
from cxrflow.images.pixels import open_pixels
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.files import whole_file
from cxrflow.io.words import did_you_mean


def row_of(rows: pd.DataFrame, image: str, subset: str | None = None) -> pd.Series:
    """Find the row of an image in an epoch.

    Args:
        rows: manifest rows of the epoch, of both subsets.
        image: image id.
        subset: "training" or "validation"; None for the subset of the image.

    Raises:
        UserError: the rows do not contain the image, or it is in the other subset.
    """
    found = rows[rows["image"] == image]
    if found.empty:
        raise UserError(
            f"--image: the manifest has no image '{image}'{did_you_mean(image, rows['image'])} "
            "(it contains the training and validation images of its task; test images are not augmented)"
        )
    if subset is not None and subset not in set(found["subset"]):
        raise UserError(f"--subset: {image} is not a {subset} image; it is a {found['subset'].item()} image")
    return (found if subset is None else found[found["subset"] == subset]).iloc[0]


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="augmentation manifest (Parquet)")
    parser.add_argument(
        "--pixels", type=Path, nargs="+", required=True, help="decoded pixels (.npy) that contain the image"
    )
    parser.add_argument("--image", required=True, help="image id, such as train/normal/a.png")
    parser.add_argument("--epoch", type=int, required=True, help="epoch, counted from 1")
    parser.add_argument(
        "--subset", choices=("training", "validation"), help="subset that the image must belong to (default: either)"
    )
    parser.add_argument("--picture", type=Path, required=True, help="picture to write (PNG)")
    parser.add_argument("--original", action="store_true", help="put the picture before augmentation on the left")
    args = parser.parse_args()
    if args.picture.suffix.lower() != ".png":
        raise UserError(f"--picture: {args.picture}: pictures are written as PNG; choose a name that ends in .png")
    row = row_of(read_epoch(args.manifest, args.epoch), args.image, args.subset)
    pixels = open_pixels(args.pixels)
    if args.image not in pixels:
        folder = args.image.rpartition("/")[0]
        raise UserError(f"--pixels: these files do not contain {args.image}; use those of {folder}, {folder}.npy")
    original = np.asarray(pixels[args.image])
    augmented = transformed_picture(original, row.to_dict())
    with whole_file(args.picture) as part:
        Image.fromarray(np.hstack([original, augmented]) if args.original else augmented).save(part, format="PNG")
    numbers = ", ".join(f"{name} {row[name]:g}" for name in NUMBERS)
    print(f"{args.image} in epoch {args.epoch}, {row['subset']}, position {row['position']}: {numbers}")


if __name__ == "__main__":
    run_stage(main)
