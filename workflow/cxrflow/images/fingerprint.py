"""What a data set's files look like from outside, cheaply: the workflow's reason to index them again."""

import hashlib
import os
from pathlib import Path


def folder_fingerprint(root: Path, folders: list[str]) -> str:
    """A hash over paths, sizes and modification times of the files below some folders of a data set.

    Reads no contents: 100,000 files take about a second. A folder that does not exist counts as empty; telling so is
    for the stage that indexes the images.
    """
    digest = hashlib.blake2b(digest_size=8)
    for folder in sorted(folders):
        for path, size, time in sorted(_files(root / folder)):
            digest.update(f"{path}\0{size}\0{time}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(folder: Path) -> list[tuple[str, int, int]]:
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118 - three times faster
            try:
                status = os.stat(path)  # noqa: PTH116
            except OSError:  # a link that leads nowhere or to itself: told by the stage that indexes
                status = os.lstat(path)
            found.append((path, status.st_size, status.st_mtime_ns))
    return found
