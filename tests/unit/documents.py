"""Readers for the tests of the documents: their blocks, tables and commands, and the flags and keys that they describe."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import pytest
from cxrflow.reference import parser_of
from pydantic import BaseModel

PROJECT = Path(__file__).resolve().parents[2]
FILES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "results/README.md",
    "tests/README.md",
    "benchmarks/README.md",
    *(file.relative_to(PROJECT).as_posix() for file in sorted((PROJECT / "docs").rglob("*.md"))),
)
TEXT = {name: (PROJECT / name).read_text(encoding="utf-8") for name in FILES}
PROGRAMS = {
    file.stem: file
    for file in sorted((PROJECT / "workflow/cxrflow").rglob("*.py"))
    if file.stem not in ("schema", "reference") and '\nif __name__ == "__main__":\n' in file.read_text(encoding="utf-8")
}
STAGES = sorted(PROGRAMS)
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: the words after the fence, and its text."""

    kind: str
    text: str


def blocks(name: str, kind: str) -> list[Block]:
    return [block for found in FENCE.findall(TEXT[name]) if (block := Block(*found)).kind == kind]


def everywhere(kind: str) -> list[Any]:
    """List all blocks of a kind in all documents, as parameters of a test."""
    return [
        pytest.param(name, block.text, id=f"{name} {number}")
        for name in FILES
        for number, block in enumerate(blocks(name, kind), start=1)
    ]


def plain(name: str) -> str:
    """Read a document without its fenced blocks."""
    return FENCE.sub("", TEXT[name])


def section(name: str, heading: str) -> str:
    """Return the text below a heading, down to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", plain(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no heading {heading}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """List the cells of all table rows, without the lines below table heads."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not set(line) <= set("|-: ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def in_code(cell: str) -> str:
    """Return the text of a cell that contains only code."""
    found = re.fullmatch(r"`([^`]*)`", cell)
    assert found, cell
    return found[1]


def commands(name: str) -> Iterator[list[str]]:
    """List the words of the commands in the shell blocks of a document, without comments."""
    for _, text in blocks(name, "sh"):
        for line in text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


@cache
def flags_of(stage: str) -> dict[str, bool]:
    """Map the arguments of a stage to whether they are required, in the order of its parser."""
    module = PROGRAMS[stage].relative_to(PROJECT / "workflow").with_suffix("").as_posix().replace("/", ".")
    actions = [action for action in parser_of(module)._actions if action.dest != "help"]
    return {
        action.option_strings[0] if action.option_strings else str(action.metavar): action.required
        for action in actions
    }


def parts_of(annotation: Any) -> Iterator[Any]:
    """List the types in a union, an annotated type, a list or a mapping."""
    yield annotation
    if get_origin(annotation) in (Union, UnionType, Annotated, list, dict):
        for argument in get_args(annotation):
            yield from parts_of(argument)


def keys_of(model: type[BaseModel], place: str = "") -> dict[str, Any]:
    """Map the dotted name of each key of a config to its annotation, with <> for names that users choose."""
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
