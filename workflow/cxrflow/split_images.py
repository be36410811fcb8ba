"""Split a task's images into training, validation and test.

Rule `keras`: the files of test/ are the test set; per class, the first int(fraction * n) files of train/ in sorted order are
validation, the rest training, as Keras' `validation_split` has it. Rule `stratified`: each class is split in the same shares,
by hashes of patients or images; no patient is in two subsets, but where one is in train/ and in test/. Rule `listed`: by the
column `split` of the image list. Or the split is a table of one's own. The first two count all listed images, so that one which
is missing moves no other across a cut.
"""

from pathlib import Path

import pandas as pd

from cxrflow.config.suggest import did_you_mean
from cxrflow.images.grouping import groups_of, place_of
from cxrflow.images.listing import SPLIT_WORDS
from cxrflow.machine.findings import some_of
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, one_line, raise_all
from cxrflow.stage.files import write_table
from cxrflow.stage.tables import read_csv_as_text

SUBSETS = SPLIT_WORDS


def split_like_keras(index: pd.DataFrame, classes: list[str], fraction: float) -> pd.DataFrame:
    """The split of Keras' `ImageDataGenerator(validation_split=fraction).flow_from_directory`.

    Args:
        index: index of the images, missing ones included.
        classes: the task's classes.
        fraction: share of each class of train/ that is validation, 0 < fraction < 1.

    Returns:
        Table with columns image, class, subset (training, validation or test), patient (empty where not known); images
        that are there, by subset and id.
    """
    rows = index[index["class"].isin(classes)].assign(subset="test")
    # Keras walks folders in sorted order and sorts the names within each.
    rows["place"] = [tuple(image.rpartition("/")[::2]) for image in rows["image"]]
    train = rows[rows["subset_folder"] == "train"].sort_values("place").groupby("class")["image"]
    is_validation = train.cumcount() < (train.transform("size") * fraction).astype(int)
    rows.loc[is_validation.index, "subset"] = is_validation.map({True: "validation", False: "training"})
    return _present(rows)


def split_stratified(
    index: pd.DataFrame, classes: list[str], test_fraction: float, validation_fraction: float, seed: int
) -> pd.DataFrame:
    """A split in the same shares for each class, which keeps patients, and files of the same bytes, together.

    The groups of a class are laid end to end in the order of their hashes, each as long as it has images. The test set is
    the first `test_fraction` of that line, validation the next `validation_fraction` of the rest; a group belongs where
    its middle lies. So one more image moves at most the few groups at a cut. A group with images of several classes
    counts for the class of most of them. Where the index says which images are the test's (train/ and test/), they stay
    so, and the rest alone is split.

    Args:
        index: index of the images, missing ones included.
        classes: the task's classes.
        test_fraction: share of each class for the test.
        validation_fraction: share of what is left for validation.
        seed: another seed, another split.

    Returns:
        As `split_like_keras`.
    """
    rows = index[index["class"].isin(classes)].assign(subset="test")
    rows["group"] = groups_of(rows)
    is_given = rows["subset_folder"] != ""
    free = rows[~is_given | (rows["subset_folder"] == "train")]
    sizes = free.groupby(["group", "class"]).size().reset_index(name="images")
    # Of equal numbers the class that comes first: sorting is stable.
    main_class = sizes.sort_values(["images", "class"], ascending=[False, True], kind="stable").drop_duplicates("group")
    groups = main_class[["group", "class"]].assign(
        images=main_class["group"].map(free["group"].value_counts()),
        place=[place_of(group, seed) for group in main_class["group"]],
        is_given=main_class["group"].map(is_given[free.index].groupby(free["group"]).any()),
    )
    groups = groups.sort_values(["class", "place", "group"], ignore_index=True)
    of_class = groups.groupby("class")["images"]
    middle = (of_class.cumsum() - groups["images"] / 2) / of_class.transform("sum")
    to_test = test_fraction * ~groups["is_given"].astype(bool)
    subset = pd.Series("training", index=groups.index)
    subset[middle < to_test + (1 - to_test) * validation_fraction] = "validation"
    subset[middle < to_test] = "test"
    rows.loc[free.index, "subset"] = free["group"].map(dict(zip(groups["group"], subset, strict=True)))
    return _present(rows)


def split_as_listed(index: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """The split of the image list's column `split`: training, validation or test for each image.

    Raises:
        Fault: images without one.
    """
    rows = index[index["class"].isin(classes)]
    without = rows.loc[rows["listed_subset"].isna(), "image"].tolist()
    if without:
        raise Fault(
            f"image list: {len(without)} images have no `split` ({some_of(without, 3)}); allowed: {', '.join(SUBSETS)}; "
            "or let cxrflow make the split: `split: stratified`"
        )
    return _present(rows.assign(subset=rows["listed_subset"].astype(object)))


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
    columns = ["image", "class", "subset", "patient"]
    return rows.assign(order=order).sort_values(["order", "image"], ignore_index=True)[columns]


def shared_patients(split: pd.DataFrame) -> dict[str, list[str]]:
    """Patients with images in several subsets of a split, each with those subsets."""
    known = split[split["patient"].notna()]
    subsets = {str(patient): set(rows["subset"]) for patient, rows in known.groupby("patient")}
    return {
        patient: [name for name in SUBSETS if name in found] for patient, found in subsets.items() if len(found) > 1
    }


def check_split(split: pd.DataFrame, classes: list[str]) -> None:
    """Raise a Fault when a class has no image in a subset: nothing could be learnt or told of it."""
    counts = split.groupby(["subset", "class"]).size()
    raise_all(
        [
            f"split: class {name} has no {subset} image; give it more images, or change `split` or its fractions"
            for subset in SUBSETS
            for name in classes
            if (subset, name) not in counts.index
        ]
    )


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="index of the images (Parquet)")
    parser.add_argument("--classes", nargs="+", required=True, help="classes of the task")
    parser.add_argument("--rule", required=True, help="`keras`, `stratified`, `listed`, or a CSV (image, subset)")
    parser.add_argument("--validation-fraction", type=float, default=0.2, help="share of what is not for the test")
    parser.add_argument("--test-fraction", type=float, default=0.2, help="share of each class, for `stratified`")
    parser.add_argument("--seed", type=int, default=0, help="for `stratified`: another seed, another split")
    parser.add_argument("--split", type=Path, required=True, help="split to write (CSV)")
    args = parser.parse_args()
    index = pd.read_parquet(args.images)
    if args.rule == "keras":
        split = split_like_keras(index, args.classes, args.validation_fraction)
    elif args.rule == "stratified":
        split = split_stratified(index, args.classes, args.test_fraction, args.validation_fraction, args.seed)
    elif args.rule == "listed":
        split = split_as_listed(index, args.classes)
    else:
        split = split_by_table(index, args.classes, read_csv_as_text(Path(args.rule), "split"))
    check_split(split, args.classes)
    for patient, subsets in shared_patients(split).items():
        print(f"warning: patient {one_line(patient)} has images in {' and '.join(subsets)}")
    write_table(args.split, split)
    print(", ".join(f"{count} {subset}" for subset, count in split["subset"].value_counts(sort=False).items()))


if __name__ == "__main__":
    run_stage(main)
