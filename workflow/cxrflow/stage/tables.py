"""Tables that people write."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from cxrflow.stage.faults import Fault, raise_all

if TYPE_CHECKING:  # as in cxrflow.stage.files
    import pandas as pd


def read_csv_as_text(path: Path, key: str) -> "pd.DataFrame":
    """The table of `read_rows`; an empty cell is an empty text."""
    import pandas as pd

    header, rows = read_rows(path, key)
    return pd.DataFrame(rows, columns=header, dtype="string")


def read_rows(path: Path, key: str) -> tuple[list[str], list[list[str]]]:
    """Read a CSV of UTF-8 text, every cell as it is written, without blanks around it.

    Args:
        path: file with a header; with or without a byte order mark.
        key: the key of the config, or flag, that names the file; messages begin with it.

    Returns:
        The names of the columns, and the rows, each with as many cells. Empty lines are left out.

    Raises:
        Fault: the file cannot be read, is no such table, or has a column without a name or twice.
    """
    place = f"{key}: {path}"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            rows = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except UnicodeDecodeError:
        raise Fault(f"{place}: not UTF-8 text; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise Fault(f"{place}: not a CSV: {error}") from None
    except OSError as error:
        raise Fault(f"{place}: cannot be read: {error.strerror}") from None
    faults = [f"{place}: column {place_of} has no name" for place_of, name in enumerate(header, start=1) if not name]
    faults += [
        f"{place}: column `{name}` is there twice" for name in sorted({n for n in header if header.count(n) > 1})
    ]
    faults += [
        f"{place}: line {line} has {len(cells)} cells, the header {len(header)}; a cell with commas stands in quotes"
        for line, cells in rows
        if len(cells) != len(header)
    ]
    raise_all(faults if header else [f"{place}: empty; its first line names the columns"])
    return header, [[cell.strip() for cell in cells] for _, cells in rows]
