"""Recognise the columns of an image list by their names."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.tables import Table, read_table
from cxrflow.io.words import did_you_mean
from cxrflow.study.names import OTHER_NAMES

# These columns decide which images a run uses. Under another name, they must be given by `columns`; others are recognised.
ASKED_FOR = ("path", "label", "split")


def find_columns(header: list[str]) -> dict[str, list[str]]:
    """Map each word of `OTHER_NAMES` to the columns that may contain it, the likeliest first."""
    found = {}
    for word, others in OTHER_NAMES.items():
        names = [word, *(name for name in header if _plain(name) == _plain(word))]
        names += [name for other in others for name in header if _plain(name) == other]
        if there := [name for name in names if name in header]:
            found[word] = list(dict.fromkeys(there))
    return found


def read_image_list(
    path: Path, key: str = "image_list", columns: Mapping[str, str] | None = None, needed: Iterable[str] = ("path",)
) -> Table:
    """Read an image list and rename its columns to the words of `OTHER_NAMES`.

    Args:
        path: CSV, see `cxrflow.io.tables.read_table`.
        key: key of the config, or flag, that names the file; for messages.
        columns: word to column, as given by the user.
        needed: words that must have a column.

    Raises:
        UserError: the file cannot be read or has errors, or a column is missing; lists all errors.
    """
    table = read_table(path, key)
    place, asked = f"{key}: {path}", dict(columns or {})
    errors = [*table.errors]
    errors += [
        f"{place}: no column `{name}` for {word}{did_you_mean(name, table.header)}; it has {', '.join(table.header)}"
        for word, name in asked.items()
        if name not in table.header
    ]
    chosen, remarks = dict(asked), [*table.remarks]
    for word, names in find_columns(table.header).items():
        first = names[0]
        if word in asked or (word in ASKED_FOR and _plain(first) != word):
            continue
        if word == "patient" and first != word and len(names) > 1:
            remarks.append(
                f"{place}: the columns {' and '.join(names)} may all name patients, so none is used; "
                f"choose one: `patients: {{column: {first}}}`"
            )
            continue
        if first != word:
            remarks.append(f"{place}: column `{first}` is used as `{word}`")
        chosen[word] = first
    errors += [_missing(key, path, table.header, word) for word in needed if word not in chosen]
    raise_all(errors)
    places = {word: table.header.index(name) for word, name in chosen.items()}
    rest = [column for column, name in enumerate(table.header) if name not in chosen and column not in places.values()]
    order = [*places.values(), *rest]
    header = [*places, *(table.header[column] for column in rest)]
    return replace(
        table, header=header, rows=[[row[column] for column in order] for row in table.rows], remarks=remarks
    )


def _missing(key: str, path: Path, header: list[str], word: str) -> str:
    near, names = did_you_mean(word, header), find_columns(header).get(word)
    if names:
        way = f"`columns: {{{word}: {names[0]}}}`" if key == "image_list" else f"rename `{names[0]}`"
        near = f"; to use `{names[0]}`: {way}"
    return f"{key}: {path}: no column `{word}`{near}; it has {', '.join(header)}"


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def column_flags(words: Iterable[str]) -> dict[str, str]:
    """Convert the flag `--columns WORD=NAME …` to a mapping.

    Raises:
        UserError: an unknown word.
    """
    pairs = dict(word.partition("=")[::2] for word in words)
    if unknown := [word for word in pairs if word not in OTHER_NAMES]:
        raise UserError(f"--columns: {', '.join(unknown)}: not allowed; allowed: {', '.join(OTHER_NAMES)}")
    return pairs
