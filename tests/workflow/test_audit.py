"""The command `cxrflow audit`, as a user calls it: findings without training, and the measured power."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from cxrflow.audits.power import COLUMNS, in_markdown
from tiny_run import TINY

STARTS = "import sys; from cxrflow.cli import main; main()"
OFF = dict.fromkeys(("look_alikes", "confounders", "rivals"), "off")


def audit(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "CXRFLOW_STUDY_DATA"}
    command = [sys.executable, "-c", STARTS, "audit", "--cores", "2", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_findings_are_printed_without_training_and_power_is_measured_on_request(tmp_path: Path, project: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "audits": OFF}))
    run = audit(tmp_path, "--measure-power", "--configfile", "tiny.yaml")
    assert run.returncode == 0, run.stdout + run.stderr
    printed = run.stdout[run.stdout.index("results/tiny: 32 of 32 images") :]
    assert (
        "patients: 1 finding\n  * Task multiclass: the patients of all 32 images are unknown. (suspected)\n" in printed
    )
    assert "\n\nduplicates: nothing found\n\nlook_alikes: off\n" in printed
    table = pd.read_csv(tmp_path / "results/tiny/audits/power.csv", dtype=COLUMNS)
    assert table["audit"].tolist() == ["duplicates", "patients"]
    assert table["inserted"].tolist() == table["found"].tolist() == [32, 8] and table["false"].sum() == 0
    assert printed.rstrip().endswith(in_markdown(table).rstrip())
    assert not (tmp_path / "results/tiny/runs").exists() and not (tmp_path / "results/checkpoints").exists()


def test_wrong_configs_are_reported_before_anything_starts(tmp_path: Path) -> None:
    run = audit(tmp_path, "--study", "./nowhere")
    assert run.returncode == 1 and run.stderr.startswith("error: study: ./nowhere: "), run.stderr
    run = audit(tmp_path, "--measure-powers")
    assert run.returncode == 1 and "unrecognized arguments: --measure-powers; cxrflow audit --help" in run.stderr
    assert list(tmp_path.iterdir()) == []
