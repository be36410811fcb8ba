"""The rerun table: one row a change on a finished run, with the jobs that run again and the epochs that are trained, each exact.

The epochs of a dry run are those that `cxrflow.explain_plan` foresees; test_rerun_real.py trains for real, one row of each class.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_run import Plan, copy_project, dry_run, fake_run, write_config
from PIL import Image

SMALL = {"image_size": 32, "epochs": 2, "batch_size": 5}
CLASSES = {"binary": ["normal", "covid"], "multiclass": ["covid", "normal", "pneumonia_bac", "pneumonia_vir"]}
CONFIG: dict[str, Any] = {
    "name": "table",
    "images": "images",
    "image_list": None,
    "weights": "random",
    "claims": "examples/demo_claims.csv",
    "tasks": {"binary": {"classes": CLASSES["binary"]}},
    "only": ["binary", "multiclass"],
    "experiments": {
        "binary": {
            "like": "binary_inception_v3",
            "backbone": "MobileNet",
            "frozen_layers": 20,
            "weights": "workflow/resources/weights",
            **SMALL,
        },
        "multiclass": {"like": "multiclass_mobilenet", **SMALL},
    },
    "tsne": {"perplexity": 5},
}
FOLDERS = [f"{subset}/{name}" for subset in ("train", "test") for name in CLASSES["multiclass"]]

# The flow, job by job: a job's name, and the jobs whose files it reads.
RUN_READS = {
    "evaluate_model": ["train_model"],
    "extract_features": ["train_model"],
    "embed_features": ["extract_features"],
    "plot_curves": ["train_model"],
    "plot_confusion": ["evaluate_model"],
    "plot_embedding": ["embed_features"],
}
READS: dict[str, set[str]] = {"index_images": set(), "audit_data": {"index_images"}, "score_claims": set()}
READS |= {f"cache_pixels 32 {folder}": {"index_images"} for folder in FOLDERS}
for _task, _classes in CLASSES.items():
    _pixels = {f"cache_pixels 32 {folder}" for folder in FOLDERS if folder.split("/")[1] in _classes}
    READS |= {
        f"split_images {_task}": {"index_images"},
        f"plan_augmentation {_task} 0 2": {f"split_images {_task}"},
        f"plot_augmentation {_task}": {"index_images", f"plan_augmentation {_task} 0 2", *_pixels},
        f"check_network {_task}": set(),
        f"train_model {_task} 0": {f"plan_augmentation {_task} 0 2", f"check_network {_task}", *_pixels},
    }
    READS |= {f"{rule} {_task} 0": {f"{before} {_task} 0" for before in reads} for rule, reads in RUN_READS.items()}
    READS[f"evaluate_model {_task} 0"] |= {f"split_images {_task}", *_pixels}
    READS["score_claims"] |= {f"{rule} {_task} 0" for rule in ("train_model", "evaluate_model", "embed_features")}
READS["describe_networks"] = {f"check_network {task}" for task in CLASSES}
READS["score_claims"] |= {"audit_data", "describe_networks"}
READS["assemble_report"] = {job for job in READS if job.startswith(("plot_", "split_", "score_"))}
REPORTS = {"score_claims", "assemble_report"}


def onwards(*jobs: str) -> set[str]:
    """These jobs (or all jobs of these rules), and all that follow from them."""
    found = {job for job in READS for wanted in jobs if job == wanted or job.startswith(f"{wanted} ")}
    assert found, jobs
    while more := {job for job, reads in READS.items() if reads & found} - found:
        found |= more
    return found


@dataclass(frozen=True)
class Row:
    """A change, the jobs that run again, and the epochs that are trained."""

    change: str
    jobs: set[str]
    epochs: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    edit: Callable[[Path], None] | None = None
    words: str = ""


def rows_as_parameters(rows: Iterable[Row]) -> list[Any]:
    return [
        pytest.param(row, id=f"{row.change} -> {row.words or in_words(row.jobs)} -> {row.epochs} epochs") for row in rows
    ]


def in_words(jobs: set[str]) -> str:
    """Jobs by their rules, the last ones aside."""
    rules = sorted({job.split()[0] for job in jobs})
    return ", ".join(rules) if len(rules) < 5 else f"{len(rules)} rules, {len(jobs)} jobs"


def draw(file: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (40, 40), dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).save(file)


@pytest.fixture(scope="module")
def finished(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a finished run on a folder of images."""
    folder = tmp_path_factory.mktemp("table")
    copy_project(project, folder)
    for seed, place in enumerate(FOLDERS):
        for number in range(6 if place.startswith("train") else 2):
            draw(folder / "images" / place / f"{number}.png", 10 * seed + number)
    shutil.copytree(folder / "images", folder / "moved")
    (folder / "list.csv").write_text("path\n" + "".join(f"{place}/{n}.png\n" for place in FOLDERS for n in (0, 1)))
    (folder / "split.csv").write_text("image,subset\n")
    write_config(folder / "table.yaml", CONFIG)
    fake_run(folder, "table.yaml")
    return folder


def planned(finished: Path, row: Row, tmp_path: Path) -> Plan:
    folder = finished
    if row.edit:
        folder = tmp_path / "copy"
        shutil.copytree(finished, folder, symlinks=True)
        row.edit(folder)
    write_config(tmp_path / "change.yaml", row.config)
    return dry_run(folder, "table.yaml", str(tmp_path / "change.yaml"))


def change_text(file: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text, file
        (folder / file).write_text(text.replace(old, new, 1))

    return edit


def body_changed(module: str) -> Callable[[Path], None]:
    """One more statement at the end of a module's first function that has a docstring or none."""

    def edit(folder: Path) -> None:
        file = folder / f"workflow/cxrflow/{module}.py"
        text, count = re.subn(r"^(def [^\n]*(?:\n(?! {4}\S)[^\n]*)*?:\n)", r"\1    _ = 0\n", file.read_text(), count=1, flags=re.M)
        assert count == 1, module
        file.write_text(text)

    return edit


def touch_all(folder: Path) -> None:
    for top in ("images", "workflow", "envs", "examples", "config.yaml", "table.yaml", "Snakefile", "profiles", "results"):
        for file in [folder / top, *(folder / top).rglob("*")]:
            os.utime(file)


def laid_over(folder: Path) -> None:
    """A fresh clone over the results: every file of the project is newer than all results."""
    for top in ("workflow", "envs", "examples", "config.yaml", "Snakefile", "profiles"):
        for file in [folder / top, *(folder / top).rglob("*")]:
            os.utime(file)


def one_more_image(folder: Path) -> None:
    draw(folder / "images/train/pneumonia_vir/new.png", 999)


def rename(before: str, after: str) -> Callable[[Path], None]:
    return lambda folder: (folder / before).rename(folder / after) and None


def replace_image(name: str) -> Callable[[Path], None]:
    return lambda folder: draw(folder / "images" / name, 999)


def weights_replaced(folder: Path) -> None:
    file = next((folder / "workflow/resources/weights").glob("*.h5"))
    file.write_bytes(file.read_bytes() + b"\0")


def retrained(*tasks: str) -> set[str]:
    return onwards(*(f"train_model {task}" for task in tasks))


def of_network(*tasks: str) -> set[str]:
    return onwards(*(f"check_network {task}" for task in tasks))


BOTH = ("binary", "multiclass")
MODULES = {
    "index_images": "index_images",
    "audit_data": "audit_data",
    "split_images": "split_images",
    "cache_pixels": "cache_pixels",
    "plan_augmentation": "plan_augmentation",
    "plot_augmentation": "plot_augmentation",
    "check_network": "check_network",
    "describe_networks": "describe_networks",
    "train_model": "train_model",
    "evaluate_model": "evaluate_model",
    "extract_features": "extract_features",
    "embed_features": "embed_features",
    "plot_curves": "plot_curves",
    "plot_confusion": "plot_confusion",
    "plot_embedding": "plot_embedding",
    "score_claims": "score_claims",
    "assemble_report": "assemble_report",
}
EDITS = [
    Row("nothing", set()),
    Row("touch of every image, module, config and result", set(), edit=touch_all),
    Row("a fresh clone laid over the results", set(), edit=laid_over),
    Row(
        ".snakemake deleted, and a fresh clone",
        retrained("binary"),
        edit=lambda folder: (shutil.rmtree(folder / ".snakemake"), laid_over(folder)) and None,
    ),
    Row("a comment in a module", set(), edit=change_text("workflow/cxrflow/training/engine.py", "import", "# x\nimport")),
    Row("a docstring", set(), edit=change_text("workflow/cxrflow/training/engine.py", '"""', '"""Another. ')),
    Row("a blank in a rule's shell", onwards("embed_features"), edit=change_text(
        "workflow/rules/evaluation.smk", "python -m cxrflow.embed_features ", "python  -m cxrflow.embed_features ")),
    *(
        Row(f"the code of {module}.py", onwards(rule), edit=body_changed(module))
        for rule, module in MODULES.items()
    ),
    Row("the code of plotting/style.py", onwards("plot_augmentation", "plot_curves", "plot_confusion", "plot_embedding"),
        edit=body_changed("plotting/style")),
    Row("the code of training/engine.py", onwards("train_model"), 4, edit=body_changed("training/engine")),
    Row("the code of evaluation/metrics.py", onwards("evaluate_model"), edit=body_changed("evaluation/metrics")),
    Row("one image added", onwards("index_images"), 2, edit=one_more_image),
    Row("one image removed", onwards("index_images"), 4,
        edit=lambda folder: (folder / "images/train/covid/0.png").unlink()),
    Row("one image replaced", onwards("index_images"), 2, edit=replace_image("train/pneumonia_bac/0.png")),
    Row("one image renamed", onwards("index_images"), 2,
        edit=rename("images/train/pneumonia_bac/0.png", "images/train/pneumonia_bac/9.png")),
    Row("a test image replaced", onwards("index_images"), 0, edit=replace_image("test/covid/0.png")),
    Row("weights file replaced", retrained("binary"), 2, edit=weights_replaced),
    Row("claims.csv", REPORTS, edit=change_text("examples/demo_claims.csv", "\n", "\n\n")),
    Row("a template of the report", {"assemble_report"},
        edit=change_text("workflow/report/page/index.html.j2", "<", " <")),
    Row("lock files: other package versions", {"assemble_report"}, edit=change_text("envs/cpu.lock", "numpy==", "numpy==9.")),
]


@pytest.mark.parametrize("row", rows_as_parameters(EDITS))
def test_rerun_table(finished: Path, tmp_path: Path, row: Row) -> None:
    plan = planned(finished, row, tmp_path)
    assert sorted(plan.jobs) == sorted(row.jobs)
    assert plan.epochs == row.epochs
