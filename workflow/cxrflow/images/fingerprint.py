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

from cxrflow.images.folder import class_folders
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import sha256_of_file, whole_file
from cxrflow.stage.tables import read_rows

Stamps = dict[str, tuple[int, int]]
"""Path below the data set's folder to size in bytes and modification time in ns."""


def fingerprint(root: Path, stamps: Stamps, seen: Path | None = None) -> str:
    """A hash over paths, sizes and modification times of a data set's files.

    Args:
        root: the data set's folder.
        stamps: those of its files, see `stamps_of`; 100,000 take about a second.
        seen: what `write_seen` wrote at the last index. Where the contents are the same, the fingerprint is the same, too;
            only files whose time is another are read for that, once.
    """
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


def stamps_of(root: Path, classes: Iterable[str], layout: str, image_list: Path | None = None) -> Stamps:
    """Sizes and times of the files that a data set may be made of.

    Args:
        root: the data set's folder.
        classes: those whose folders are looked at. A folder that does not exist counts as empty; telling so is for the stage
            that indexes the images.
        layout: one of `cxrflow.images.listing.LAYOUTS`.
        image_list: with the layout `listed` the CSV that names the files; zeros stand for one that is not there.

    Raises:
        Fault: the list is needed and there is none, it cannot be read, or it has no column `path`.
    """
    if layout == "listed":
        return _listed_stamps(root, image_list)
    paths = (
        os.path.join(parent, name)  # noqa: PTH118 - three times faster
        for *_, folder in class_folders(classes, layout)
        for parent, _, names in os.walk(root / folder)
        for name in names
    )
    return {os.path.relpath(path, root): stamp_of(path) for path in paths}


def _listed_stamps(root: Path, image_list: Path | None) -> Stamps:
    if image_list is None:
        raise Fault("image_list: missing; with `layout: listed` it names the images")
    header, rows = read_rows(image_list, "image_list")
    if "path" not in header:
        raise Fault(f"image_list: {image_list}: no column `path`; it has {', '.join(header)}")
    paths = {row[header.index("path")] for row in rows}
    return {path: stamp_of(os.path.join(root, path)) for path in sorted(paths) if "\0" not in path}  # noqa: PTH118


def stamp_of(path: str | Path) -> tuple[int, int]:
    """Size in bytes and modification time in ns of a file; zeros where nothing is there."""
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
    head = {"root": str(root), "fingerprint": fingerprint}
    with whole_file(file) as part, part.open("w", encoding="utf-8", newline="\n") as written:
        written.write(json.dumps(head)[:-1] + ', "files": {')
        for number, (path, stamp) in enumerate(sorted(stamps.items())):  # line by line: the whole would take 50 MB
            written.write(f"{',' * (number > 0)}\n{json.dumps(path)}: {json.dumps([*stamp, hashes.get(path)])}")
        written.write("\n}}\n")


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
