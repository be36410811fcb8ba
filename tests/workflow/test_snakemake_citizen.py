"""cxrflow among other workflows: imported by `module`, run in another folder, deployed, in a folder with an odd name."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from finished_run import copy_project
from tiny_run import TINY, planned_jobs

DEMO_JOBS = 59
IMPORTER = """\
configfile: "mine.yaml"


module cxrflow:
    snakefile:
        {snakefile!r}
    config:
        config


use rule * from cxrflow as cxrflow_*


rule mine:
    default_target: True
    input:
        rules.cxrflow_all.input,
    output:
        "mine.txt",
    shell:
        "cp {{input[0]:q}} {{output:q}}"
"""


def snakemake_in(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake as a new user does, in another folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**environment, **variables}, capture_output=True, text=True, check=False, timeout=900
    )


@pytest.fixture(scope="module")
def clone(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in a folder with an apostrophe and blanks."""
    folder = tmp_path_factory.mktemp("lab") / "it's my lab" / "cxr flow"
    copy_project(project, folder)
    return folder


@pytest.fixture
def importer(clone: Path, tmp_path: Path) -> Callable[[Mapping[str, Any]], Path]:
    """`importer(config)` makes a workflow that imports cxrflow, and gives its folder."""

    def make(config: Mapping[str, Any]) -> Path:
        folder = tmp_path / "another workflow"
        (folder / "workflow").mkdir(parents=True)
        (folder / "mine.yaml").write_text(yaml.safe_dump(dict(config)))
        (folder / "workflow/Snakefile").write_text(IMPORTER.format(snakefile=f"{clone}/workflow/Snakefile"))
        return folder

    return make


def test_both_snakefiles_plan_the_same(project: Path, tmp_path: Path) -> None:
    plans = [
        planned_jobs(snakemake_in(tmp_path, "-n", "-s", f"{project}/{name}", "--config", "study=demo"))
        for name in ("Snakefile", "workflow/Snakefile")
    ]
    assert plans[0] == plans[1] and sum(plans[0].values()) == DEMO_JOBS
    assert len((project / "Snakefile").read_text().splitlines()) == 1


def test_the_demo_is_planned_in_another_folder_from_a_clone_with_an_odd_name(clone: Path, tmp_path: Path) -> None:
    elsewhere = ("--directory", str(tmp_path / "else where"), "--config", "study=demo")
    plan = snakemake_in(clone, "-n", *elsewhere)
    assert sum(planned_jobs(plan).values()) == DEMO_JOBS
    assert not (clone / "results").exists()


def test_the_demo_is_planned_by_a_workflow_that_imports_it(importer: Any) -> None:
    """All of its files are found in its own checkout; rules have the names of the importing workflow."""
    folder = importer({"study": "demo"})
    jobs = planned_jobs(snakemake_in(folder, "-n"))
    assert jobs.pop("mine") == 1 and sum(jobs.values()) == DEMO_JOBS - 1  # all but `all`
    assert all(name.startswith("cxrflow_") for name in jobs)


def test_an_invalid_config_of_an_importer_is_reported(importer: Any) -> None:
    run = snakemake_in(importer({"study": "dmo"}), "-n")
    assert run.returncode != 0 and "there is no study 'dmo'; did you mean 'demo'?" in run.stdout + run.stderr


@pytest.mark.slow
@pytest.mark.long
def test_an_imported_run_is_whole(importer: Any, clone: Path) -> None:
    folder = importer({"study": "sha_2021", **TINY, "weights": f"{clone}/studies/demo/weights"})
    run = snakemake_in(folder)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "multiclass_mobilenet" in (folder / "mine.txt").read_text(encoding="utf-8")
    assert "ok     " in run.stderr, "the short look at the machine"
    assert list((folder / "results/locks").rglob("*.lock")), "one run at a time"
    assert planned_jobs(snakemake_in(folder, "-n")) == Counter()
    again = snakemake_in(folder, "-n", "--config", "tsne={perplexity: 4}")
    assert set(planned_jobs(again)) == {
        *("cxrflow_embed_features", "cxrflow_plot_embedding", "cxrflow_assemble_report", "mine")
    }
    shutil.rmtree(folder / ".snakemake")
    assert planned_jobs(snakemake_in(folder, "-n"))["cxrflow_train_model"] == 1, "there are no records"


@pytest.mark.slow
def test_an_importer_can_call_the_hook_that_repeats_errors(importer: Any) -> None:
    folder = importer({"study": "demo", "override": {"frozen_layers": 87}})
    with (folder / "workflow/Snakefile").open("a") as snakefile:
        snakefile.write("\n\nonerror:\n    cxrflow.onerror()\n")
    run = snakemake_in(folder, "results/demo/networks/multiclass_mobilenet.json")
    assert run.returncode != 0
    reported = "multiclass_mobilenet.log: error: frozen_layers: 87 is more than the 86 layers of MobileNet"
    assert reported in "\n".join(run.stderr.splitlines()[-8:])


# Does what conda does: creates a folder for an environment, whose activation puts its programs first.
CONDA = """\
#!/bin/sh
case "$*" in
    --version) echo "conda 25.1.1" ;;
    "info --json") echo '{{"conda_prefix": "{prefix}", "platform": "linux-64"}}' ;;
    *create*) while [ "$1" != --prefix ]; do shift; done; mkdir -p "$2/bin"; cp {prefix}/python "$2/bin" ;;
    *) echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
esac
"""
ACTIVATE = 'export PATH="$1/bin:$PATH" CONDA_PREFIX="$1"\n'


@pytest.fixture
def conda(tmp_path: Path) -> str:
    """A PATH with a fake conda."""
    programs = tmp_path / "conda/bin"
    programs.mkdir(parents=True)
    (programs / "conda").write_text(CONDA.format(prefix=programs.parent))
    (programs.parent / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs.parent / "python").chmod(0o755)
    (programs / "activate").write_text(ACTIVATE)
    (programs / "conda").chmod(0o755)
    return f"{programs}:{os.environ['PATH']}"


@pytest.mark.slow
def test_jobs_find_the_package_in_a_conda_environment(
    clone: Path, tmp_path: Path, overlay: Callable[..., str], conda: str
) -> None:
    """When Snakemake activates an environment, it removes PYTHONPATH from the job's variables."""
    target = ("results/tiny/phantoms/phantoms.csv", "--sdm", "conda", "--configfile", overlay())
    run = snakemake_in(clone, "--directory", str(tmp_path / "run"), *target, PATH=conda)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Activating conda environment" in run.stdout + run.stderr
    assert (tmp_path / "run" / target[0]).is_file()


def test_a_missing_container_image_is_reported_before_any_job(clone: Path, overlay: Callable[..., str]) -> None:
    run = snakemake_in(clone, "-n", "--sdm", "apptainer", "--configfile", overlay())
    assert run.returncode != 0
    build = "apptainer build envs/cxrflow.sif envs/cxrflow.def"
    assert f"--sdm apptainer: envs/cxrflow.sif: no such image; in {clone}: {build}" in run.stdout + run.stderr


def test_records_in_a_database_are_refused(clone: Path, overlay: Callable[..., str]) -> None:
    run = snakemake_in(clone, "-n", "--persistence-backend", "db", "--configfile", overlay())
    assert run.returncode != 0 and "Traceback" not in run.stderr
    assert "--persistence-backend db: cxrflow needs Snakemake's records as files" in run.stdout + run.stderr


def many_experiments(count: int) -> dict[str, Any]:
    one = {"like": "multiclass_mobilenet"}
    names = [f"multiclass_mobilenet_variant_{number:03}" for number in range(count)]
    return {**TINY, "study": "sha_2021", "only": names, "experiments": dict.fromkeys(names, one)}


@pytest.mark.slow
def test_500_experiments_are_planned_with_short_commands(clone: Path, tmp_path: Path) -> None:
    """Linux accepts no argument or environment variable of more than 131,071 bytes."""
    config = {**many_experiments(500), "claims": str(clone / "studies/demo/claims.csv")}
    (tmp_path / "many.yaml").write_text(yaml.safe_dump(config))
    program = """
import json, sys
sys.path.insert(0, sys.argv[1] + "/workflow")
from cxrflow.run.jobs import planned_jobs
jobs = planned_jobs(["-s", sys.argv[1] + "/Snakefile", "--cores", "1", "--configfile", "many.yaml"])
print(json.dumps({job.rule: job.command for job in jobs} | {"train_models": sum(job.rule == "train_model" for job in jobs)}))
"""
    plan = subprocess.run(
        [sys.executable, "-c", program, str(clone)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert plan.returncode == 0, plan.stderr
    commands = json.loads(plan.stdout.splitlines()[-1])
    assert commands.pop("train_models") == 500
    assert max(len(word) for command in commands.values() for word in shlex.split(command)) < 5_000
    assert max(map(len, commands.values())) < 131_072
    assert len(commands["score_claims"]) < 2_000


# What the Snakemake workflow catalog reads: github.com/snakemake/snakemake-workflow-catalog, scripts/generate-catalog.py.


def test_the_catalog_lists_the_workflow_with_standardized_usage(project: Path) -> None:
    assert {"snakemake", "workflow"} <= set((project / "README.md").read_text().lower().split())
    assert (project / "workflow/Snakefile").is_file() and list((project / "workflow/rules").glob("*.smk"))
    assert (project / "config/README.md").read_text().startswith("# ")
    assert (project / "LICENSE").is_file() and (project / "CONTRIBUTING.md").is_file()
    usage = yaml.safe_load((project / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"} and usage["report"] is True
    deployment = usage["software-stack-deployment"]
    assert deployment["conda"] is True and set(deployment) <= {"conda", "apptainer", "singularity", "singularity+conda"}


@pytest.mark.slow
def test_the_catalogs_checks_of_lint_and_format_pass(project: Path) -> None:
    lint = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=project, capture_output=True, text=True, check=False
    )
    assert lint.returncode == 0, lint.stderr
    files = [project / "workflow/Snakefile", *(project / "workflow/rules").glob("*.smk")]
    check = [sys.executable, "-m", "snakefmt", "--check", "-v", *map(str, files)]
    formatted = subprocess.run(check, cwd=project, capture_output=True, text=True, check=False)
    assert formatted.returncode == 0, formatted.stderr


def test_config_readme_names_only_keys_and_studies_that_exist(project: Path) -> None:
    text = (project / "config/README.md").read_text(encoding="utf-8")
    keys = {
        key for cell in re.findall(r"^\| (`\w+`[^|]*) \|", text, re.MULTILINE) for key in re.findall(r"`(\w+)`", cell)
    }
    assert keys and keys <= set(json.loads((project / "workflow/schemas/config.schema.json").read_text())["properties"])
    studies = {file.parent.name for file in project.glob("studies/*/study.yaml")}
    named = re.search(r"a shipped study \((.*?)\)", text)
    assert named and set(re.findall(r"`(\w+)`", named[1])) == studies
    assert all((project / "config" / link).is_file() for link in re.findall(r"\]\((.*?)\)", text))
    assert (project / "config/config.yaml").read_bytes() == (project / "config.yaml").read_bytes()


# Snakemake's private parts. `workflow/Snakefile` finds the package, and so the adapter, from its own folder.
ALLOWED = {"Snakefile": {"include"}, "workflow/rules/checkout.smk": {"current_basedir"}}
PUBLIC = {"from snakemake.utils import min_version", "from snakemake.exceptions import WorkflowError"}


def test_private_parts_of_snakemake_are_used_in_one_module(project: Path) -> None:
    rules = [*map(project.joinpath, ("Snakefile", "workflow/Snakefile")), *project.glob("workflow/rules/*.smk")]
    for file in rules:
        text = re.sub(r'"(?:\\.|[^"\n])*"', '""', file.read_text(encoding="utf-8"))
        used = set(re.findall(r"\bworkflow\.(\w+)", text))
        assert used == ALLOWED.get(file.relative_to(project).as_posix(), set()), file
    adapter = project / "workflow/cxrflow/run/adapter.py"
    for file in [*rules, *(set(project.glob("workflow/cxrflow/**/*.py")) - {adapter})]:
        imports = re.findall(r"^\s*((?:from|import) snakemake\b.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(imports) <= PUBLIC, file


class Scratch:
    """A separate environment for one program, on top of the packages of this one."""

    def __init__(self, folder: Path, *requirements: str, packages: bool = True) -> None:
        self.python = folder / "bin/python"
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        if packages:
            own = subprocess.check_output([self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
            (Path(own.decode().strip()) / "above.pth").write_text(sysconfig.get_path("purelib"))
        pip = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
        installed = subprocess.run(pip, capture_output=True, text=True, check=False)
        if installed.returncode and re.search(
            r"Could not find a version|connection|resolve", installed.stderr, re.IGNORECASE
        ):
            pytest.skip(f"the package index has no {' '.join(requirements)}: {installed.stderr.splitlines()[-1]}")
        assert installed.returncode == 0, installed.stderr

    def run(self, folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a module in it."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        command = [str(self.python), "-m", *arguments]
        environment |= {"PATH": f"{self.python.parent}:/usr/bin:/bin", **variables}
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def oldest(project: Path) -> str:
    named = re.search(r'min_version\("([\d.]+)"\)', (project / "workflow/Snakefile").read_text())
    assert named
    return f"snakemake=={named[1]}.0"


@pytest.mark.slow
@pytest.mark.parametrize("which", ["oldest", "newest"])
def test_oldest_and_newest_snakemake(project: Path, tmp_path: Path, overlay: Callable[..., str], which: str) -> None:
    requirements = [oldest(project)] if which == "oldest" else ["--upgrade", "snakemake"]
    scratch = Scratch(tmp_path / "environment", *requirements)
    command = ("snakemake", "--cores", "2", "-s", f"{project}/Snakefile")
    demo = scratch.run(tmp_path, *command, "-n", "--quiet", "rules", "--config", "study=demo")
    assert sum(planned_jobs(demo).values()) == DEMO_JOBS
    tiny = (*command, "results/tiny/data_audit.json", "--configfile", overlay())
    run = scratch.run(tmp_path, *tiny)
    assert run.returncode == 0, run.stdout + run.stderr
    assert planned_jobs(scratch.run(tmp_path, *tiny, "-n")) == Counter()
    shutil.rmtree(tmp_path / ".snakemake/metadata")
    again = planned_jobs(scratch.run(tmp_path, *tiny, "-n", "--quiet", "rules"))
    made = {"make_phantoms": 1, "index_images": 1, "split_images": 1, "cache_pixels": 8, "audit_data": 1}
    assert again == made, "there are no records of how they were made"


@pytest.mark.slow
@pytest.mark.long
def test_the_demo_runs_after_snakedeploy(project: Path, tmp_path: Path) -> None:
    """The Snakefile of `snakedeploy` reads the rules from the address of a repository; git uses a local copy instead."""
    scratch = Scratch(tmp_path / "environment", "snakedeploy", packages=False)
    copy = tmp_path / "cxrflow"
    copy_project(project, copy)
    for words in (["init", "-q", "-b", "main"], ["add", "--force", "."], ["commit", "-qm", "one"], ["tag", "v0.1.0"]):
        who = ["-c", "user.name=nobody", "-c", "user.email=nobody"]
        subprocess.run(["git", *who, *words], cwd=copy, check=True)
    url = "https://github.com/example/cxrflow"
    (tmp_path / "gitconfig").write_text(f'[url "file://{copy}"]\n    insteadOf = {url}\n')
    variables = {
        "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"),
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "c"),
    }
    deploy = ("deploy-workflow", url, str(tmp_path / "mine"), "--tag", "v0.1.0")
    program = "from snakedeploy.client import main; main()"
    deployed = subprocess.run(
        [scratch.python, "-c", program, *deploy],
        env={**os.environ, **variables, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert deployed.returncode == 0, deployed.stderr
    demo = snakemake_in(tmp_path / "mine", "-n", "--config", "study=demo", **variables)
    assert sum(planned_jobs(demo).values()) == DEMO_JOBS
    target = ("results/demo/images.parquet", "--config", "study=demo")
    run = snakemake_in(tmp_path / "mine", *target, **variables)
    assert run.returncode == 0, run.stdout + run.stderr
    assert planned_jobs(snakemake_in(tmp_path / "mine", "-n", *target, **variables)) == Counter()
