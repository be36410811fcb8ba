"""Write the augmentation manifest: which image a run sees at which place of which epoch, and how it is transformed.

One row per (subset, epoch, position). Nothing random is left to training: any image of any epoch can be named and made again.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.augmentation.draw import draw_epoch
from cxrflow.augmentation.manifest import write_manifest
from cxrflow.stage.command import run_stage, stage_parser


def plan_augmentation(
    split: pd.DataFrame, seed: int, epochs: int, ranges: Mapping[str, Any] | None, validation_augmented: str
) -> Iterator[pd.DataFrame]:
    """The epochs of a task and seed one by one, each with its training rows before its validation rows.

    Args:
        split: columns image and subset; the rows of other subsets are left alone.
        seed: the run's seed.
        epochs: so many, counted from 1.
        ranges: keys of `config.models.Augmentation`, or None for images that are only shuffled.
        validation_augmented: "study" draws validation images from the same ranges, "clean" only shuffles them.

    Yields:
        Rows as of `cxrflow.augmentation.draw.draw_epoch`.
    """
    images = {subset: rows["image"].tolist() for subset, rows in split.groupby("subset")}
    for epoch in range(1, epochs + 1):
        training = draw_epoch(images["training"], "training", seed, epoch, ranges)
        validation = draw_epoch(
            images["validation"], "validation", seed, epoch, ranges if validation_augmented == "study" else None
        )
        yield pd.concat([training, validation], ignore_index=True)


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--split", type=Path, required=True, help="split of the task (CSV)")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--ranges", type=json.loads, required=True, help="ranges as JSON, or null for none")
    parser.add_argument(
        "--validation-augmented",
        choices=("study", "clean"),
        required=True,
        help="study: validation images are augmented as training images are; clean: they are not",
    )
    parser.add_argument("--manifest", type=Path, required=True, help="manifest to write (Parquet)")
    args = parser.parse_args()
    split = pd.read_csv(args.split, dtype=str, keep_default_na=False)
    epochs = plan_augmentation(split, args.seed, args.epochs, args.ranges, args.validation_augmented)
    rows = write_manifest(args.manifest, epochs)
    print(f"{args.epochs} epochs, {rows} rows")


if __name__ == "__main__":
    run_stage(main)
