"""Read CSV files written by people: any common encoding and separator."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cxrflow.io.errors import UserError, raise_all

if TYPE_CHECKING:  # as in cxrflow.io.files
    import pandas as pd

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
MOST_LINES = 20
"""Lines with a wrong number of cells that are reported one by one."""


@dataclass(frozen=True)
class Table:
    """The cells of a table as text, without surrounding blanks."""

    header: list[str]
    rows: list[list[str]]
    """Each with as many cells as the header, except for lines that `errors` reports."""
    remarks: list[str]
    """Notes for the log, such as an unusual encoding or separator."""
    errors: list[str]
    """Errors in single columns and lines."""

    def column(self, name: str) -> list[str]:
        """Return the cells of a column; empty texts if there is no such column."""
        place = self.header.index(name) if name in self.header else None
        return ["" if place is None else row[place] for row in self.rows]

    def as_frame(self) -> "pd.DataFrame":
        """Convert to a data frame of texts; an empty cell is an empty text."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=self.header, dtype="string")


def read_csv_as_text(path: Path, key: str) -> "pd.DataFrame":
    """Read a table that must be free of errors; see `read_table`.

    Raises:
        UserError: the file cannot be read, is not a table, or has errors in single columns or lines.
    """
    table = read_table(path, key)
    raise_all(table.errors)
    return table.as_frame()


def read_table(path: Path, key: str) -> Table:
    """Read a table in UTF-8, UTF-16 or Windows-1252 (Latin-1), with one of `SEPARATORS`.

    Columns without a name (an index, or the result of a separator at the end of each line) are omitted.

    Args:
        path: file with a header, with or without a byte order mark. Empty lines are ignored.
        key: the config key or flag that names the file, for messages.

    Raises:
        UserError: the file cannot be read, or is not a table. Errors in single columns and lines are in `Table.errors`.
    """
    place = f"{key}: {path}"
    text, remarks = _text_of(path, place)
    separator, header, lines = _records(text, place)
    if separator != ",":
        remarks.append(f"{place}: cells are separated by {SEPARATORS[separator]}")
    named = [column for column, name in enumerate(header) if name]
    if not named:
        raise UserError(f"{place}: empty; the first line must name the columns")
    if unnamed := [str(column) for column, name in enumerate(header, start=1) if not name]:
        remarks.append(f"{place}: columns without a name are ignored (column {', '.join(unnamed)})")
    names = [header[column] for column in named]
    errors = [f"{place}: column `{name}` occurs twice" for name in sorted({n for n in names if names.count(n) > 1})]
    ragged = [(line, cells) for line, cells in lines if not named[-1] < len(cells) <= len(header)]
    errors += [
        f"{place}: line {line} has {len(cells)} cells, the header {len(header)}; "
        f"a cell that contains {SEPARATORS[separator]} must be in quotes"
        for line, cells in ragged[:MOST_LINES]
    ]
    if (more := len(ragged) - MOST_LINES) > 0:
        errors.append(f"{place}: {more} more lines have another number of cells than the header")
    rows = [[cells[column] for column in named] for _, cells in lines if named[-1] < len(cells)]
    return Table(names, rows, remarks, errors)


def _text_of(path: Path, place: str) -> tuple[str, list[str]]:
    """A file's text, and a remark where it is not UTF-8.

    No encoding is guessed but Windows-1252, the one of most tables that are not UTF-8: where that is wrong, only letters beyond
    ASCII are others, so that paths and classes with such letters are not found, which is reported.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{place}: cannot be read: {error.strerror}") from None
    if content.startswith(b"PK\x03\x04"):
        raise UserError(f"{place}: an Excel workbook, not a CSV; save the sheet as CSV in UTF-8")
    encodings = {"utf-8-sig": "", "cp1252": "Windows-1252 (Latin-1)"}
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = {"utf-16": "UTF-16"}
    for encoding, words in encodings.items():
        try:
            return content.decode(encoding), [f"{place}: not UTF-8; read as {words}"] if words else []
        except UnicodeDecodeError:
            continue
    raise UserError(f"{place}: not UTF-8 text; save it as CSV in UTF-8")


def _records(text: str, place: str) -> tuple[str, list[str], list[tuple[int, list[str]]]]:
    """Find the separator, and split the header and all lines that are not empty, with their numbers.

    The separator must occur in the header. Among several, it is the one with which most lines have as many cells as the
    header, and then the one with the most columns.
    """
    found, error_text = [], ""
    for separator in SEPARATORS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            header = [cell.strip() for cell in next(reader, [])]
            if len(header) < 2 and separator != ",":
                continue
            lines = [(reader.line_num, _strip(cells, header)) for cells in reader if any(map(str.strip, cells))]
        except csv.Error as error:
            error_text = error_text or f"{place}: line {reader.line_num}: not a CSV: {error}"
            continue
        fitting = sum(len(cells) == len(header) for _, cells in lines) / max(len(lines), 1)
        found.append((fitting if len(header) > 1 else -1, len(header), separator, header, lines))
    if not found:
        raise UserError(error_text)
    *_, separator, header, lines = max(found, key=lambda one: one[:2])
    if any("\0" in name for name in header):
        raise UserError(f"{place}: not a text file (it contains NUL bytes); save it as CSV in UTF-8")
    return separator, header, lines


def _strip(cells: list[str], header: list[str]) -> list[str]:
    """Remove blanks around the cells of a line, and empty cells beyond the header."""
    cells = [cell.strip() for cell in cells]
    return cells if any(cells[len(header) :]) else cells[: len(header)]
