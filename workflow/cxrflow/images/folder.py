"""Find the folders of subsets and classes, and the images and other files in them, without opening files."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from cxrflow.io.errors import UserError, raise_all
from cxrflow.study.names import SUBSET_FOLDERS, SUBSETS, same_name, subset_named

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".dcm", ".dicom")


@dataclass(frozen=True)
class Contents:
    """The files in a folder and its sub-folders."""

    images: list[Path] = field(default_factory=list)
    """Files with the suffix of an image."""
    others: list[Path] = field(default_factory=list)
    problems: dict[Path, str] = field(default_factory=dict)
    """Folders that are not searched, and why: they cannot be read, are links, or have the suffix of an image."""


def subset_folders(root: Path, classes: Iterable[str]) -> dict[str, str]:
    """Find the folders of a data set's subsets: train, validation (if there is one) and test, to the folder's name.

    A folder with the name of a subset counts if one of its class folders contains an image. If no folder counts as train or
    test, the usual name is returned, for use in messages; but no test folder, if there is a validation folder and no folder
    with a name for the test subset.

    Raises:
        UserError: the folder cannot be read, or several folders are the same subset.
    """
    classes = list(classes)
    try:
        folders = sorted(one.name for one in os.scandir(root) if one.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        folders = []
    except OSError as error:
        raise UserError(f"{root}: cannot be read: {error.strerror}") from None
    errors, found = [], {}
    for subset in SUBSETS:
        there = [name for name in folders if subset_named(name) == subset]
        if len(there) > 1 or subset == "validation":
            counting = [name for name in there if _holds_image_of(root / name, classes)]
            if len(counting) > 1:
                errors.append(
                    f"{root}: {' and '.join(f'{name}/' for name in counting)} all have a name of the {subset} subset; "
                    "move their images into one of them, or rename the others"
                )
            there = counting if subset == "validation" else counting or there
        if there:
            found[subset] = there[0]
    raise_all(errors)
    usual = SUBSET_FOLDERS[:1] if "validation" in found else SUBSET_FOLDERS
    return {subset: found.get(subset, subset) for subset in SUBSETS if subset in found or subset in usual}


def _holds_image_of(folder: Path, classes: list[str]) -> bool:
    parts = (os.walk(folder / _as_spelt(folder, name)) for name in classes)
    return any(name.lower().endswith(SUFFIXES) for part in parts for _, _, names in part for name in names)


def class_folders(root: Path, classes: Iterable[str], layout: str) -> list[tuple[str, str, str]]:
    """List the class folders of a data set: subset (or an empty text), class, and path relative to the root.

    A folder also belongs to a class if its name is the same in another Unicode form.

    Raises:
        UserError: see `subset_folders`.
    """
    classes = list(classes)
    if layout != "train_test":
        return [("", name, _as_spelt(root, name)) for name in classes]
    return [
        (subset, name, f"{folder}/{_as_spelt(root / folder, name)}")
        for (subset, folder), name in product(subset_folders(root, classes).items(), classes)
    ]


def _as_spelt(folder: Path, name: str) -> str:
    if name.isascii() or (folder / name).exists() or not folder.is_dir():
        return name
    return next((one.name for one in folder.iterdir() if same_name(one.name) == same_name(name)), name)


def folder_contents(folder: Path) -> Contents:
    """List a folder and its sub-folders without opening files. Links to folders are reported, not followed."""
    contents = Contents()

    def report(error: OSError) -> None:
        contents.problems[Path(error.filename)] = f"a folder that cannot be read: {error.strerror}"

    for parent, folders, names in os.walk(folder, onerror=report):
        for name in folders.copy():
            path = Path(parent, name)
            if path.is_symlink():
                contents.problems[path] = (
                    "a link to a folder, which is not followed; link the images in it, or copy them"
                )
            elif name.lower().endswith(SUFFIXES):
                contents.problems[path] = "a folder with the suffix of an image; rename it or move it elsewhere"
                folders.remove(name)
        for name in names:
            (contents.images if name.lower().endswith(SUFFIXES) else contents.others).append(Path(parent, name))
    return contents
