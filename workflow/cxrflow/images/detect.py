"""Detect the layout of a user's images from names: folders of subsets and classes, or columns of a list."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cxrflow.images.columns import ASKED_FOR, find_columns, read_image_list
from cxrflow.images.folder import SUFFIXES, folder_contents, subset_folders
from cxrflow.images.labels import images_by_label, intended_class, label_errors
from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.tables import Table, read_table
from cxrflow.io.words import counted, some_of
from cxrflow.study.names import SUBSETS, class_problem, same_name, subset_named

HOW = "Use the folders train/<class>/ and test/<class>/, or only <class>/, or a CSV: --image-list"
SAMPLE = 200
"""Number of rows that are checked to find the column of file names."""


@dataclass(frozen=True)
class Found:
    """The layout of a data set."""

    layout: str
    """One of `cxrflow.images.listing.LAYOUTS`."""
    classes: list[str]
    subsets: dict[str, str] = field(default_factory=dict)
    """With the layout `train_test`: subset (train, validation, test) to the name of its folder."""
    columns: dict[str, str] = field(default_factory=dict)
    """For a list: word to column, for columns with other names."""
    table: Table | None = None
    """For a list: its rows, with these words as column names."""
    has_split: bool = False
    """For a list: whether each row has a subset."""
    left_alone: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def find_layout(folder: Path) -> Found:
    """Find the folders of subsets and classes by their names.

    Raises:
        UserError: the folder does not exist, or its layout is not supported.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    there = _folders(folder)
    inner = {name: _folders(folder / name) for name in there if subset_named(name)}
    # A folder with the name of a subset but without class folders is not a subset.
    subsets = subset_folders(folder, sorted({name for names in inner.values() for name in names}))
    parts = {subset: name for subset, name in subsets.items() if inner.get(name)}
    if not parts:
        return _class_folders_only(folder, there)
    if unlabelled := [name for name in subsets.values() if name in there and name not in parts.values()]:
        raise UserError(
            f"{folder}: {unlabelled[0]}/ has no class folders, so its images have no labels; "
            "sort them into class folders, or move the folder elsewhere"
        )
    if "train" not in parts or len(parts) == 1:
        first, lacking = next(iter(parts.values())), "the test" if "train" in parts else "training"
        raise UserError(
            f"{folder}: {first}/ is the folder of a subset, but there is none for {lacking}; add it, or use {folder / first} "
            "as the folder, and cxrflow splits its images"
        )
    classes_of = [{same_name(name) for name in inner[part] if _images(folder / part / name)} for part in parts.values()]
    classes = sorted(set.intersection(*classes_of))
    others = {same_name(name) for part in parts.values() for name in inner[part]} - set(classes)
    _refuse_spellings(folder, [*classes, *others])
    if len(classes) < 2:
        raise _too_few(folder / parts["train"], classes)
    left_alone = sorted({*set(there) - set(parts.values()), *others})
    return Found(
        "train_test", classes, {subset: parts[subset] for subset in SUBSETS if subset in parts}, left_alone=left_alone
    )


def _class_folders_only(folder: Path, there: Sequence[str]) -> Found:
    classes = [name for name in there if _images(folder / name) and not subset_named(name)]
    named = [name for name in there if subset_named(name) and _images(folder / name)]
    if len(classes) < 2 and named:
        raise UserError(
            f"{folder}: {' and '.join(f'{name}/' for name in named)}: these are names of subsets, not of "
            f"classes, and they contain no class folders. {HOW}"
        )
    _refuse_spellings(folder, classes)
    if len(classes) < 2:
        raise _too_few(folder, classes)
    within = [f"{name}/{one}" for name in classes for one in _folders(folder / name) if subset_named(one)]
    remarks = []
    if within:
        remarks.append(
            f"not used as subsets, since they are inside class folders: {some_of((f'{one}/' for one in within), 4)}"
        )
    return Found("classes", classes, left_alone=sorted(set(there) - set(classes)), remarks=remarks)


def find_list(image_list: Path, folder: Path, columns: Mapping[str, str]) -> Found:
    """Find the columns and the classes of an image list.

    Args:
        image_list: CSV.
        folder: folder that its paths are relative to.
        columns: word to column, as given by the user.

    Raises:
        UserError: it cannot be read, there is no column of paths or labels, or labels are doubtful.
    """
    raw = read_table(image_list, "--image-list")
    asked = {**_likely_columns(raw, folder, image_list, columns), **columns}
    table = read_image_list(image_list, "--image-list", asked, ("path", "label"))
    labelled = list(zip(table.column("path"), table.column("label"), strict=True))
    images_of = images_by_label((image, label) for image, label in labelled if label)
    counts = {label: len(images) for label, images in images_of.items()}
    classes: list[str] = []
    errors = label_errors(((image, label) for image, label in labelled if not label), ())
    for label, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        if near := intended_class(label, classes, counts):
            errors.append(
                f"image list: the labels {near!r} ({counts[near]}) and {label!r} ({count}: {some_of(images_of[label], 3)}) "
                "are nearly the same; use only one of them"
            )
        classes.append(label)
    several = {label for label in classes if "|" in label}  # images with several labels belong to none of the classes
    own = sorted(set(classes) - several)
    errors += [f"image list: label {label!r}: {why}" for label in own if (why := class_problem(label))]
    if errors and (missing := [image for image, _ in labelled if not os.path.lexists(folder / image)]):
        errors.append(f"image list: {counted(len(missing), 'file')} not found in {folder}: {some_of(missing, 3)}")
    raise_all(errors)
    if len(own) < 2:
        raise UserError(f"{image_list}: needs at least two labels, one per class; found {some_of(own) or 'none'}")
    left_alone = [f"{label} ({counts[label]})" for label in sorted(several)]
    words = table.column("split")
    has_split = bool(words) and all(map(subset_named, words))
    for word in ("patient", "sex", "age", "view", "licence"):
        if word not in raw.header and word in table.header and word not in columns:
            asked[word] = find_columns(raw.header)[word][0]
    remarks = [remark.removeprefix(f"--image-list: {image_list}: ") for remark in table.remarks]
    remarks = [remark for remark in remarks if " is used as " not in remark]
    return Found("listed", own, {}, asked, table, has_split, left_alone, remarks)


def _likely_columns(raw: Table, folder: Path, image_list: Path, columns: Mapping[str, str]) -> dict[str, str]:
    """Find the columns of paths, labels and subsets that have other names, if they are unambiguous."""
    likely: dict[str, str] = {}
    errors = []
    for word, names in find_columns(raw.header).items():
        if word not in ASKED_FOR or word in columns or names[0] == word:
            continue
        fitting = names
        if word == "path":
            fitting = [
                max(names, key=lambda name: sum((folder / cell).is_file() for cell in raw.column(name)[:SAMPLE]))
            ]
        if word == "split":
            fitting = [name for name in names if all(map(subset_named, raw.column(name)))]
        if len(fitting) > 1:
            errors.append(
                f"{image_list}: the columns {' and '.join(fitting)} may all contain the {word}; choose one: "
                f"--columns {word}={fitting[0]}"
            )
        if fitting:
            likely[word] = fitting[0]
    raise_all(errors)
    return likely


def _refuse_spellings(folder: Path, names: Iterable[str]) -> None:
    """Raise a UserError if two folders are the same class in two spellings."""
    plain: dict[str, list[str]] = {}
    for name in sorted(names):
        plain.setdefault(same_name(name).casefold(), []).append(name)
    raise_all(
        [
            f"{folder}: the folders {' and '.join(same)} differ only in case; if they are one class, use one name"
            for same in plain.values()
            if len(same) > 1
        ]
    )


def _too_few(folder: Path, classes: Sequence[str]) -> UserError:
    found = f"only {classes[0]}" if classes else "none"
    return UserError(
        f"{folder}: needs at least two folders with images ({', '.join(SUFFIXES)}), one per class; found {found}. {HOW}"
    )


def _folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, without hidden ones and those that macOS adds to archives."""
    return sorted(one.name for one in os.scandir(folder) if one.is_dir() and not one.name.startswith((".", "__MACOSX")))


def _images(folder: Path) -> bool:
    return bool(folder_contents(folder).images)
