"""The rerun table: for each change of a finished run, the exact jobs that run again and the epochs that are trained.

The run consists of generated files, which Snakemake accepts as finished; the epochs are those that `make why` predicts.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cxrflow.study.decides import PURPOSES, RULES, WITHOUT_EFFECT, keys_that_decide
from cxrflow.study.experiment import Experiment
from cxrflow.study.models import Config
from finished_run import Plan, copy_project, dry_run, fake_run, write_config
from PIL import Image

SMALL = {"image_size": 32, "epochs": 2, "batch_size": 5}
CLASSES = {"binary": ["normal", "covid"], "multiclass": ["covid", "normal", "pneumonia_bac", "pneumonia_vir"]}
CONFIG: dict[str, Any] = {
    "name": "table",
    "images": "images",
    "image_list": None,
    "weights": "random",
    "claims": "studies/demo/claims.csv",
    # They take seconds each time; the demo has them.
    "audits": {"rivals": "off", "look_alikes": "off", "labels": "off", "quality": "off"},
    "explain": "none",
    "tasks": {"binary": {"classes": CLASSES["binary"]}},
    "only": ["binary", "multiclass"],
    "experiments": {
        "binary": {
            "like": "binary_inception_v3",
            "backbone": "MobileNet",
            "frozen_layers": 20,
            "weights": "studies/demo/weights",
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
READS: dict[str, set[str]] = {"index_images": set(), "score_claims": set()}
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
    READS[f"embed_features {_task} 0"] |= {"index_images", *_pixels}
    READS[f"measure_results {_task}"] = {
        f"split_images {_task}",
        *(f"{rule} {_task} 0" for rule in ("train_model", "evaluate_model")),
    }
    READS[f"plot_evaluation {_task}"] = {f"measure_results {_task}", f"train_model {_task} 0"}
    READS["score_claims"] |= {f"{rule} {_task} 0" for rule in ("train_model", "evaluate_model", "embed_features")}
READS["audit_data"] = {job for job in READS if job.startswith(("index_", "split_", "cache_"))}
READS["describe_networks"] = {f"check_network {task}" for task in CLASSES}
READS["score_claims"] |= {"audit_data", "describe_networks"}
READS["compare_experiments"] = {job for job in READS if job.startswith(("split_", "train_model", "evaluate_model"))}
READS["assemble_report"] = {
    job for job in READS if job.startswith(("plot_", "split_", "score_", "measure_", "compare_"))
}
REPORTS = {"score_claims", "assemble_report"}


def results_of(*experiments: str) -> set[str]:
    """The jobs that read all seeds of experiments, and the reports."""
    own = {f"{rule} {name}" for rule in ("measure_results", "plot_evaluation") for name in experiments}
    return own | {"compare_experiments"} | REPORTS


def onwards(*jobs: str) -> set[str]:
    """Return these jobs (or all jobs of these rules), and all jobs that depend on them."""
    found = {job for job in READS for wanted in jobs if job == wanted or job.startswith(f"{wanted} ")}
    assert found, jobs
    while more := {job for job, reads in READS.items() if reads & found} - found:
        found |= more
    return found


def follows_from(key: str, task: str = "") -> set[str]:
    """Return the jobs that run again when a key of the config changes, according to what the key decides."""
    model = Config if key in Config.model_fields and not task else Experiment
    (purpose,) = (purpose for purpose in PURPOSES if key in keys_that_decide(model, purpose))
    if purpose in WITHOUT_EFFECT:
        return set()
    first = [f"{rule} {task}".rstrip() for rule in RULES.get(purpose, ())]
    return (onwards(*first) if first else set()) | REPORTS


@dataclass(frozen=True)
class Row:
    """A change, the jobs that run again, and the epochs that are trained."""

    change: str
    jobs: set[str]
    epochs: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    edit: Callable[[Path], None] | None = None
    words: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    """Of the environment."""


def rows_as_parameters(rows: Iterable[Row]) -> list[Any]:
    """Of slow tests, rows about the code of a stage are long: `test_rules` checks that each rule has the hash of its code."""
    return [
        pytest.param(
            row,
            id=f"{row.change} -> {row.words or in_words(row.jobs)} -> {row.epochs} epochs",
            marks=[pytest.mark.long] if row.change.startswith("the code of") else [],
        )
        for row in rows
    ]


def in_words(jobs: set[str]) -> str:
    """List jobs by their rules, without the last ones."""
    rules = sorted({job.split()[0] for job in jobs})
    return ", ".join(rules) if len(rules) < 5 else f"{len(rules)} rules, {len(jobs)} jobs"


def draw(file: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (40, 40), dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).save(file)


def draw_images(folder: Path) -> None:
    """Draw class folders with six training images and two test images each, all different."""
    for seed, place in enumerate(FOLDERS):
        for number in range(6 if place.startswith("train") else 2):
            draw(folder / place / f"{number}.png", 10 * seed + number)


@pytest.fixture(scope="module")
def finished(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a finished run on a folder of images."""
    folder = tmp_path_factory.mktemp("table")
    copy_project(project, folder)
    draw_images(folder / "images")
    shutil.copytree(folder / "images", folder / "moved")
    (folder / "list.csv").write_text("path\n" + "".join(f"{place}/{n}.png\n" for place in FOLDERS for n in (0, 1)))
    (folder / "split.csv").write_text("image,subset\n")
    (folder / "envs/cxrflow.sif").touch()
    write_config(folder / "table.yaml", CONFIG)
    fake_run(folder, "table.yaml")
    return folder


def planned(finished: Path, row: Row, tmp_path: Path, *arguments: str) -> Plan:
    folder = finished
    if row.edit:
        folder = tmp_path / "copy"
        shutil.copytree(finished, folder, symlinks=True)
        row.edit(folder)
    write_config(tmp_path / "change.yaml", row.config)
    change = str(tmp_path / "change.yaml")
    return dry_run(folder, "table.yaml", change, arguments=arguments, variables=row.variables)


def change_text(file: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text, file
        (folder / file).write_text(text.replace(old, new, 1))

    return edit


def copied_study(folder: Path) -> None:
    shutil.copytree(folder / "studies/sha_2021", folder / "copy_of_study")


def body_changed(module: str) -> Callable[[Path], None]:
    """Add a statement at the end of a module's first function."""

    def edit(folder: Path) -> None:
        file = folder / f"workflow/cxrflow/{module}.py"
        text, count = re.subn(
            r"^(def [^\n]*(?:\n(?! {4}\S)[^\n]*)*?:\n)", r"\1    _ = 0\n", file.read_text(), count=1, flags=re.M
        )
        assert count == 1, module
        file.write_text(text)

    return edit


def touch_all(folder: Path) -> None:
    for top in (
        "images",
        "workflow",
        "envs",
        "studies",
        "config.yaml",
        "table.yaml",
        "Snakefile",
        "profiles",
        "results",
    ):
        for file in [folder / top, *(folder / top).rglob("*")]:
            os.utime(file)


def laid_over(folder: Path) -> None:
    """Copy a fresh clone over the results: every file of the project is newer than all results."""
    for top in ("workflow", "envs", "studies", "config.yaml", "Snakefile", "profiles"):
        for file in [folder / top, *(folder / top).rglob("*")]:
            os.utime(file)


def records_lost(folder: Path) -> None:
    shutil.rmtree(folder / ".snakemake")


def moved_below_a_fresh_clone(folder: Path) -> None:
    records_lost(folder)
    laid_over(folder)


def copied_to_another_name(folder: Path) -> None:
    shutil.copytree(folder / "results/table", folder / "results/other")


def every_module_reformatted(folder: Path) -> None:
    """Remove comments, and change line breaks and quotes."""
    for file in (folder / "workflow/cxrflow").rglob("*.py"):
        file.write_text("# another\n" + ast.unparse(ast.parse(file.read_text())) + "\n")


def one_more_image(folder: Path) -> None:
    draw(folder / "images/train/pneumonia_vir/new.png", 999)


def rename(before: str, after: str) -> Callable[[Path], None]:
    return lambda folder: (folder / before).rename(folder / after) and None


def class_renamed(folder: Path) -> None:
    for subset in ("train", "test"):
        rename(f"images/{subset}/pneumonia_vir", f"images/{subset}/viral")(folder)


def replace_image(name: str) -> Callable[[Path], None]:
    return lambda folder: draw(folder / "images" / name, 999)


def weights_replaced(folder: Path) -> None:
    file = next((folder / "studies/demo/weights").glob("*.h5"))
    file.write_bytes(file.read_bytes() + b"\0")


def replaced_by_an_older_one(file: str, contents: bytes) -> Callable[[Path], None]:
    """Replace a file as `mv` and `cp -p` do, with an old modification time."""

    def edit(folder: Path) -> None:
        (found,) = folder.glob(file)
        found.write_bytes(found.read_bytes() + contents)
        os.utime(found, (1e9, 1e9))

    return edit


def branch_switched_and_back(folder: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=nobody", "-c", "user.email=nobody"]
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)

    project = ["Snakefile", "config.yaml", "envs", "studies", "profiles", "workflow"]
    git("init", "--initial-branch", "main")
    git("add", "--force", *project)
    git("commit", "--message", "one")
    git("switch", "--create", "other")
    for name in project[:2]:
        (folder / name).write_text("")
    for name in project[2:]:
        for file in (folder / name).rglob("*.*"):
            file.write_text("raise SystemExit\n")
    git("commit", "--all", "--message", "other")
    git("switch", "main")


def beginning_with(code: str) -> Callable[[Path], None]:
    """Add code at the beginning of the Snakefile, to change the state in which it is read."""
    return change_text("workflow/Snakefile", "# cxrflow", f"{code}\n# cxrflow")


def other_packages_installed(folder: Path) -> None:
    """Put metadata of version 9.9 of packages that compute, draw or write before those of the installed ones."""
    for name in ("keras", "tensorflow", "numpy", "scipy", "scikit-learn", "pandas", "pillow", "matplotlib", "jinja2"):
        metadata = folder / f"workflow/{name.replace('-', '_')}-9.9.dist-info/METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")
    seen_in_planning = "from importlib.metadata import version\nassert version('keras') == version('numpy') == '9.9'"
    beginning_with(seen_in_planning)(folder)


def made_with_other_versions(folder: Path) -> None:
    """Change the records of trainings to another version of Keras and of Python."""
    for file in folder.glob("results/table/runs/*/*/training.json"):
        status, record = file.stat(), json.loads(file.read_text())
        record["what_identifies_it"]["versions"] = {"keras": "3.0.0"}
        record["versions"] = {"keras": "3.0.0", "python": "3.12.0"}
        file.write_text(json.dumps(record))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def retrained(*tasks: str) -> set[str]:
    return onwards(*(f"train_model {task}" for task in tasks))


def of_network(*tasks: str) -> set[str]:
    return onwards(*(f"check_network {task}" for task in tasks))


def of_external(*experiments: str) -> set[str]:
    """The jobs of an external test, without the report."""
    own = {(f"evaluate_external {name} 0", f"measure_external {name}") for name in experiments}
    return {"index_external"}.union(*own)


BOTH = ("binary", "multiclass")
# A stage, its module and its rule have the same name.
STAGES = (
    *("index_images", "audit_data", "split_images", "cache_pixels"),
    *("plan_augmentation", "plot_augmentation"),
    *("check_network", "describe_networks"),
    *("train_model", "evaluate_model", "extract_features", "embed_features"),
    *("measure_results", "compare_experiments"),
    *("plot_curves", "plot_confusion", "plot_embedding", "plot_evaluation"),
    *("score_claims", "assemble_report"),
)
EDITS = [
    Row("nothing", set()),
    Row("touch of every image, module, config and result", set(), edit=touch_all),
    Row("a fresh clone copied over the results", set(), edit=laid_over),
    # Without records, all results are rebuilt, except those that are identified by their contents.
    Row(".snakemake deleted", set(READS), edit=records_lost),
    Row(".snakemake deleted, and a fresh clone", set(READS), edit=moved_below_a_fresh_clone),
    Row(".snakemake deleted, and another perplexity", set(READS), 0, {"tsne": {"perplexity": 6}}, edit=records_lost),
    Row("results copied to another name", set(READS), 0, {"name": "other"}, edit=copied_to_another_name),
    Row(
        "a comment in a module", set(), edit=change_text("workflow/cxrflow/training/engine.py", "import", "# x\nimport")
    ),
    Row("a docstring", set(), edit=change_text("workflow/cxrflow/training/engine.py", '"""', '"""Another. ')),
    Row("every module reformatted", set(), edit=every_module_reformatted),
    Row(
        "a blank in a rule's shell",
        onwards("embed_features"),
        edit=change_text(
            "workflow/rules/evaluation.smk",
            "python -m cxrflow.stages.embed_features ",
            "python  -m cxrflow.stages.embed_features ",
        ),
    ),
    *(Row(f"the code of {stage}.py", onwards(stage), edit=body_changed(f"stages/{stage}")) for stage in STAGES),
    Row(
        "the code of check_audits.py",
        set(),
        edit=body_changed("stages/check_audits"),
        words="no audit may end this run",
    ),
    *(
        Row(f"the code of {stage}.py", set(), edit=body_changed(f"stages/{stage}"), words="no network is explained")
        for stage in ("explain_model", "plot_explanations")
    ),
    *(
        Row(f"the code of {stage}.py", set(), edit=body_changed(f"stages/{stage}"), words="no cross-validation")
        for stage in ("split_folds", "measure_folds")
    ),
    *(
        Row(f"the code of {stage}.py", set(), edit=body_changed(f"stages/{stage}"), words="there is no external test")
        for stage in ("index_external", "evaluate_external", "measure_external")
    ),
    Row(
        "the code of measure_power.py", set(), edit=body_changed("stages/measure_power"), words="power is not measured"
    ),
    Row(
        "the code of plotting/style.py",
        onwards("plot_augmentation", "plot_curves", "plot_confusion", "plot_embedding", "plot_evaluation"),
        edit=body_changed("plotting/style"),
    ),
    Row("the code of io/command.py, which all import", set(READS), edit=body_changed("io/command")),
    Row("the code of networks/device.py", onwards("train_model"), 4, edit=body_changed("networks/device")),
    Row(
        "the code of networks/keras_settings.py",
        onwards("check_network", "describe_networks", "train_model"),
        4,
        edit=body_changed("networks/keras_settings"),
    ),
    Row("the code of training/engine.py", onwards("train_model"), 4, edit=body_changed("training/engine")),
    Row("the code of evaluation/metrics.py", onwards("evaluate_model"), edit=body_changed("evaluation/metrics")),
    Row("one image added", onwards("index_images"), 2, edit=one_more_image),
    Row(
        "one image removed",
        onwards("index_images"),
        4,
        edit=lambda folder: (folder / "images/train/covid/0.png").unlink(),
    ),
    Row("one image replaced", onwards("index_images"), 2, edit=replace_image("train/pneumonia_bac/0.png")),
    Row(
        "one image renamed",
        onwards("index_images"),
        2,
        edit=rename("images/train/pneumonia_bac/0.png", "images/train/pneumonia_bac/9.png"),
    ),
    Row("a test image replaced", onwards("index_images"), 0, edit=replace_image("test/covid/0.png")),
    Row("weights file replaced", retrained("binary"), 2, edit=weights_replaced),
    Row(
        "weights file replaced by an older one",
        retrained("binary"),
        2,
        edit=replaced_by_an_older_one("studies/demo/weights/*.h5", b"\0"),
    ),
    Row("claims.csv", REPORTS, edit=change_text("studies/demo/claims.csv", "\n", "\n\n")),
    Row(
        "claims.csv replaced by an older one", REPORTS, edit=replaced_by_an_older_one("studies/demo/claims.csv", b"\n")
    ),
    Row(
        "a template of the report replaced by an older one",
        {"assemble_report"},
        edit=replaced_by_an_older_one("workflow/report/page/index.html.j2", b"\n"),
    ),
    Row("a caption", set(), edit=change_text("workflow/report/curves.rst", " ", "  ")),
    Row("a class folder renamed", onwards("index_images"), 4, edit=rename("images/train/covid", "images/train/c19")),
    Row(
        "a class folder renamed, and in the config",
        {job.replace("pneumonia_vir", "viral") for job in onwards("index_images", "check_network multiclass")},
        2,
        {"tasks": {"multiclass": {"classes": [*CLASSES["multiclass"][:3], "viral"]}}},
        edit=class_renamed,
    ),
    Row("a branch switch and back", set(), edit=branch_switched_and_back),
    Row("other versions of packages installed", set(), edit=other_packages_installed),
    Row(
        "another Python",
        set(),
        edit=beginning_with(
            "import platform, sys; sys.version = sys.version.replace(platform.python_version(), '3.12.99', 1)\n"
            "assert platform.python_version() == '3.12.99'"
        ),
    ),
    Row("environment variable XLA_FLAGS", onwards("train_model"), 4, variables={"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}),
    Row("environment variable TF_CPP_MIN_LOG_LEVEL", set(), variables={"TF_CPP_MIN_LOG_LEVEL": "0"}),
    Row(
        "a template of the report",
        {"assemble_report"},
        edit=change_text("workflow/report/page/index.html.j2", "<", " <"),
    ),
    Row(
        "lock files: other package versions",
        {"assemble_report"},
        edit=change_text("envs/cpu.lock", "numpy==", "numpy==9."),
    ),
]


@pytest.mark.parametrize("row", rows_as_parameters(EDITS))
def test_rerun_table(finished: Path, tmp_path: Path, row: Row) -> None:
    plan = planned(finished, row, tmp_path)
    assert sorted(plan.jobs) == sorted(row.jobs)
    assert plan.epochs == row.epochs


# One job of each rule, and one of its outputs.
OUTPUTS = {
    "index_images": "images.parquet",
    "audit_data": "data_audit.json",
    "split_images binary": "split/binary.csv",
    "cache_pixels 32 train/covid": "pixels/32/train/covid.npy",
    "plan_augmentation binary 0 2": "augmentation/binary/seed_0/epochs_2.parquet",
    "plot_augmentation binary": "plots/augmentation/binary.json",
    "check_network binary": "networks/binary.json",
    "describe_networks": "networks.json",
    "train_model binary 0": "runs/binary/seed_0/history.csv",
    "evaluate_model binary 0": "runs/binary/seed_0/metrics.json",
    "extract_features binary 0": "runs/binary/seed_0/features.npz",
    "embed_features binary 0": "runs/binary/seed_0/embedding.csv",
    "plot_curves binary 0": "plots/binary/seed_0/curves.svg",
    "plot_confusion binary 0": "plots/binary/seed_0/confusion.svg",
    "plot_embedding binary 0": "plots/binary/seed_0/embedding.svg",
    "measure_results binary": "evaluation/binary.json",
    "plot_evaluation binary": "plots/binary/evaluation.svg",
    "compare_experiments": "evaluation/comparisons.json",
    "score_claims": "scorecard.csv",
    "assemble_report": "report/index.html",
}


@pytest.mark.parametrize("job", OUTPUTS)
def test_outside_problem_04_a_missing_output_is_rebuilt_with_what_follows(
    finished: Path, tmp_path: Path, job: str
) -> None:
    def lose(folder: Path) -> None:
        (folder / "results/table" / OUTPUTS[job]).unlink()

    plan = planned(finished, Row(job, set(), edit=lose), tmp_path)
    assert sorted(plan.jobs) == sorted(onwards(job))
    assert plan.epochs == 0


def test_outside_problem_04_has_a_row_for_each_rule() -> None:
    assert {job.split()[0] for job in OUTPUTS} == set(STAGES)


def test_outside_problem_04_all_missing_outputs_at_once_for_one_target(finished: Path, tmp_path: Path) -> None:
    """Even if the command names a target that exists."""

    def lose(folder: Path) -> None:
        for name in ("images.parquet", "runs/binary/seed_0/features.npz", "plots/binary/seed_0/curves.svg"):
            (folder / "results/table" / name).unlink()

    plan = planned(
        finished, Row("three", set(), edit=lose), tmp_path, "--cores", "1", "results/table/report/index.html"
    )
    assert sorted(plan.jobs) == sorted(onwards("index_images"))


@pytest.mark.parametrize("contents", [b"", b'{"rule": "train_', b"\xff\xfe", b'["a list"]', b"{}"])
def test_outside_problem_05_a_damaged_record_counts_as_none(finished: Path, tmp_path: Path, contents: bytes) -> None:
    """Snakemake writes records without fsync: a power cut leaves empty ones."""

    def damage(folder: Path) -> None:
        for name in ("model.keras", "model.weights.h5", "history.csv", "timing.csv", "training.json"):
            record = record_file(folder, f"results/table/runs/binary/seed_0/{name}")
            assert record.is_file()
            record.write_bytes(contents)

    change = {"experiments": {"binary": {"learning_rate": 3e-4}}}
    plan = planned(finished, Row("records", set(), config=change, edit=damage), tmp_path)
    assert sorted(plan.jobs) == sorted(retrained("binary"))
    assert plan.epochs == 2


def record_file(folder: Path, output: str) -> Path:
    """Return Snakemake's record of an output whose name is short enough for one file."""
    return folder / ".snakemake/metadata" / urlsafe_b64encode(output.encode()).decode()


# What Snakemake asks these programs when it plans; fake answers if they are not installed.
ANSWERS = {
    "conda": """case "$*" in
        --version) echo "conda 25.1.1" ;;
        "info --json") echo '{"conda_prefix": "/nowhere", "platform": "linux-64"}' ;;
        *) echo '{"get": {"channel_priority": "strict"}}' ;;
    esac""",
    "apptainer": 'echo "apptainer version 1.3.4"',
}


def other_versions(folder: Path) -> None:
    for name in ("cpu.lock", "cpu.yaml"):
        change_text(f"envs/{name}", "numpy==", "numpy==9.")(folder)


@pytest.mark.parametrize("way", ANSWERS)
@pytest.mark.parametrize(
    "row",
    rows_as_parameters(
        [
            Row("the same versions", set()),
            Row("other versions", {"assemble_report"}, edit=other_versions),
        ]
    ),
)
@pytest.mark.slow
def test_rerun_table_of_environments(finished: Path, tmp_path: Path, way: str, row: Row) -> None:
    """The same run with jobs in separate environments (`--sdm`), or with other packages, rebuilds nothing."""
    path = os.environ["PATH"]
    if not shutil.which(way):
        (tmp_path / way).write_text(f"#!/bin/sh\n{ANSWERS[way]}\n")
        (tmp_path / way).chmod(0o755)
        path = f"{tmp_path}:{path}"
    plan = planned(finished, replace(row, variables={"PATH": path}), tmp_path, "--sdm", way)
    assert (sorted(plan.jobs), plan.epochs) == (sorted(row.jobs), row.epochs)


KEYS = [
    Row("images", REPORTS, 0, {"images": "moved"}, words="same contents elsewhere: reports"),
    Row("image_list", onwards("index_images"), 0, {"image_list": "list.csv"}),
    Row("columns", onwards("index_images"), 0, {"image_list": "list.csv", "columns": {"source": "path"}}),
    Row("patients.column", onwards("index_images"), 0, {"image_list": "list.csv", "patients": {"column": "path"}}),
    Row("patients.pattern", onwards("index_images"), 0, {"patients": {"pattern": "(\\d+)"}}),
    Row(
        "layout: classes, with the folders of train/",
        onwards("index_images") - {f"cache_pixels 32 {folder}" for folder in FOLDERS}
        | {f"cache_pixels 32 {name}" for name in CLASSES["multiclass"]},
        4,
        {"images": "images/train", "layout": "classes", "split": "stratified"},
    ),
    Row("split_seed, for a split that is not drawn", REPORTS, 0, {"split_seed": 1}),
    Row("test_fraction, for a split that is not drawn", REPORTS, 0, {"test_fraction": 0.3}),
    Row("missing_images", follows_from("missing_images"), 0, {"missing_images": "warn"}),
    Row("on_bad_image", follows_from("on_bad_image"), 0, {"on_bad_image": "skip"}),
    Row("weights", retrained("multiclass"), 2, {"weights": "studies/demo/weights"}),
    Row("tasks.*.positive", onwards("evaluate_model binary"), 0, {"tasks": {"binary": {"positive": "normal"}}}),
    Row(
        "tasks.*.classes",
        onwards("split_images binary", "check_network binary"),
        2,
        {"tasks": {"binary": {"classes": ["normal", "pneumonia_bac"], "positive": None}}},
    ),
    Row("class_index", onwards("split_images binary", "check_network binary"), 2, {"class_index": "listed"}),
    Row("split", follows_from("split"), 4, {"split": "split.csv"}),
    Row("validation_fraction", follows_from("validation_fraction"), 4, {"validation_fraction": 0.4}),
    *(
        Row(f"audits.{name}", follows_from("audits"), 0, {"audits": {name: level}})
        for name, level in {
            "patients": "off",
            "duplicates": "off",
            "look_alikes": "warn",
            "confounders": "off",
            "rivals": "warn",
            "quality": "warn",
            "labels": "warn",
            "method": "off",
        }.items()
    ),
    Row(
        "audits that may end a run",
        onwards("audit_data", "train_model") | {"check_audits"},
        0,
        {"audits": {"patients": "fail"}},
    ),
    Row("resampling", follows_from("resampling"), 4, {"resampling": "bilinear"}),
    Row(
        "augmentation: none",
        onwards("plan_augmentation") - onwards("plot_augmentation") | REPORTS,
        4,
        {"augmentation": "none"},
    ),
    *(
        Row(f"augmentation.{key}", follows_from("augmentation"), 4, {"augmentation": {key: value}})
        for key, value in {
            "rotation_range": 5,
            "width_shift_range": 0.1,
            "height_shift_range": 0.1,
            "shear_range": 0.5,
            "zoom_range": 0.2,
            "channel_shift_range": 5,
            "horizontal_flip": False,
            "vertical_flip": False,
        }.items()
    ),
    Row("augmentation.without_effect", REPORTS, 0, {"augmentation": {"without_effect": []}}),
    Row("augment_validation", follows_from("augment_validation"), 4, {"augment_validation": False}),
    Row("feature_images", follows_from("feature_images"), 0, {"feature_images": "both"}),
    *(
        Row(f"tsne.{key}", follows_from("tsne"), 0, {"tsne": {key: value}})
        for key, value in {"perplexity": 6, "initialisation": "random", "learning_rate": 200, "seed": 1}.items()
    ),
    Row("external", of_external(*BOTH) | REPORTS, 0, {"external": "moved"}),
    Row("remarks", follows_from("remarks"), 0, {"remarks": ["On a laptop."]}),
    Row(
        "claims", REPORTS | {"describe_networks"}, 0, {"claims": "studies/sha_2021/claims.csv"}
    ),  # which compare backbones
    Row("study, a copy of the same one", REPORTS, 0, {"study": "./copy_of_study"}, edit=copied_study),
    Row("open_points", follows_from("open_points"), 0, {"open_points": "studies/xu_2020/open_points.csv"}),
    Row("embed_images", onwards("plot_augmentation") | REPORTS, 0, {"embed_images": "all"}),
    Row("threads", onwards("train_model"), 4, {"threads": 1}),
    Row("device", follows_from("device"), 4, {"device": "cpu"}),
    Row("backend", onwards("train_model"), 4, {"backend": "torch"}),
    Row("trainings_per_gpu", follows_from("trainings_per_gpu"), 0, {"trainings_per_gpu": 2}),
    Row("save_every", follows_from("save_every"), 0, {"save_every": 5}),
    Row("keep_checkpoints", follows_from("keep_checkpoints"), 0, {"keep_checkpoints": "every"}),
    Row("tensorboard", follows_from("tensorboard"), 0, {"tensorboard": True}),
    Row("environment", {"assemble_report"}, 0, {"environment": "gpu"}),
    Row("versions", follows_from("versions"), 0, {"versions": "locked"}),
    # The task binary is no longer audited.
    Row("only", results_of() | {"audit_data", "describe_networks"}, 0, {"only": ["multiclass"]}),
    Row("extras, none of them selected", REPORTS, 0, {"extras": {"more": {"like": "binary"}}}),
    Row("experiment_defaults that each experiment sets itself", set(), 0, {"experiment_defaults": {"epochs": 7}}),
]


@pytest.mark.parametrize("row", rows_as_parameters(KEYS))
def test_rerun_table_of_keys(finished: Path, tmp_path: Path, row: Row) -> None:
    plan = planned(finished, row, tmp_path)
    assert sorted(plan.jobs) == sorted(row.jobs)
    assert plan.epochs == row.epochs


@pytest.mark.slow
def test_folds_add_their_own_jobs_only(finished: Path, tmp_path: Path) -> None:
    plan = planned(finished, Row("folds", set(), config={"folds": 2}), tmp_path)
    assert sorted(plan.jobs) == sorted(of_folds(0, 2, "binary") | of_folds(0, 2) | REPORTS)
    assert plan.epochs == 8


def job_names(pattern: str, values: Iterable[Any]) -> set[str]:
    return {pattern.format(value) for value in values}


def run_jobs(experiment: str, seed: int = 0) -> set[str]:
    return {f"{rule} {experiment} {seed}" for rule in ("train_model", *RUN_READS)}


MORE = [
    # In fact 0, since all names share checkpoints. A plan cannot know this, since there is no record under the new name.
    Row("name", set(READS), 4, {"name": "other"}, words="all, below the new name"),
    Row(
        "phantoms",
        {*onwards("index_images"), "make_phantoms"},
        4,
        {"images": None, "phantoms": {"train_per_class": 6}},
        words="all",
    ),
    Row(
        "epochs up for one experiment: 2 to 5",
        (retrained("binary") | onwards("plot_augmentation binary") | {"plan_augmentation binary 0 5"}),
        3,
        {"experiments": {"binary": {"epochs": 5}}},
    ),
    Row(
        "epochs down for one experiment",
        (retrained("binary") | onwards("plot_augmentation binary") | {"plan_augmentation binary 0 1"}),
        0,
        {"experiments": {"binary": {"epochs": 1}}},
    ),
    Row(
        "experiment.task",
        run_jobs("binary")
        | {
            "check_network binary",
            "describe_networks",
            "split_images bac_vir",
            "audit_data",
            "plan_augmentation bac_vir 0 2",
            "plot_augmentation bac_vir",
            *results_of("binary"),
        },
        2,
        {"experiments": {"binary": {"task": "bac_vir"}}},
    ),
    Row(
        "experiment.like",
        retrained("binary"),
        2,
        {"experiments": {"binary": {"like": "binary_inception_v3_lr_1e-3"}}},
    ),
    Row(
        "experiment.seeds",
        {*run_jobs("binary", 1), "plan_augmentation binary 1 2", *results_of("binary")},
        2,
        {"experiments": {"binary": {"seeds": [0, 1]}}},
        words="those of the new seed and the reports",
    ),
    Row(
        "one more task",
        {
            *run_jobs("third"),
            *("check_network third", "describe_networks", *results_of("third")),
            *("split_images lungs", "audit_data", "plan_augmentation lungs 0 2", "plot_augmentation lungs"),
        },
        2,
        {
            "tasks": {"lungs": {"classes": ["normal", "pneumonia_vir"]}},
            "experiments": {"third": {"like": "binary", "task": "lungs"}},
            "only": ["binary", "multiclass", "third"],
        },
        words="its own and the reports",
    ),
    Row("one more task without experiments", REPORTS, 0, {"tasks": {"lungs": {"classes": ["normal", "covid"]}}}),
    Row(
        "one more experiment",
        run_jobs("third") | {"check_network third", "describe_networks", *results_of("third")},
        2,
        {"experiments": {"third": {"like": "binary", "learning_rate": 0.1}}, "only": ["binary", "multiclass", "third"]},
        words="its own and the reports",
    ),
    Row(
        "seeds",
        run_jobs("binary", 1)
        | run_jobs("multiclass", 1)
        | job_names("plan_augmentation {} 1 2", BOTH)
        | results_of(*BOTH),
        4,
        {"seeds": 2},
        words="those of the new seed and the reports",
    ),
    Row("with_extras", REPORTS, 0, {"with_extras": True}, words="nothing while `only` names others: reports"),
]


@pytest.mark.parametrize("row", rows_as_parameters(MORE))
def test_rerun_table_of_runs(finished: Path, tmp_path: Path, row: Row) -> None:
    plan = planned(finished, row, tmp_path)
    assert sorted(plan.jobs) == sorted(row.jobs)
    assert plan.epochs == row.epochs


@dataclass(frozen=True)
class Key:
    """A key of an experiment: its other settings, the value before and after, and what else runs besides training."""

    after: Any
    before: dict[str, Any] = field(default_factory=dict)
    epochs: int = 2


def keys(**values: Any) -> dict[str, Any]:
    """`keys(early_stopping__patience=4)` is {"early_stopping": {"patience": 4}}."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split("__")
        place = found
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
    return found


COSINE = {"schedule": {"kind": "cosine", "epochs": 5, "final": 0.0}}
STEP = {"schedule": {"kind": "step", "at": [3], "factor": 0.1}}
PLATEAU = {"schedule": {"kind": "plateau", "patience": 3, "factor": 0.1, "min_delta": 0.0, "minimum": 0.0}}
EXPONENTIAL = {"schedule": {"kind": "exponential", "factor": 0.5, "steps": 9, "staircase": False}}
STOPPING = {"early_stopping": {"monitor": "val_loss", "patience": 3, "min_delta": 0.0}}
EXPERIMENT_KEYS = {
    "backbone": Key(keys(backbone="MobileNetV2")),
    "weights": Key(keys(weights="studies/demo/weights")),
    "image_size": Key(keys(image_size=48)),
    "frozen_layers": Key(keys(frozen_layers=3)),
    "head": Key(keys(head=["max_pooling", {"dense": 8}])),
    "head_initialisation": Key(keys(head_initialisation="he_normal")),
    "input_scaling": Key(keys(input_scaling="unit")),
    "backbone_batchnorm": Key(keys(backbone_batchnorm="inference")),
    "batchnorm_momentum": Key(keys(batchnorm_momentum=0.8)),
    "batch_size": Key(keys(batch_size=4)),
    "incomplete_batch": Key(keys(incomplete_batch="kept")),
    "optimizer": Key(keys(optimizer="sgd")),
    "learning_rate": Key(keys(learning_rate=3e-4)),
    "schedule.kind": Key(COSINE),
    "schedule.epochs": Key(keys(schedule={**COSINE["schedule"], "epochs": 9}), COSINE),
    "schedule.final": Key(keys(schedule={**COSINE["schedule"], "final": 0.5}), COSINE),
    "schedule.at": Key(keys(schedule={**STEP["schedule"], "at": [4]}), STEP),
    "schedule.factor": Key(keys(schedule={**STEP["schedule"], "factor": 0.5}), STEP),
    "schedule.patience": Key(keys(schedule={**PLATEAU["schedule"], "patience": 4}), PLATEAU),
    "schedule.min_delta": Key(keys(schedule={**PLATEAU["schedule"], "min_delta": 0.1}), PLATEAU),
    "schedule.minimum": Key(keys(schedule={**PLATEAU["schedule"], "minimum": 1e-6}), PLATEAU),
    "schedule.steps": Key(keys(schedule={**EXPONENTIAL["schedule"], "steps": 8}), EXPONENTIAL),
    "schedule.staircase": Key(keys(schedule={**EXPONENTIAL["schedule"], "staircase": True}), EXPONENTIAL),
    "momentum": Key(keys(momentum=0.9), keys(optimizer="sgd")),
    "weight_decay": Key(keys(weight_decay=0.1), keys(optimizer="adamw")),
    "gradient_clip_norm": Key(keys(gradient_clip_norm=1.0)),
    "loss": Key(keys(loss="categorical_crossentropy")),
    "label_smoothing": Key(keys(label_smoothing=0.1)),
    "class_weights": Key(keys(class_weights="balanced")),
    "epochs": Key(keys(epochs=3), epochs=1),
    "early_stopping": Key(STOPPING),
    "early_stopping.monitor": Key(keys(early_stopping__monitor="val_accuracy"), STOPPING),
    "early_stopping.patience": Key(keys(early_stopping__patience=4), STOPPING),
    "early_stopping.min_delta": Key(keys(early_stopping__min_delta=0.1), STOPPING),
    "selected_epoch": Key(keys(selected_epoch="best"), epochs=0),
    "precision": Key(keys(precision="bfloat16"), keys(input_scaling="backbone")),
    "deterministic": Key(keys(deterministic=True)),
}
SHARED = ("cache_pixels", "split_images", "plan_augmentation", "plot_augmentation", "describe_networks", *REPORTS)


def experiment_of(key: str) -> str:
    return f"with_{key.replace('.', '_')}"


@pytest.fixture(scope="module")
def each_key_changed(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Plan a run in which each of many experiments has another value of one key, and one is unchanged."""
    folder = tmp_path_factory.mktemp("keys") / "copy"
    shutil.copytree(finished, folder)
    start = {"like": "binary", "weights": "random"}
    before = {experiment_of(key): {**start, **one.before} for key, one in EXPERIMENT_KEYS.items()}
    before["untouched"] = start
    write_config(folder / "before.yaml", {"name": "keys", "experiments": before, "only": list(before)})
    fake_run(folder, "table.yaml", "before.yaml")
    after = {experiment_of(key): one.after for key, one in EXPERIMENT_KEYS.items()}
    write_config(folder / "after.yaml", {"experiments": after})
    return dry_run(folder, "table.yaml", "before.yaml", "after.yaml")


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(key, id=f"{key} -> its training, what follows -> {one.epochs} epochs")
        for key, one in EXPERIMENT_KEYS.items()
    ],
)
@pytest.mark.slow
def test_rerun_table_of_experiment_keys(each_key_changed: Plan, key: str) -> None:
    name = experiment_of(key)
    seen = {job for job in each_key_changed.jobs if name in job.split()}
    network = (
        {f"check_network {name}"} if key.split(".", maxsplit=1)[0] in keys_that_decide(Experiment, "network") else set()
    )
    assert seen == run_jobs(name) | network | (results_of(name) - results_of())
    assert each_key_changed.epochs_of[f"train_model {name} 0"] == EXPERIMENT_KEYS[key].epochs


@pytest.mark.slow
def test_rerun_table_of_experiment_keys_does_not_affect_others(each_key_changed: Plan) -> None:
    assert not [job for job in each_key_changed.jobs if "untouched" in job.split()]
    others = {job for job in each_key_changed.jobs if " with_" not in job}
    pixels = {f"cache_pixels 48 {folder}" for folder in FOLDERS if folder.split("/")[1] in CLASSES["binary"]}
    assert others == {*pixels, "plan_augmentation binary 0 3", "describe_networks", *results_of()}
    assert set(each_key_changed.epochs_of) == {f"train_model {experiment_of(key)} 0" for key in EXPERIMENT_KEYS}


NEW_KEYS = {
    "index": ("models", "IndexSettings", 0),
    "pixels": ("models", "PixelSettings", 4),
    "split": ("models", "SplitSettings", 4),
    "augmentation": ("models", "AugmentationSettings", 4),
    "features": ("models", "FeatureSettings", 0),
    "embedding": ("models", "EmbeddingSettings", 0),
    "report": ("models", "ReportSettings", 0),
    "operation": ("models", "OperationSettings", 0),
    "network": ("experiment", "NetworkSettings", 2),
    "training": ("experiment", "TrainingSettings", 2),
}
"""What a new key decides, to the module and the class it is declared in, and the epochs that another value of it trains."""


def with_new_keys(folder: Path) -> None:
    """Only declare a new key of each purpose."""
    for purpose, (module, name, _) in NEW_KEYS.items():
        declared = f'    decides: ClassVar[Purpose] = "{purpose}"\n'
        field = (
            f'    new_{purpose}: float = Field(default=0.0, ge=0, description="A key that decides the {purpose}.")\n'
        )
        file = folder / f"workflow/cxrflow/study/{module}.py"
        head, found, tail = file.read_text().partition(f"class {name}(")
        before, there, after = tail.partition(declared)
        assert found and there
        file.write_text(f"{head}{found}{before}{there}{field}{after}")


def in_project(folder: Path, code: str) -> Any:
    """Evaluate an expression in a process that imports the package of a copy of the project."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    program = f"import json\nfrom cxrflow.study import models, experiment\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


IDENTITY = """
from cxrflow.study.decides import identifying
settings = {"backbone": "MobileNet", "head": ["flatten"], "loss": "binary_crossentropy", "batch_size": 2, "learning_rate": 1}
trained = experiment.TrainedSettings.model_validate({**settings, "epochs": 3})
print(json.dumps(identifying(trained, "network", "training")))
"""
OTHERS = """
from cxrflow.publication import join_results
from cxrflow.report import deviations
from cxrflow.study import reference, schema
print(json.dumps({
    "deviations": [*deviations.COMPARED, *deviations.COMPARED_IN_EXPERIMENTS],
    "not joined": [*join_results.OF_THE_RUN],
    "page": reference.config_reference(),
    "schema": schema.config_schema(),
}))
"""


@pytest.fixture(scope="module")
def with_keys(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with new keys, and a finished run with these at their defaults."""
    folder = tmp_path_factory.mktemp("new_keys")
    copy_project(project, folder)
    before = in_project(folder, IDENTITY)
    with_new_keys(folder)
    assert in_project(folder, IDENTITY) == before
    draw_images(folder / "images")
    write_config(folder / "table.yaml", CONFIG)
    fake_run(folder, "table.yaml")
    return folder


@pytest.mark.parametrize("purpose", NEW_KEYS)
@pytest.mark.slow
def test_a_new_key_reruns_what_it_decides(with_keys: Path, tmp_path: Path, purpose: str) -> None:
    """Only its declaration is needed: no rule, list or stage names the key."""
    key, (module, _, epochs) = f"new_{purpose}", NEW_KEYS[purpose]
    change = {key: 1.5} if module == "models" else {"experiments": {"binary": {key: 1.5}}}
    plan = planned(with_keys, Row(key, set(), config=change), tmp_path)
    if purpose in WITHOUT_EFFECT:
        assert plan.jobs == set()
        return
    rules = [f"{rule} binary" if module == "experiment" else rule for rule in RULES.get(purpose, ())]
    assert sorted(plan.jobs) == sorted((onwards(*rules) if rules else set()) | REPORTS)
    assert plan.epochs == epochs
    assert any(line.endswith(f": {key} went from 0.0 to 1.5") for line in plan.lines), plan.lines


@pytest.mark.slow
def test_a_new_key_is_compared_described_and_allowed(with_keys: Path) -> None:
    found = in_project(with_keys, OTHERS)
    for purpose, (module, _, _) in NEW_KEYS.items():
        key = f"new_{purpose}"
        changes_results = purpose not in ("report", *WITHOUT_EFFECT)
        assert (key in found["deviations"]) == changes_results
        if module == "models":
            assert (key in found["not joined"]) == (not changes_results)
        assert f"{key}` | 0 or more | `0.0` | A key that decides the {purpose}. |" in found["page"]
        place = found["schema"] if module == "models" else found["schema"]["$defs"]["Experiment"]
        assert place["properties"][key]["minimum"] == 0


@pytest.fixture(scope="module")
def with_phantoms(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on drawn phantoms."""
    folder = tmp_path_factory.mktemp("phantoms")
    copy_project(project, folder)
    phantoms = {"train_per_class": 10, "test_per_class": 5, "seed": 5}
    write_config(folder / "table.yaml", {**CONFIG, "images": None, "phantoms": phantoms})
    fake_run(folder, "table.yaml")
    return folder


PHANTOM_KEYS = {"train_per_class": 5, "test_per_class": 10, "seed": 10}  # as a set, two of the numbers do not change


@pytest.mark.parametrize("key", [pytest.param(key, id=f"phantoms.{key} -> all -> 4 epochs") for key in PHANTOM_KEYS])
@pytest.mark.slow
def test_rerun_table_of_phantoms(with_phantoms: Path, tmp_path: Path, key: str) -> None:
    plan = planned(with_phantoms, Row(key, set(), config={"phantoms": {key: PHANTOM_KEYS[key]}}), tmp_path)
    assert plan.jobs == {*onwards("index_images"), "make_phantoms"}
    assert plan.epochs == 4


DRAWN = [
    Row(
        "the code of make_phantoms.py",
        {*onwards("index_images"), "make_phantoms"},
        0,
        edit=body_changed("stages/make_phantoms"),
    ),
]


@pytest.mark.parametrize("row", rows_as_parameters(DRAWN))
@pytest.mark.slow
def test_rerun_table_of_the_code_that_draws_phantoms(with_phantoms: Path, tmp_path: Path, row: Row) -> None:
    plan = planned(with_phantoms, row, tmp_path)
    assert sorted(plan.jobs) == sorted(row.jobs)
    assert plan.epochs == row.epochs


@pytest.fixture(scope="module")
def with_fetched_files(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on images and weights that were fetched."""
    folder = tmp_path_factory.mktemp("fetched")
    copy_project(project, folder)
    draw_images(folder / "results/images/list")
    (folder / "list.csv").write_text("path\n" + "".join(f"{place}/{n}.png\n" for place in FOLDERS for n in (0, 1)))
    write_config(
        folder / "table.yaml", {**CONFIG, "images": "published", "image_list": "list.csv", "weights": "imagenet"}
    )
    fake_run(folder, "table.yaml")
    return folder


FETCHED = [
    Row("image_sources", set(), 0, {"image_sources": ["https://example.org/{path}"]}),
    Row("weights_sources", set(), 0, {"weights_sources": ["https://example.org/{path}"]}),
    Row(
        "the code of fetch_images.py",
        {*onwards("index_images"), "fetch_images"},
        0,
        edit=body_changed("stages/fetch_images"),
    ),
    Row(
        "the code of fetch_weights.py",
        {*retrained("multiclass"), "fetch_weights MobileNet"},
        0,
        edit=body_changed("stages/fetch_weights"),
    ),
]


@pytest.mark.parametrize("row", rows_as_parameters(FETCHED))
@pytest.mark.slow
def test_rerun_table_of_fetched_files(with_fetched_files: Path, tmp_path: Path, row: Row) -> None:
    plan = planned(with_fetched_files, row, tmp_path)
    assert sorted(plan.jobs) == sorted(row.jobs)
    assert plan.epochs == row.epochs


@pytest.fixture(scope="module")
def with_explanations(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the experiment multiclass with two seeds, of which the network of the first is explained."""
    folder = tmp_path_factory.mktemp("explained")
    copy_project(project, folder)
    draw_images(folder / "images")
    for number in (1, 2):
        (folder / f"lungs_{number}.csv").write_text("image,left,top,right,bottom\n" + "\n" * number)
    changes = {"only": ["multiclass"], "seeds": 2, "explain": "one_seed", "lungs": "lungs_1.csv"}
    write_config(folder / "table.yaml", {**CONFIG, **changes})
    fake_run(folder, "table.yaml")
    return folder


def of_explanations(seed: int) -> set[str]:
    return {f"{rule} multiclass {seed}" for rule in ("explain_model", "plot_explanations")}


WITH_EXPLANATIONS = [
    Row("nothing", set()),
    Row("explain", of_explanations(1) | REPORTS, 0, {"explain": "all_seeds"}),
    Row("explain, none", REPORTS, 0, {"explain": "none"}),
    Row("lungs", of_explanations(0) | REPORTS, 0, {"lungs": "lungs_2.csv"}),
    Row(
        "the lung boxes in the file",
        of_explanations(0) | {"assemble_report"},
        edit=change_text("lungs_1.csv", "\n", "\na,0,0,1,1\n"),
    ),
    *(
        Row(key, of_explanations(0) | REPORTS, 0, {key: 3})
        for key in ("explained_errors", "explained_right", "altered_images")
    ),
    Row(
        "embed_images",
        {"plot_explanations multiclass 0", "plot_augmentation multiclass"} | REPORTS,
        0,
        {"embed_images": "all"},
    ),
    Row(
        "the code of explain_model.py, with explanations",
        of_explanations(0) | {"assemble_report"},
        edit=body_changed("stages/explain_model"),
    ),
    Row(
        "the code of plot_explanations.py, with explanations",
        {"plot_explanations multiclass 0", "assemble_report"},
        edit=body_changed("stages/plot_explanations"),
    ),
]


@pytest.mark.parametrize("row", rows_as_parameters(WITH_EXPLANATIONS))
@pytest.mark.slow
def test_rerun_table_of_explanations(with_explanations: Path, tmp_path: Path, row: Row) -> None:
    plan = planned(with_explanations, row, tmp_path)
    assert sorted(plan.jobs) == sorted(row.jobs)
    assert plan.epochs == 0


def of_folds(repeat: int, folds: int, task: str = "multiclass") -> set[str]:
    """The jobs of a repeat of a cross-validation, and those that read all its results."""
    names = [f"{task}@repeat_{repeat}.fold_{fold}" for fold in range(folds)]
    return {
        f"split_folds {task} {repeat}",
        *(f"plan_augmentation {name} {repeat} 2" for name in names),
        *(f"{rule} {name} {repeat}" for rule in ("train_model", "evaluate_model") for name in names),
        f"measure_folds {task}",
    }


@pytest.fixture(scope="module")
def with_folds(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the experiment multiclass with a cross-validation of two folds."""
    folder = tmp_path_factory.mktemp("folds")
    copy_project(project, folder)
    draw_images(folder / "images")
    write_config(folder / "table.yaml", {**CONFIG, "only": ["multiclass"], "folds": 2})
    fake_run(folder, "table.yaml")
    return folder


WITH_FOLDS = [
    Row("nothing", set()),
    Row("folds", of_folds(0, 3) | REPORTS, 6, {"folds": 3}),
    Row("folds, none", REPORTS, 0, {"folds": None}),
    Row("repeats", of_folds(1, 2) | REPORTS, 4, {"repeats": 2}),
    Row("split_seed, with folds", of_folds(0, 2) | REPORTS, 4, {"split_seed": 1}),
    Row(
        "seeds, with folds",
        run_jobs("multiclass", 1) | {"plan_augmentation multiclass 1 2"} | results_of("multiclass"),
        2,
        {"seeds": 2},
    ),
    Row(
        "the code of split_folds.py, with folds",
        of_folds(0, 2) | {"assemble_report"},
        edit=body_changed("stages/split_folds"),
    ),
    Row(
        "the code of measure_folds.py, with folds",
        {"measure_folds multiclass", "assemble_report"},
        edit=body_changed("stages/measure_folds"),
    ),
]


@pytest.mark.parametrize("row", rows_as_parameters(WITH_FOLDS))
@pytest.mark.slow
def test_rerun_table_of_folds(with_folds: Path, tmp_path: Path, row: Row) -> None:
    plan = planned(with_folds, row, tmp_path)
    assert sorted(plan.jobs) == sorted(row.jobs)
    assert plan.epochs == row.epochs


@pytest.fixture(scope="module")
def with_external(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the experiment binary with an external test."""
    folder = tmp_path_factory.mktemp("external")
    copy_project(project, folder)
    draw_images(folder / "images")
    for number, place in enumerate(("hospital/covid/a.png", "hospital/normal/b.png", "hospital/other/c.png")):
        draw(folder / place, 5000 + number)
    shutil.copytree(folder / "hospital", folder / "same")
    listed = "path,label,patient\nhospital/covid/a.png,covid,1\nhospital/normal/b.png,normal,2\n"
    (folder / "listed.csv").write_text(listed)
    write_config(folder / "table.yaml", {**CONFIG, "only": ["binary"], "external": "hospital"})
    fake_run(folder, "table.yaml")
    return folder


AFTER_EXTERNAL = of_external("binary") | {"assemble_report"}
WITH_EXTERNAL = [
    Row("nothing", set()),
    Row("external, empty", REPORTS, 0, {"external": None}),
    Row("external, the same images elsewhere", REPORTS, 0, {"external": "same"}),
    Row("external, a list", of_external("binary") | REPORTS, 0, {"external": "listed.csv"}),
    Row("an external image touched", set(), edit=lambda folder: (folder / "hospital/covid/a.png").touch()),
    Row("an external image added", AFTER_EXTERNAL, edit=lambda folder: draw(folder / "hospital/covid/new.png", 5999)),
    Row("an external image edited", AFTER_EXTERNAL, edit=lambda folder: draw(folder / "hospital/covid/a.png", 5999)),
    Row("an external image removed", AFTER_EXTERNAL, edit=lambda folder: (folder / "hospital/covid/a.png").unlink()),
    Row(
        "the code of index_external.py, with an external test",
        AFTER_EXTERNAL,
        edit=body_changed("stages/index_external"),
    ),
    Row(
        "the code of evaluate_external.py, with an external test",
        AFTER_EXTERNAL - {"index_external"},
        edit=body_changed("stages/evaluate_external"),
    ),
    Row(
        "the code of measure_external.py, with an external test",
        {"measure_external binary", "assemble_report"},
        edit=body_changed("stages/measure_external"),
    ),
]


@pytest.mark.parametrize("row", rows_as_parameters(WITH_EXTERNAL))
@pytest.mark.slow
def test_rerun_table_of_an_external_test(with_external: Path, tmp_path: Path, row: Row) -> None:
    plan = planned(with_external, row, tmp_path)
    assert sorted(plan.jobs) == sorted(row.jobs)
    assert plan.epochs == 0


def keys_of_schema(project: Path) -> set[str]:
    """List the keys of config.yaml that have values, with the prefix `experiment.` for those of experiments."""
    schema = json.loads((project / "workflow/schemas/config.schema.json").read_text())

    def walk(node: dict[str, Any], place: str) -> Iterator[str]:
        if "$ref" in node:
            yield from walk(schema["$defs"][node["$ref"].rpartition("/")[2]], place)
        for part in [part for kind in ("anyOf", "oneOf", "allOf") for part in node.get(kind, [])]:
            yield from walk(part, place)
        for name, value in node.get("properties", {}).items():
            yield f"{place}{name}"
            yield from walk(value, f"{place}{name}.")
        inner = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
        for value in inner:
            if isinstance(value, dict):
                yield from walk(value, f"{place}*.")

    found = {
        re.sub(r"^(override|experiment_defaults|(experiments|extras)\.\*)\.", "experiment.", key)
        for key in walk(schema, "")
    }
    return {key for key in found if not any(other.startswith(f"{key}.") for other in found)}


def test_rerun_table_has_a_row_for_each_key(project: Path) -> None:
    rows = {re.split("[:,]", row.change)[0] for row in [*KEYS, *MORE, *FETCHED, *WITH_EXPLANATIONS, *WITH_FOLDS]}
    rows |= {f"experiment.{key}" for key in EXPERIMENT_KEYS} | {f"phantoms.{key}" for key in PHANTOM_KEYS}
    # Keys of experiments have their own rows; `data_of` represents the keys of another study.
    sections = {"experiments", "extras", "override", "experiment_defaults", "data_of"}
    assert sorted(keys_of_schema(project) - rows - sections) == []


def test_rerun_table_has_a_row_for_the_code_of_each_stage(project: Path) -> None:
    rows = [re.fullmatch(r"the code of (\w+)\.py", row.change) for row in [*EDITS, *FETCHED, *DRAWN]]
    rules = "".join(file.read_text() for file in sorted((project / "workflow/rules").glob("*.smk")))
    assert sorted(row[1] for row in rows if row) == sorted(re.findall(r'code=code_of\("(\w+)"\)', rules))


def embedding_timed_and_its_code_changed(folder: Path) -> None:
    timed = folder / "results/table/benchmarks/embed_features/binary/seed_0.tsv"
    timed.parent.mkdir(parents=True)
    timed.write_text("s\th:m:s\tmax_rss\n9.4\t0:00:09\t210.5\n")
    body_changed("stages/embed_features")(folder)


TRAIN = "  Train binary with seed 0"
WORDS = [
    Row(
        "learning_rate",
        set(),
        config={"experiments": {"binary": {"learning_rate": 3e-4}}},
        words=f"{TRAIN}, 2 epochs, about 18 min: learning_rate went from 0.0001 to 0.0003",
    ),
    Row(
        "epochs",
        set(),
        config={"experiments": {"binary": {"epochs": 4}}},
        words=f"{TRAIN}, 2 epochs, about 18 min: epochs went from 2 to 4",
    ),
    Row(
        "image",
        set(),
        edit=replace_image("train/covid/0.png"),
        words=f"{TRAIN}, 2 epochs, about 18 min: train/covid/0.png was replaced",
    ),
    Row(
        "images",
        set(),
        edit=lambda folder: [replace_image(f"train/covid/{number}.png")(folder) for number in range(4)] and None,
        words=f"{TRAIN}, 2 epochs, about 18 min: train/covid/0.png was replaced; train/covid/1.png was replaced; and 2 more",
    ),
    Row(
        "test image",
        set(),
        edit=replace_image("test/covid/0.png"),
        words=f"{TRAIN}: follows from split_images, plan_augmentation, cache_pixels",
    ),
    Row(
        "code that decides",
        set(),
        edit=body_changed("stages/cache_pixels"),
        words=f"{TRAIN}: follows from cache_pixels; trained again if cache_pixels produces other outputs than before",
    ),
    Row(
        "records lost",
        set(),
        edit=records_lost,
        words="  Build the network of binary once, to check that its settings fit together: "
        "there is no record of how it was made",
    ),
    Row(
        "environment variable",
        set(),
        variables={"XLA_FLAGS": "--x"},
        words=f"{TRAIN}, 2 epochs, about 18 min: environment variable XLA_FLAGS went from nothing to --x",
    ),
    Row(
        "claims replaced by older ones",
        set(),
        edit=replaced_by_an_older_one("studies/demo/claims.csv", b"\n"),
        words="  Judge each statement of studies/demo/claims.csv by its rule: studies/demo/claims.csv has changed",
    ),
    Row(
        "code, of a job whose time is known",
        set(),
        edit=embedding_timed_and_its_code_changed,
        words="  Map the features of binary, seed 0, with t-SNE, about 9 s: its code has changed",
    ),
    Row(
        "code of an earlier job",
        set(),
        edit=body_changed("stages/embed_features"),
        words="  Plot the t-SNE map of binary, seed 0: follows from embed_features",
    ),
    Row(
        "output lost",
        set(),
        edit=lambda folder: (folder / "results/table/report/index.html").unlink(),
        words="  Write the report, results/table/report/index.html: results/table/report/index.html does not exist",
    ),
]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.change) for row in WORDS])
def test_why_a_job_runs(finished: Path, tmp_path: Path, row: Row) -> None:
    lines = planned(finished, row, tmp_path).lines
    assert row.words in lines
    looked = next((n for n, line in enumerate(lines) if line.startswith("reused")), len(lines))
    assert (lines.index(row.words) > looked) == (row.change in ("test image", "code that decides"))
