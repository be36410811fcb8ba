"""What lies in a class folder, by names alone: images, other files, and what stands in an image's place."""

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from cxrflow.images import SUBSET_FOLDERS

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".dcm", ".dicom")


@dataclass(frozen=True)
class Contents:
    """The files below a folder."""

    images: list[Path] = field(default_factory=list)
    """Files that are named as images are."""
    others: list[Path] = field(default_factory=list)
    faults: dict[Path, str] = field(default_factory=dict)
    """What may hide images, and why it does not count: folders that cannot be read, are links, or are named as images."""


def class_folders(classes: Iterable[str], layout: str) -> list[tuple[str, str, str]]:
    """Subset folder (or an empty text), class and path of each class folder of a layout that has them."""
    if layout == "train_test":
        return [(subset, name, f"{subset}/{name}") for subset, name in product(SUBSET_FOLDERS, classes)]
    return [("", name, name) for name in classes]


def folder_contents(folder: Path) -> Contents:
    """Look through a folder and its sub-folders, without opening a file. Links to folders are told, not followed."""
    contents = Contents()

    def tell(error: OSError) -> None:
        contents.faults[Path(error.filename)] = f"a folder that cannot be read: {error.strerror}"

    for parent, folders, names in os.walk(folder, onerror=tell):
        for name in folders.copy():
            path = Path(parent, name)
            if path.is_symlink():
                contents.faults[path] = "a link to a folder, which is not followed; link the images in it, or copy them"
            elif name.lower().endswith(SUFFIXES):
                contents.faults[path] = "a folder that is named as an image; rename it, or take it away"
                folders.remove(name)
        for name in names:
            (contents.images if name.lower().endswith(SUFFIXES) else contents.others).append(Path(parent, name))
    return contents


def name_fault(name: str) -> str:
    """Why a file of this name is not used (an empty text when it is): tables hold names as lines of UTF-8."""
    kinds = {unicodedata.category(character) for character in name}
    if "Cs" in kinds:
        return "its name is not UTF-8; rename it"
    if kinds & {"Cc", "Zl", "Zp"}:
        return "its name holds a line break or another control character; rename it"
    return ""
