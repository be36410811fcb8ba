"""Divide a task's images into folds for a cross-validation, each of which is the test subset of one split.

All images of the task's own split are used, its test images included. Images of one patient, or with the same bytes or
pixels, are in one fold, and each class is divided evenly. The other images of a fold's split are for training and validation.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from cxrflow.images.grouping import groups_of, main_classes, place_of
from cxrflow.io.command import add_settings, run_stage, stage_parser
from cxrflow.io.errors import raise_all
from cxrflow.io.files import write_table
from cxrflow.stages.split_images import SUBSETS, split_stratified
from cxrflow.study.models import FoldSettings, SplitSettings


class Settings(SplitSettings, FoldSettings):
    """The keys of the config that decide on the folds."""


def folds_of(rows: pd.DataFrame, folds: int, repeat: int, seed: int) -> "pd.Series[int]":
    """Number the fold of each image.

    The groups of a class form a line in the order of their hashes, as in `split_stratified`; the length of a group is its
    number of images. The line is cut into equal parts, and a group belongs to the part that has its middle. The share of a fold
    is thus exact to within the largest group, and an additional image moves few groups, all of them at cuts. If a group is
    longer than a part, cuts move so that no fold is empty as long as there are enough groups.

    Args:
        rows: index of the task's images, including missing ones, so that these move no others.
        folds: at least 2.
        repeat: another repeat gives other folds.
        seed: the same.
    """
    rows = rows.assign(group=groups_of(rows))
    groups = main_classes(rows)
    groups = groups.assign(place=[place_of(f"repeat {repeat} {group}", seed) for group in groups["group"]])
    groups = groups.sort_values(["class", "place", "group"], ignore_index=True)
    of_line = groups.groupby("class")["images"]
    middle = (of_line.cumsum() - groups["images"] / 2) / of_line.transform("sum")
    fold = (middle * folds).astype(int).tolist()
    for places in groups.groupby("class").indices.values():
        last = -1
        for left, place in zip(range(len(places) - 1, -1, -1), places, strict=True):
            last = fold[place] = min(max(fold[place], folds - 1 - left), last + 1)
    return rows["group"].map(dict(zip(groups["group"], fold, strict=True)))


def split_into_folds(
    index: pd.DataFrame, classes: list[str], folds: int, repeat: int, validation_fraction: float, seed: int
) -> list[pd.DataFrame]:
    """Make a split for each fold: the fold is the test subset, and the other images are split as by `split_stratified`.

    Args:
        index: index of the images, including missing ones.
        classes: the task's classes.
        folds, repeat, seed: see `folds_of`.
        validation_fraction: share of the images outside of the fold in the validation subset.

    Returns:
        Tables as of `split_stratified`.

    Raises:
        UserError: see `check_folds`.
    """
    rows = index[index["class"].isin(classes)]
    fold = folds_of(rows, folds, repeat, seed)
    splits = []
    for number in range(folds):
        as_folders = rows.assign(subset_folder=np.where(fold == number, "test", "train"))
        # Another seed for each fold, or all folds would have the same validation images, which no network would learn from.
        own_seed = int(place_of(f"repeat {repeat} fold {number}", seed), 16)
        splits.append(split_stratified(as_folders, classes, 0, validation_fraction, own_seed))
    check_folds(splits, rows, classes, repeat)
    return splits


def check_folds(splits: list[pd.DataFrame], rows: pd.DataFrame, classes: list[str], repeat: int) -> None:
    """Check that each fold has images of each class in each subset.

    Raises:
        UserError: a class has too few patients for the folds.
    """
    groups = groups_of(rows)
    found = [set(zip(split["class"], split["subset"], strict=True)) for split in splits]
    messages = []
    for name in classes:
        without = [
            f"fold {number} has no {subset} image"
            for subset in reversed(SUBSETS)
            for number, pairs in enumerate(found)
            if (name, subset) not in pairs
        ]
        if without:
            is_class = rows["class"] == name
            messages.append(
                f"folds: {len(splits)} are too many for class {name}, with {is_class.sum()} images of "
                f"{groups[is_class].nunique()} patients (an image of an unknown patient counts as one): in repeat {repeat}, "
                f"{without[0]}; lower `folds`, add images, or change `validation_fraction` or `split_seed`"
            )
    raise_all(messages)


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="index of the images (Parquet)")
    parser.add_argument("--classes", nargs="+", required=True, help="classes of the task")
    parser.add_argument(
        "--split", type=Path, required=True, help="split of the task (CSV), which has the images to divide"
    )
    add_settings(parser, Settings)
    parser.add_argument("--repeat", type=int, required=True, help="number of the repeat, from 0")
    parser.add_argument(
        "--splits", type=Path, nargs="+", required=True, help="splits to write (CSV), one for each fold"
    )
    args = parser.parse_args()
    settings: Settings = args.settings
    index = pd.read_parquet(args.images)
    used = pd.read_csv(args.split, dtype=str, keep_default_na=False)["image"]
    index = index[index["image"].isin(used) | ~index["status"].isin(["ok", "changed"])]
    splits = split_into_folds(
        index, args.classes, len(args.splits), args.repeat, settings.validation_fraction, settings.split_seed
    )
    for file, split in zip(args.splits, splits, strict=True):
        write_table(file, split)
    sizes = ", ".join(str(int((split["subset"] == "test").sum())) for split in splits)
    print(f"images of the folds: {sizes}")


if __name__ == "__main__":
    run_stage(main)
