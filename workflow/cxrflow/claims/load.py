"""Read a claims CSV, the study's or the user's own, and check every row before anything is judged."""

import csv
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

# Importing the modules of measures fills the registry.
from cxrflow.claims import architecture, comparisons, curves, data, features, outcomes, searches, settings, text
from cxrflow.claims.model import KINDS, Claim
from cxrflow.claims.registry import MEASURES, Measure
from cxrflow.config.suggest import did_you_mean
from cxrflow.stage.faults import Fault, raise_all

COLUMNS = (
    *("id", "experiment", "kind", "value", "unit", "quantity", "rule", "place"),
    *("statement", "measure", "arguments"),
)
MODULES = (settings, architecture, data, outcomes, curves, comparisons, features, text, searches)
"""The modules of measures, one for each kind of claim."""


def load_claims(path: str | Path) -> list[Claim]:
    """Read claims.

    Returns:
        The claims in the file's order. Their arguments are checked against their measures, defaults left out.

    Raises:
        Fault: one message for each fault of the file: columns, ids, kinds, measures, arguments.
    """
    path = Path(path)
    rows = _rows(path)
    ids = [row["id"] for row in rows]
    faults = [f"id '{name}' is there {count} times" for name, count in Counter(ids).items() if count > 1 and name]
    claims = []
    for line, row in enumerate(rows, start=1):
        claim, wrong = _claim(row, ids)
        faults += [f"{row['id'] or f'claim {line}'}: {message}" for message in wrong]
        claims.append(claim)
    raise_all([f"{path.name}: {fault}" for fault in faults])
    return claims


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            absent = [name for name in COLUMNS if name not in header]
            unknown = [name for name in header if name not in COLUMNS]
            if absent:
                raise Fault([f"{path.name}: no column '{name}'{did_you_mean(name, unknown)}" for name in absent])
            rows = [(reader.line_num, cells) for cells in reader if cells]
    except UnicodeDecodeError:
        raise Fault(f"{path.name}: not UTF-8 text") from None
    except csv.Error as error:
        raise Fault(f"{path.name}: not a CSV: {error}") from None
    raise_all(
        [
            f"{path.name}: line {line} has {len(cells)} cells, the header {len(header)}; "
            'a cell with commas stands in quotes, and quotes within it are doubled ("")'
            for line, cells in rows
            if len(cells) != len(header)
        ]
    )
    return [dict(zip(header, (cell.strip() for cell in cells), strict=True)) for _, cells in rows]


def _claim(row: Mapping[str, str], ids: Collection[str]) -> tuple[Claim, list[str]]:
    """A row's claim and its faults."""
    words: dict[str, Any] = {name: row[name] for name in COLUMNS if name not in ("experiment", "arguments")}
    claim = Claim(experiments=tuple(row["experiment"].split()), **words)
    faults = [f"{name} is empty" for name in ("id", "experiment", "value", "statement") if not row[name]]
    if len(set(claim.experiments)) != len(claim.experiments):
        faults.append("experiment names one twice")
    if claim.kind not in KINDS:
        near = did_you_mean(claim.kind, KINDS)
        faults.append(f"kind '{claim.kind}' is not allowed{near}; allowed: {', '.join(KINDS)}")
    known = MEASURES.get(claim.measure)
    if known is None:
        of_kind = [name for name, one in MEASURES.items() if one.kind == claim.kind] or list(MEASURES)
        near = did_you_mean(claim.measure, MEASURES)
        return claim, [*faults, f"there is no measure '{claim.measure}'{near}; allowed: {', '.join(of_kind)}"]
    if claim.kind in KINDS and known.kind != claim.kind:
        faults.append(f"measure {known.name} is for claims of kind {known.kind}, not {claim.kind}")
    if known.experiments is not None and len(claim.experiments) != known.experiments:
        faults.append(f"measure {known.name} needs {known.experiments} experiment(s), {len(claim.experiments)} given")
    if known.numeric and claim.number is None:
        faults.append(f"measure {known.name} needs a number as value, not '{claim.value}'")
    arguments, wrong = _arguments(known, row["arguments"] or "{}", claim.experiments, ids)
    return replace(claim, arguments=arguments), faults + wrong


def _arguments(
    known: Measure, written: str, experiments: tuple[str, ...], ids: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """The arguments of a row by name, as the measure takes them, and their faults."""
    try:
        given = json.loads(written)
    except json.JSONDecodeError as error:
        return {}, [f"arguments are not JSON ({error.msg} at character {error.pos + 1})"]
    if not isinstance(given, dict):
        return {}, ['arguments must be a JSON object, such as {"epoch": 36}']
    model = _model(known)
    try:
        read = model.model_validate_json(written, context={"experiments": experiments, "ids": ids})
    except ValidationError as error:
        return {}, [_message(fault, known) for fault in error.errors()]
    return {name: getattr(read, name) for name in read.model_fields_set}, []


def _model(known: Measure) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    fields: dict[str, Any] = dict(known.fields)
    return create_model(known.name, __config__=config, **fields)


def _message(fault: Any, known: Measure) -> str:
    argument = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        near = did_you_mean(argument, known.fields)
        return f"measure {known.name} has no argument '{argument}'{near}; allowed: {', '.join(known.fields) or 'none'}"
    if fault["type"] == "missing":
        return f"measure {known.name} needs the argument '{argument}'"
    if fault["type"] == "literal_error":
        allowed = [word.strip("' ") for word in fault["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        near = did_you_mean(str(fault["input"]), allowed)
        return f"argument {argument}: {fault['input']!r} is not allowed{near}; allowed: {', '.join(allowed)}"
    own = fault["type"] == "value_error"
    return f"argument {argument}: {fault['ctx']['error'] if own else fault['msg'].replace('Input should', 'it should')}"
