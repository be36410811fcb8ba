"""The hash of a stage's code sees what runs, and only that."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cxrflow.machine.packages import PYTHONS
from cxrflow.stage import code_hash as module
from cxrflow.stage.code_hash import code_closure, code_hash


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


def fresh_hash(name: str = "cxrflow.stage") -> str:
    for function in (code_closure, module._tree, module._imports, module._syntax):
        function.cache_clear()
    return code_hash(name)


@pytest.fixture(autouse=True)
def _forget() -> None:
    fresh = (code_closure, module._tree, module._imports, module._syntax)
    for function in fresh:
        function.cache_clear()
    yield
    for function in fresh:
        function.cache_clear()


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
    closure = code_closure("cxrflow.split_images")
    assert {"cxrflow", "cxrflow.split_images", "cxrflow.stage.files", "cxrflow.config.suggest"} <= closure
    assert not any(name.startswith(("cxrflow.training", "cxrflow.evaluation")) for name in closure)


def test_training_does_not_depend_on_what_only_shows_or_configures() -> None:
    closure = code_closure("cxrflow.train_model")
    shows = ("cxrflow.config.models", "cxrflow.report", "cxrflow.plotting", "cxrflow.claims", "cxrflow.evaluation")
    assert not [name for name in closure if name.startswith(shows)]


def test_same_for_every_hash_seed(project: Path) -> None:
    program = "from cxrflow.stage.code_hash import code_hash; print(code_hash('cxrflow.train_model'))"
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
HASH = "48bb06774f755b6a"


def python_of(version: str) -> str | None:
    """A Python of some version on this machine: on PATH, or one of pyenv's."""
    found = [shutil.which(f"python{version}"), *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]
    for program in filter(None, found):
        told = subprocess.run([program, "-c", "print(1)"], capture_output=True, text=True, check=False)
        if told.stdout == "1\n":
            return program
    return None


def test_known_hash_of_a_module_with_all_kinds_of_syntax(package: Path) -> None:
    (package / "helper.py").write_text(STRANGE)
    assert fresh_hash("cxrflow.helper") == HASH


@pytest.mark.parametrize("version", PYTHONS)
def test_same_on_every_python(project: Path, version: str) -> None:
    """The hash comes from our own writing of the tree: another Python makes no result anew."""
    program = python_of(version)
    if program is None:
        pytest.skip(f"no Python {version} here")
    asked = "import sys; from cxrflow.stage.code_hash import code_hash; print(*map(code_hash, sys.argv[1:]))"
    modules = [f"cxrflow.{file.stem}" for file in sorted((project / "workflow/cxrflow").glob("[a-z]*.py"))]
    run = subprocess.run(
        [program, "-c", asked, *modules, "cxrflow.training.engine"],
        env={"PYTHONPATH": str(project / "workflow")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [*map(code_hash, modules), code_hash("cxrflow.training.engine")]


def test_f_strings_that_python_versions_cut_differently() -> None:
    """Python 3.12.1 puts an empty text behind a nested width; others do not."""
    tree = ast.parse("f'a{x:>{n}}b'", mode="eval")
    assert isinstance(tree.body, ast.JoinedStr)
    whole = module._written(tree)
    field = tree.body.values[1]
    assert isinstance(field, ast.FormattedValue) and isinstance(field.format_spec, ast.JoinedStr)
    field.format_spec.values.append(ast.Constant(""))
    tree.body.values[2:] = [ast.Constant(""), ast.Constant("b")]
    assert module._written(tree) == whole
    assert module._written(ast.parse("f'a{x:>{n}}c'", mode="eval")) != whole
    assert module._written(ast.parse("f'a{x:<{n}}b'", mode="eval")) != whole


def test_a_module_that_came_in_unseen_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cxrflow.sneaked_in", sys)
    with pytest.raises(AssertionError, match="sneaked_in"):
        module.assert_within_closure("cxrflow.split_images")
