"""Read the cells of a claims CSV. Rules use it while a run is planned, so it imports no measure."""

import json
from pathlib import Path

from cxrflow.io.errors import raise_all
from cxrflow.io.tables import Table, read_table
from cxrflow.io.words import did_you_mean
from cxrflow.study.fields import BACKBONES

COLUMNS = (
    *("id", "experiment", "kind", "value", "unit", "quantity", "rule", "place"),
    *("statement", "measure", "arguments"),
)
COUNTS_BACKBONES = "fewer_backbone_parameters"
"""The measure that needs the number of parameters of two backbones."""


def read_claims_table(path: Path) -> Table:
    """Read a claims CSV, which must have all columns of `COLUMNS`; others are ignored.

    Raises:
        UserError: the file is not a table, a column is missing, or lines have too many or too few cells.
    """
    table = read_table(path, "claims")
    unknown = [name for name in table.header if name not in COLUMNS]
    absent = [name for name in COLUMNS if name not in table.header]
    raise_all([f"{path.name}: no column '{name}'{did_you_mean(name, unknown)}" for name in absent])
    raise_all(table.errors)
    return table


def backbones_compared(path: Path) -> list[str]:
    """Names in keras.applications of the backbones whose parameters claims compare, sorted.

    Rows with invalid arguments are skipped: `load_claims` reports them.

    Raises:
        UserError: see `read_claims_table`.
    """
    table = read_claims_table(path)
    named: set[str] = set()
    for measure, written in zip(table.column("measure"), table.column("arguments"), strict=True):
        if measure == COUNTS_BACKBONES:
            try:
                arguments = json.loads(written)
            except (ValueError, RecursionError):
                continue
            named |= {str(value) for value in arguments.values()} if isinstance(arguments, dict) else set()
    return sorted(named & set(BACKBONES))
