"""A small data set of phantoms, with files, index, split and pixels."""

from pathlib import Path

import pandas as pd
from cxrflow.audits.findings import DataSet
from cxrflow.audits.insertions import Originals
from cxrflow.images.decode import decode_image
from cxrflow.images.index import index_images
from cxrflow.images.listing import list_images
from cxrflow.phantoms.radiograph import draw_film
from PIL import Image

SIZE = 96
CLASSES = ["a", "b"]


def phantom_data(root: Path, count: int = 12, patients: int | None = None) -> tuple[DataSet, Originals]:
    """Write phantoms of 192 x 192 pixels, a third of them for the test, and read them as the stages do.

    Args:
        root: folder for the images.
        count: number of images, half of them of each class.
        patients: number of patients; by default, all are unknown.
    """
    rows = []
    for number in range(count):
        subset = "test" if number % 6 > 3 else "training"
        path = f"{'test' if subset == 'test' else 'train'}/{CLASSES[number % 2]}/{number:02}.png"
        root.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
        film = Image.fromarray(draw_film("none", "phantom files", number).grey)
        film.resize((2 * SIZE, 2 * SIZE), Image.Resampling.BICUBIC).save(root / path)
        rows.append({"path": path, "patient": f"p{number % patients}" if patients else "", "subset": subset})
    table = pd.DataFrame(rows, dtype="string")
    index, _ = index_images(root, list_images(root, CLASSES, "train_test", table.drop(columns="subset")))
    subset_of = dict(zip(table["path"], table["subset"], strict=True))
    split = index[["image", "class", "patient"]].astype(object).fillna("")
    split = split.assign(subset=split["image"].map(subset_of))
    pixels = {image: decode_image(root / image, SIZE, "nearest") for image in index["image"]}
    return DataSet(index, {"one": split}, {"one": CLASSES}, pixels), Originals(root, "nearest")
