"""Files and names from elsewhere are data: they are not executed, and do not lead out of the results folder.

Other tests check that commands of rules are quoted (test_rules, test_odd_images), pages and plots escaped
(test_assemble_report, test_plot_style), downloads stay in their folder (test_transfer), and networks with code are not
loaded (test_predict_images). Images, configs and tables are fuzzed (test_fuzz_images, test_fuzz_texts).
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cxrflow.io.errors import UserError
from cxrflow.study.read import read_config
from study_config import study_config

PROJECT = Path(__file__).resolve().parents[2]
FILES = sorted((PROJECT / "workflow").rglob("*.py"))
TREES = {file.relative_to(PROJECT).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
TEMPLATES = sorted((PROJECT / "workflow/report").rglob("*.j2"))
RULES = [
    *map(PROJECT.joinpath, ("Snakefile", "workflow/Snakefile")),
    *sorted((PROJECT / "workflow/rules").glob("*.smk")),
]

# Modules that create objects from a file's bytes, or write files to the paths in an archive.
UNPICKLING = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve"}
UNPACKING = {"tarfile", "unpack_archive", "extract", "extractall", "_extract_member"}
RUNNING = {"eval", "exec", "compile", "system", "popen", "getoutput", "getstatusoutput", "read_pickle"}


def imports(tree: ast.AST) -> Iterator[str]:
    """List the modules that a syntax tree imports, and the names imported from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (part for name in node.names for part in name.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
            yield from (name.name for name in node.names)


def calls(tree: ast.AST, *names: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Find calls of functions by the last part of their names: the name as written, and keywords with constant values."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.rpartition(".")[2] in names:
                plain = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
                yield name, plain


def everywhere(*names: str) -> list[tuple[str, str, dict[str, Any]]]:
    """List every call of these functions in the package: file, name as written, and keywords."""
    return [(file, *call) for file, tree in TREES.items() for call in calls(tree, *names)]


def test_the_package_is_found() -> None:
    assert len(TREES) > 100 and len(TEMPLATES) > 10 and len(RULES) == 12


def test_nothing_is_unpickled() -> None:
    assert {file: found for file, tree in TREES.items() if (found := UNPICKLING & set(imports(tree)))} == {}
    assert [file.name for file in RULES if any(f"import {name}" in file.read_text() for name in UNPICKLING)] == []
    arrays = [call for call in everywhere("load", "save", "write_array", "open_memmap") if call[1].startswith("np.")]
    assert {name for _, name, _ in arrays} >= {"np.load", "np.lib.format.write_array"}
    assert [call for call in arrays if call[2].get("allow_pickle") is not False] == []


def test_networks_are_loaded_in_one_place_after_a_check() -> None:
    loads = everywhere("load_model", "model_from_json", "deserialize", "deserialize_keras_object")
    assert loads == [
        ("workflow/cxrflow/networks/load.py", "keras.saving.load_model", {"compile": False, "safe_mode": True})
    ]
    assert everywhere("enable_unsafe_deserialization") == []


@pytest.mark.slow
def test_a_config_that_is_a_program_for_snakemake_is_not_run_by_the_doctor(tmp_path: Path) -> None:
    got_out = tmp_path / "GOT_OUT"
    program = tmp_path / "theirs.yaml"
    program.write_text(f"__use_yte__: true\n__definitions__:\n  - open({str(got_out)!r}, 'w')\nname: ?str(1)\n")
    command = [sys.executable, "-m", "cxrflow.run.doctor", "--lock", str(PROJECT / "envs/cpu.lock")]
    command += ["--config", str(PROJECT / "config.yaml"), str(program)]
    doctor = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert doctor.returncode == 1
    assert "__use_yte__" in doctor.stdout + doctor.stderr and "Traceback" not in doctor.stderr
    assert not got_out.exists()


def test_yaml_creates_only_plain_values() -> None:
    names = ("load", "load_all", "full_load", "unsafe_load", "unsafe_load_all", "full_load_all")
    loads = [(file, name) for file, name, _ in everywhere(*names) if name.startswith("yaml.")]
    assert loads == [("workflow/cxrflow/study/run.py", "yaml.load")]
    text = (PROJECT / loads[0][0]).read_text()
    assert text.count("yaml.load(") == text.count("Loader=yaml.BaseLoader") == 1


def test_no_text_is_executed() -> None:
    other = {"re.compile", "model.compile", "platform.system"}
    assert [call for call in everywhere(*RUNNING) if call[1] not in other] == []
    programs = everywhere("run", "Popen", "call", "check_call", "check_output")
    assert len(programs) > 3
    assert [call for call in programs if call[2].get("shell")] == []


def test_no_archive_is_unpacked() -> None:
    assert {file: found for file, tree in TREES.items() if (found := UNPACKING & set(imports(tree)))} == {}
    assert everywhere(*UNPACKING) == []


def test_pages_escape_their_values() -> None:
    environments = everywhere("Environment", "Template", "from_string")
    assert [(name, words["autoescape"]) for _, name, words in environments] == [("Environment", True)]
    for template in TEMPLATES:
        text = template.read_text(encoding="utf-8").replace(" ", "")
        assert not [word for word in ("|safe", "autoescape", "Markup") if word in text], template
    # What is not escaped: the project's own style sheet, and a place where a name may be broken.
    marked = [
        ast.unparse(node)
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Markup"
    ]
    assert sorted(marked) == ["Markup('_<wbr>')", "Markup((folder / STYLE).read_text(encoding='utf-8'))"]


OUTSIDE = [
    "..",
    "../x",
    "a/b",
    "/etc",
    "a\\b",
    ".hidden",
    "-rf",
    "",
    " ",
    "a\nb",
    "a;b",
    "$(x)",
    "`x`",
    "<b>",
    "a'b",
    'a"b',
]


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return {**study_config(), "images": "images"}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("place", ["name", "task", "experiment", "class", "positive", "only"])
def test_names_that_leave_the_folder_are_refused(study: dict[str, Any], place: str, name: str) -> None:
    """Names of the config become names of folders and words of commands."""
    binary = {"classes": ["covid", "normal"], "positive": "covid"}
    changes: dict[str, Any] = {
        "name": {"name": name},
        "task": {"tasks": {**study["tasks"], name: binary}},
        "experiment": {"experiments": {**study["experiments"], name: {"like": "binary_inception_v3"}}},
        "class": {"tasks": {**study["tasks"], "other": {"classes": ["covid", name]}}},
        "positive": {"tasks": {**study["tasks"], "other": {**binary, "positive": name}}},
        "only": {"only": [name]},
    }
    with pytest.raises(UserError):
        read_config({**study, **changes[place]})
