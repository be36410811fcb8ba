"""The hash of a stage's code covers the code that runs, and nothing else."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cxrflow.io import code_hash as module
from cxrflow.io.code_hash import code_closure, code_hash
from cxrflow.run.doctor import PYTHONS


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of three modules: stage -> helper (by a relative import, inside a function), and another."""
    folder = tmp_path / "cxrflow"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Package."""\n')
    (folder / "stage.py").write_text("def main():\n    from .helper import work\n    return work(1)\n")
    (folder / "helper.py").write_text('"""Doc."""\n\n\ndef work(x):\n    """Doc."""\n    return x + 1\n')
    (folder / "other.py").write_text("x = 1\n")
    monkeypatch.setattr(module, "PACKAGE_FOLDER", folder)
    return folder


CACHED = (code_closure, module._source, module._imports, module._file_of)


def forget() -> None:
    for function in CACHED:
        function.cache_clear()


def fresh_hash(name: str = "cxrflow.stage") -> str:
    forget()
    return code_hash(name)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    forget()
    yield
    forget()


def written(tree: ast.AST) -> str:
    parts: list[str] = []
    module._write(tree, parts, [])
    return "".join(parts)


@pytest.mark.parametrize(
    "text",
    [
        '"""Another doc."""\n\n\ndef work(x):\n    """Yet another."""\n    return x + 1\n',
        "def work(x):\n    return x + 1\n",
        "# a comment\ndef work(x):\n\n    # another\n    return (\n        x\n        + 1\n    )\n",
    ],
)
def test_comments_docstrings_and_layout_do_not_count(package: Path, text: str) -> None:
    before = fresh_hash()
    (package / "helper.py").write_text(text)
    assert fresh_hash() == before


@pytest.mark.parametrize(
    "text", ["def work(x):\n    return x + 2\n", "def work(x):\n    return x - 1\n", "work = abs\n"]
)
def test_code_of_an_imported_module_counts(package: Path, text: str) -> None:
    before = fresh_hash()
    (package / "helper.py").write_text(text)
    assert fresh_hash() != before


def test_int_and_float_and_string_constants_differ(package: Path) -> None:
    seen = set()
    for constant in ("1", "1.0", "'1'", "True"):
        (package / "helper.py").write_text(f"def work(x):\n    return {constant}\n")
        seen.add(fresh_hash())
    assert len(seen) == 4


def test_a_module_that_is_not_imported_does_not_count(package: Path) -> None:
    before = fresh_hash()
    (package / "other.py").write_text("x = 2\n")
    assert fresh_hash() == before


def test_the_package_itself_counts(package: Path) -> None:
    before = fresh_hash()
    (package / "__init__.py").write_text("x = 1\n")
    assert fresh_hash() != before


def test_closure_of_a_real_stage() -> None:
    closure = code_closure("cxrflow.stages.split_images")
    assert {"cxrflow", "cxrflow.stages.split_images", "cxrflow.io.files", "cxrflow.io.words"} <= closure
    assert not any(name.startswith(("cxrflow.training", "cxrflow.evaluation")) for name in closure)


def test_training_does_not_depend_on_what_only_shows_or_configures() -> None:
    closure = code_closure("cxrflow.stages.train_model")
    shows = ("cxrflow.study.models", "cxrflow.report", "cxrflow.plotting", "cxrflow.claims", "cxrflow.evaluation")
    assert not [name for name in closure if name.startswith(shows)]


def test_same_for_every_hash_seed(project: Path) -> None:
    program = "from cxrflow.io.code_hash import code_hash; print(code_hash('cxrflow.stages.train_model'))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(project / "workflow"), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


STRANGE = """
from __future__ import annotations
def work(x, /, y=None, *z: int, key: str = ..., **rest) -> str:
    match x:
        case {"a": [1, *_], **more} | more if y: pass
    text = f"{x!r:>{y}} {x=} {'a' 'b'}" f"{z[0]:%Y}" "c" rf"\\d{key}"
    try: (a := [i async for i in z]); del a
    except* (OSError, ValueError) as error: raise KeyError from error
    with open(x) as one, open(y): return lambda *, k=1.5: (k, -0.0, 2j, b"b", None, ...)
class One(dict, metaclass=type): a: int; b: "str" = 1
"""
# Of that module, by Python 3.11, 3.12 and 3.13.
HASH = "7fb0f1a7ea507abe"


def python_of(version: str) -> str | None:
    """Find a Python of some version on this machine: on PATH, or in pyenv."""
    found = [shutil.which(f"python{version}"), *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]
    for program in filter(None, found):
        answer = subprocess.run([program, "-c", "print(1)"], capture_output=True, text=True, check=False)
        if answer.stdout == "1\n":
            return program
    return None


def test_known_hash_of_a_module_with_all_kinds_of_syntax(package: Path) -> None:
    (package / "helper.py").write_text(STRANGE)
    assert fresh_hash("cxrflow.helper") == HASH


@pytest.mark.parametrize("version", PYTHONS)
def test_same_on_every_python(project: Path, version: str) -> None:
    """The hash is computed from cxrflow's own serialisation of the tree, so another Python rebuilds no result."""
    program = python_of(version)
    if program is None:
        pytest.skip(f"no Python {version} here")
    asked = "import sys; from cxrflow.io.code_hash import code_hash; print(*map(code_hash, sys.argv[1:]))"
    modules = [
        f"cxrflow.stages.{file.stem}" for file in sorted((project / "workflow/cxrflow/stages").glob("[a-z]*.py"))
    ]
    run = subprocess.run(
        [program, "-c", asked, *modules, "cxrflow.training.engine"],
        env={"PYTHONPATH": str(project / "workflow")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [*map(code_hash, modules), code_hash("cxrflow.training.engine")]


def test_f_strings_that_python_versions_split_differently() -> None:
    """Python 3.12.1 puts an empty text after a nested width; other versions do not."""
    tree = ast.parse("f'a{x:>{n}}b'", mode="eval")
    assert isinstance(tree.body, ast.JoinedStr)
    whole = written(tree)
    field = tree.body.values[1]
    assert isinstance(field, ast.FormattedValue) and isinstance(field.format_spec, ast.JoinedStr)
    field.format_spec.values.append(ast.Constant(""))
    tree.body.values[2:] = [ast.Constant(""), ast.Constant("b")]
    assert written(tree) == whole
    assert written(ast.parse("f'a{x:>{n}}c'", mode="eval")) != whole
    assert written(ast.parse("f'a{x:<{n}}b'", mode="eval")) != whole


def test_a_module_that_was_imported_unnoticed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cxrflow.sneaked_in", sys)
    with pytest.raises(AssertionError, match="sneaked_in"):
        module.assert_within_closure("cxrflow.stages.split_images")
