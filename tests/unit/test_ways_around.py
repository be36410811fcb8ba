"""Results depend only on code, params and inputs that a rule declares: stages use no other files, variables or programs."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from cxrflow.io.code_hash import code_closure, imported_from_outside
from cxrflow.io.machine import locked_versions
from cxrflow.training.environment import computing_variables
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "workflow/cxrflow"
RULES = "".join(file.read_text() for file in sorted((PROJECT / "workflow/rules").glob("*.smk")))
STAGES = [f"cxrflow.stages.{name}" for name in re.findall(r'code=code_of\("(\w+)"\)', RULES)]
MODULES = {
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        file.read_text(encoding="utf-8")
    )
    for file in sorted(PACKAGE.rglob("*.py"))
}
OF_STAGES = sorted(set().union(*map(code_closure, STAGES)))

# Functions that run code, or find modules, without an import statement.
DYNAMIC = {
    *("__import__", "compile", "eval", "exec", "execfile", "globals", "import_module", "module_from_spec"),
    *("resolve_name", "run_module", "run_path", "spec_from_file_location", "SourceFileLoader", "dlopen", "CDLL"),
}
IMPORTING_BY_NAME = {"cxrflow.cli", "cxrflow.reference"}
DYNAMIC_MODULES = {"ctypes", "dill", "imp", "joblib", "marshal", "pickle", "pkgutil", "runpy", "shelve"}
# Environment variables that modules of stages read. Those of locks and of the job plan decide which process runs where and
# whether a job runs at all, and do not change results.
VARIABLES = {
    "cxrflow.stages.fetch_weights": {"KERAS_BACKEND"},
    "cxrflow.training.gpu_lock": {"CUDA_VISIBLE_DEVICES", "all, for gpu_ids", "all, for given_by_scheduler"},
    "cxrflow.io.planned": {"CXRFLOW_PLAN"},
    "cxrflow.training.lock": {"SLURM_JOB_ID"},
    "cxrflow.training.identity": {"all, for computing_variables"},
}
# Stages that modules of stages start. train_model starts follow_training as another process, which only shows the progress;
# its code is not part of the training's.
STARTED: dict[str, set[str]] = {
    "cxrflow.training.progress": {"cxrflow.stages.follow_training"},
    "cxrflow.training.gpu_lock": set(),
    "cxrflow.networks.start_keras": set(),
}
# Files and folders in the code of stages: those with which drivers describe GPUs and in which GPUs are locked, the processor
# for the record of a training, and the limits of the container, which decide whether a network is built.
FIXED_FILES = {
    "cxrflow.io.files": {"/proc/self/ns/pid"},  # tells apart the partial files of processes; no result depends on it
    "cxrflow.training.gpu_lock": {"/", "/tmp"},
    "cxrflow.io.machine": {"/sys/fs/cgroup"},
    "cxrflow.training.environment": {"/proc/cpuinfo"},
}
OPENING = r"(Pure)?Path|open|read_\w+|load|loadtxt|genfromtxt|fromfile|memmap|File|ZipFile|listdir|scandir"


def names_in(tree: ast.AST) -> Iterator[str]:
    """Names and attributes in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


def imported(tree: ast.AST) -> set[str]:
    """Modules that a module imports, without relative imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module)
    return found


def functions_called(tree: ast.AST) -> set[str]:
    """Functions that are called by their names, without methods."""
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def variables_read(tree: ast.AST) -> set[str]:
    """List the environment variables that a module reads by name; any other use of the environment is `all, for …`."""
    found = set()
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "getenvb")):
            continue
        above = parents[node]
        call = parents[above] if isinstance(above, ast.Attribute) else above
        if isinstance(call, ast.Subscript):
            found.add(ast.literal_eval(call.slice))
        elif isinstance(call, ast.Call) and isinstance(call.args[0], ast.Constant):
            found.add(str(call.args[0].value))
        else:
            found.add(f"all, for {ast.unparse(call.func) if isinstance(call, ast.Call) else ast.unparse(call)}")
    return found


def files_named(tree: ast.Module) -> set[str]:
    """List constant file names in a module that makes a path, opens or reads: the names, or their first parts.

    Methods of a path do not count, since the path itself does: `part.open("wb")` names no file.
    """
    found = set()
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    libraries = {(alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = re.fullmatch(rf"(?:(\w+)\.)?(?:\w+\.)*({OPENING})", ast.unparse(call.func))
        if not called or (called[1] and called[1] not in libraries):
            continue
        given = call.args[:1] or [keyword.value for keyword in call.keywords]
        found |= {beginning(value, constants) for value in given}
        if called[2] == "Path" and not given:
            found.add(".")
    return {text for text in found if text is not None}


def beginning(value: ast.expr, constants: Mapping[str, ast.Constant]) -> str | None:
    """Return the text that a value starts with; None if it is not a constant of the module."""
    while isinstance(value, ast.BinOp | ast.JoinedStr):
        value = value.left if isinstance(value, ast.BinOp) else value.values[0]
    if isinstance(value, ast.Name):
        value = constants.get(value.id, value)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def test_every_rule_has_the_hash_of_its_stage() -> None:
    assert sorted(STAGES) == sorted(
        f"cxrflow.stages.{name}" for name in re.findall(r"^ *rule (\w+):", RULES, re.MULTILINE)
    )


def test_rules_run_nothing_but_stages() -> None:
    """The hash of a rule does not cover the imports of code in `run:` or `script:`."""
    assert re.findall(r"^ +(run|script|notebook|wrapper|cwl|template_engine):", RULES, re.MULTILINE) == []
    commands = re.findall(r"shell:\n\s+\"\"\"\n(.*?)\"\"\"", RULES, re.DOTALL)
    started = [re.findall(r"^ *python -m (\S+) \\$", command, re.MULTILINE) for command in commands]
    assert sorted(started) == sorted([stage] for stage in STAGES)


def test_no_stage_uses_modules_that_import_by_name() -> None:
    """The command and the generator of reference pages import modules by name, which the hash does not see."""
    assert not IMPORTING_BY_NAME & {*OF_STAGES}


@pytest.mark.parametrize("name", sorted({*MODULES} - IMPORTING_BY_NAME))
def test_code_is_imported_only_by_import_statements(name: str) -> None:
    tree = MODULES[name]
    # `compile` and `eval` are also names of methods: re.compile, model.compile.
    called = functions_called(tree) & {"compile", "eval"}
    assert (DYNAMIC & set(names_in(tree)) - {"compile", "eval"}) | called == set()
    assert DYNAMIC_MODULES & imported(tree) == set()
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
    assert "path" not in {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys"
    }


@pytest.mark.parametrize("name", OF_STAGES)
def test_stages_read_only_files_given_by_flags(name: str) -> None:
    """No file next to a module, in the home or in the checkout: a stage reads only inputs of its rule."""
    tree, names = MODULES[name], set(names_in(MODULES[name]))
    if name != "cxrflow.io.code_hash":  # hashes the source files of modules
        assert "__file__" not in names
    assert names & {"expanduser", "home", "get_data", "cwd", "getcwd", "chdir"} == set()
    assert {"importlib.resources", "importlib_resources", "pkg_resources", "site"} & imported(tree) == set()
    assert files_named(tree) == FIXED_FILES.get(name, set())


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ('text = Path("config.yaml").read_text("utf-8")', {"config.yaml"}),
        ('with open("config.yaml") as file:\n    pass', {"config.yaml"}),
        ('import pandas as pd\npd.read_csv("claims.csv", sep=";")', {"claims.csv"}),
        ('from PIL import Image\nImage.open(fp="lung.png")', {"lung.png"}),
        ('read_json(f"results/{name}.json")', {"results/"}),
        ('def read(file=Path("results") / "a.csv"):\n    pass', {"results"}),
        ('NAME = "config.yaml"\ntext = Path(NAME).read_text()', {"config.yaml"}),
        ('(Path() / "config.yaml").read_text()', {"."}),
        ('Path(args.config).read_text("utf-8")', set()),
        ('import zipfile\nzipfile.ZipFile(model).open("config.json")', set()),
        ('with part.open("wb") as file:\n    pass', set()),
        ('read_json(args.runs / "metrics.json")', set()),
    ],
)
def test_files_in_the_code_are_found(code: str, named: set[str]) -> None:
    assert files_named(ast.parse(code)) == named


@pytest.mark.parametrize("name", OF_STAGES)
def test_stages_read_only_these_environment_variables(name: str) -> None:
    assert variables_read(MODULES[name]) == VARIABLES.get(name, set())


@pytest.mark.parametrize("name", OF_STAGES)
def test_stages_start_no_other_stage(name: str) -> None:
    texts = {node.value for node in ast.walk(MODULES[name]) if isinstance(node, ast.Constant)}
    started = {text for text in texts if isinstance(text, str) and text in MODULES and text.startswith("cxrflow.")}
    if "subprocess" in imported(MODULES[name]):
        assert started == STARTED[name]
    called = {ast.unparse(node.func) for node in ast.walk(MODULES[name]) if isinstance(node, ast.Call)}
    assert not [one for one in called if re.match(r"os\.(system|exec|spawn|popen|posix_spawn|fork)", one)]


def test_packages_that_are_imported_are_locked_ones() -> None:
    """A package that happens to be installed, or one of another checkout, would not be recorded."""
    locked = set(locked_versions(PROJECT / "envs/cpu.lock"))
    roots = {module.partition(".")[0] for tree in MODULES.values() for module in imported(tree)}
    others = roots - set(sys.stdlib_module_names) - {"cxrflow", "torch"}  # the other backend, if installed
    names = packages_distributions()
    assert {root for root in others if not {canonicalize_name(name) for name in names.get(root, [])} & locked} == set()


@pytest.mark.parametrize(
    "name", [stage for stage in STAGES if any("keras" in imported(MODULES[m]) for m in code_closure(stage))]
)
def test_stages_with_keras_ignore_the_settings_in_the_home(name: str) -> None:
    assert functions_called(MODULES[name]) & {"set_up_keras", "set_up_own_device", "set_up_device_of"}
    predict = MODULES["cxrflow.evaluation.predict"].body
    (set_up,) = [node for node in predict if isinstance(node, ast.FunctionDef) and node.name == "set_up_device_of"]
    assert "set_up_own_device" in functions_called(set_up)


@pytest.mark.parametrize("name", [stage for stage in STAGES if "keras" in imported_from_outside(stage)])
def test_outside_problem_stages_with_keras_load_it_without_start_up_lines(name: str) -> None:
    """The import comes before any other module of this package, which may load Keras."""
    first = next(
        node.names[0].name if isinstance(node, ast.Import) else str(node.module)
        for node in MODULES[name].body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and re.match(r"(import|from) (cxrflow|keras)", ast.unparse(node))
    )
    assert first == "cxrflow.networks.start_keras"


def test_outside_problem_other_lines_are_shown_even_if_the_process_aborts() -> None:
    program = """
import os
from cxrflow.networks.start_keras import without_start_up_lines
with without_start_up_lines():
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n")
    os.write(2, b"I0000 00:00:1795841698.103613    7543 port.cc:153] oneDNN custom operations are on.\\n")
    os.write(2, b"E0000 00:00:1795841366.998078    4096 cuda_platform.cc:52] failed call to cuInit\\n")
    os.write(2, b"F0000 this processor lacks AVX")
    os.abort()
"""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "KERAS_BACKEND": "tensorflow"}
    program = "import sys; sys.modules['keras'] = sys\n" + program  # Keras itself is not loaded
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert run.stderr.splitlines() == [
        "E0000 00:00:1795841366.998078    4096 cuda_platform.cc:52] failed call to cuInit",
        "F0000 this processor lacks AVX",
    ]
    assert run.returncode == -signal.SIGABRT


@pytest.fixture
def hostile_home(tmp_path: Path) -> dict[str, str]:
    """An environment whose home has a keras.json and a matplotlibrc with different values."""
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib/matplotlibrc").write_text("lines.markersize: 20\nfont.size: 20\naxes.titlepad: 30\n")
    (tmp_path / "keras").mkdir()
    settings = {"floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first", "backend": "tensorflow"}
    (tmp_path / "keras/keras.json").write_text(json.dumps(settings))
    return {
        **os.environ,
        "KERAS_HOME": str(tmp_path / "keras"),
        "MATPLOTLIBRC": str(tmp_path / "matplotlib/matplotlibrc"),
        "PYTHONPATH": str(PACKAGE.parent),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


@pytest.mark.slow
def test_keras_has_its_defaults_with_any_settings_in_the_home(hostile_home: dict[str, str], tmp_path: Path) -> None:
    program = """
import json, keras
from cxrflow.networks.keras_settings import set_up_keras
values = lambda: [keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format()]
before = values()
set_up_keras()
layer = keras.layers.Dense(2)
layer.build((None, 3))
print(json.dumps([before, values(), keras.config.dtype_policy().name, str(layer.kernel.dtype), layer.compute_dtype]))
"""
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, env=hostile_home, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    before, after, *layer = json.loads(run.stdout.splitlines()[-1])
    assert before == ["float64", 0.1, "channels_first"]  # the file is read
    assert after == ["float32", 1e-7, "channels_last"]
    assert layer == ["float32", "float32", "float32"]


@pytest.mark.slow
def test_outside_problem_a_network_is_the_same_with_any_settings_in_the_home_and_no_start_up_lines(
    hostile_home: dict[str, str], tmp_path: Path
) -> None:
    """A stage in a separate process has channels last and 32-bit floats."""
    dense = {"activation": "relu", "l2": 0.0, "name": None}
    settings = {
        **{"backbone": "MobileNet", "image_size": 32, "frozen_layers": 2, "weights": "random", "classes": ["a", "b"]},
        **{"backbone_batchnorm": "train", "batchnorm_momentum": None, "input_scaling": "double"},
        "head": ["average_pooling", {"dense": 8, **dense}, {"dropout": 0.5}, {"dense": 4, **dense}],
        **{"head_initialisation": "glorot_uniform", "precision": "float32", "loss": "binary_crossentropy"},
    }
    network = tmp_path / "network.json"
    command = [
        sys.executable,
        "-m",
        "cxrflow.stages.check_network",
        "--experiment",
        "one",
        "--settings",
        json.dumps(settings),
    ]
    command += ["--network", str(network)]
    # With this variable, TensorFlow prints on any processor the lines that it prints with AVX-512.
    environment = {**hostile_home, "TF_ENABLE_ONEDNN_OPTS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0 and run.stderr == "", run.stderr
    described = json.loads(network.read_text())
    assert described["backbone_output_shape"] == [1, 1, 1024]
    assert described["parameters"]["total"] == 3228864 + (1024 + 1) * 8 + (8 + 1) * 4 + 4 + 1


@pytest.mark.slow
def test_a_plot_is_the_same_with_any_settings_in_the_home(hostile_home: dict[str, str], tmp_path: Path) -> None:
    program = """
import matplotlib
from cxrflow.stages.plot_curves import main
print(matplotlib.rcParams["lines.markersize"])
main()
"""
    history = tmp_path / "history.csv"
    history.write_text("epoch,loss,accuracy,val_loss,val_accuracy\n1,0.7,0.5,0.8,0.4\n2,0.6,0.6,0.7,0.5\n")
    plots = []
    for settings, size in ((hostile_home["MATPLOTLIBRC"], "20.0"), (os.devnull, "6.0")):
        command = [sys.executable, "-c", program, "--history", str(history), "--figure", str(tmp_path / "curves.svg")]
        run = subprocess.run(
            command, env={**hostile_home, "MATPLOTLIBRC": settings}, capture_output=True, text=True, check=True
        )
        assert run.stdout.splitlines()[0] == size  # the file is read
        plots.append((tmp_path / "curves.svg").read_text())
    assert plots[0] == plots[1]


@pytest.mark.parametrize(
    "name",
    [
        "TF_ENABLE_ONEDNN_OPTS",
        "XLA_FLAGS",
        "ONEDNN_MAX_CPU_ISA",
        "NVIDIA_TF32_OVERRIDE",
        "ONEDNN_A_NEW_ONE",
        "NPY_DISABLE_CPU_FEATURES",
    ],
)
def test_variables_that_change_what_libraries_compute(name: str) -> None:
    assert computing_variables({name: "1", "PATH": "/bin"}) == {name: "1"}


def test_variables_that_change_no_result() -> None:
    names = (
        "TF_CPP_MIN_LOG_LEVEL",
        "TF_FORCE_GPU_ALLOW_GROWTH",
        "ONEDNN_VERBOSE",
        "OMP_NUM_THREADS",
        "HOME",
        "TF_CLI_ARGS",
    )
    assert computing_variables(dict.fromkeys(names, "1")) == {}


@pytest.mark.slow
def test_libraries_set_none_of_these_variables_themselves(hostile_home: dict[str, str]) -> None:
    """Otherwise the identity of a training would depend on what was imported before it was computed."""
    program = """
import os, json
before = dict(os.environ)
import keras, tensorflow, numpy, scipy, pandas, PIL, sklearn
print(json.dumps({name: value for name, value in os.environ.items() if before.get(name) != value}))
"""
    run = subprocess.run([sys.executable, "-c", program], env=hostile_home, capture_output=True, text=True, check=True)
    assert computing_variables(json.loads(run.stdout.splitlines()[-1])) == {}
