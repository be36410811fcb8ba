"""What a data set's files look like from outside, cheaply: the workflow's reason to index them again."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from cxrflow.stage.faults import Fault
from cxrflow.stage.tables import read_rows


def folder_fingerprint(root: Path, folders: list[str]) -> str:
    """A hash over paths, sizes and modification times of the files below some folders of a data set.

    Reads no contents: 100,000 files take about a second. A folder that does not exist counts as empty; telling so is
    for the stage that indexes the images.
    """
    return _fingerprint(file for folder in sorted(folders) for file in sorted(_files(root / folder)))


def list_fingerprint(root: Path, image_list: Path) -> str:
    """The same of the files that an image list names; one that is not there counts as empty.

    Raises:
        Fault: the list cannot be read, or has no column `path`.
    """
    header, rows = read_rows(image_list, "image_list")
    if "path" not in header:
        raise Fault(f"image_list: {image_list}: no column `path`; it has {', '.join(header)}")
    paths = sorted({row[header.index("path")] for row in rows})
    return _fingerprint(_status(os.path.join(root, path)) for path in paths if "\0" not in path)  # noqa: PTH118


def _fingerprint(files: Iterable[tuple[str, int, int]]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path, size, time in files:
        digest.update(f"{path}\0{size}\0{time}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(folder: Path) -> list[tuple[str, int, int]]:
    return [
        _status(os.path.join(parent, name))  # noqa: PTH118 - three times faster
        for parent, _, names in os.walk(folder)
        for name in names
    ]


def _status(path: str) -> tuple[str, int, int]:
    """Path, size and modification time; zeros where nothing is there."""
    for look in (os.stat, os.lstat):  # a link that leads nowhere or to itself: told by the stage that indexes
        try:
            status = look(path)
        except OSError:
            continue
        return path, status.st_size, status.st_mtime_ns
    return path, 0, 0
