"""What a data set's files are, cheaply: the workflow's reason to index them again.

The fingerprint is made of paths, sizes and times: planning the workflow reads no image. Times alone are no reason, though:
files that were touched or copied are held against their contents at the last index, and where those are the same, the
fingerprint is that of the last index.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cxrflow.stage.faults import Fault
from cxrflow.stage.files import sha256_of_file, write_text
from cxrflow.stage.tables import read_rows

Stamps = dict[str, tuple[int, int]]
"""Path below the data set's folder to size in bytes and modification time in ns."""


def folder_fingerprint(root: Path, folders: list[str], seen: Path | None = None) -> str:
    """A hash over paths, sizes and modification times of the files below some folders of a data set.

    100,000 files take about a second. A folder that does not exist counts as empty; telling so is for the stage that indexes
    the images.

    Args:
        root: the data set's folder.
        folders: those of its folders that are looked at.
        seen: what `write_seen` wrote at the last index. Where the contents are the same, the fingerprint is the same, too;
            only files whose time is another are read for that, once.
    """
    return _fingerprint(root, folder_stamps(root, folders), seen)


def list_fingerprint(root: Path, image_list: Path, seen: Path | None = None) -> str:
    """The same of the files that an image list names; one that is not there counts as empty.

    Raises:
        Fault: the list cannot be read, or has no column `path`.
    """
    return _fingerprint(root, list_stamps(root, image_list), seen)


def _fingerprint(root: Path, stamps: Stamps, seen: Path | None) -> str:
    last = _read_seen(seen) if seen else None
    if last and {p: size for p, (size, _) in stamps.items()} == {p: row[0] for p, row in last["files"].items()}:
        moved = str(root) != last["root"]
        touched = [path for path, (_, time) in stamps.items() if moved or time != last["files"][path][1]]
        hashes = {path: row[2] for path, row in last["files"].items()}
        if all(hashes[path] is None or _contents(root / path) == hashes[path] for path in touched):
            if touched and seen and os.access(seen.parent, os.W_OK):
                write_seen(seen, root, last["fingerprint"], stamps, hashes)
            return str(last["fingerprint"])
    digest = hashlib.blake2b(digest_size=8)
    for path, (size, time) in sorted(stamps.items()):
        digest.update(f"{path}\0{size}\0{time}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def changed_files(root: Path, stamps: Stamps, seen: Path) -> dict[str, str]:
    """Files of a data set that are not as they were at the last index: path to added, removed or replaced."""
    last = _read_seen(seen)
    if last is None:
        return {}
    then = last["files"]
    changes = {path: "added" if path in stamps else "removed" for path in stamps.keys() ^ then.keys()}
    for path in stamps.keys() & then.keys():
        size, time, contents = then[path]
        if stamps[path][0] != size or (stamps[path][1] != time and contents and _contents(root / path) != contents):
            changes[path] = "replaced"
    return changes


def folder_stamps(root: Path, folders: Iterable[str]) -> Stamps:
    """Sizes and times of the files below some folders of a data set."""
    paths = (
        os.path.join(parent, name)  # noqa: PTH118 - three times faster
        for folder in folders
        for parent, _, names in os.walk(root / folder)
        for name in names
    )
    return {os.path.relpath(path, root): _stamp(path) for path in paths}


def list_stamps(root: Path, image_list: Path) -> Stamps:
    """Sizes and times of the files that an image list names; zeros for one that is not there.

    Raises:
        Fault: the list cannot be read, or has no column `path`.
    """
    header, rows = read_rows(image_list, "image_list")
    if "path" not in header:
        raise Fault(f"image_list: {image_list}: no column `path`; it has {', '.join(header)}")
    paths = {row[header.index("path")] for row in rows}
    return {path: _stamp(os.path.join(root, path)) for path in sorted(paths) if "\0" not in path}  # noqa: PTH118


def _stamp(path: str) -> tuple[int, int]:
    """Size and modification time; zeros where nothing is there."""
    for look in (os.stat, os.lstat):  # a link that leads nowhere or to itself: told by the stage that indexes
        try:
            status = look(path)
        except OSError:
            continue
        return status.st_size, status.st_mtime_ns
    return 0, 0


def write_seen(file: Path, root: Path, fingerprint: str, stamps: Stamps, hashes: Mapping[str, str | None]) -> None:
    """Write down what was indexed.

    Args:
        file: to write.
        root: the data set's folder.
        fingerprint: the one that the index was made for.
        stamps: sizes and times from before the files were read, so that one which changes meanwhile is seen to.
        hashes: path to SHA-256, or an empty text where it could not be had. Files that are not named are no images, and count
            by their size.
    """
    files = {path: [size, time, hashes.get(path)] for path, (size, time) in sorted(stamps.items())}
    write_text(file, json.dumps({"root": str(root), "fingerprint": fingerprint, "files": files}, indent=0) + "\n")


def _read_seen(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    seen: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return seen


def _contents(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError:  # told by the stage that indexes
        return "unreadable"
