"""Split a task's images into training, validation and test.

Rule `keras`: test/ is the test subset; in each class, the first int(fraction * n) files of train/ in sorted order are the
validation subset, as with Keras' `validation_split`. Rule `stratified`: each class is split in the same proportions, by hashes
of patients or images; no patient is in two subsets, unless it is in both train/ and test/. With both rules, images of a
validation folder, if there is one, are the validation subset. Rule `listed`: the column `split` of the image list. The split
can also be a CSV. The first two rules count missing images, too, so that a missing image does not move others.
"""

from pathlib import Path

import pandas as pd

from cxrflow.images.grouping import groups_of, main_classes, pictures_of, place_of
from cxrflow.images.listing import SPLIT_WORD_OF, SPLIT_WORDS
from cxrflow.io.command import add_settings, run_stage, stage_parser
from cxrflow.io.errors import UserError, one_line, raise_all
from cxrflow.io.files import write_table
from cxrflow.io.tables import read_csv_as_text
from cxrflow.io.words import did_you_mean, some_of
from cxrflow.study.models import SplitSettings
from cxrflow.study.names import subset_named

SUBSETS = SPLIT_WORDS
LEEWAY = 0.1
"""Allowed deviation, as a share of the smallest subset, so that an additional image seldom moves others."""


def split_like_keras(index: pd.DataFrame, classes: list[str], fraction: float) -> pd.DataFrame:
    """Split like Keras' `ImageDataGenerator(validation_split=fraction).flow_from_directory`.

    Args:
        index: index of the images, including missing ones.
        classes: the task's classes.
        fraction: share of each class in train/ that becomes the validation subset, 0 < fraction < 1.

    Returns:
        Table with columns image, class, subset (training, validation or test), patient (empty if unknown), of the usable
        images, sorted by subset and id.
    """
    rows = _as_given(index, classes)
    if (rows["subset"] == "validation").any():
        return _present(rows)
    # Keras walks folders in sorted order and sorts the names within each.
    rows["place"] = [tuple(image.rpartition("/")[::2]) for image in rows["image"]]
    train = rows[rows["subset_folder"] == "train"].sort_values("place").groupby("class")["image"]
    is_validation = train.cumcount() < (train.transform("size") * fraction).astype(int)
    rows.loc[is_validation.index, "subset"] = is_validation.map({True: "validation", False: "training"})
    return _present(rows)


def _as_given(index: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Select the images of some classes, with the subset given by their folder or list; otherwise training."""
    rows = index[index["class"].isin(classes)]
    return rows.assign(subset=rows["subset_folder"].map(SPLIT_WORD_OF).fillna("training").astype(object))


def split_stratified(
    index: pd.DataFrame, classes: list[str], test_fraction: float, validation_fraction: float, seed: int
) -> pd.DataFrame:
    """Split each class in the same proportions, keeping patients and identical images together.

    The groups of a class form a line in the order of their hashes, which do not depend on the class; the length of a group is
    its number of images. The test subset is the start of the line, and the validation subset its end. A group belongs to the
    test subset if its hash, as a number from 0 to 1, is less than the share of the test subset. Groups at the cut are then
    added or removed, according to their middle, until the subset is within `LEEWAY` of its share. Thus an additional image
    moves at most one other group at each of the two cuts, and none within the leeway; no group moves from test to validation.

    A group with images of several classes counts for its most frequent class. Images whose folder or list gives their subset
    (train/ and test/, and a validation folder) keep it; train/ is split into the subsets that have no folder.

    Args:
        index: index of the images, including missing ones.
        classes: the task's classes.
        test_fraction: share of each class in the test subset.
        validation_fraction: share of the remaining images in the validation subset.
        seed: another seed gives another split.

    Returns:
        As `split_like_keras`.
    """
    rows = _as_given(index, classes)
    has_validation, has_test = (bool((rows["subset"] == subset).any()) for subset in ("validation", "test"))
    is_given = rows["subset_folder"] != ""
    free = rows[rows["subset"] == "training"]
    free = free.assign(group=groups_of(free))  # without the given test images, so that these do not move others
    groups = main_classes(free)
    groups = groups.assign(
        place=[place_of(group, seed) for group in groups["group"]],
        is_given=groups["group"].map(is_given[free.index].groupby(free["group"]).any()).astype(bool),
    )
    groups = groups.sort_values(["class", "is_given", "place", "group"], ignore_index=True)
    of_line = groups.groupby(["class", "is_given"])["images"]
    length = of_line.transform("sum")
    middle = (of_line.cumsum() - groups["images"] / 2) / length
    makes_test = ~groups["is_given"] | (has_validation and not has_test)
    to_test = test_fraction * makes_test
    to_validation = (1 - to_test) * (0 if has_validation else validation_fraction)
    shares = pd.concat([to_test, to_validation, 1 - to_test - to_validation], axis="columns")
    leeway = LEEWAY * shares.where(shares > 0).min(axis="columns")
    hashes = groups["place"].map(lambda place: int(place, 16) / 16 ** len(place))
    subset = pd.Series("training", index=groups.index)
    subset[_within(1 - middle, 1 - hashes, to_validation, leeway)] = "validation"
    subset[_within(middle, hashes, to_test, leeway)] = "test"
    rows.loc[free.index, "subset"] = free["group"].map(dict(zip(groups["group"], subset, strict=True)))
    return _present(rows)


def _within(
    middle: "pd.Series[float]", hashes: "pd.Series[float]", share: "pd.Series[float]", leeway: "pd.Series[float]"
) -> "pd.Series[bool]":
    """Select the groups at the start of the line: those with small hashes, within the leeway of the share."""
    least, most = middle < share - leeway, middle < share + leeway
    return (share > 0) & (least | (most & (hashes < share)))


def split_as_listed(index: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Split by the column `split` of the image list: training, validation or test.

    Raises:
        UserError: images have no value in this column.
    """
    rows = index[index["class"].isin(classes)]
    without = rows.loc[rows["listed_subset"].isna(), "image"].tolist()
    if without:
        raise UserError(
            f"image list: {len(without)} images have no `split` ({some_of(without, 3)}); allowed: {', '.join(SUBSETS)}; "
            "or let cxrflow split the images: `split: stratified`"
        )
    return _present(rows.assign(subset=rows["listed_subset"].astype(object)))


def split_by_table(index: pd.DataFrame, classes: list[str], table: pd.DataFrame) -> pd.DataFrame:
    """Split by a table of the user: columns image and subset, one row per image.

    Raises:
        UserError: a column is missing, an image is unknown or listed twice, or a subset has another name.
    """
    absent = [column for column in ("image", "subset") if column not in table]
    if absent:
        raise UserError(
            f"split: no column {' and no column '.join(absent)}; the columns are {', '.join(table.columns)}"
        )
    known = set(index["image"])
    errors = [
        f"split: {image}: not among the images{did_you_mean(image, known)}"
        for image in table["image"]
        if image not in known
    ]
    errors += [f"split: {image}: listed twice" for image in table.loc[table["image"].duplicated(), "image"].unique()]
    subsets = [SPLIT_WORD_OF.get(subset_named(str(word)) or "", "") for word in table["subset"]]
    errors += [
        f"split: {image}: subset {word!r} is not allowed; allowed: {', '.join(SUBSETS)}"
        for image, word, subset in zip(table["image"], table["subset"], subsets, strict=True)
        if not subset
    ]
    raise_all(errors)
    named = table[["image"]].assign(subset=pd.Series(subsets, table.index, object))
    rows = index.drop(columns="subset", errors="ignore").merge(named, on="image")
    return _present(rows[rows["class"].isin(classes)])


def _present(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[rows["status"].isin(["ok", "changed"])]
    order = rows["subset"].map(SUBSETS.index)
    columns = ["image", "class", "subset", "patient"]
    return rows.assign(order=order).sort_values(["order", "image"], ignore_index=True)[columns]


def shared_patients(split: pd.DataFrame) -> dict[str, list[str]]:
    """Map the patients with images in several subsets to these subsets."""
    known = split[split["patient"].notna()]
    subsets = {str(patient): set(rows["subset"]) for patient, rows in known.groupby("patient")}
    return {
        patient: [name for name in SUBSETS if name in found] for patient, found in subsets.items() if len(found) > 1
    }


def shared_pictures(split: pd.DataFrame, index: pd.DataFrame) -> list[tuple[list[str], list[str]]]:
    """Find identical images in several subsets: groups of images, each with its subsets."""
    rows = split.merge(index[["image"]].assign(picture=pictures_of(index)), on="image")
    groups = [rows_of for _, rows_of in rows.groupby("picture") if rows_of["subset"].nunique() > 1]
    return [(group["image"].tolist(), [name for name in SUBSETS if name in set(group["subset"])]) for group in groups]


def check_split(split: pd.DataFrame, classes: list[str]) -> None:
    """Raise a UserError if a class has no image in a subset."""
    counts = split.groupby(["subset", "class"]).size()
    raise_all(
        [
            f"split: class {name} has no {subset} image; add images, or change `split` or its fractions"
            for subset in SUBSETS
            for name in classes
            if (subset, name) not in counts.index
        ]
    )


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="index of the images (Parquet)")
    parser.add_argument("--classes", nargs="+", required=True, help="classes of the task")
    add_settings(parser, SplitSettings)
    parser.add_argument("--table", type=Path, help="split to use (CSV: image, subset), where `split` is a file")
    parser.add_argument("--split", type=Path, required=True, help="split to write (CSV)")
    args = parser.parse_args()
    settings: SplitSettings = args.settings
    index = pd.read_parquet(args.images)
    given = index[index["class"].isin(args.classes) & (index["subset_folder"] == "validation")]
    if len(given) and settings.split in ("keras", "stratified"):
        print(f"validation: the {len(given)} images of the validation folder; validation_fraction is not used")
    if settings.split == "keras":
        split = split_like_keras(index, args.classes, settings.validation_fraction)
    elif settings.split == "stratified":
        fractions = settings.test_fraction, settings.validation_fraction
        split = split_stratified(index, args.classes, *fractions, settings.split_seed)
    elif settings.split == "listed":
        split = split_as_listed(index, args.classes)
    else:
        split = split_by_table(index, args.classes, read_csv_as_text(args.table or Path(settings.split), "split"))
    check_split(split, args.classes)
    for patient, subsets in shared_patients(split).items():
        print(f"warning: patient {one_line(patient)} has images in {' and '.join(subsets)}")
    for images, subsets in shared_pictures(split, index):
        print(f"warning: the same picture is in {' and '.join(subsets)}: {one_line(some_of(images, 4))}")
    write_table(args.split, split)
    print(", ".join(f"{count} {subset}" for subset, count in split["subset"].value_counts(sort=False).items()))


if __name__ == "__main__":
    run_stage(main)
