"""What a file has to be: its length and its hash, and what is wrong with one on the disk."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cxrflow.stage.files import sha256_of_file


@dataclass(frozen=True)
class Contents:
    """What is known of a file's contents; of several hashes the first in this order decides."""

    bytes: int | None = None
    sha256: str = ""
    git_blob_sha1: str = ""
    md5: str = ""

    def __post_init__(self) -> None:
        if not (self.sha256 or self.git_blob_sha1 or self.md5):
            raise ValueError("contents without a hash cannot be checked")

    def fault_of(self, file: Path) -> str:
        """What is wrong with a file, in a few words; an empty text when nothing is.

        Raises:
            OSError: the file is there, and cannot be read.
        """
        if not file.is_file():
            return "missing"
        size = file.stat().st_size
        if self.bytes is not None and size != self.bytes:
            return f"{size} bytes in place of {self.bytes}"
        if self.sha256:
            name, wanted, found = "SHA-256", self.sha256, sha256_of_file(file)
        elif self.git_blob_sha1:
            name, wanted, found = "git blob SHA-1", self.git_blob_sha1, git_blob_sha1_of_file(file)
        else:
            name, wanted, found = "MD5", self.md5, _md5_of_file(file)
        return "" if found == wanted.lower() else f"{name} differs"


def git_blob_sha1_of_file(path: Path) -> str:
    """The name that git gives a file's contents, in hex: SHA-1 of "blob ", the length, a zero byte, and the bytes."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _md5_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
