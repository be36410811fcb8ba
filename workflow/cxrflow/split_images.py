"""Split a task's images into training, validation and test.

Rule `keras`: the files of test/ are the test set; per class, the first int(fraction * n) files of train/ in sorted order are
validation, the rest training, as Keras' `validation_split` has it. n counts all listed images, so that one which is missing
moves no other across the cut. Or the split is a table of one's own.
"""

from pathlib import Path

import pandas as pd

from cxrflow.config.suggest import did_you_mean
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, raise_all
from cxrflow.stage.files import write_table

SUBSETS = ("training", "validation", "test")


def split_like_keras(index: pd.DataFrame, classes: list[str], fraction: float) -> pd.DataFrame:
    """The split of Keras' `ImageDataGenerator(validation_split=fraction).flow_from_directory`.

    Args:
        index: index of the images, missing ones included.
        classes: the task's classes.
        fraction: share of each class of train/ that is validation, 0 < fraction < 1.

    Returns:
        Table with columns image, class, subset (training, validation or test); images that are there, by subset and id.
    """
    rows = index[index["class"].isin(classes)].assign(subset="test")
    # Keras walks folders in sorted order and sorts the names within each.
    rows["place"] = [tuple(image.rpartition("/")[::2]) for image in rows["image"]]
    train = rows[rows["subset_folder"] == "train"].sort_values("place").groupby("class")["image"]
    is_validation = train.cumcount() < (train.transform("size") * fraction).astype(int)
    rows.loc[is_validation.index, "subset"] = is_validation.map({True: "validation", False: "training"})
    return _present(rows)


def split_by_table(index: pd.DataFrame, classes: list[str], table: pd.DataFrame) -> pd.DataFrame:
    """A split that the user wrote: columns image and subset, one row an image.

    Raises:
        Fault: a column is absent, an image is not in the data set or named twice, or a subset has another name.
    """
    absent = [column for column in ("image", "subset") if column not in table]
    if absent:
        raise Fault(f"split: no column {' and no column '.join(absent)}; it has {', '.join(table.columns)}")
    known = set(index["image"])
    faults = [
        f"split: {image}: not among the images{did_you_mean(image, known)}"
        for image in table["image"]
        if image not in known
    ]
    faults += [f"split: {image}: named twice" for image in table.loc[table["image"].duplicated(), "image"].unique()]
    faults += [
        f"split: {image}: subset {subset!r} is not allowed; allowed: {', '.join(SUBSETS)}"
        for image, subset in table[["image", "subset"]].itertuples(index=False)
        if subset not in SUBSETS
    ]
    raise_all(faults)
    rows = index.drop(columns="subset", errors="ignore").merge(table[["image", "subset"]], on="image")
    return _present(rows[rows["class"].isin(classes)])


def _present(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[rows["status"].isin(["ok", "changed"])]
    order = rows["subset"].map(SUBSETS.index)
    return rows.assign(order=order).sort_values(["order", "image"], ignore_index=True)[["image", "class", "subset"]]


def check_split(split: pd.DataFrame, classes: list[str]) -> None:
    """Raise a Fault when a class has no image in a subset: nothing could be learnt or told of it."""
    counts = split.groupby(["subset", "class"]).size()
    raise_all(
        [
            f"split: class {name} has no {subset} image; give it more images, or change `validation_fraction` or `split`"
            for subset in SUBSETS
            for name in classes
            if (subset, name) not in counts.index
        ]
    )


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="index of the images (Parquet)")
    parser.add_argument("--classes", nargs="+", required=True, help="classes of the task")
    parser.add_argument("--rule", required=True, help="`keras`, or a CSV with columns image and subset")
    parser.add_argument("--validation-fraction", type=float, default=0.2)
    parser.add_argument("--split", type=Path, required=True, help="split to write (CSV)")
    args = parser.parse_args()
    index = pd.read_parquet(args.images)
    if args.rule == "keras":
        split = split_like_keras(index, args.classes, args.validation_fraction)
    else:
        split = split_by_table(index, args.classes, pd.read_csv(args.rule, dtype="string"))
    check_split(split, args.classes)
    write_table(args.split, split)
    print(", ".join(f"{count} {subset}" for subset, count in split["subset"].value_counts(sort=False).items()))


if __name__ == "__main__":
    run_stage(main)
