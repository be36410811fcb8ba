"""Nothing that decides results comes in by a way that the code's hash, the params and the inputs of a rule do not see."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from cxrflow.machine.packages import locked_versions
from cxrflow.networks.variables import computing_variables
from cxrflow.stage.code_hash import code_closure
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "workflow/cxrflow"
RULES = "".join(file.read_text() for file in sorted((PROJECT / "workflow/rules").glob("*.smk")))
STAGES = re.findall(r'code=code_hash\("(cxrflow\.\w+)"\)', RULES)
MODULES = {
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        file.read_text(encoding="utf-8")
    )
    for file in sorted(PACKAGE.rglob("*.py"))
}
OF_STAGES = sorted(set().union(*map(code_closure, STAGES)))

# What runs code, or finds modules, that no import statement names.
DYNAMIC = {
    *("__import__", "compile", "eval", "exec", "execfile", "globals", "import_module", "module_from_spec"),
    *("resolve_name", "run_module", "run_path", "spec_from_file_location", "SourceFileLoader", "dlopen", "CDLL"),
}
DYNAMIC_MODULES = {"ctypes", "dill", "imp", "joblib", "marshal", "pickle", "pkgutil", "runpy", "shelve"}
# Modules of stages that ask for environment variables, and which. Claims are about who runs and where, a plan is about whether
# a job runs at all: not about what comes out.
VARIABLES = {
    "cxrflow.fetch_weights": {"KERAS_BACKEND"},
    "cxrflow.machine.gpu_claim": {"CUDA_VISIBLE_DEVICES", "all, for gpu_ids", "all, for given_by_scheduler"},
    "cxrflow.stage.planned": {"CXRFLOW_PLAN"},
    "cxrflow.training.claim": {"SLURM_JOB_ID"},
    "cxrflow.training.identity": {"all, for computing_variables"},
}
# What modules of stages start. follow_training only shows: train_model starts it beside itself, and its code is no part of the
# training's. nvidia-smi tells the GPUs that can be claimed.
STARTED = {"cxrflow.training.followers": {"cxrflow.follow_training"}, "cxrflow.machine.gpu_claim": set()}
# Files and folders that modules of stages name themselves: where a driver tells of GPUs, where GPUs are claimed, and the
# processor for a training's record.
FIXED_FILES = {"cxrflow.machine.gpu_claim": {"/", "/tmp"}, "cxrflow.training.hardware": {"/proc/cpuinfo"}}
OPENING = r"(Pure)?Path|open|read_\w+|load|loadtxt|genfromtxt|fromfile|memmap|File|ZipFile|listdir|scandir"


def names_in(tree: ast.AST) -> Iterator[str]:
    """Names and attributes that a module speaks of."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


def imported(tree: ast.AST) -> set[str]:
    """Modules that a module imports, relative imports aside."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module)
    return found


def variables_read(tree: ast.AST) -> set[str]:
    """Environment variables that a module names where it asks for one; any other use of the environment is `all, for …`."""
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
    """Files that a module names itself where it makes a path, opens or reads: the names, or how they begin.

    Methods of a path do not count, since the path does: `part.open("wb")` names no file.
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
    """The text that a value begins with; None where it is not written in the module."""
    while isinstance(value, ast.BinOp | ast.JoinedStr):
        value = value.left if isinstance(value, ast.BinOp) else value.values[0]
    if isinstance(value, ast.Name):
        value = constants.get(value.id, value)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def test_every_rule_has_the_hash_of_its_stage() -> None:
    assert sorted(STAGES) == sorted(f"cxrflow.{name}" for name in re.findall(r"^ *rule (\w+):", RULES, re.MULTILINE))


def test_rules_run_nothing_but_stages() -> None:
    """Code in `run:` or behind `script:` has no hash of its own imports."""
    assert re.findall(r"^ +(run|script|notebook|wrapper|cwl|template_engine):", RULES, re.MULTILINE) == []
    commands = re.findall(r"shell:\n\s+\"\"\"\n(.*?)\"\"\"", RULES, re.DOTALL)
    started = [re.findall(r"^ *python -m (\S+) \\$", command, re.MULTILINE) for command in commands]
    assert sorted(started) == sorted([stage] for stage in STAGES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_code_comes_in_unseen(name: str) -> None:
    tree = MODULES[name]
    # `compile` and `eval` are also names of methods: re.compile, model.compile.
    bare = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert (DYNAMIC & set(names_in(tree)) - {"compile", "eval"}) | (bare & {"compile", "eval"}) == set()
    assert DYNAMIC_MODULES & imported(tree) == set()
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
    assert "path" not in {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys"
    }


@pytest.mark.parametrize("name", OF_STAGES)
def test_stages_read_no_file_that_is_not_named_by_a_flag(name: str) -> None:
    """No file beside a module, none in a home or in the checkout: what a stage reads is an input of its rule."""
    tree, names = MODULES[name], set(names_in(MODULES[name]))
    if name != "cxrflow.stage.code_hash":  # reads the modules themselves, to hash them
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
def test_a_file_that_is_not_named_by_a_flag_is_seen(code: str, named: set[str]) -> None:
    assert files_named(ast.parse(code)) == named


@pytest.mark.parametrize("name", OF_STAGES)
def test_stages_read_no_environment_variable_but_these(name: str) -> None:
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
    """A package that is there by chance would be recorded nowhere, nor one of another checkout."""
    locked = set(locked_versions(PROJECT / "envs/cpu.lock"))
    roots = {module.partition(".")[0] for tree in MODULES.values() for module in imported(tree)}
    others = (
        roots - set(sys.stdlib_module_names) - {"cxrflow", "jax", "torch"}
    )  # Keras' other backends, where one has them
    names = packages_distributions()
    assert {root for root in others if not {canonicalize_name(name) for name in names.get(root, [])} & locked} == set()


@pytest.mark.parametrize(
    "name", [stage for stage in STAGES if any("keras" in imported(MODULES[m]) for m in code_closure(stage))]
)
def test_stages_with_keras_do_not_go_by_a_file_in_the_home(name: str) -> None:
    called = {
        node.func.id
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called & {"set_up_keras", "set_up_own_device"}


@pytest.fixture
def hostile_home(tmp_path: Path) -> dict[str, str]:
    """An environment whose home has a keras.json with other values throughout, and a matplotlibrc."""
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


def test_keras_has_its_own_defaults_whatever_a_home_says(hostile_home: dict[str, str], tmp_path: Path) -> None:
    program = """
import json, keras
from cxrflow.networks.keras_settings import set_up_keras
told = lambda: [keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format()]
before = told()
set_up_keras()
layer = keras.layers.Dense(2)
layer.build((None, 3))
print(json.dumps([before, told(), keras.config.dtype_policy().name, str(layer.kernel.dtype), layer.compute_dtype]))
"""
    asked = [sys.executable, "-c", program]
    run = subprocess.run(asked, env=hostile_home, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    before, after, *layer = json.loads(run.stdout.splitlines()[-1])
    assert before == ["float64", 0.1, "channels_first"]  # the file is there to be read
    assert after == ["float32", 1e-7, "channels_last"]
    assert layer == ["float32", "float32", "float32"]


def test_a_network_is_the_same_whatever_a_home_says(hostile_home: dict[str, str], tmp_path: Path) -> None:
    """A stage itself, in a process of its own: channels last, and 32-bit floats."""
    settings = {
        **{"backbone": "MobileNet", "image_size": 32, "frozen_layers": 2, "weights": "random", "classes": ["a", "b"]},
        **{"backbone_batchnorm": "train", "batchnorm_momentum": None, "input_scaling": "study"},
        **{"head": {"pooling": "average", "dense_units": [8], "dropout": 0.5, "last_hidden_units": 4}},
        **{"head_initialisation": "glorot_uniform", "precision": "float32", "loss": "binary_crossentropy"},
    }
    network = tmp_path / "network.json"
    asked = [sys.executable, "-m", "cxrflow.check_network", "--experiment", "one", "--settings", json.dumps(settings)]
    asked += ["--network", str(network)]
    run = subprocess.run(asked, env=hostile_home, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    described = json.loads(network.read_text())
    assert described["backbone_output_shape"] == [1, 1, 1024]
    assert described["parameters"]["total"] == 3228864 + (1024 + 1) * 8 + (8 + 1) * 4 + 4 + 1


def test_a_plot_is_the_same_whatever_a_home_says(hostile_home: dict[str, str], tmp_path: Path) -> None:
    program = """
import matplotlib
from cxrflow.plot_curves import main
print(matplotlib.rcParams["lines.markersize"])
main()
"""
    history = tmp_path / "history.csv"
    history.write_text("epoch,loss,accuracy,val_loss,val_accuracy\n1,0.7,0.5,0.8,0.4\n2,0.6,0.6,0.7,0.5\n")
    plots = []
    for settings, size in ((hostile_home["MATPLOTLIBRC"], "20.0"), (os.devnull, "6.0")):
        asked = [sys.executable, "-c", program, "--history", str(history), "--figure", str(tmp_path / "curves.svg")]
        run = subprocess.run(
            asked, env={**hostile_home, "MATPLOTLIBRC": settings}, capture_output=True, text=True, check=True
        )
        assert run.stdout.splitlines()[0] == size  # the file is there to be read
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
def test_variables_by_which_libraries_compute_otherwise(name: str) -> None:
    assert computing_variables({name: "1", "PATH": "/bin"}) == {name: "1"}


def test_variables_that_change_no_number() -> None:
    names = (
        "TF_CPP_MIN_LOG_LEVEL",
        "TF_FORCE_GPU_ALLOW_GROWTH",
        "ONEDNN_VERBOSE",
        "OMP_NUM_THREADS",
        "HOME",
        "TF_CLI_ARGS",
    )
    assert computing_variables(dict.fromkeys(names, "1")) == {}


def test_libraries_set_none_of_these_variables_themselves(hostile_home: dict[str, str]) -> None:
    """Or a training's identity would depend on what was imported before it was asked for."""
    program = """
import os, json
before = dict(os.environ)
import keras, tensorflow, numpy, scipy, pandas, PIL, sklearn
print(json.dumps({name: value for name, value in os.environ.items() if before.get(name) != value}))
"""
    run = subprocess.run([sys.executable, "-c", program], env=hostile_home, capture_output=True, text=True, check=True)
    assert computing_variables(json.loads(run.stdout.splitlines()[-1])) == {}
