"""Check files against the length and hash that they must have, and hash the contents of a user's files for rule params."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cxrflow.io.files import sha256_of_file, sha256_of_text

_hashes: dict[str, str] = {}
"""File name to SHA-256, of all files that `contents_of` has read in this process."""


@dataclass(frozen=True)
class Contents:
    """The known properties of a file's contents; the first known hash, in this order, is the one that is checked."""

    bytes: int | None = None
    sha256: str = ""
    git_blob_sha1: str = ""
    md5: str = ""

    def __post_init__(self) -> None:
        if not (self.sha256 or self.git_blob_sha1 or self.md5):
            raise ValueError("contents without a hash cannot be checked")

    def mismatch(self, file: Path) -> str:
        """Describe in a few words how a file differs from these contents; an empty text if it matches.

        Raises:
            OSError: the file exists but cannot be read.
        """
        if not file.is_file():
            return "missing"
        size = file.stat().st_size
        if self.bytes is not None and size != self.bytes:
            return f"{size} bytes instead of {self.bytes}"
        if self.sha256:
            name, expected, found = "SHA-256", self.sha256, sha256_of_file(file)
        elif self.git_blob_sha1:
            name, expected, found = "git blob SHA-1", self.git_blob_sha1, git_blob_sha1_of_file(file)
        else:
            name, expected, found = "MD5", self.md5, _md5_of_file(file)
        return "" if found == expected.lower() else f"{name} differs"


def git_blob_sha1_of_file(path: Path) -> str:
    """Hash a file as git does, in hex: SHA-1 of "blob ", the length, a zero byte, and the bytes."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _md5_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def contents_of(*files: Path | str | Iterable[Path | str]) -> str:
    """Hash the contents of files that no rule makes, for a rule's params.

    Snakemake considers such a file changed if it is newer than the results. A file that `mv` or `cp -p` puts in its place may
    be older, and is noticed only by its contents. Each file is read once, regardless of the number of jobs.

    Returns:
        16 hexadecimal digits that depend on the contents and their order, not on the names.

    Raises:
        OSError: a file does not exist.
    """
    paths = [path for file in files for path in ([file] if isinstance(file, Path | str) else file)]
    for path in map(str, paths):
        if path not in _hashes:
            _hashes[path] = sha256_of_file(path)
    return sha256_of_text("".join(_hashes[str(path)] for path in paths))[:16]


def planned_contents() -> dict[str, str]:
    """Map each file that `contents_of` has read in this process to its SHA-256."""
    return dict(_hashes)
