"""Code or a config that is edited during a run: no job uses it."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finished_run import copy_project
from test_rerun_table import CLASSES, draw_images
from tiny_run import planned_jobs

SPLIT = "results/tiny/split/multiclass.csv"


def copied(project: Path, folder: Path) -> Any:
    """Copy the project; return a function that runs Snakemake in the copy."""
    copy_project(project, folder)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    return run


@pytest.mark.slow
def test_code_that_is_edited_during_a_run_is_not_used(
    project: Path, tmp_path: Path, overlay: Callable[..., str]
) -> None:
    """Here the code of the index edits that of the split, which runs later."""
    folder = tmp_path / "copy"
    run = copied(project, folder)
    index, split = (folder / f"workflow/cxrflow/stages/{stage}.py" for stage in ("index_images", "split_images"))
    edit = f"def main() -> None:\n    with open({str(split)!r}, 'a') as code:\n        code.write('edited = 1\\n')\n"
    index.write_text(index.read_text().replace("def main() -> None:\n", edit))
    before = split.read_text()
    ended = run(SPLIT, "--configfile", overlay())
    assert ended.returncode == 1 and not (folder / SPLIT).exists()
    reported = "error: the code of split_images has changed since this run was planned; run the same command again"
    assert reported in ended.stdout + ended.stderr
    again = run(SPLIT, "--configfile", overlay())
    assert again.returncode == 0, again.stdout + again.stderr
    # It is recorded that the edited code made the split, so restoring the first code rebuilds it.
    split.write_text(before)
    assert planned_jobs(run("-n", SPLIT, "--configfile", overlay())) == {"split_images": 1}


@pytest.mark.slow
def test_outside_problem_06_a_split_that_is_swapped_while_it_is_read(
    project: Path, tmp_path: Path, overlay: Callable[..., str]
) -> None:
    folder = tmp_path / "copy"
    run = copied(project, folder)
    draw_images(folder / "images")
    config = overlay(images="images", phantoms=None, split="split.csv")
    folders = [f"{part}/{name}" for part in ("train", "test") for name in CLASSES["multiclass"]]
    subsets = {
        f"{place}/{number}.png": "test" if place.startswith("test") else ("training", "validation")[number]
        for place in folders
        for number in (0, 1)
    }
    text = "image,subset\n" + "".join(f"{image},{subset}\n" for image, subset in subsets.items())
    (folder / "split.csv").write_text(text)
    (folder / "other.csv").write_text(text.replace("0.png,training", "2.png,training"))
    stage = folder / "workflow/cxrflow/stages/split_images.py"
    swap = "    import os\n    os.rename('split.csv', 'own.csv'); os.rename('other.csv', 'split.csv')\n    main()\n"
    swap += "    os.rename('split.csv', 'other.csv'); os.rename('own.csv', 'split.csv')\n"
    code = stage.read_text()
    stage.write_text(
        code.replace("if __name__", f"def swapped() -> None:\n{swap}\n\nif __name__").replace(
            "run_stage(main)", "run_stage(swapped)"
        )
    )
    ended = run(SPLIT, "--configfile", config)
    assert ended.returncode == 1 and not (folder / SPLIT).exists(), ended.stdout + ended.stderr
    assert "error: split.csv: changed while it was read; run the same command again" in ended.stdout + ended.stderr
    stage.write_text(code)
    again = run(SPLIT, "--configfile", config)
    assert again.returncode == 0, again.stdout + again.stderr
    made = {row["image"]: row["subset"] for row in csv.DictReader((folder / SPLIT).open())}
    assert made == subsets


@pytest.fixture
def job(
    snakemake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`job(plan, config)` starts a job of a cluster for a run with some plan, and runs nothing."""

    def begin(plan: dict[str, Any] | None, config: str) -> subprocess.CompletedProcess[str]:
        if plan is not None:
            (tmp_path / "plan.json").write_text(json.dumps(plan))
            monkeypatch.setenv("CXRFLOW_PLAN", str(tmp_path / "plan.json"))
        where = ("-n", "-p", "--mode", "remote", "--target-jobs", "index_images:")
        ended: subprocess.CompletedProcess[str] = snakemake(tmp_path, *where, "--configfile", config)
        return ended

    return begin


def test_a_job_of_a_cluster_uses_the_plan_of_its_run(job: Any, overlay: Callable[..., str]) -> None:
    """The fingerprint is the recorded one, although the images were drawn meanwhile; no node reads all of them."""
    ended = job({"images": "as planned", "code": {}}, overlay())
    assert ended.returncode == 0 and "--fingerprint 'as planned'" in ended.stdout + ended.stderr


def test_a_job_of_a_cluster_without_a_plan_reads_the_images(
    job: Any, overlay: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXRFLOW_PLAN", raising=False)
    assert job(None, overlay()).returncode == 0


@pytest.mark.slow
def test_a_config_that_is_edited_during_a_run_ends_the_jobs_of_a_cluster(
    snakemake: Any, tmp_path: Path, overlay: Callable[..., str], job: Any
) -> None:
    begun = snakemake(tmp_path, "--cores", "1", "--until", "make_phantoms", "--configfile", overlay())
    assert begun.returncode == 0, begun.stderr
    (written,) = (tmp_path / "results/locks/tiny/handed_on").glob("plan_*.json")
    plan = json.loads(written.read_text())
    assert job(plan, overlay()).returncode == 0
    ended = job(plan, overlay(tsne={"perplexity": 6}))
    assert ended.returncode == 1
    assert (
        "the config has changed since this run was planned; run the same command again" in ended.stdout + ended.stderr
    )
