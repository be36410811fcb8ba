"""Files are written whole or not at all: beside their place first, then renamed."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # tables write themselves; importing pandas here would cost every dry run half a second
    import pandas as pd


@contextmanager
def whole_file(path: str | Path, durable: bool = True) -> Iterator[Path]:
    """Yield a path to write to; it takes the place of `path` when the block ends well, and is deleted when it does not.

    The name beside it keeps the suffix of `path`, since some writers choose their format by it.

    Args:
        path: the file to write.
        durable: wait until it is on the disk. Without, which is faster, a power cut may leave it in parts: for files that tell
            by themselves whether they are whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{threading.get_native_id()}-{path.name}")
    try:
        yield part
        if durable:
            with part.open("rb") as written:
                os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON that a person can read: indented, keys in the order given, no NaN."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: keys sorted, no blanks, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def write_table(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a CSV (no index, Unix line ends, floats so that they read back as the same numbers) or a Parquet file."""
    with whole_file(path) as part:
        if part.suffix == ".parquet":
            table.to_parquet(part, index=False)
        else:
            table.to_csv(part, index=False, lineterminator="\n")


def sha256_of_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    # By `open` and in pieces: of many small files a third faster than by Path and hashlib.file_digest.
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        while piece := file.read(1 << 18):
            digest.update(piece)
    return digest.hexdigest()


def sha256_of_text(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
