"""What earlier indexes found in files: one whose path, size and time are as they were is not read again.

A file as long as one that is known is read for its hash, once, and where that is known, it is neither opened by a decoder nor
read again. What was found is known as long as the code and the packages that found it are the same.
"""

from pathlib import Path

import pandas as pd

from cxrflow.images.look import LOOKS
from cxrflow.stage.files import write_table

STAMP = ["image", "bytes", "modified"]
OF_CONTENTS = ["width", "height", "mode", "format", "conversions", *LOOKS]
TYPES = {
    "image": "string",
    "bytes": "Int64",
    "modified": "Int64",  # ns
    "sha256": "string",
    "git_blob_sha1": "string",
    "width": "Int64",
    "height": "Int64",
    "mode": "string",
    "format": "string",
    "conversions": "string",
    **dict.fromkeys(LOOKS, "Float64"),
}


def read_known(file: Path | None, root: Path, found_by: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is known of the files of a folder, and of files wherever they lie.

    Args:
        file: that `write_known` wrote; nothing is known where it is not there.
        root: the data set's folder, however it is named. Stamps of another folder's files say nothing; contents do.
        found_by: hash of the code and the packages that look at images now.

    Returns:
        Both with the columns `TYPES`; of the folder's files no two rows have the same `STAMP`.
    """
    nothing = pd.DataFrame(columns=list(TYPES)).astype(TYPES)
    if file is None or not file.is_file():
        return nothing, nothing
    # All rows of a file are of one folder and found by one code. None is copied: a table of 100,000 takes 30 MB.
    of = pd.read_parquet(file, columns=["root", "found_by"]).drop_duplicates().to_dict("records")
    if [one["found_by"] for one in of] != [found_by]:
        return nothing, nothing
    known = pd.read_parquet(file, columns=list(TYPES)).astype(TYPES)
    return (known if of[0]["root"] == str(root.resolve()) else nothing), known


def write_known(file: Path, root: Path, found_by: str, index: pd.DataFrame, before: pd.DataFrame) -> None:
    """Write down what was found in the files of an index, and what was known of files that it does not have.

    Args:
        file: to write (Parquet).
        root, found_by: see `read_known`.
        index: columns `TYPES` alone; rows of files that can be used.
        before: what was known by stamps.
    """
    others = before[~before["image"].isin(index["image"])]
    known = pd.concat([index.astype(TYPES), others], ignore_index=True)
    write_table(file, known.assign(root=str(root.resolve()), found_by=found_by))
