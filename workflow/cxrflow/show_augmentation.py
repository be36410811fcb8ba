"""Write the picture of an image that the network sees in an epoch: what enters it, before any preprocessing.

A PNG of the decoded size, without title or frame. Values are rounded to whole grey levels, halves to the even one; the network
gets them unrounded. With --original, the picture that was not augmented stands to the left, with nothing between.
"""

from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cxrflow.augmentation.draw import NUMBERS
from cxrflow.augmentation.manifest import read_epoch
from cxrflow.augmentation.picture import seen_picture
from cxrflow.images.pixels import open_pixels
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import whole_file


def row_of(rows: pd.DataFrame, image: str, subset: str | None = None) -> pd.Series:
    """The row of an image among those of an epoch.

    Args:
        rows: manifest rows of one epoch, of both subsets.
        image: image id.
        subset: "training" or "validation"; None takes the one that the image belongs to.

    Raises:
        Fault: the rows do not have the image, or have it in the other subset.
    """
    found = rows[rows["image"] == image]
    if found.empty:
        near = get_close_matches(image, rows["image"], n=3, cutoff=0.4)
        raise Fault(
            f"--image: the manifest has no image '{image}'{'; nearest: ' + ', '.join(near) if near else ''} "
            "(it has the training and validation images of its task; test images are not augmented)"
        )
    if subset is not None and subset not in set(found["subset"]):
        raise Fault(f"--subset: {image} is no {subset} image; it is one of {found['subset'].item()}")
    return (found if subset is None else found[found["subset"] == subset]).iloc[0]


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="augmentation manifest (Parquet)")
    parser.add_argument("--pixels", type=Path, nargs="+", required=True, help="decoded pixels (.npy) with the image")
    parser.add_argument("--image", required=True, help="image id, such as train/covid/a.png")
    parser.add_argument("--epoch", type=int, required=True, help="counted from 1")
    parser.add_argument("--subset", choices=("training", "validation"), help="that the image must belong to")
    parser.add_argument("--picture", type=Path, required=True, help="picture to write (.png)")
    parser.add_argument("--original", action="store_true", help="put the picture before augmentation to the left")
    args = parser.parse_args()
    if args.picture.suffix.lower() != ".png":
        raise Fault(f"--picture: {args.picture}: pictures are written as PNG; name a file that ends in .png")
    row = row_of(read_epoch(args.manifest, args.epoch), args.image, args.subset)
    pixels = open_pixels(args.pixels)
    if args.image not in pixels:
        folder = args.image.rpartition("/")[0]
        raise Fault(f"--pixels: no pixels of {args.image} in these files; name those of {folder}, {folder}.npy")
    original = np.asarray(pixels[args.image])
    seen = seen_picture(original, row.to_dict())
    with whole_file(args.picture) as part:
        Image.fromarray(np.hstack([original, seen]) if args.original else seen).save(part, format="PNG")
    numbers = ", ".join(f"{name} {row[name]:g}" for name in NUMBERS)
    print(f"{args.image} in epoch {args.epoch}, {row['subset']}, position {row['position']}: {numbers}")


if __name__ == "__main__":
    run_stage(main)
