"""The command cxrflow: its help, its errors, and a study from images to a plan."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from cxrflow import cli
from cxrflow.cli import COMMANDS, summary_of
from cxrflow.study.read import read_config
from cxrflow.study.run import with_study
from cxrflow.study.yaml_files import read_yaml
from documents import PROGRAMS
from study_config import PROJECT

Cxrflow = Callable[..., "subprocess.CompletedProcess[str]"]
STARTS = "import sys; from cxrflow.cli import main; main()"


@pytest.fixture
def cxrflow(tmp_path: Path) -> Cxrflow:
    """`cxrflow(*words)` runs the command in a separate folder."""

    def run(*words: str | Path, program: str = STARTS, cwd: Path = tmp_path) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "PYTHONPATH": str(PROJECT / "workflow"), "COLUMNS": "100"}
        command = [sys.executable, "-c", program, *map(str, words)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)

    return run


def test_the_entry_point_is_installed() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"cxrflow": "cxrflow.cli:main"}


def test_commands_are_programs() -> None:
    modules = {".".join(file.relative_to(PROJECT / "workflow").with_suffix("").parts) for file in PROGRAMS.values()}
    assert set(COMMANDS.values()) <= modules


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_all_commands(words: list[str], cxrflow: Cxrflow) -> None:
    run = cxrflow(*words)
    assert run.returncode == 0 and run.stderr == ""
    listed = dict(line.split(maxsplit=1) for line in run.stdout.splitlines() if line.startswith("  "))
    assert listed == {command: summary_of(module) for command, module in COMMANDS.items()}
    assert all(listed.values())


def test_a_command_shows_its_own_help(cxrflow: Cxrflow) -> None:
    run = cxrflow("init", "--help")
    assert run.returncode == 0 and run.stdout.startswith("usage: cxrflow init [-h]")
    assert summary_of("cxrflow.run.new_study") in run.stdout


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        (["ini"], "there is no command 'ini'; did you mean 'init'?"),
        (["zzz"], f"there is no command 'zzz'; allowed: {', '.join(COMMANDS)}"),
        (
            ["init"],
            "the following arguments are required: IMAGES, STUDY_FOLDER; cxrflow init --help describes the arguments",
        ),
        (["init", "nowhere", "mine"], "nowhere: "),
        (
            ["predict", "--model", "x"],
            "the following arguments are required: --training, --images, --table; cxrflow predict",
        ),
        (["clean", "--checkpoint", "x"], "the following arguments are required: --checkpoints; cxrflow clean"),
    ],
)
def test_errors_are_one_line(words: list[str], reported: str, cxrflow: Cxrflow, tmp_path: Path) -> None:
    run = cxrflow(*words)
    assert run.returncode == 1 and run.stderr.startswith(f"error: {reported}") and run.stderr.count("\n") == 1, (
        run.stderr
    )
    assert run.stdout == "" and list(tmp_path.iterdir()) == []


def test_errors_of_a_plan_come_without_remarks(cxrflow: Cxrflow) -> None:
    run = cxrflow("why", "--cores", "1", "--config", "study=./none", cwd=PROJECT)
    assert run.returncode == 1
    assert run.stderr == "error: study: ./none: no file study.yaml in this folder; `cxrflow init` writes one\n"


def test_only_the_called_command_is_imported(cxrflow: Cxrflow) -> None:
    shows = "; print(*sorted(name for name in sys.modules if name.startswith('cxrflow.')), sep='\\n')"
    loaded = set(cxrflow("--help", program=STARTS + shows).stdout.splitlines())
    assert "cxrflow.cli" in loaded and not loaded & set(COMMANDS.values())


def test_init_writes_a_study_that_plans(cxrflow: Cxrflow, image_folder: Path, tmp_path: Path) -> None:
    """From any folder; the plan is made in the checkout."""
    run = cxrflow("init", image_folder, "my_xrays")
    assert run.returncode == 0 and "my_xrays/study.yaml is written" in run.stdout, run.stderr
    config = read_config(with_study({**read_yaml(PROJECT / "config.yaml"), "study": str(tmp_path / "my_xrays")}))
    assert config.name == "my_xrays" and list(config.selected()) == ["my_xrays_mobilenet"]
    assert config.images == str(image_folder) and config.claims is None and config.open_points is None
    for name in ("Snakefile", "config.yaml", "envs", "profiles", "workflow"):
        (tmp_path / name).symlink_to(PROJECT / name)
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--config", "study=./my_xrays"]
    plan = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert plan.returncode == 0 and "train_model" in plan.stdout + plan.stderr, plan.stdout + plan.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "override='{epochs: 1}",
            "CONFIG: override='{epochs: 1}: no closing quotation; put each value with blanks or braces",
        ),
        ("tsne.perplexity=4", "CONFIG: tsne.perplexity=4: keys have no dots here; write tsne='{perplexity: 4}'"),
        ("override = 3", "CONFIG: override: must be KEY=VALUE without blanks around the =, such as seeds=5"),
    ],
)
def test_values_that_snakemake_cannot_read_are_reported(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cxrflow", "run", "--config-text", text])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert message in capsys.readouterr().err
