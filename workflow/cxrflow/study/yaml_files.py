"""YAML files of a config, read strictly.

PyYAML, and so Snakemake, reads YAML 1.1, where `010` is 8, `1:30` is 90, `yes` is true, `2020-01-01` is a date, and the last of
two equal keys counts. YAML 1.2 and most people read these differently, so they are errors here. A number in quotes is a text,
and an error where a number is expected.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from cxrflow.io.errors import UserError, raise_all
from cxrflow.study.experiment import Experiment
from cxrflow.study.fields import parts_of
from cxrflow.study.merging import PARTIAL_KEYS, merge_keys
from cxrflow.study.models import Config

BOOLEANS = ("true", "false")


def read_yaml(*paths: str | Path) -> dict[str, Any]:
    """Read YAML files into one raw config. Later files override single keys of earlier ones, as in Snakemake.

    Raises:
        UserError: a file cannot be read, or parts of it are ambiguous.
    """
    result: dict[str, Any] = {}
    problems: list[str] = []
    for path in paths:
        content, of_file = load_yaml(path)
        problems += of_file
        if not isinstance(content, Mapping | None):
            raise UserError(
                f"{path}: must have keys with values, such as `study: demo`; it is a {type(content).__name__}"
            )
        result = merge_keys(result, content or {})
    raise_all(problems)
    return result


def load_yaml(path: str | Path) -> tuple[Any, list[str]]:
    """Load a YAML or JSON file.

    Returns:
        The content, and a message for each ambiguous part of it.

    Raises:
        UserError: the file cannot be read, or is neither YAML nor JSON.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    # Dates that do not exist are a ValueError, very deep nesting is a RecursionError.
    try:
        loader = yaml.SafeLoader(_without_tabs_of_json(text))
        node = loader.get_single_node()
        problems = [*_problems_of(node, [], set())]  # first, since `construct_document` changes nodes with `<<`
        content = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    return content, [
        ": ".join([f"{path}: line {line}", *([".".join(keys)] if keys else []), why]) for line, keys, why in problems
    ]


def pair_problems(pair: str) -> list[str]:
    """Check a pair KEY=VALUE of a command line: a message for each ambiguous part of the value.

    Snakemake reads numbers inside mappings and lists there as texts, so they are allowed; numbers in quotes are not.
    """
    key, _, text = pair.partition("=")
    try:
        node = yaml.compose(text.strip("'\""), Loader=yaml.BaseLoader)  # as in Snakemake; all scalars are texts
    except (yaml.YAMLError, ValueError, RecursionError):
        return []  # Snakemake takes the whole as a text
    problems = [f"{'.'.join(keys)}: {why}" for _, keys, why in _problems_of(node, [key], set())]
    if isinstance(node, yaml.MappingNode):
        problems += [
            f"{key}: {name.value}: YAML needs a space after the colon: {name.value.replace(':', ': ', 1)}"
            for name, value in node.value
            if isinstance(name, yaml.ScalarNode) and ":" in name.value and value.value == ""
        ]
    return problems


def _without_tabs_of_json(text: str) -> str:
    """Replace the tabs of a JSON file, which YAML does not allow, by spaces; other texts stay as they are."""
    if "\t" not in text:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text.replace("\t", " ")  # a tab inside a text of JSON is written \t


def _problems_of(node: yaml.Node | None, keys: list[str], seen: set[int]) -> Iterator[tuple[int, list[str], str]]:
    """List the ambiguous parts of a node and of all nodes in it: line, keys that lead there, and error."""
    if node is None or id(node) in seen:  # aliases refer to the same node several times
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        why = _ambiguity(node)
        if why is None or _is_word_at(keys, node.value):
            why = _quoted_number(node, keys)
        if why:
            yield node.start_mark.line + 1, keys, f"{node.value}: {why}"
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _problems_of(item, keys, seen)
    elif isinstance(node, yaml.MappingNode):
        first: dict[tuple[str, str], yaml.Node] = {}
        for key, value in node.value:
            here = keys
            if isinstance(key, yaml.ScalarNode):
                here = [*keys, key.value]
                line = key.start_mark.line
                before = first.setdefault((key.tag, key.value), key).start_mark
                if before is not key.start_mark:
                    where = f", first in line {before.line + 1}" if before.line != line else ""
                    yield line + 1, here, f"given twice{where}; keep one"
                if (why := _ambiguity(key)) is not None:
                    yield line + 1, keys, f"{key.value}: {why}"
            else:
                yield from _problems_of(key, keys, seen)
            yield from _problems_of(value, here, seen)


def _ambiguity(node: yaml.ScalarNode) -> str | None:
    """Why a scalar without quotes can be read in two ways, and how to write it; None if there is only one."""
    if node.style is not None or node.tag == "tag:yaml.org,2002:str":
        return None
    text, quoted = node.value, f"'{node.value}' in quotes if it is a text"
    kind = node.tag.rpartition(":")[2]
    if kind == "bool" and text.lower() not in BOOLEANS:
        value = str(yaml.safe_load(text)).lower()
        return f"YAML 1.1 reads this as {value}; write {value} if that is what you mean, or {quoted}"
    if kind == "timestamp":
        return f"YAML reads this as a date; write {quoted}"
    digits = text.lstrip("+-")
    if (kind in ("int", "float") and ":" in digits) or (
        kind == "int" and len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567_"
    ):
        value = yaml.safe_load(text)
        base = 60 if ":" in digits else 8
        return f"YAML 1.1 reads this as a number to base {base}, {value}; write {value}, or {quoted}"
    return None


def _quoted_number(node: yaml.ScalarNode, keys: Sequence[str]) -> str | None:
    """Why a quoted scalar is not a number although its key takes numbers, and no text; None if that is not so."""
    if node.style not in ("'", '"'):
        return None
    try:
        float(node.value)
    except ValueError:
        return None
    types = _types_at(keys)
    return (
        "a text because of the quotes; write the number without them"
        if types & {int, float} and str not in types
        else None
    )


def _is_word_at(keys: Sequence[str], text: str) -> bool:
    """Whether a key takes this text as a word, such as `off`, which YAML 1.1 reads as false."""
    return any(get_origin(one) is Literal and text in get_args(one) for one in _types_at(keys))


def _types_at(keys: Sequence[str]) -> set[Any]:
    """The types that a config allows at a place; places in lists have the keys of the list."""
    types: list[Any] = [Config]
    for key in keys:
        parts = [part for one in types for part in parts_of(one)]
        types = [get_args(part)[1] for part in parts if get_origin(part) is dict]
        models = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        types += [model.model_fields[key].annotation for model in models if key in model.model_fields]
        types += [Experiment for model in models if model is Config and key in PARTIAL_KEYS]
    return {part for one in types for part in parts_of(one)}
