"""Hash the code that a stage runs, by its syntax rather than its text.

Snakemake does not notice changes in the modules that a stage imports. Each rule therefore has `code_of(stage)` among its
params: a hash over the syntax trees of the stage's module and of all modules of this package that it imports, directly or
indirectly. Editing comments, docstrings or line breaks does not change the syntax tree and reruns nothing.
"""

import ast
import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = __name__.partition(".")[0]
PACKAGE_FOLDER = Path(__file__).resolve().parent.parent


def code_hash(*modules: str) -> str:
    """Hash the code of modules, and of everything that they import from this package.

    Args:
        modules: dotted names, such as "cxrflow.stages.split_images", in any order.

    Returns:
        16 hexadecimal digits, the same on every machine and Python version.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(frozenset().union(*map(code_closure, modules))):
        digest.update(f"{name}={_source(name).written};".encode())
    return digest.hexdigest()


def module_hash(module: str) -> str:
    """Hash the code of one module, without what it imports; 16 hexadecimal digits."""
    return hashlib.blake2b(_source(module).written.encode(), digest_size=8).hexdigest()


def code_of(stage: str) -> Callable[[Any], str]:
    """Make a function for a rule's params, which hashes the code of a stage only if the rule has a job.

    Args:
        stage: such as "split_images".
    """
    return lambda wildcards: code_hash(f"{PACKAGE}.stages.{stage}")


@cache
def code_closure(module: str) -> frozenset[str]:
    """Collect all modules of this package that importing `module` can load, including itself and its packages."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += _imports(name)
        waiting += [parent] if (parent := name.rpartition(".")[0]) else []
    return frozenset(seen)


def imported_from_outside(module: str) -> frozenset[str]:
    """Collect the third-party packages, such as "sklearn", that a module imports directly or through this package."""
    found = {name.partition(".")[0] for part in code_closure(module) for name in _source(part).imported}
    return frozenset(found - {PACKAGE} - sys.stdlib_module_names)


def assert_within_closure(module: str) -> None:
    """Check, at the end of a stage, that its code hash covers all modules of this package that were loaded.

    Raises:
        AssertionError: a module was loaded in a way that the syntax does not show, such as by `importlib`.
    """
    loaded = {name for name in sys.modules if name == PACKAGE or name.startswith(PACKAGE + ".")}
    outside = loaded - code_closure(module)
    if outside:
        raise AssertionError(f"{module} loaded modules that its code hash does not cover: {sorted(outside)}")


@cache
def _file_of(name: str) -> Path | None:
    """Find the source file of a module of this package; None if the name is not a module (but a function, for example)."""
    base = PACKAGE_FOLDER.joinpath(*name.split(".")[1:])
    for candidate in (base / "__init__.py", base.with_suffix(".py")):
        if candidate.is_file() and candidate.parent != PACKAGE_FOLDER.parent:
            return candidate
    return None


@dataclass(frozen=True)
class _Source:
    """The code of a module."""

    written: str
    """The syntax tree as text."""
    imported: frozenset[str]
    """All names in its import statements, including those inside functions: modules, and the names imported from them."""


@cache
def _source(name: str) -> _Source:
    file = _file_of(name)
    if file is None:
        raise ModuleNotFoundError(f"no module {name} in {PACKAGE_FOLDER}")
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    parts: list[str] = []
    imports: list[ast.Import | ast.ImportFrom] = []
    _write(ast.parse(file.read_text(encoding="utf-8"), filename=str(file)), parts, imports)
    return _Source("".join(parts), frozenset(one for node in imports for one in _names_in(node, package)))


@cache
def _imports(name: str) -> frozenset[str]:
    """Collect the modules of this package that a module imports, relative imports included."""
    return frozenset(
        module for module in _source(name).imported if module.split(".")[0] == PACKAGE and _file_of(module) is not None
    )


def _names_in(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    source = ".".join([*base, *([node.module] if node.module else [])])
    yield source
    yield from (f"{source}.{alias.name}" for alias in node.names)


def _write(node: object, parts: list[str], imports: list[ast.Import | ast.ImportFrom]) -> None:
    """Append a syntax tree as text to `parts`. Unlike `ast.dump`, the text is the same in all Python versions.

    Omitted are docstrings, empty fields (None or an empty list), since newer Python versions add some to existing nodes, and
    whether a name is read or written, which follows from its place in the tree.
    """
    if isinstance(node, ast.AST):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        parts.append(type(node).__name__ + "(")
        for field in node._fields:
            if field in {"ctx", "type_comment"}:
                continue
            value = getattr(node, field, None)
            if field == "body" and isinstance(node, WITH_DOCSTRING):
                value = node.body[1:] if _is_text(node.body[:1]) else node.body
            elif field == "values" and isinstance(node, ast.JoinedStr):
                value = list(_joined(node.values))
            if value is not None and value != []:
                parts.append(field + "=")
                _write(value, parts, imports)
                parts.append(",")
        parts.append(")")
    elif isinstance(node, list):
        parts.append("[")
        for one in node:
            _write(one, parts, imports)
            parts.append(",")
        parts.append("]")
    else:
        parts.append(f"{type(node).__name__}:{node!r}")


WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _is_text(statements: list[ast.stmt]) -> bool:
    return any(
        isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str)
        for one in statements
    )


def _joined(parts: list[ast.expr]) -> Iterator[ast.expr | str]:
    """Yield the parts of an f-string with adjacent texts joined, since Python versions split them differently."""
    text = ""
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            text += part.value
            continue
        if text:
            yield text
        text = ""
        yield part
    if text:
        yield text
