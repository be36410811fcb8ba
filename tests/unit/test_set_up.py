"""The Makefile and the set-up of its environments, with a fake Python that only records its calls."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cxrflow.run.doctor import PYTHONS
from packaging.specifiers import SpecifierSet
from snakemake.cli import parse_config
from snakemake_interface_executor_plugins.utils import format_cli_arg

PROJECT = Path(__file__).resolve().parents[2]
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
ONE_LINE = re.compile(r"error: [^\n]+\n")


class Checkout:
    """A copy of the files for the set-up, in a folder with blanks and an apostrophe in its name, and a fake Python."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder / "it's a checkout", folder / "asked.jsonl"
        self.programs = folder / "programs"
        for name in ("Makefile", "Snakefile", "pyproject.toml", "config.yaml", "envs/set_up.sh"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, self.folder / name)
        for kind in ("cpu", "gpu", "dev"):
            (self.folder / f"envs/{kind}.lock").write_text(f"packages of {kind}\n")
        self.programs.mkdir()
        self.python("python3")

    def python(self, name: str, version: str = "3.12", venv: bool = True) -> None:
        """Put a Python of some version on PATH."""
        recorder = f"{shlex.quote(sys.executable)} -SE {shlex.quote(str(Path(__file__).with_name('fake_python.py')))}"
        (self.programs / name).write_text(f'#!/bin/sh\nexec {recorder} "$0" "$@"\n')
        (self.programs / name).chmod(0o755)
        (self.programs / f"{name}.json").write_text(json.dumps({"version": version, "venv": venv}))

    def pip_ends_with(self, status: int) -> None:
        """Set the exit status of the environment's programs, including pip."""
        nature = self.folder / ".venv/bin/python.json"
        nature.write_text(json.dumps({**json.loads(nature.read_text()), "status": status}))

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run make without the environment variables of the tests."""
        path = os.pathsep.join([str(self.programs), "/usr/bin", "/bin"])
        env = {"PATH": path, "HOME": str(self.folder.parent), "FAKE_LOG": str(self.log), **environment}
        return subprocess.run(
            ["make", *arguments], cwd=self.folder, env=env, capture_output=True, text=True, check=False
        )

    def asked(self) -> list[list[str]]:
        """List the calls of Python since the last time."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def installs(self) -> list[str]:
        """List the arguments of pip install since the last time."""
        return [" ".join(call[-2:]) for call in self.asked() if call[:3] == ["-m", "pip", "install"]]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with an environment, for tests that do not change it."""
    checkout = Checkout(tmp_path_factory.mktemp("ready"))
    checkout.make("demo")
    return checkout


PROJECT_ITSELF = "-e ."


def test_help_lists_every_target_and_is_the_default(ready: Checkout) -> None:
    ready.asked()
    marked = re.findall(r"^([a-z-]+):.* ## ", MAKEFILE, re.MULTILINE)
    assert {
        "help",
        "demo",
        "study",
        "extras",
        "why",
        "verify",
        "doctor",
        "test",
        "test-all",
        "lint",
        "format",
        "schema",
        "lock",
        "clean",
        "clean-checkpoints",
    } <= set(marked)
    printed = ready.make("help").stdout
    assert re.findall(r"^  ([a-z-]+) +\S", printed, re.MULTILINE) == marked
    assert ready.make().stdout == printed
    for variable in ("DATA=", "WEIGHTS=", "ONLY=", "CONFIG=", "CORES=", "GPU=", "PYTHON="):
        assert f"\n  {variable}" in printed
    assert ready.asked() == []


def test_every_target_is_phony_and_documented_or_internal() -> None:
    phony = set(re.search(r"^\.PHONY: ((?:.*\\\n)*.*)", MAKEFILE, re.MULTILINE)[1].replace("\\\n", " ").split())  # type: ignore[index]
    targets = set(re.findall(r"^([a-z-]+):(?!=)", MAKEFILE, re.MULTILINE))
    assert phony == targets


def test_first_run_sets_up_and_the_second_does_nothing(checkout: Checkout) -> None:
    assert checkout.make("demo").returncode == 0
    venv, locked, project, run = checkout.asked()
    assert venv == ["-m", "venv", ".venv"]
    assert locked[:3] == project[:3] == ["-m", "pip", "install"]
    assert locked[-3:] == ["--require-hashes", "-r", "envs/cpu.lock"]
    assert project[-5:] == ["--no-index", "--no-deps", "--no-build-isolation", "-e", "."]
    assert run == ["-m", "snakemake", "--cores", "all", "--config", "study=demo"]
    assert checkout.make("demo").returncode == 0
    assert checkout.asked() == [run]


def test_no_address_of_an_index_is_given_to_pip(checkout: Checkout) -> None:
    checkout.make("demo")
    words = [word for call in checkout.asked() for word in call]
    assert not [word for word in words if "index-url" in word or "://" in word or "find-links" in word]


def test_a_touched_lock_installs_nothing_and_a_changed_one_is_installed(checkout: Checkout) -> None:
    checkout.make("demo")
    checkout.asked()
    lock = checkout.folder / "envs/cpu.lock"
    os.utime(lock, (2e9, 2e9))
    checkout.make("demo")
    assert checkout.installs() == []
    lock.write_text("other packages of cpu\n")
    checkout.make("demo")
    assert checkout.installs() == ["-r envs/cpu.lock"]


def test_the_tests_add_their_packages_to_the_same_environment(checkout: Checkout) -> None:
    checkout.make("demo")
    checkout.asked()
    assert checkout.make("test").returncode == 0
    assert checkout.installs() == ["-r envs/dev.lock"]
    checkout.make("demo")
    checkout.make("test")
    assert checkout.installs() == []


def test_the_cuda_build_has_a_separate_environment(checkout: Checkout) -> None:
    checkout.make("demo")
    checkout.asked()
    assert checkout.make("demo", "GPU=1").returncode == 0
    venv, locked, *_ = checkout.asked()
    assert (venv[-1], locked[-1]) == (".venv-gpu", "envs/gpu.lock")
    assert (checkout.folder / ".venv-gpu/.gitignore").read_text() == "*\n"
    assert (checkout.folder / ".venv/installed.lock").read_text() == "packages of cpu\n"


def test_after_pip_has_failed_the_next_make_tries_again(checkout: Checkout) -> None:
    checkout.make("demo")
    checkout.pip_ends_with(1)
    ended = checkout.make("test")
    assert ended.returncode != 0
    assert ONE_LINE.match(ended.stderr)
    assert "make test tries again" in ended.stderr
    checkout.pip_ends_with(0)
    checkout.asked()
    checkout.make("demo")
    assert checkout.installs() == []
    checkout.make("test")
    assert checkout.installs() == ["-r envs/dev.lock"]


@pytest.mark.parametrize("kill", ["pip", "all"])
def test_a_killed_installation_is_repeated(checkout: Checkout, kill: str) -> None:
    checkout.make("demo")
    (checkout.folder / "envs/cpu.lock").write_text("newer packages\n")
    if kill == "pip":
        checkout.pip_ends_with(137)
        assert checkout.make("demo").returncode != 0
    else:
        (checkout.folder / ".venv/unfinished").touch()
    checkout.asked()
    (checkout.folder / ".venv/half a package").touch()
    assert checkout.make("demo").returncode == 0
    assert checkout.asked()[0] == ["-m", "venv", ".venv"]
    assert not (checkout.folder / ".venv/half a package").exists()
    assert not (checkout.folder / ".venv/unfinished").exists()


def test_a_moved_checkout_reinstalls_only_itself(checkout: Checkout) -> None:
    checkout.make("demo")
    checkout.asked()
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("elsewhere"))
    checkout.make("demo")
    assert checkout.installs() == [PROJECT_ITSELF]


def test_a_folder_that_is_not_an_environment_is_not_deleted(checkout: Checkout) -> None:
    (checkout.folder / ".venv").mkdir()
    (checkout.folder / ".venv/thesis.tex").touch()
    ended = checkout.make("demo")
    assert ended.returncode != 0
    assert "move it away" in ended.stderr
    assert (checkout.folder / ".venv/thesis.tex").exists()


@pytest.mark.parametrize("version", ["3.10", "3.14", "2.7"])
def test_another_python_is_reported_in_one_line(checkout: Checkout, version: str) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        checkout.python(name, version)
    ended = checkout.make("demo")
    assert ended.returncode != 0
    assert ONE_LINE.match(ended.stderr)
    assert (
        f"python3 is Python {version}; cxrflow needs Python 3.11, 3.12 or 3.13: make demo PYTHON=python3.12"
        in ended.stderr
    )
    assert not (checkout.folder / ".venv").exists()


def test_a_suitable_python_is_named(checkout: Checkout) -> None:
    checkout.python("python3", "3.10")
    for name in ("python3.11", "python3.12"):
        checkout.python(name, "3.10")
    checkout.python("python3.13", "3.13")
    assert "make test PYTHON=python3.13" in checkout.make("test").stderr
    assert checkout.make("demo", "PYTHON=python3.13").returncode == 0


def test_a_missing_python_is_reported(checkout: Checkout) -> None:
    ended = checkout.make("demo", "PYTHON=python-of-yesterday")
    assert ended.returncode != 0
    assert ended.stderr.startswith(
        "error: python-of-yesterday does not run on this machine; cxrflow needs Python 3.11, 3.12 or 3.13"
    )


def test_a_python_without_venv_is_reported(checkout: Checkout) -> None:
    checkout.python("python3", "3.11", venv=False)
    ended = checkout.make("demo")
    assert ended.returncode != 0
    assert ONE_LINE.match(ended.stderr)
    assert "apt install python3.11-venv" in ended.stderr


def test_requesting_another_python_recreates_the_environment(checkout: Checkout) -> None:
    checkout.make("demo")
    checkout.asked()
    checkout.python("python3.13", "3.13")
    checkout.make("demo", "PYTHON=python3.13")
    assert checkout.asked()[0] == ["-m", "venv", ".venv"]
    checkout.make("demo", "PYTHON=python3.13")
    checkout.make("demo")
    assert checkout.installs() == []


def test_allowed_pythons_are_the_same_everywhere() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    allowed = SpecifierSet(project["project"]["requires-python"])
    assert [f"3.{minor}" for minor in range(30) if allowed.contains(f"3.{minor}.5")] == list(PYTHONS)
    in_set_up = re.search(r"case \$1 in (.*?)\) true", (PROJECT / "envs/set_up.sh").read_text(encoding="utf-8"))
    assert in_set_up is not None
    assert in_set_up[1].split(" | ") == list(PYTHONS)


STRANGE = [
    "plain",
    "with blank",
    "it's",
    'a "quoted" one',
    "'",
    "$HOME $(x) `y`",
    "a: b, #c {d}",
    "back\\slash",
    " edges ",
    "5",
]


@pytest.mark.parametrize("where", ["command line", "environment"])
@pytest.mark.parametrize("name", STRANGE)
def test_folders_reach_snakemake_unchanged(ready: Checkout, name: str, where: str) -> None:
    data, weights = ready.folder / "data" / name, f"/weights of {name}"
    data.mkdir(parents=True, exist_ok=True)
    ready.asked()
    if where == "environment":
        ended = ready.make("study", CXRFLOW_STUDY_DATA=str(data), CXRFLOW_WEIGHTS=weights)
    else:
        ended = ready.make("study", f"DATA={data}", f"WEIGHTS={weights}", CXRFLOW_STUDY_DATA="/another")
    assert ended.returncode == 0, ended.stderr
    call = ready.asked()[-1]
    assert call[:5] == ["-m", "snakemake", "--cores", "all", "--config"]
    assert parse_config(call[5:]) == {"images": str(data), "weights": weights}


@pytest.mark.parametrize("name", ["plain", "with blank", "it's one", "a: b, #c {d}", "5"])
def test_folders_reach_the_jobs_of_a_cluster_unchanged(ready: Checkout, name: str) -> None:
    data = ready.folder / "data" / name
    data.mkdir(parents=True, exist_ok=True)
    ready.make("study", f"DATA={data}", "ONLY=a b")
    values = ready.asked()[-1][5:]
    flag, *handed_on = shlex.split(format_cli_arg("--config", values))
    assert flag == "--config"
    assert parse_config(handed_on) == {"images": str(data), "only": ["a", "b"]}


@pytest.mark.parametrize(
    ("only", "names"),
    [("one", ["one"]), ("one two", ["one", "two"]), (" one,two,  three ", ["one", "two", "three"]), ("it's", ["it's"])],
)
def test_names_of_experiments_become_a_list(ready: Checkout, only: str, names: list[str]) -> None:
    ready.make("study", f"DATA={ready.folder}", f"ONLY={only}")
    assert parse_config(ready.asked()[-1][5:])["only"] == names


def test_a_misspelt_variable_is_an_error(ready: Checkout) -> None:
    run = ready.make("study", "SUTDY=xu_2020")
    assert run.returncode == 2 and ready.asked() == []
    assert "unknown variable SUTDY; allowed: STUDY DATA WEIGHTS" in run.stderr


def test_the_demo_accepts_further_values_and_no_data_of_the_study(ready: Checkout) -> None:
    ready.make("demo", f"DATA={ready.folder}", "CONFIG=tsne='{perplexity: 9}' name=other")
    call = ready.asked()[-1]
    assert call[:6] == ["-m", "snakemake", "--cores", "all", "--config", "study=demo"]
    # Snakemake keeps a number within a mapping as text; the config's reader converts it.
    assert parse_config(call[5:]) == {"study": "demo", "tsne": {"perplexity": "9"}, "name": "other"}


def test_further_values_flags_and_cores_are_passed_on(ready: Checkout) -> None:
    config = "seeds=5 override='{epochs: 2, early_stopping: {patience: 3}}'"
    ready.make("extras", f"DATA={ready.folder}", f"CONFIG={config}", "FLAGS=--keep-going --quiet", "CORES=3")
    call = ready.asked()[-1]
    assert call[:6] == ["-m", "snakemake", "--cores", "3", "--keep-going", "--quiet"]
    assert parse_config(call[7:]) == {
        "images": str(ready.folder),
        "with_extras": True,
        "seeds": 5,
        "override": {"epochs": "2", "early_stopping": {"patience": "3"}},
    }


def test_the_doctor_gets_the_same_values(ready: Checkout) -> None:
    ready.make("doctor", f"DATA={ready.folder}", "ONLY=one")
    call = ready.asked()[-1]
    assert call[:7] == ["-m", "cxrflow.run.doctor", "--config", "config.yaml", "--lock", "envs/cpu.lock", "--set"]
    assert parse_config(call[7:]) == {"images": str(ready.folder), "only": ["one"]}
    ready.make("doctor")
    assert ready.asked()[-1][-1] == "envs/cpu.lock"


@pytest.mark.parametrize("target", ["study", "extras", "dry-run"])
def test_a_study_needs_no_folder_but_a_given_one_must_exist(ready: Checkout, target: str) -> None:
    ready.asked()
    assert ready.make(target).returncode == 0
    call = ready.asked()[-1]
    assert call[:2] == ["-m", "snakemake"] and "images" not in " ".join(call)
    ended = ready.make(target, "DATA=/not/there")
    assert ended.returncode != 0 and "there is no folder /not/there" in ended.stderr
    assert ready.asked() == []


def test_a_study_may_have_its_images_in_the_config(checkout: Checkout) -> None:
    config = checkout.folder / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "images: /data/cxr\n")
    assert checkout.make("study").returncode == 0
    assert checkout.asked()[-1] == ["-m", "snakemake", "--cores", "all"]


def test_a_study_is_named_by_a_variable(ready: Checkout) -> None:
    ready.make("study", f"DATA={ready.folder}", "STUDY=./it's mine")
    assert parse_config(ready.asked()[-1][5:])["study"] == "./it's mine"


def test_all_checks_run_with_their_times(checkout: Checkout) -> None:
    printed = checkout.make("test").stdout
    programs = [call[1] for call in checkout.asked() if call[1] not in ("venv", "pip")]
    assert programs == ["ruff", "ruff", "mypy", "snakefmt", "snakemake", "pytest"]
    assert "\nlint-imports\n" in printed
    assert len(re.findall(r"^  \d+ s$", printed, re.MULTILINE)) == 7


@pytest.mark.parametrize(
    ("cores", "workers"),
    [((), ["logical", "--maxprocesses", "4"]), (("CORES=10",), ["10"]), (("CORES=1",), ["0"])],
    ids=["all", "ten", "one"],
)
def test_tests_run_in_parallel(checkout: Checkout, cores: tuple[str, ...], workers: list[str]) -> None:
    for target, chosen in (("test", ["not slow"]), ("test-slow", ["slow and not long", "--ignore", "tests/slurm"])):
        assert checkout.make(target, *cores).returncode == 0
        assert checkout.asked()[-1] == ["-m", "pytest", "-n", *workers, "--dist", "loadfile", "-m", *chosen]


def test_clean_reports_what_it_deletes_and_keeps_the_users_files(checkout: Checkout) -> None:
    kept = [
        ".venv/bin/python",
        "results/study/report/index.html",
        ".snakemake/metadata/one",
        "workflow/a.py",
        "tests/b.py",
    ]
    gone = ["results/demo/report/index.html", ".pytest_cache/x", ".mypy_cache/x", "workflow/__pycache__/a.pyc"]
    for name in (*kept, *gone):
        (checkout.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout.folder / name).touch()
    ended = checkout.make("clean")
    assert ended.returncode == 0
    assert [name for name in kept if not (checkout.folder / name).exists()] == []
    assert [name for name in gone if (checkout.folder / name).exists()] == []
    for named in ("results/demo", ".pytest_cache", ".mypy_cache", "__pycache__"):
        assert named in ended.stdout


def test_clean_checkpoints_names_the_folder_of_all_checkpoints(ready: Checkout) -> None:
    ready.asked()
    assert ready.make("clean-checkpoints").returncode == 0
    assert ready.asked() == [["-m", "cxrflow.training.clean_checkpoints", "--checkpoints", "results/checkpoints"]]


def test_ci_runs_bash_that_parses() -> None:
    script = PROJECT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


@pytest.mark.parametrize("script", [".ci/run", *(f"tests/slurm/{name}.sh" for name in ("install", "up", "down"))])
def test_scripts_are_valid_shell(project: Path, script: str) -> None:
    assert subprocess.run(["bash", "-n", str(project / script)], check=False).returncode == 0
