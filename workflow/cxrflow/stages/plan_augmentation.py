"""Write the augmentation manifest: the order of the images in each epoch, and how each image is transformed.

One row per (subset, epoch, position). Training draws no random transformations, so any image of any epoch can be reproduced.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.augmentation.draw import draw_epoch
from cxrflow.augmentation.manifest import write_manifest
from cxrflow.io.command import add_settings, run_stage, stage_parser
from cxrflow.io.words import counted
from cxrflow.study.models import AugmentationSettings


def plan_augmentation(
    split: pd.DataFrame, seed: int, epochs: int, ranges: Mapping[str, Any] | None, augment_validation: bool
) -> Iterator[pd.DataFrame]:
    """Yield the rows of each epoch, training before validation.

    Args:
        split: columns image and subset; other subsets are ignored.
        seed: seed of the training.
        epochs: number of epochs.
        ranges: keys of `cxrflow.study.images.Augmentation`, or None to only shuffle the images.
        augment_validation: whether to augment validation images with the same ranges, or only shuffle them.

    Yields:
        Rows of `cxrflow.augmentation.draw.draw_epoch`.
    """
    images = {subset: rows["image"].tolist() for subset, rows in split.groupby("subset")}
    for epoch in range(1, epochs + 1):
        training = draw_epoch(images["training"], "training", seed, epoch, ranges)
        validation = draw_epoch(images["validation"], "validation", seed, epoch, ranges if augment_validation else None)
        yield pd.concat([training, validation], ignore_index=True)


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--split", type=Path, required=True, help="split of the task (CSV)")
    parser.add_argument("--seed", type=int, required=True, help="seed of the training")
    parser.add_argument("--epochs", type=int, required=True, help="number of epochs")
    add_settings(parser, AugmentationSettings)
    parser.add_argument("--manifest", type=Path, required=True, help="manifest to write (Parquet)")
    args = parser.parse_args()
    split = pd.read_csv(args.split, dtype=str, keep_default_na=False)
    augmentation = args.settings.augmentation
    ranges = None if augmentation == "none" else augmentation.model_dump(exclude={"without_effect"})
    epochs = plan_augmentation(split, args.seed, args.epochs, ranges, args.settings.augment_validation)
    rows = write_manifest(args.manifest, epochs)
    print(f"{counted(args.epochs, 'epoch')}, {counted(rows, 'row')}")


if __name__ == "__main__":
    run_stage(main)
