"""Contents of files that no rule makes, for the rules' params.

Snakemake takes such a file for changed where it is newer than the results. One that `mv` or `cp -p` puts in its place may be
older; by its contents it is seen all the same.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from cxrflow.stage.files import sha256_of_file, sha256_of_text

_hash_of = cache(sha256_of_file)  # each file once, however many jobs read it


def contents_of(*files: Path | str | Iterable[Path | str]) -> str:
    """A hash of the contents of files, in their order, not of their names; of nothing where there is none.

    Raises:
        OSError: a file is not there.
    """
    paths = [path for file in files for path in ([file] if isinstance(file, Path | str) else file)]
    return sha256_of_text("".join(map(_hash_of, paths)))[:16]
