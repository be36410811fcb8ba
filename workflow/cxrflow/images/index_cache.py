"""A cache of image facts, so that an index reads only new and changed files.

A file with the path, size and times of a cached file is not opened. A file with the length of a cached file is read once, for
its hash; if the hash is cached, the file is not decoded. The cache is valid for the code and the packages that wrote it.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from cxrflow.images.facts import TYPES
from cxrflow.io.errors import one_line
from cxrflow.io.files import write_table

DAMAGED = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)
"""What reading raises for a damaged Parquet file, or for one with other columns."""


def read_cache(file: Path | None, root: Path, code: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the cached facts of the files in a folder, and those of files in any folder.

    Args:
        file: written by `write_cache`; need not exist.
        root: folder of the images. The times of files in another folder are meaningless, but not their contents.
        code: hash of the current code and packages that read images.

    Returns:
        Two tables with the columns `cxrflow.images.facts.TYPES`; in the first one, no two rows have the same
        `cxrflow.images.facts.STAMP`. Both are empty, with a warning, if the file is damaged.
    """
    nothing = pd.DataFrame(columns=list(TYPES)).astype(TYPES)
    if file is None or not file.is_file():
        return nothing, nothing
    try:
        # All rows of a file have the same folder and code. Neither table is copied: 100,000 rows take 30 MB.
        origin = pd.read_parquet(file, columns=["root", "found_by"]).drop_duplicates().to_dict("records")
        if [one["found_by"] for one in origin] != [code]:
            return nothing, nothing
        cached = pd.read_parquet(file, columns=list(TYPES)).astype(TYPES)
    except DAMAGED:
        print(one_line(f"warning: {file}: damaged; it is rebuilt, so every image is read once"), flush=True)
        return nothing, nothing
    return (cached if origin[0]["root"] == str(root.resolve()) else nothing), cached


def write_cache(file: Path, root: Path, code: str, index: pd.DataFrame, before: pd.DataFrame) -> None:
    """Write the facts of an index, and the cached facts of files that are not in the index.

    Args:
        file: file to write (Parquet).
        root, code: see `read_cache`.
        index: columns `cxrflow.images.facts.TYPES`; rows of usable files.
        before: first table of `read_cache`.
    """
    others = before[~before["image"].isin(index["image"])]
    cached = pd.concat([index.astype(TYPES), others], ignore_index=True)
    write_table(file, cached.assign(root=str(root.resolve()), found_by=code))
