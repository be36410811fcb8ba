"""A cheap fingerprint of a data set's files, which decides whether the workflow indexes them again.

The fingerprint is computed from paths and stamps (size, times and inode of a file), without reading images. Files that were
touched, moved or copied are compared with their contents at the last index. If the contents are the same, the fingerprint stays
the same.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cxrflow.images.columns import read_image_list
from cxrflow.images.folder import class_folders
from cxrflow.io.errors import UserError, one_line
from cxrflow.io.files import Stamp, sha256_of_file, stamp_of, whole_file

Stamps = dict[str, Stamp]
"""Path relative to the folder of the images to the file's stamp."""


def fingerprint(root: Path, stamps: Stamps, record: Path | None = None) -> str:
    """Hash the paths and stamps of a data set's files.

    Args:
        root: folder of the images.
        stamps: from `stamps_of`; 100,000 take about a second.
        record: written by `write_record` at the last index. If no contents have changed, its fingerprint is returned; only
            files with another stamp are read for this, once. If the record is damaged, the fingerprint changes.
    """
    last = _read_record(record) if record else None
    if last and {p: stamp[0] for p, stamp in stamps.items()} == {p: row[0] for p, row in last["files"].items()}:
        moved = str(root) != last["root"]
        touched = [path for path, stamp in stamps.items() if moved or list(stamp) != last["files"][path][:-1]]
        hashes = {path: row[-1] for path, row in last["files"].items()}
        if all(hashes[path] is None or _contents(root / path) == hashes[path] for path in touched):
            if touched and record and os.access(record.parent, os.W_OK):
                write_record(record, root, last["fingerprint"], stamps, hashes)
            return str(last["fingerprint"])
    digest = hashlib.blake2b(digest_size=8)
    if record and record.is_file() and last is None:
        digest.update(b"damaged")  # makes the fingerprint differ from the last one, so that the index is rebuilt
    for path, stamp in sorted(stamps.items()):
        digest.update(f"{path}\0{stamp}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def changed_files(root: Path, stamps: Stamps, record: Path) -> dict[str, str]:
    """Find the files that changed since the last index: path to added, removed or replaced."""
    last = _read_record(record)
    if last is None:
        return {}
    then = last["files"]
    changes = {path: "added" if path in stamps else "removed" for path in stamps.keys() ^ then.keys()}
    for path in stamps.keys() & then.keys():
        *stamp, contents = then[path]
        is_other_size, is_touched = stamps[path][0] != stamp[0], list(stamps[path]) != stamp
        if is_other_size or (is_touched and contents and _contents(root / path) != contents):
            changes[path] = "replaced"
    return changes


def stamps_of(
    root: Path,
    classes: Iterable[str],
    layout: str,
    image_list: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> Stamps:
    """Read the stamps of all files of a data set.

    Args:
        root: folder of the images.
        classes: classes whose folders are read. A missing folder counts as empty; index_images reports it.
        layout: one of `cxrflow.images.listing.LAYOUTS`.
        image_list: CSV of the files, with the layout `listed`; the stamp of a missing file is zeros.
        columns: see `cxrflow.images.columns.read_image_list`.

    Raises:
        UserError: a required list is missing, cannot be read, or has no column `path` or `label`; or several folders may be
            the same subset.
    """
    if layout == "listed":
        return _listed_stamps(root, image_list, columns)
    paths = (
        os.path.join(parent, name)  # noqa: PTH118 - three times faster
        for *_, folder in class_folders(root, classes, layout)
        for parent, _, names in os.walk(root / folder)
        for name in names
    )
    return {os.path.relpath(path, root): stamp_of(path) for path in paths}


def _listed_stamps(root: Path, image_list: Path | None, columns: Mapping[str, str] | None) -> Stamps:
    if image_list is None:
        raise UserError("image_list: missing; `layout: listed` requires it")
    table = read_image_list(image_list, columns=columns, needed=("path", "label"))
    paths = set(table.column("path"))
    return {path: stamp_of(os.path.join(root, path)) for path in sorted(paths) if "\0" not in path}  # noqa: PTH118


def write_record(file: Path, root: Path, fingerprint: str, stamps: Stamps, hashes: Mapping[str, str | None]) -> None:
    """Record the files of an index, for the next fingerprint.

    Args:
        file: file to write (JSON).
        root: folder of the images.
        fingerprint: fingerprint of these files.
        stamps: taken before the files were read, so that changes during reading are noticed.
        hashes: path to SHA-256, or an empty text if a file could not be read. Other files are not images; only their size
            matters.
    """
    head = {"root": str(root), "fingerprint": fingerprint}
    with whole_file(file) as part, part.open("w", encoding="utf-8", newline="\n") as written:
        written.write(json.dumps(head)[:-1] + ', "files": {')
        for number, (path, stamp) in enumerate(sorted(stamps.items())):  # line by line: the whole text would take 50 MB
            written.write(f"{',' * (number > 0)}\n{json.dumps(path)}: {json.dumps([*stamp, hashes.get(path)])}")
        written.write("\n}}\n")


def _read_record(file: Path) -> dict[str, Any] | None:
    """Read the file of `write_record`; None if it does not exist or, with a warning, if it is damaged."""
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        record = None
    match record:
        case {"root": str(), "fingerprint": str(), "files": dict(files)} if all(map(_is_row, files.values())):
            return dict(record)
    print(one_line(f"warning: {file}: damaged; the images are indexed again, which rebuilds it"), file=sys.stderr)
    return None


def _is_row(row: Any) -> bool:
    """Whether this is a stamp, possibly a shorter one of an older version, followed by a hash or None."""
    if not isinstance(row, list) or len(row) < 3:
        return False
    return all(type(part) is int for part in row[:-1]) and isinstance(row[-1], str | None)


def _contents(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError:  # index_images reports it
        return "unreadable"
