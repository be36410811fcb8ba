"""Map features to two dimensions with t-SNE, and measure how well the classes separate.

t-SNE: L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 9 (2008); scikit-learn's implementation. The
separation is measured in the full feature space, since distances in a t-SNE map mean little. It is compared with chance and
with what pixels, properties of the files and random features reach. The quality of the map is measured, too.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.audits.rival_features import file_features, picture_of, thumbnail
from cxrflow.evaluation.embedding import map_quality, tsne_map
from cxrflow.evaluation.rivals import rivals_of
from cxrflow.evaluation.separation import chance_of, intervals_of, separation_and_counts, why_not_judged
from cxrflow.images.grouping import patient_numbers
from cxrflow.images.pixels import open_pixels
from cxrflow.io.command import add_settings, run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.files import write_json, write_table
from cxrflow.study.models import EmbeddingSettings

SIDE = 16
"""Of the thumbnails, in pixels."""


def judged_separation(
    features: NDArray[np.float32], classes: NDArray[np.str_], rows: pd.DataFrame, thumbnails: NDArray[np.float64]
) -> dict[str, Any]:
    """Compute the separation of the classes, and what it is to be compared with.

    Args:
        features: shape (n, units).
        classes: the class of each image.
        rows: the rows of the images in images.parquet.
        thumbnails: shape (n, pixels).

    Returns:
        A JSON value: that of `separation_of`, `chance` (see `chance_of`), `intervals` (see `intervals_of`, and
        `images_of_unknown_patients`, each of which counts as a patient) and `rivals` (see `rivals_of`).
    """
    separation, counts = separation_and_counts(features, classes)
    known = rows["patient"].fillna("").astype(str)
    unknown = int((known == "").sum())
    patients = patient_numbers(rows.assign(patient=known), rows["image"].tolist()) if unknown < len(rows) else None
    return {
        **separation,
        "chance": chance_of(classes),
        "intervals": {
            **intervals_of(counts, classes, separation["k"], patients),
            "images_of_unknown_patients": unknown,
        },
        "rivals": rivals_of(thumbnails, file_features(rows), classes, separation["k"]),
    }


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--features", type=Path, required=True, help="features (.npz)")
    parser.add_argument("--images", type=Path, required=True, help="image index (Parquet)")
    parser.add_argument("--pixels", type=Path, nargs="+", required=True, help="decoded pixels (.npy)")
    add_settings(parser, EmbeddingSettings)
    parser.add_argument("--embedding", type=Path, required=True, help="coordinates to write (CSV)")
    parser.add_argument("--separation", type=Path, required=True, help="how well classes separate, to write (JSON)")
    args = parser.parse_args()
    with np.load(args.features, allow_pickle=False) as stored:
        table = pd.DataFrame({"image": stored["images"], "class": stored["classes"], "subset": stored["subsets"]})
        features, training = stored["features"], str(stored["training"])
    index, pixels = pd.read_parquet(args.images).set_index("image", drop=False), open_pixels(args.pixels)
    for flag, known in (("--images", set(index.index)), ("--pixels", set(pixels))):
        if absent := sorted(set(table["image"]) - known):
            raise UserError(f"{flag}: no image {absent[0]}, which has features; give the files of the same run")
    classes, settings = table["class"].to_numpy(dtype=str), args.settings.tsne.model_dump()
    no_map = why_not_judged(features, classes)
    coordinates = None if no_map else tsne_map(features, settings)
    table[["x", "y"]] = np.nan if coordinates is None else coordinates
    # The separation is measured on images of the training folder if there are any, also when test images are mapped too.
    in_training_folder = table["subset"].isin(["training", "validation"]).to_numpy()
    of = "training_folder" if in_training_folder.any() else "test_folder"
    chosen = in_training_folder if in_training_folder.any() else np.ones(len(table), dtype=bool)
    rows = index.loc[table["image"][chosen]].reset_index(drop=True)
    pictures = (picture_of(pixels[image], sha256) for image, sha256 in zip(rows["image"], rows["sha256"], strict=True))
    thumbnails = np.array([thumbnail(picture, SIDE).ravel() for picture in pictures])
    separation = judged_separation(features[chosen], classes[chosen], rows, thumbnails)
    quality = None if coordinates is None else map_quality(features, coordinates, settings)
    write_table(args.embedding, table)
    write_json(args.separation, {"of": of, "no_map": no_map, **separation, "map": quality, "training": training})
    if no_map:
        print(f"warning: no t-SNE map: {no_map}")
    if separation["not_judged"]:
        print(f"warning: how the classes separate is not judged: {separation['not_judged']}")
    else:
        chance = separation["chance"]["same_class_share"]
        print(f"same class among 5 neighbours: {separation['same_class_share']:.0%} (by chance: {chance:.0%})")


if __name__ == "__main__":
    run_stage(main)
