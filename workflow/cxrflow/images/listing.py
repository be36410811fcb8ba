"""List the images of a data set: their ids, classes, and known properties. Opens no image.

Layouts: train_test is train/<class>/ and test/<class>/ and, optionally, validation/<class>/, in any spelling that
`cxrflow.study.names.subset_named` knows. classes is <class>/. listed is files anywhere below the root, with their classes in
the column `label` of the image list.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from cxrflow.images.folder import SUFFIXES, Contents, class_folders, folder_contents
from cxrflow.images.labels import label_errors
from cxrflow.io.errors import UserError, one_line, raise_all
from cxrflow.io.words import did_you_mean
from cxrflow.study.names import name_problem, pixel_folder, same_name, subset_named

LAYOUTS = ("train_test", "classes", "listed")
SPLIT_WORDS = ("training", "validation", "test")
SPLIT_WORD_OF = {"train": "training", "validation": "validation", "test": "test"}
"""Name of a subset's folder to the name of the subset in a split."""
KNOWN_OF_IMAGE = ("source", "patient", "sex", "age", "view", "licence")
EXPECTED = ["expected_sha256", "expected_git_blob_sha1"]
SHAPE_OF = {
    "train_test": "train/<class>/<file> or test/<class>/<file>",
    "classes": "<class>/<file>",
    "listed": "a file below the folder of the images",
}


def list_images(
    root: Path,
    classes: list[str],
    layout: str = "train_test",
    image_list: pd.DataFrame | None = None,
    patient_pattern: str | None = None,
) -> pd.DataFrame:
    """List the images of some classes.

    Args:
        root: folder of the images.
        classes: classes to list; others are ignored.
        layout: one of `LAYOUTS`.
        image_list: table with a column `path` (relative to `root`), or None for all files in the class folders.
        patient_pattern: regular expression that is searched in file names; its group is the patient. Without one, the patient
            is in the list's column `patient`.

    Returns:
        One row per image, sorted by its id: image, folder (of its pixels), subset_folder (train, validation, test, or empty
        if the split decides), class, listed_subset (the list's column `split`), `KNOWN_OF_IMAGE`, the expected hashes (empty
        if unknown), and problem (a problem, or empty).

    Raises:
        UserError: the folder or a class folder does not exist or has no images, or the list has errors.
    """
    folders = class_folders(root, classes, layout) if layout != "listed" and root.is_dir() else []
    contents = {} if image_list is not None else {folder: folder_contents(root / folder) for *_, folder in folders}
    _check_folders(root, layout, image_list, folders, contents)
    rows = _found(root, folders, contents) if image_list is None else _listed(image_list, classes, layout)
    rows = rows.sort_values("image", ignore_index=True)
    rows["folder"] = [
        pixel_folder(subset, name, layout) for subset, name in zip(rows["subset_folder"], rows["class"], strict=True)
    ]
    for column in EXPECTED:
        known = column.removeprefix("expected_")
        rows[column] = rows[known].fillna("").str.lower() if known in rows else ""
    if patient_pattern is not None:
        rows["patient"] = _patients_by_name(rows["image"], patient_pattern)
    for column in (*KNOWN_OF_IMAGE, "listed_subset"):
        rows[column] = rows[column].replace("", None) if column in rows else None
    columns = ["image", "folder", "subset_folder", "class", "listed_subset", *KNOWN_OF_IMAGE, *EXPECTED, "problem"]
    return rows[columns]


def other_files(root: Path, classes: Iterable[str], layout: str = "train_test") -> list[str]:
    """List the files in the class folders that do not have the suffix of an image."""
    return sorted(
        other.relative_to(root).as_posix()
        for _, _, folder in class_folders(root, classes, layout)
        for other in folder_contents(root / folder).others
    )


def _check_folders(
    root: Path,
    layout: str,
    image_list: pd.DataFrame | None,
    folders: list[tuple[str, str, str]],
    contents: Mapping[str, Contents],
) -> None:
    if not root.is_dir():
        what = SHAPE_OF[layout].replace("/<file>", "/").replace(" or ", " and ")
        raise UserError(f"{root}: no such folder; `images` must be the folder that contains {what}")
    if layout == "listed":
        raise_all([] if image_list is not None else ["image_list: missing; `layout: listed` requires it"])
        return
    errors = []
    for subset, name, folder in folders:
        above = (root / folder).parent
        there = sorted(one.name for one in above.iterdir() if one.is_dir()) if above.is_dir() else []
        if (root / folder).name not in there:
            inside = f"{above.name}/" if subset else f"{root}"
            errors.append(
                f"{root / folder}: no such class folder{did_you_mean(name, there)} "
                f"(found in {inside}: {', '.join(there) or 'nothing'})"
            )
        elif folder in contents and not (contents[folder].images or contents[folder].problems):
            errors.append(f"{root / folder}: contains no image ({', '.join(SUFFIXES)})")
    raise_all(errors)


def _found(root: Path, folders: list[tuple[str, str, str]], contents: Mapping[str, Contents]) -> pd.DataFrame:
    rows = []
    for subset, name, folder in folders:
        found = dict.fromkeys(contents[folder].images, "") | contents[folder].problems
        for path, problem in found.items():
            image = path.relative_to(root).as_posix()
            rows.append({**_named(image, problem), "subset_folder": subset, "class": name})
    return pd.DataFrame(rows)


def _named(image: str, problem: str = "") -> dict[str, str]:
    """Return an image's id and its problem; names that tables cannot store are escaped, and a problem."""
    bad_name = name_problem(image)
    return {"image": one_line(image) if bad_name else image, "problem": problem or bad_name}


def _listed(image_list: pd.DataFrame, classes: list[str], layout: str) -> pd.DataFrame:
    _check_columns(image_list, layout)
    errors, rows, labelled = [], [], []
    class_of = {same_name(name): name for name in classes}
    for row in image_list.fillna("").to_dict("records"):
        image = str(row["path"])
        subset, label = _place(row, image, layout)
        if label is None:
            errors.append(f"image list: {image!r}: must be {SHAPE_OF[layout]}")
            continue
        labelled.append((image, label))
        word = str(row.get("split", "")) if layout == "listed" else ""
        split = SPLIT_WORD_OF.get(subset_named(word) or "", "")
        if word and not split:
            near = did_you_mean(word, SPLIT_WORDS)
            errors.append(
                f"image list: {image}: split {word!r} is not allowed{near}; allowed: {', '.join(SPLIT_WORDS)}"
            )
        elif name := class_of.get(same_name(label)):
            side = {"": subset, "test": "test"}.get(split, "train")
            rows.append(row | _named(image) | {"subset_folder": side, "class": name, "listed_subset": split})
    errors += label_errors(labelled, classes)
    if not errors and not rows and layout != "listed":
        errors.append(
            f"image list: has no image of the classes {', '.join(classes)}; to use your own images, set `image_list: null`"
        )
    errors += [f"image list: {image}: listed twice" for image in _repeated(row["image"] for row in rows)]
    if layout == "listed" and not errors and (absent := sorted(set(classes) - {row["class"] for row in rows})):
        labels = sorted(set(image_list["label"].dropna()))
        errors += [f"image list: no image of class {name}{did_you_mean(name, labels)}" for name in absent]
    raise_all(errors)
    return pd.DataFrame(rows)


def _check_columns(image_list: pd.DataFrame, layout: str) -> None:
    there = list(image_list.columns)
    needed = ["path", "label"] if layout == "listed" else ["path"]
    raise_all(
        [
            f"image list: no column `{name}`{did_you_mean(name, there)}; it has {', '.join(there)}"
            for name in needed
            if name not in there
        ]
    )


def _place(row: Mapping[Any, Any], image: str, layout: str) -> tuple[str, str | None]:
    """Find subset folder and class of a listed image; the class is None if the path does not fit the layout."""
    parts = PurePosixPath(image).parts
    depth = {"train_test": 3, "classes": 2, "listed": 1}[layout]
    inside = len(parts) >= depth and ".." not in parts and not image.startswith("/") and "\0" not in image
    if not inside or PurePosixPath(image).as_posix() != image:
        return "", None
    if layout == "listed":
        return "", str(row["label"])
    if layout == "classes":
        return "", parts[0]
    subset = subset_named(parts[0])
    return subset or "", parts[1] if subset else None


def _patients_by_name(images: "pd.Series[str]", pattern: str) -> list[str | None]:
    found = [re.search(pattern, image.rpartition("/")[2]) for image in images]
    if not any(match and match.group(1) for match in found):
        raise UserError(
            f"patients.pattern: {pattern!r} does not match any file name, such as {images.iloc[0].rpartition('/')[2]!r}"
        )
    return [match.group(1) or None if match else None for match in found]


def _repeated(names: Iterable[str]) -> list[str]:
    series = pd.Series(list(names), dtype="string")
    return sorted(series[series.duplicated()].unique())
