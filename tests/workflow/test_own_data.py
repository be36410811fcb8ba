"""The tutorial on your own images and the how-to on splits, run as written: commands, files, and the output shown."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from finished_run import copy_project

BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETS_UP = "source .venv/bin/activate\n"


@pytest.mark.slow
def test_the_worked_examples(project: Path, tmp_path: Path) -> None:
    pages = ("docs/tutorials/your_own_images.md", "docs/how-to/prepare_images.md")
    text = "".join((project / page).read_text(encoding="utf-8") for page in pages).replace("/tmp/", f"{tmp_path}/")
    blocks = BLOCK.findall(text)
    of_kind = {kind: [body for one, body in blocks if one == kind] for kind, _ in blocks}
    checkout = tmp_path / "checkout"
    copy_project(project, checkout)
    (study,) = of_kind["yaml study"]
    file = checkout / study.splitlines()[0].removeprefix("# ")
    file.parent.mkdir()
    file.write_text(study)
    (file.parent / "claims.csv").write_text(of_kind["csv"][0])
    (program,) = of_kind["python"]

    commands = [body for body in of_kind["sh"] if body != SETS_UP]
    assert len(commands) == len(of_kind["sh"]) - 1 > 6
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(checkout / "workflow"),
        "KERAS_BACKEND": "tensorflow",
    }

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    printed = "".join(run("bash", "-euo", "pipefail", "-c", body) for body in commands)
    for body in of_kind[""]:
        shown = [line for line in body.splitlines() if line != "…"]
        assert [line for line in shown if line not in printed.splitlines()] == []

    results = checkout / "results/my_xrays"
    scorecard = pd.read_csv(results / "scorecard.csv").set_index("id")["verdict"]
    assert scorecard.to_dict() == {"opacity_accuracy": "undecided", "opacity_batch": "as configured"}
    assert "my_xrays" in (results / "report/index.html").read_text(encoding="utf-8")
    image = "test/opacity/phantom_0001.png"
    kept = pd.read_csv(results / "runs/opacity_mobilenet/seed_0/predictions.csv").set_index("image")["p_opacity"]
    new = pd.read_csv(checkout / "new.csv").set_index("image")
    assert len(new) == 4
    assert new.loc[str(tmp_path / "my_xrays" / image), "p_opacity"] == pytest.approx(kept[image], abs=1e-5)
    assert float(run(sys.executable, "-c", program).split("[[")[1].split("]]")[0]) == pytest.approx(
        kept[image], abs=1e-5
    )

    archive = pd.read_csv(checkout / "results/archive/split/archive.csv", dtype=str)
    assert archive.groupby("patient")["subset"].nunique().max() == 1
    assert set(archive["subset"]) == {"training", "validation", "test"} and archive["patient"].nunique() == 12
    log = (checkout / "results/archive/logs/index_images.log").read_text(encoding="utf-8")
    assert "patients: 12 known" in log
    assert len(pd.read_csv(checkout / "archive.csv")) == 2
