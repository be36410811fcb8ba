"""What an image file is: by its header, and by its contents. A fault is a fact."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from cxrflow.download.contents import git_blob_sha1_of_file
from cxrflow.images.decode import read_header, read_image
from cxrflow.images.fingerprint import stamp_of
from cxrflow.images.known import TYPES
from cxrflow.images.look import looks_of
from cxrflow.stage.faults import Fault, one_line
from cxrflow.stage.files import sha256_of_file

FACTS = {**{name: kind for name, kind in TYPES.items() if name != "image"}, "status": "string", "fault": "string"}
"""Column to its type. `status` is ok, missing or unreadable, `fault` why it is unreadable; the others are as in `known`."""


def header_facts(path: Path, fault: str) -> dict[str, Any]:
    """What an image file is by its header.

    Args:
        path: the file.
        fault: what is already known to be wrong with it, or an empty text.
    """
    facts: dict[str, Any] = dict.fromkeys(FACTS)
    if fault:
        return {**facts, "status": "unreadable", "fault": fault}
    size, modified = stamp_of(
        path
    )  # from before the file is read, so that a change meanwhile is seen at the next index
    try:
        path.lstat()  # a link is there, wherever it leads
        header = vars(read_header(path))
    except (FileNotFoundError, NotADirectoryError):
        return {**facts, "status": "missing"}
    except OSError as error:
        return {**facts, "status": "unreadable", "fault": error.strerror}
    except Fault as wrong:
        return {**facts, "status": "unreadable", "fault": one_line(str(wrong))}
    return {**facts, **header, "bytes": size, "modified": modified, "status": "ok"}


def hashes_of(path: str, with_git_blob_sha1: bool) -> tuple[str | None, str | None]:
    """SHA-256 and, where it is wanted, git blob SHA-1 of a file's contents; None for a file that cannot be read."""
    try:
        return sha256_of_file(path), git_blob_sha1_of_file(Path(path)) if with_git_blob_sha1 else None
    except OSError:  # told by a look at its header
        return None, None


def contents_facts(
    path: Path, facts: Mapping[str, Any], with_git_blob_sha1: bool
) -> tuple[dict[str, Any], Image.Image | None]:
    """What an image file with a sound header is by its contents.

    Args:
        path: the file.
        facts: those of its header.
        with_git_blob_sha1: whether this hash is wanted, too.

    Returns:
        All facts, and the image as RGB where it could be decoded.
    """
    found = {**facts, "sha256": sha256_of_file(path)}
    if with_git_blob_sha1:
        found["git_blob_sha1"] = git_blob_sha1_of_file(path)
    try:
        rgb, conversions = read_image(path)
    except Fault as fault:
        return {**found, "status": "unreadable", "fault": one_line(str(fault))}, None
    return {**found, **looks_of(rgb), "conversions": "; ".join(conversions)}, rgb
