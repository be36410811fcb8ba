"""Which images make up a data set, by layout: their ids, classes, and what is known of them. Opens no image.

train_test: train/<class>/ and test/<class>/. classes: <class>/ alone. listed: files anywhere below the root, whose classes
are the column `label` of the image list.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from cxrflow.config.suggest import did_you_mean
from cxrflow.images import SUBSET_FOLDERS
from cxrflow.images.folder import SUFFIXES, Contents, class_folders, folder_contents, name_fault
from cxrflow.stage.faults import Fault, one_line, raise_all

LAYOUTS = ("train_test", "classes", "listed")
SPLIT_WORDS = ("training", "validation", "test")
KNOWN_OF_IMAGE = ("source", "patient", "sex", "age", "view", "licence")
EXPECTED = ["expected_sha256", "expected_git_blob_sha1"]
SHAPE_OF = {
    "train_test": "train/<class>/<file> or test/<class>/<file>",
    "classes": "<class>/<file>",
    "listed": "a file below the folder `images`",
}


@dataclass(frozen=True)
class Patients:
    """How it is known which images show the same patient; where neither is given, by the list's column `patient`."""

    column: str | None = None
    pattern: str | None = None
    """Regular expression, searched in the file's name; its one group is the patient."""


def list_images(
    root: Path,
    classes: list[str],
    layout: str = "train_test",
    image_list: pd.DataFrame | None = None,
    patients: Patients | None = None,
) -> pd.DataFrame:
    """List the images of some classes.

    Args:
        root: the data set's folder.
        classes: the classes to look at; others are left alone.
        layout: one of `LAYOUTS`.
        image_list: table with a column `path` (relative to `root`), or None for what lies in the class folders.
        patients: how patients are known.

    Returns:
        One row an image, sorted by its id: image, folder (of its class), subset_folder (train, test, or empty where that
        is for a split to say), class, listed_subset (of the list's column `split`), what is known of it, the expected
        hashes (empty where not known), and a fault (empty where there is none).

    Raises:
        Fault: the folder, or a class folder in it, does not exist or holds no image; the list is wrong.
    """
    patients = patients or Patients()
    folders = [folder for *_, folder in class_folders(classes, layout)] if image_list is None else []
    contents = {folder: folder_contents(root / folder) for folder in folders}
    _check_folders(root, classes, layout, image_list, contents)
    rows = (
        _found(root, classes, layout, contents)
        if image_list is None
        else _listed(image_list, classes, layout, patients.column)
    )
    rows = rows.sort_values("image", ignore_index=True)
    rows["folder"] = (rows["subset_folder"] + "/" if layout == "train_test" else "") + rows["class"]
    for column in EXPECTED:
        known = column.removeprefix("expected_")
        rows[column] = rows[known].fillna("") if known in rows else ""
    if patients.pattern is not None:
        rows["patient"] = _patients_by_name(rows["image"], patients.pattern)
    for column in (*KNOWN_OF_IMAGE, "listed_subset"):
        rows[column] = rows[column].replace("", None) if column in rows else None
    columns = ["image", "folder", "subset_folder", "class", "listed_subset", *KNOWN_OF_IMAGE, *EXPECTED, "fault"]
    return rows[columns]


def other_files(root: Path, classes: Iterable[str], layout: str = "train_test") -> list[str]:
    """Ids of the files in the class folders that are not taken for images, by their names."""
    return sorted(
        other.relative_to(root).as_posix()
        for _, _, folder in class_folders(classes, layout)
        for other in folder_contents(root / folder).others
    )


def _check_folders(
    root: Path, classes: list[str], layout: str, image_list: pd.DataFrame | None, contents: Mapping[str, Contents]
) -> None:
    if not root.is_dir():
        what = SHAPE_OF[layout].replace("/<file>", "/").replace(" or ", " and ")
        raise Fault(f"{root}: no such folder; `images` names the folder that holds {what}")
    if layout == "listed":
        raise_all([] if image_list is not None else ["image_list: missing; with `layout: listed` it names the images"])
        return
    faults = []
    for subset, name, folder in class_folders(classes, layout):
        there = (
            sorted(one.name for one in (root / subset).iterdir() if one.is_dir()) if (root / subset).is_dir() else []
        )
        if name not in there:
            inside = f"{subset}/" if subset else f"{root}"
            faults.append(
                f"{root / folder}: no such class folder{did_you_mean(name, there)} "
                f"(found in {inside}: {', '.join(there) or 'nothing'})"
            )
        elif folder in contents and not (contents[folder].images or contents[folder].faults):
            faults.append(f"{root / folder}: holds no image ({', '.join(SUFFIXES)})")
    raise_all(faults)


def _found(root: Path, classes: list[str], layout: str, contents: Mapping[str, Contents]) -> pd.DataFrame:
    rows = []
    for subset, name, folder in class_folders(classes, layout):
        found = dict.fromkeys(contents[folder].images, "") | contents[folder].faults
        for path, fault in found.items():
            image = path.relative_to(root).as_posix()
            rows.append({**_named(image, fault), "subset_folder": subset, "class": name})
    return pd.DataFrame(rows)


def _named(image: str, fault: str = "") -> dict[str, str]:
    """An image's id and what is wrong with it; a name that no table can hold is escaped, and wrong."""
    wrong = name_fault(image)
    return {"image": one_line(image) if wrong else image, "fault": fault or wrong}


def _listed(image_list: pd.DataFrame, classes: list[str], layout: str, patient_column: str | None) -> pd.DataFrame:
    _check_columns(image_list, layout, patient_column)
    faults, rows = [], []
    for row in image_list.fillna("").to_dict("records"):
        image = str(row["path"])
        subset, label = _place(row, image, layout)
        if label is None:
            faults.append(f"image list: {image!r}: must be {SHAPE_OF[layout]}")
            continue
        word = str(row.get("split", "")) if layout == "listed" else ""
        if word and word not in SPLIT_WORDS:
            near = did_you_mean(word, SPLIT_WORDS)
            faults.append(
                f"image list: {image}: split {word!r} is not allowed{near}; allowed: {', '.join(SPLIT_WORDS)}"
            )
        elif label in classes:
            side = {"": subset, "test": "test"}.get(word, "train")
            known = {"patient": row[patient_column]} if patient_column else {}
            rows.append(row | known | _named(image) | {"subset_folder": side, "class": label, "listed_subset": word})
    if not faults and not rows:
        faults.append(
            f"image list: names no image of the classes {', '.join(classes)}; for images of your own set `image_list: null`"
        )
    faults += [f"image list: {image}: named twice" for image in _repeated(row["image"] for row in rows)]
    if layout == "listed" and not faults and (absent := sorted(set(classes) - {row["class"] for row in rows})):
        labels = sorted(set(image_list["label"].dropna()))
        faults += [f"image list: no image of class {name}{did_you_mean(name, labels)}" for name in absent]
    raise_all(faults)
    return pd.DataFrame(rows)


def _check_columns(image_list: pd.DataFrame, layout: str, patient_column: str | None) -> None:
    there = list(image_list.columns)
    needed = ["path", *(["label"] if layout == "listed" else []), *([patient_column] if patient_column else [])]
    raise_all(
        [
            f"image list: no column `{name}`{did_you_mean(name, there)}; it has {', '.join(there)}"
            for name in needed
            if name not in there
        ]
    )


def _place(row: Mapping[Any, Any], image: str, layout: str) -> tuple[str, str | None]:
    """Subset folder and class of a listed image; no class where its path is none of the layout, or leads elsewhere."""
    parts = PurePosixPath(image).parts
    depth = {"train_test": 3, "classes": 2, "listed": 1}[layout]
    inside = len(parts) >= depth and ".." not in parts and not image.startswith("/") and "\0" not in image
    if not inside or PurePosixPath(image).as_posix() != image:
        return "", None
    if layout == "listed":
        return "", str(row["label"])
    if layout == "classes":
        return "", parts[0]
    return parts[0], parts[1] if parts[0] in SUBSET_FOLDERS else None


def _patients_by_name(images: "pd.Series[str]", pattern: str) -> list[str | None]:
    found = [re.search(pattern, image.rpartition("/")[2]) for image in images]
    if not any(match and match.group(1) for match in found):
        raise Fault(
            f"patients.pattern: {pattern!r} is found in no file name, such as {images.iloc[0].rpartition('/')[2]!r}"
        )
    return [match.group(1) or None if match else None for match in found]


def _repeated(names: Iterable[str]) -> list[str]:
    series = pd.Series(list(names), dtype="string")
    return sorted(series[series.duplicated()].unique())
