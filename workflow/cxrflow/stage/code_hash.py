"""A hash of the code that a stage runs: of its syntax, not of its text.

Snakemake does not see a change in a module that a stage imports. Each rule therefore carries `code_hash(stage)` among its
params: a hash over the syntax trees of the stage's module and of all modules of this package that it imports, directly or
not. Comments, docstrings, blanks and line breaks are not part of a syntax tree, so editing them reruns nothing.
"""

import ast
import hashlib
import sys
from functools import cache
from pathlib import Path

PACKAGE = __name__.partition(".")[0]
PACKAGE_FOLDER = Path(__file__).resolve().parent.parent


def code_hash(*modules: str) -> str:
    """Hash of some modules' code and of all that they import from this package.

    Args:
        modules: dotted names, such as "cxrflow.split_images"; in any order.

    Returns:
        16 hexadecimal digits, the same on every machine and Python version.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(frozenset().union(*map(code_closure, modules))):
        digest.update(f"{name}={_syntax(name)};".encode())
    return digest.hexdigest()


@cache
def code_closure(module: str) -> frozenset[str]:
    """Names of all modules of this package that importing `module` can load, itself and its packages included."""
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
    """Importable names, such as "sklearn", that a module and all that it imports from this package import from elsewhere."""
    found = {name.partition(".")[0] for part in code_closure(module) for name in _imported_names(part)}
    return frozenset(found - {PACKAGE} - sys.stdlib_module_names)


def assert_within_closure(module: str) -> None:
    """Check, at the end of a stage, that it ran no code of this package which its hash does not cover.

    Raises:
        AssertionError: a module came in by a way that the syntax does not show, such as `importlib`.
    """
    loaded = {name for name in sys.modules if name == PACKAGE or name.startswith(PACKAGE + ".")}
    outside = loaded - code_closure(module)
    if outside:
        raise AssertionError(f"{module} loaded modules that its code hash does not cover: {sorted(outside)}")


def _file_of(name: str) -> Path | None:
    """The source file of a module of this package, or None when the name is not a module (a function, say)."""
    base = PACKAGE_FOLDER.joinpath(*name.split(".")[1:])
    for candidate in (base / "__init__.py", base.with_suffix(".py")):
        if candidate.is_file() and candidate.parent != PACKAGE_FOLDER.parent:
            return candidate
    return None


@cache
def _tree(name: str) -> ast.Module:
    file = _file_of(name)
    if file is None:
        raise ModuleNotFoundError(f"no module {name} in {PACKAGE_FOLDER}")
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


@cache
def _imports(name: str) -> frozenset[str]:
    """Modules of this package named in any import statement of a module, relative ones included."""
    return frozenset(
        module for module in _imported_names(name) if module.split(".")[0] == PACKAGE and _file_of(module) is not None
    )


def _imported_names(name: str) -> set[str]:
    """All that a module's import statements name, inside functions too: modules, and what is taken from them."""
    file = _file_of(name)
    package = name if file is not None and file.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            found.add(source)
            found.update(f"{source}.{alias.name}" for alias in node.names)
    return found


@cache
def _syntax(name: str) -> str:
    return _written(_without_docstrings(_tree(name)))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


def _written(node: object) -> str:
    """A syntax tree as text. Written here, since what `ast.dump` leaves out differs between Python versions.

    Fields that are empty (None or an empty list) are left out: newer Pythons add such fields to old nodes.
    """
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr({','.join(_written_parts(node.values))})"
    if isinstance(node, ast.AST):
        fields = [
            f"{field}={_written(value)}"
            for field, value in ast.iter_fields(node)
            if value is not None and value != [] and field != "type_comment"
        ]
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join(map(_written, node))}]"
    return f"{type(node).__name__}:{node!r}"


def _written_parts(parts: list[ast.expr]) -> list[str]:
    """The parts of an f-string: texts side by side as one, empty ones left out, since Python versions cut them differently."""
    written: list[str] = []
    text = ""
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            text += part.value
            continue
        written += [repr(text)] if text else []
        text = ""
        written.append(_written(part))
    return [*written, repr(text)] if text else written
