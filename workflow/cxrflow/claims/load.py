"""Read the claims of a study or a user, and check every row before any claim is judged."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

# Importing the modules of measures fills the registry.
from cxrflow.claims import architecture, comparisons, curves, data, features, outcomes, searches, settings, text
from cxrflow.claims.model import KINDS, Claim, is_infinite_or_nan
from cxrflow.claims.registry import MEASURES, Measure
from cxrflow.claims.table import COLUMNS, read_claims_table
from cxrflow.io.errors import raise_all
from cxrflow.io.words import did_you_mean

MODULES = (settings, architecture, data, outcomes, curves, comparisons, features, text, searches)
"""The modules of measures, one for each kind of claim."""


def load_claims(path: str | Path) -> list[Claim]:
    """Read claims. An unusual encoding or separator of the file is printed as a warning.

    Returns:
        The claims in the order of the file. `arguments` has only those that are given, as the measure takes them.

    Raises:
        UserError: one message for each problem with columns, ids, kinds, measures and arguments.
    """
    path = Path(path)
    table = read_claims_table(path)
    for remark in table.remarks:
        print(f"warning: {remark}")
    ids = table.column("id")
    problems = [f"id '{name}' is there {count} times" for name, count in Counter(ids).items() if count > 1 and name]
    claims = []
    for number, cells in enumerate(table.rows, start=1):
        claim, wrong = _read_row(dict(zip(table.header, cells, strict=True)), ids)
        problems += [f"{claim.id or f'claim {number}'}: {message}" for message in wrong]
        claims.append(claim)
    raise_all([f"{path.name}: {problem}" for problem in problems])
    return claims


def _read_row(row: Mapping[str, str], ids: Collection[str]) -> tuple[Claim, list[str]]:
    """Parse the claim in a row; return it and its errors."""
    words: dict[str, Any] = {name: row[name] for name in COLUMNS if name not in ("experiment", "arguments")}
    claim = Claim(experiments=tuple(row["experiment"].split()), **words)
    problems = [f"{name} is empty" for name in ("id", "experiment", "value", "statement") if not row[name]]
    if is_infinite_or_nan(claim.value):
        problems.append(f"value: {_short(claim.value)} is not a finite number; allowed: a finite number, or words")
    if len(set(claim.experiments)) != len(claim.experiments):
        problems.append("experiment names one twice")
    if claim.kind not in KINDS:
        near = did_you_mean(claim.kind, KINDS)
        problems.append(f"kind '{claim.kind}' is not allowed{near}; allowed: {', '.join(KINDS)}")
    measure = MEASURES.get(claim.measure)
    if measure is None:
        of_kind = [name for name, one in MEASURES.items() if one.kind == claim.kind] or list(MEASURES)
        near = did_you_mean(claim.measure, MEASURES)
        return claim, [*problems, f"there is no measure '{claim.measure}'{near}; allowed: {', '.join(of_kind)}"]
    if claim.kind in KINDS and measure.kind != claim.kind:
        problems.append(f"measure {measure.name} is for claims of kind {measure.kind}, not {claim.kind}")
    if measure.experiments is not None and len(claim.experiments) != measure.experiments:
        needs = f"measure {measure.name} needs {measure.experiments} experiment(s)"
        problems.append(f"{needs}, {len(claim.experiments)} given")
    if measure.numeric and claim.number is None and not is_infinite_or_nan(claim.value):
        problems.append(f"measure {measure.name} needs a number as value, not '{claim.value}'")
    arguments, wrong = _read_arguments(measure, row["arguments"] or "{}", claim.experiments, ids)
    return replace(claim, arguments=arguments), problems + wrong


def _read_arguments(
    measure: Measure, written: str, experiments: tuple[str, ...], ids: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """Parse the arguments in a row; return them by name, with the types of the measure, and their errors."""
    try:
        given = json.loads(written)
    except json.JSONDecodeError as error:
        return {}, [f"arguments are not JSON ({error.msg} at character {error.pos + 1})"]
    except ValueError:  # Python limits the digits of a number
        return {}, ["arguments have a number with too many digits"]
    except RecursionError:
        return {}, ["arguments are nested too deeply; a measure takes an object of plain values, lists and objects"]
    if not isinstance(given, dict):
        return {}, ['arguments must be a JSON object, such as {"epoch": 36}']
    try:
        read = _arguments_model(measure).model_validate_json(written, context={"experiments": experiments, "ids": ids})
    except ValidationError as invalid:
        return {}, [_message(error, measure) for error in invalid.errors()]
    return {name: getattr(read, name) for name in read.model_fields_set}, []


def _arguments_model(measure: Measure) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    fields: dict[str, Any] = dict(measure.fields)
    return create_model(measure.name, __config__=config, **fields)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:20]}… ({len(text):,} characters)"


def _message(error: Any, measure: Measure) -> str:
    """A validation error of pydantic as a message for the user."""
    argument = ".".join(str(step) for step in error["loc"])
    match error["type"]:
        case "extra_forbidden":
            near = did_you_mean(argument, measure.fields)
            allowed = ", ".join(measure.fields) or "none"
            return f"measure {measure.name} has no argument '{argument}'{near}; allowed: {allowed}"
        case "missing":
            return f"measure {measure.name} needs the argument '{argument}'"
        case "literal_error":
            choices = [word.strip("' ") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
            near = did_you_mean(str(error["input"]), choices)
            return f"argument {argument}: {error['input']!r} is not allowed{near}; allowed: {', '.join(choices)}"
        case "json_invalid":
            return f"arguments cannot be read ({error['ctx']['error']})"
        case "value_error":
            return f"argument {argument}: {error['ctx']['error']}"
        case _:
            return f"argument {argument}: {error['msg'].replace('Input should', 'it should')}"
