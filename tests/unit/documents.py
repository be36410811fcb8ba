"""What the tests of the documents read: their blocks, tables and commands, and the flags and keys that they tell of."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

PROJECT = Path(__file__).resolve().parents[2]
FILES = (
    "README.md",
    "CHANGELOG.md",
    "results/README.md",
    "tests/README.md",
    "benchmarks/README.md",
    *(f"docs/{file.name}" for file in sorted((PROJECT / "docs").glob("*.md"))),
)
TEXT = {name: (PROJECT / name).read_text(encoding="utf-8") for name in FILES}
STAGES = sorted(file.stem for file in (PROJECT / "workflow/cxrflow").glob("*.py") if file.stem != "__init__")
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: the words behind its fence, and its text."""

    kind: str
    text: str


def blocks(name: str, kind: str) -> list[Block]:
    return [block for found in FENCE.findall(TEXT[name]) if (block := Block(*found)).kind == kind]


def everywhere(kind: str) -> list[Any]:
    """All blocks of a kind in all documents, as parameters of a test."""
    return [
        pytest.param(name, block.text, id=f"{name} {number}")
        for name in FILES
        for number, block in enumerate(blocks(name, kind), start=1)
    ]


def plain(name: str) -> str:
    """A document without its fenced blocks."""
    return FENCE.sub("", TEXT[name])


def section(name: str, heading: str) -> str:
    """The text below a heading, down to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", plain(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no heading {heading}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, but for the rules below table heads."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not set(line) <= set("|-: ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def in_code(cell: str) -> str:
    """The text of a cell that is code and nothing else."""
    found = re.fullmatch(r"`([^`]*)`", cell)
    assert found, cell
    return found[1]


def commands(name: str) -> Iterator[list[str]]:
    """Words of the commands in the shell blocks of a document, without comments."""
    for _, text in blocks(name, "sh"):
        for line in text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def flags_of(stage: str) -> dict[str, bool]:
    """Flag of a stage to whether it must be given, in the order of its parser."""
    tree = ast.parse((PROJECT / f"workflow/cxrflow/{stage}.py").read_text(encoding="utf-8"))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"
    ]
    return {
        str(ast.literal_eval(call.args[0])): any(word.arg == "required" for word in call.keywords)
        for call in sorted(calls, key=lambda call: call.lineno)
    }


def parts_of(annotation: Any) -> Iterator[Any]:
    """The types that a union, an annotated type, a list or a mapping is made of."""
    yield annotation
    if get_origin(annotation) in (Union, UnionType, Annotated, list, dict):
        for argument in get_args(annotation):
            yield from parts_of(argument)


def keys_of(model: type[BaseModel], place: str = "") -> dict[str, Any]:
    """Every key of a config by its dotted place, with its annotation; names that users give in <>, extras once."""
    keys: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        key = f"{place}{name}"
        keys[key] = field
        if name == "extras":
            continue
        named = (
            f"<{name.removesuffix('s')}>."
            if any(get_origin(part) is dict for part in parts_of(field.annotation))
            else ""
        )
        for part in parts_of(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys |= keys_of(part, f"{key}.{named}")
    return keys
