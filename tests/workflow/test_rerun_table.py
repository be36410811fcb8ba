"""The rerun table: one row a change on a finished run, the jobs that run again and the epochs that are trained, each exact.

The run is one of made files, which Snakemake takes for finished; the epochs are those that `make why` foresees.
"""

import ast
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cxrflow.outdated.journal import packages_of_jobs, write_down
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
    variables: dict[str, str] = field(default_factory=dict)
    """Of the environment."""


def rows_as_parameters(rows: Iterable[Row]) -> list[Any]:
    return [
        pytest.param(row, id=f"{row.change} -> {row.words or in_words(row.jobs)} -> {row.epochs} epochs")
        for row in rows
    ]


def in_words(jobs: set[str]) -> str:
    """Jobs by their rules, the last ones aside."""
    rules = sorted({job.split()[0] for job in jobs})
    return ", ".join(rules) if len(rules) < 5 else f"{len(rules)} rules, {len(jobs)} jobs"


def draw(file: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (40, 40), dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).save(file)


def draw_images(folder: Path) -> None:
    """The class folders, six images each to train with and two to test, no two of them equal."""
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
    write_config(folder / "table.yaml", CONFIG)
    fake_run(folder, "table.yaml")
    write_down(folder / "results/table/software.json", packages_of_jobs(folder / "envs/cpu.lock", False), now=0)
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


def body_changed(module: str) -> Callable[[Path], None]:
    """One more statement at the end of a module's first function that has a docstring or none."""

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
        "examples",
        "config.yaml",
        "table.yaml",
        "Snakefile",
        "profiles",
        "results",
    ):
        for file in [folder / top, *(folder / top).rglob("*")]:
            os.utime(file)


def laid_over(folder: Path) -> None:
    """A fresh clone over the results: every file of the project is newer than all results."""
    for top in ("workflow", "envs", "examples", "config.yaml", "Snakefile", "profiles"):
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
    """Without comments, with other line breaks and quotes."""
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
    file = next((folder / "workflow/resources/weights").glob("*.h5"))
    file.write_bytes(file.read_bytes() + b"\0")


def replaced_by_an_older_one(file: str, contents: bytes) -> Callable[[Path], None]:
    """As `mv` and `cp -p` do: the file has the time of long ago."""

    def edit(folder: Path) -> None:
        (found,) = folder.glob(file)
        found.write_bytes(found.read_bytes() + contents)
        os.utime(found, (1e9, 1e9))

    return edit


def branch_switched_and_back(folder: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=nobody", "-c", "user.email=nobody"]
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)

    project = ["Snakefile", "config.yaml", "envs", "examples", "profiles", "workflow"]
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
    """The Snakefile with some code in front: how things stand when it is read."""
    return change_text("Snakefile", "# cxrflow", f"{code}\n# cxrflow")


def other_packages_installed(folder: Path) -> None:
    """Packages that compute, draw or write, in a version 9.9 that goes before the installed one: by their metadata."""
    for name in ("keras", "tensorflow", "numpy", "scipy", "scikit-learn", "pandas", "pillow", "matplotlib", "jinja2"):
        metadata = folder / f"workflow/{name.replace('-', '_')}-9.9.dist-info/METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")
    seen_in_planning = "from importlib.metadata import version\nassert version('keras') == version('numpy') == '9.9'"
    beginning_with(seen_in_planning)(folder)


def made_with_other_versions(folder: Path) -> None:
    """Trainings say that they were made with another Keras, and another Python."""
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


BOTH = ("binary", "multiclass")
# A stage, its module and its rule have one name.
STAGES = (
    *("index_images", "audit_data", "split_images", "cache_pixels"),
    *("plan_augmentation", "plot_augmentation"),
    *("check_network", "describe_networks"),
    *("train_model", "evaluate_model", "extract_features", "embed_features"),
    *("plot_curves", "plot_confusion", "plot_embedding"),
    *("score_claims", "assemble_report"),
)
EDITS = [
    Row("nothing", set()),
    Row("touch of every image, module, config and result", set(), edit=touch_all),
    Row("a fresh clone laid over the results", set(), edit=laid_over),
    # Nothing tells then by what a result was made: all of them are made again, but what is known by its contents.
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
            "workflow/rules/evaluation.smk", "python -m cxrflow.embed_features ", "python  -m cxrflow.embed_features "
        ),
    ),
    *(Row(f"the code of {stage}.py", onwards(stage), edit=body_changed(stage)) for stage in STAGES),
    Row(
        "the code of plotting/style.py",
        onwards("plot_augmentation", "plot_curves", "plot_confusion", "plot_embedding"),
        edit=body_changed("plotting/style"),
    ),
    Row("the code of stage/command.py, which all import", set(READS), edit=body_changed("stage/command")),
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
        edit=replaced_by_an_older_one("workflow/resources/weights/*.h5", b"\0"),
    ),
    Row("claims.csv", REPORTS, edit=change_text("examples/demo_claims.csv", "\n", "\n\n")),
    Row(
        "claims.csv replaced by an older one", REPORTS, edit=replaced_by_an_older_one("examples/demo_claims.csv", b"\n")
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


def made_with(package: str, trained_with_it: bool = False) -> Callable[[Path], None]:
    """The run's journal says that it was made with another version of a package, and so do its trainings."""

    def edit(folder: Path) -> None:
        if trained_with_it:
            made_with_other_versions(folder)
        journal = folder / "results/table/software.json"
        (entry,) = json.loads(journal.read_text())
        assert package in entry["packages"]
        entry["packages"][package] = "0.1"
        journal.write_text(json.dumps([entry]))

    return edit


REBUILT = [
    Row("nothing", set()),
    Row(
        "matplotlib",
        onwards("plot_augmentation", "plot_curves", "plot_confusion", "plot_embedding"),
        0,
        edit=made_with("matplotlib"),
    ),
    Row("jinja2", {"assemble_report"}, 0, edit=made_with("jinja2")),
    Row("scikit-learn", onwards("embed_features", "evaluate_model"), 0, edit=made_with("scikit-learn")),
    Row("keras", onwards("check_network", "train_model"), 4, edit=made_with("keras", trained_with_it=True)),
    Row("requests, which fetches", set(), 0, edit=made_with("requests")),
    Row(
        "no journal, so not known", set(READS), 0, edit=lambda folder: (folder / "results/table/software.json").unlink()
    ),
]


@pytest.mark.parametrize("row", rows_as_parameters(REBUILT))
def test_rerun_table_of_rebuild_outdated(finished: Path, tmp_path: Path, row: Row) -> None:
    """With other versions nothing runs by itself; `make rebuild-outdated` makes again what they decide, and what follows."""
    plan = planned(finished, row, tmp_path)
    assert (plan.jobs, plan.epochs) == (frozenset(), 0)
    again = dry_run(tmp_path / "copy" if row.edit else finished, "table.yaml", rebuild_outdated=True)
    assert sorted(again.jobs) == sorted(row.jobs)
    assert again.epochs == row.epochs


# What Snakemake asks of the programs when it plans; where they are not installed, these answer.
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
def test_rerun_table_of_environments(finished: Path, tmp_path: Path, way: str, row: Row) -> None:
    """The same run with jobs in environments of their own (`--sdm`): nothing is made anew for that, nor for other packages."""
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
    Row("patients.column", onwards("index_images"), 0, {"image_list": "list.csv", "patients": {"column": "path"}}),
    Row("patients.pattern", onwards("index_images"), 0, {"patients": {"pattern": "(\\d+)"}}),
    Row(
        "layout: classes, its folders being those of train/",
        onwards("index_images") - {f"cache_pixels 32 {folder}" for folder in FOLDERS}
        | {f"cache_pixels 32 {name}" for name in CLASSES["multiclass"]},
        4,
        {"images": "images/train", "layout": "classes", "split": "stratified"},
    ),
    Row("split_seed, of a split that is not drawn", REPORTS, 0, {"split_seed": 1}),
    Row("test_fraction, of a split that is not drawn", REPORTS, 0, {"test_fraction": 0.3}),
    Row("missing_images", onwards("index_images"), 0, {"missing_images": "warn"}),
    Row("on_bad_image", onwards("index_images"), 0, {"on_bad_image": "skip"}),
    Row("weights", retrained("multiclass"), 2, {"weights": "workflow/resources/weights"}),
    Row("tasks.*.positive", onwards("evaluate_model binary"), 0, {"tasks": {"binary": {"positive": "normal"}}}),
    Row(
        "tasks.*.classes",
        onwards("split_images binary", "check_network binary"),
        2,
        {"tasks": {"binary": {"classes": ["normal", "pneumonia_bac"], "positive": None}}},
    ),
    Row("class_index", onwards("split_images binary", "check_network binary"), 2, {"class_index": "listed"}),
    Row("split", onwards("split_images"), 4, {"split": "split.csv"}),
    Row("validation_fraction", onwards("split_images"), 4, {"validation_fraction": 0.4}),
    Row("resampling", onwards("cache_pixels"), 4, {"resampling": "bilinear"}),
    Row(
        "augmentation: none",
        onwards("plan_augmentation") - onwards("plot_augmentation") | REPORTS,
        4,
        {"augmentation": "none"},
    ),
    *(
        Row(f"augmentation.{key}", onwards("plan_augmentation"), 4, {"augmentation": {key: value}})
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
    Row("validation_augmented", onwards("plan_augmentation"), 4, {"validation_augmented": "clean"}),
    Row("feature_images", onwards("extract_features"), 0, {"feature_images": "both"}),
    *(
        Row(f"tsne.{key}", onwards("embed_features"), 0, {"tsne": {key: value}})
        for key, value in {"perplexity": 6, "initialisation": "random", "learning_rate": 200, "seed": 1}.items()
    ),
    Row("remarks", REPORTS, 0, {"remarks": ["On a laptop."]}),
    Row("claims", REPORTS, 0, {"claims": "study"}),
    Row("embed_images", onwards("plot_augmentation") | REPORTS, 0, {"embed_images": "all"}),
    Row("threads", onwards("train_model"), 4, {"threads": 1}),
    Row("device", onwards("train_model"), 4, {"device": "cpu"}),
    Row("trainings_per_gpu", set(), 0, {"trainings_per_gpu": 2}),
    Row("save_every", REPORTS, 0, {"save_every": 5}),
    Row("keep_states", REPORTS, 0, {"keep_states": "every"}),
    Row("tensorboard", REPORTS, 0, {"tensorboard": True}),
    Row("environment", REPORTS, 0, {"environment": "gpu"}),
    Row("versions", REPORTS, 0, {"versions": "locked"}),
    Row("only", REPORTS | {"describe_networks"}, 0, {"only": ["multiclass"]}),
    Row("extras of which none is selected", REPORTS, 0, {"extras": {"more": {"like": "binary"}}}),
    Row("experiment_defaults that each experiment has of its own", set(), 0, {"experiment_defaults": {"epochs": 7}}),
]


@pytest.mark.parametrize("row", rows_as_parameters(KEYS))
def test_rerun_table_of_keys(finished: Path, tmp_path: Path, row: Row) -> None:
    plan = planned(finished, row, tmp_path)
    assert sorted(plan.jobs) == sorted(row.jobs)
    assert plan.epochs == row.epochs


def job_names(pattern: str, values: Iterable[Any]) -> set[str]:
    return {pattern.format(value) for value in values}


def run_jobs(experiment: str, seed: int = 0) -> set[str]:
    return {f"{rule} {experiment} {seed}" for rule in ("train_model", *RUN_READS)}


MORE = [
    # 0 in truth: states are shared by all names. A plan cannot know, since there is no record below the new name.
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
            "plan_augmentation bac_vir 0 2",
            "plot_augmentation bac_vir",
            *REPORTS,
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
        {*run_jobs("binary", 1), "plan_augmentation binary 1 2", *REPORTS},
        2,
        {"experiments": {"binary": {"seeds": [0, 1]}}},
        words="those of the new seed and the reports",
    ),
    Row(
        "one more task",
        {
            *run_jobs("third"),
            *("check_network third", "describe_networks", *REPORTS),
            *("split_images lungs", "plan_augmentation lungs 0 2", "plot_augmentation lungs"),
        },
        2,
        {
            "tasks": {"lungs": {"classes": ["normal", "pneumonia_vir"]}},
            "experiments": {"third": {"like": "binary", "task": "lungs"}},
            "only": ["binary", "multiclass", "third"],
        },
        words="its own and the reports",
    ),
    Row("one more task that no experiment has", REPORTS, 0, {"tasks": {"lungs": {"classes": ["normal", "covid"]}}}),
    Row(
        "one more experiment",
        run_jobs("third") | {"check_network third", "describe_networks", *REPORTS},
        2,
        {"experiments": {"third": {"like": "binary", "learning_rate": 0.1}}, "only": ["binary", "multiclass", "third"]},
        words="its own and the reports",
    ),
    Row(
        "seeds",
        run_jobs("binary", 1) | run_jobs("multiclass", 1) | job_names("plan_augmentation {} 1 2", BOTH) | REPORTS,
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
    """A key of an experiment: what the experiment has besides, the value before and after, and what runs besides training."""

    after: Any
    before: dict[str, Any] = field(default_factory=dict)
    epochs: int = 2
    network: bool = False
    trains: bool = True
    others: frozenset[str] = frozenset()


def keys(**values: Any) -> dict[str, Any]:
    """`keys(head__dropout=0.1)` is {"head": {"dropout": 0.1}}."""
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
STOPPING = {"early_stopping": {"patience": 3, "min_delta": 0.0}}
EXPERIMENT_KEYS = {
    "backbone": Key(keys(backbone="MobileNetV2"), network=True),
    "weights": Key(keys(weights="workflow/resources/weights")),
    "image_size": Key(keys(image_size=48), network=True),
    "frozen_layers": Key(keys(frozen_layers=3), network=True),
    "head.pooling": Key(keys(head__pooling="max"), network=True),
    "head.dense_units": Key(keys(head__dense_units=[8]), network=True),
    "head.dropout": Key(keys(head__dropout=0.3), network=True),
    "head.last_hidden_units": Key(keys(head__last_hidden_units=8), network=True),
    "head_initialisation": Key(keys(head_initialisation="he_normal"), network=True),
    "input_scaling": Key(keys(input_scaling="imagenet"), network=True),
    "backbone_batchnorm": Key(keys(backbone_batchnorm="inference"), network=True),
    "batchnorm_momentum": Key(keys(batchnorm_momentum=0.8), network=True),
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
    "momentum": Key(keys(momentum=0.9), keys(optimizer="sgd")),
    "weight_decay": Key(keys(weight_decay=0.1), keys(optimizer="adamw")),
    "gradient_clip_norm": Key(keys(gradient_clip_norm=1.0)),
    "loss": Key(keys(loss="categorical_crossentropy"), network=True),
    "label_smoothing": Key(keys(label_smoothing=0.1)),
    "class_weights": Key(keys(class_weights="balanced")),
    "epochs": Key(keys(epochs=3), epochs=1),
    "early_stopping": Key(STOPPING),
    "early_stopping.patience": Key(keys(early_stopping__patience=4), STOPPING),
    "early_stopping.min_delta": Key(keys(early_stopping__min_delta=0.1), STOPPING),
    "selected_epoch": Key(keys(selected_epoch="best"), epochs=0),
    "precision": Key(keys(precision="bfloat16"), keys(input_scaling="imagenet"), network=True),
    "deterministic": Key(keys(deterministic=True)),
}
SHARED = ("cache_pixels", "split_images", "plan_augmentation", "plot_augmentation", "describe_networks", *REPORTS)


def experiment_of(key: str) -> str:
    return f"with_{key.replace('.', '_')}"


@pytest.fixture(scope="module")
def each_key_changed(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """One plan in which each of many experiments has another value of one key, and one is as it was."""
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
def test_rerun_table_of_experiment_keys(each_key_changed: Plan, key: str) -> None:
    name = experiment_of(key)
    seen = {job for job in each_key_changed.jobs if name in job.split()}
    network = {f"check_network {name}"} if EXPERIMENT_KEYS[key].network else set()
    assert seen == run_jobs(name) | network
    assert each_key_changed.epochs_of[f"train_model {name} 0"] == EXPERIMENT_KEYS[key].epochs


def test_rerun_table_of_experiment_keys_leaves_others_alone(each_key_changed: Plan) -> None:
    assert not [job for job in each_key_changed.jobs if "untouched" in job.split()]
    others = {job for job in each_key_changed.jobs if " with_" not in job}
    pixels = {f"cache_pixels 48 {folder}" for folder in FOLDERS if folder.split("/")[1] in CLASSES["binary"]}
    assert others == {*pixels, "plan_augmentation binary 0 3", "describe_networks", *REPORTS}
    assert set(each_key_changed.epochs_of) == {f"train_model {experiment_of(key)} 0" for key in EXPERIMENT_KEYS}


@pytest.fixture(scope="module")
def with_phantoms(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on drawn phantoms."""
    folder = tmp_path_factory.mktemp("phantoms")
    copy_project(project, folder)
    phantoms = {"train_per_class": 10, "test_per_class": 5, "seed": 5}
    write_config(folder / "table.yaml", {**CONFIG, "images": None, "phantoms": phantoms})
    fake_run(folder, "table.yaml")
    return folder


PHANTOM_KEYS = {"train_per_class": 5, "test_per_class": 10, "seed": 10}  # as sets of numbers, two are as before


@pytest.mark.parametrize("key", [pytest.param(key, id=f"phantoms.{key} -> all -> 4 epochs") for key in PHANTOM_KEYS])
def test_rerun_table_of_phantoms(with_phantoms: Path, tmp_path: Path, key: str) -> None:
    plan = planned(with_phantoms, Row(key, set(), config={"phantoms": {key: PHANTOM_KEYS[key]}}), tmp_path)
    assert plan.jobs == {*onwards("index_images"), "make_phantoms"}
    assert plan.epochs == 4


DRAWN = [
    Row(
        "the code of make_phantoms.py",
        {*onwards("index_images"), "make_phantoms"},
        0,
        edit=body_changed("make_phantoms"),
    ),
]


@pytest.mark.parametrize("row", rows_as_parameters(DRAWN))
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
    write_config(folder / "table.yaml", {**CONFIG, "images": "study", "image_list": "list.csv", "weights": "imagenet"})
    fake_run(folder, "table.yaml")
    return folder


FETCHED = [
    Row("image_sources", set(), 0, {"image_sources": ["https://example.org/{path}"]}),
    Row("weights_sources", set(), 0, {"weights_sources": ["https://example.org/{path}"]}),
    Row(
        "the code of fetch_images.py", {*onwards("index_images"), "fetch_images"}, 0, edit=body_changed("fetch_images")
    ),
    Row(
        "the code of fetch_weights.py",
        {*retrained("multiclass"), "fetch_weights MobileNet"},
        0,
        edit=body_changed("fetch_weights"),
    ),
]


@pytest.mark.parametrize("row", rows_as_parameters(FETCHED))
def test_rerun_table_of_fetched_files(with_fetched_files: Path, tmp_path: Path, row: Row) -> None:
    plan = planned(with_fetched_files, row, tmp_path)
    assert sorted(plan.jobs) == sorted(row.jobs)
    assert plan.epochs == row.epochs


def keys_of_schema(project: Path) -> set[str]:
    """The keys of config.yaml that hold values, `experiment.` in front of those of experiments."""
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
    rows = {re.split("[:,]", row.change)[0] for row in [*KEYS, *MORE, *FETCHED]}
    rows |= {f"experiment.{key}" for key in EXPERIMENT_KEYS} | {f"phantoms.{key}" for key in PHANTOM_KEYS}
    sections = {"experiments", "extras", "override", "experiment_defaults"}  # their keys have rows
    assert sorted(keys_of_schema(project) - rows - sections) == []


def test_rerun_table_has_a_row_for_the_code_of_each_stage(project: Path) -> None:
    rows = [re.fullmatch(r"the code of (\w+)\.py", row.change) for row in [*EDITS, *FETCHED, *DRAWN]]
    rules = "".join(file.read_text() for file in sorted((project / "workflow/rules").glob("*.smk")))
    assert sorted(row[1] for row in rows if row) == sorted(re.findall(r'code=code_hash\("cxrflow\.(\w+)"\)', rules))


def embedding_timed_and_its_code_changed(folder: Path) -> None:
    timed = folder / "results/table/benchmarks/embed_features/binary/seed_0.tsv"
    timed.parent.mkdir(parents=True)
    timed.write_text("s\th:m:s\tmax_rss\n9.4\t0:00:09\t210.5\n")
    body_changed("embed_features")(folder)


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
        edit=body_changed("cache_pixels"),
        words=f"{TRAIN}: follows from cache_pixels; trained again if cache_pixels should make something else than before",
    ),
    Row(
        "records lost",
        set(),
        edit=records_lost,
        words="  Build the network of binary once: do its settings go together?: there is no record of how it was made",
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
        edit=replaced_by_an_older_one("examples/demo_claims.csv", b"\n"),
        words="  Judge each statement of examples/demo_claims.csv by its rule: examples/demo_claims.csv has changed",
    ),
    Row(
        "code, of a job whose time is known",
        set(),
        edit=embedding_timed_and_its_code_changed,
        words="  t-SNE of the features of binary, seed 0, and how well the classes separate, about 9 s: its code has changed",
    ),
    Row(
        "code of an earlier job",
        set(),
        edit=body_changed("embed_features"),
        words="  t-SNE of binary, seed 0: follows from embed_features",
    ),
    Row(
        "output lost",
        set(),
        edit=lambda folder: (folder / "results/table/report/index.html").unlink(),
        words="  Write the report, results/table/report/index.html: results/table/report/index.html is not there",
    ),
]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.change) for row in WORDS])
def test_why_a_job_runs(finished: Path, tmp_path: Path, row: Row) -> None:
    lines = planned(finished, row, tmp_path).lines
    assert row.words in lines
    looked = next((n for n, line in enumerate(lines) if line.startswith("only looked at")), len(lines))
    assert (lines.index(row.words) > looked) == (row.change in ("test image", "code that decides"))
