"""What Snakemake plans for a config: dry runs with their exact jobs, and configs that are refused."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cxrflow.io.files import aside
from forked import forked_snakemake
from tiny_run import planned_jobs

RUN = (
    "train_model",
    "evaluate_model",
    "extract_features",
    "embed_features",
    "plot_curves",
    "plot_confusion",
    "plot_embedding",
)
ONCE = dict.fromkeys(
    (
        *("make_phantoms", "index_images", "audit_data", "describe_networks"),
        *("compare_experiments", "assemble_report", "all"),
    ),
    1,
)


PROJECT = Path(__file__).resolve().parents[2]


def jobs(runs: int, tasks: int, pixels: int, manifests: int, **others: int) -> Counter[str]:
    wanted = {
        **ONCE,
        **dict.fromkeys(RUN, runs),
        "split_images": tasks,
        **dict.fromkeys(("check_network", "measure_results", "plot_evaluation"), others.pop("networks", runs)),
        "plot_augmentation": tasks,
        "cache_pixels": pixels,
    }
    return Counter(
        {name: count for name, count in {**wanted, "plan_augmentation": manifests, **others}.items() if count}
    )


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        pytest.param({}, jobs(1, 1, 8, 1), id="one experiment"),
        pytest.param({"only": None}, jobs(3, 2, 8, 2), id="all three"),
        pytest.param({"seeds": 3}, jobs(3, 1, 8, 3, networks=1), id="three seeds"),
        pytest.param({"only": ["binary_inception_v3"]}, jobs(1, 1, 4, 1), id="two classes"),
        pytest.param({"only": ["bac_vir_inception_v3"]}, jobs(1, 1, 4, 1), id="an extra"),
        pytest.param({"only": None, "with_extras": True}, jobs(21, 3, 8, 3), id="all extras"),
        pytest.param(
            {"claims": f"{PROJECT}/studies/sha_2021/claims.csv"}, jobs(1, 1, 8, 1, score_claims=1), id="claims"
        ),
        pytest.param({"weights": "imagenet"}, jobs(1, 1, 8, 1, fetch_weights=1), id="weights of Keras"),
        pytest.param({"augmentation": "none"}, jobs(1, 1, 8, 1, plot_augmentation=0), id="no augmentation"),
        pytest.param(
            {"patients": {"pattern": r"^(?P<who>\w{3})_"}, "remarks": ["of {some} <kind>"]},
            jobs(1, 1, 8, 1),
            id="braces in values",
        ),
        pytest.param(
            {"seeds": 3, "explain": "one_seed"},
            jobs(3, 1, 8, 3, networks=1, explain_model=1, plot_explanations=1),
            id="one of three networks explained",
        ),
        pytest.param(
            {"seeds": 3, "explain": "all_seeds", "embed_images": "none"},
            jobs(3, 1, 8, 3, networks=1, explain_model=3, plot_augmentation=0),
            id="all networks explained, no pictures",
        ),
        pytest.param(
            {"folds": 3, "repeats": 2},
            jobs(1, 1, 8, 7, train_model=7, evaluate_model=7, split_folds=2, measure_folds=1),
            id="cross-validation",
        ),
        pytest.param({"embed_images": "none"}, jobs(1, 1, 8, 1, plot_augmentation=0), id="no pictures"),
        pytest.param(
            {"seeds": 3, "external": f"{PROJECT}/docs/images"},
            jobs(3, 1, 8, 3, networks=1, index_external=1, evaluate_external=3, measure_external=1),
            id="an external test",
        ),
        pytest.param(
            {
                "only": None,
                "experiments": {
                    "mine": {
                        "like": "multiclass_mobilenet",
                        "backbone": "EfficientNetB0",
                        "image_size": 64,
                        "epochs": 3,
                    }
                },
            },
            jobs(4, 2, 8, 2),
            id="one more experiment: the override also applies to it",
        ),
        pytest.param(
            {
                "only": None,
                "override": {"batch_size": 5},
                "experiments": {
                    "multiclass_mobilenet": {"image_size": 64, "epochs": 3, "seeds": [7]},
                    "multiclass_inception_v3": {"image_size": 96, "epochs": 3},
                    "binary_inception_v3": {"image_size": 96, "epochs": 5},
                },
            },
            jobs(3, 2, 16, 3),
            id="different sizes, epochs and seeds",
        ),
    ],
)
def test_dry_runs(
    snakemake: Any, overlay: Callable[..., str], tmp_path: Path, changes: dict[str, Any], wanted: Counter[str]
) -> None:
    plan = snakemake(tmp_path, "-n", "--quiet", "rules", "--configfile", overlay(**changes))
    assert planned_jobs(plan) == wanted


def test_the_study_is_planned_for_a_folder_of_images(snakemake: Any, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    plan = snakemake(tmp_path, "-n", "--quiet", "rules", "--config", "images=images")
    wanted = jobs(3, 2, 8, 3, make_phantoms=0, score_claims=1, fetch_weights=2, explain_model=3, plot_explanations=3)
    assert planned_jobs(plan) == wanted


def test_outside_problem_a_dry_run_reports_a_missing_folder_of_images(snakemake: Any, tmp_path: Path) -> None:
    plan = snakemake(tmp_path, "-n", "--config", "images=nowhere")
    assert plan.returncode != 0 and "images: nowhere: no such folder; name the folder" in plan.stdout + plan.stderr
    command = [sys.executable, "-m", "cxrflow.run.why", "-s", str(PROJECT / "Snakefile"), "--config", "images=nowhere"]
    why = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert why.returncode == 1 and why.stdout == "" and why.stderr.count("\n") == 1
    assert why.stderr.startswith("error: images: nowhere: no such folder; name the folder that contains train/<class>/")


def test_the_study_is_planned_from_nothing(snakemake: Any, tmp_path: Path) -> None:
    plan = snakemake(tmp_path, "-n", "--quiet", "rules")
    fetched = {"fetch_weights": 2, "fetch_images": 1}
    wanted = jobs(3, 2, 8, 3, make_phantoms=0, score_claims=1, **fetched, explain_model=3, plot_explanations=3)
    assert planned_jobs(plan) == wanted


def test_outside_problem_yaml_that_snakemake_reads_in_another_way_is_turned_away(
    snakemake: Any, tmp_path: Path
) -> None:
    """Snakemake reads the file itself, as `true` and 8."""
    (tmp_path / "o.yaml").write_text("override: {epochs: 010}\nname: a\nname: b\n")
    run = snakemake(tmp_path, "-n", "--configfile", f"{tmp_path}/o.yaml", "--config", "tsne={seed: 1, seed: 2}")
    assert run.returncode != 0 and "Traceback" not in run.stdout + run.stderr
    for reported in (
        "o.yaml: line 1: override.epochs: 010: ",
        "o.yaml: line 3: name: given twice",
        "tsne.seed: given twice",
    ):
        assert reported in run.stdout


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        ({"resampling": "neerest"}, ["resampling: 'neerest' is not allowed", "did you mean 'nearest'?"]),
        ({"learning_rte": 1, "seeds": -1}, ["learning_rte: unknown key", "seeds: -1: at least 1 seed"]),
        ({"phantoms": None}, ["image_list: missing; with `images: published` it is a CSV"]),
        ({"phantoms": None, "images": None}, ["images: missing; name the folder"]),
        ({"weights": "/nowhere/weights"}, ["weights: /nowhere/weights: no such file or folder"]),
        ({"claims": "nowhere.csv"}, ["claims: nowhere.csv: no such file"]),
        ({"split": "nowhere.csv"}, ["split: nowhere.csv: no such file"]),
        ({"lungs": "nowhere.csv"}, ["lungs: nowhere.csv: no such file"]),
        ({"external": "nowhere"}, ["external: nowhere: no such folder or file"]),
        ({"image_list": "nowhere.csv"}, ["image_list: nowhere.csv: no such file"]),
    ],
)
def test_an_invalid_config_is_refused_before_any_job(
    overlay: Callable[..., str], tmp_path: Path, changes: dict[str, Any], reported: list[str]
) -> None:
    named = ["-s", str(PROJECT / "Snakefile"), "-d", str(tmp_path), "--configfile", overlay(**changes)]
    run = forked_snakemake(PROJECT, named)
    assert run.returncode != 0
    output = run.stdout + run.stderr
    assert [text for text in reported if text not in output] == []
    assert "Traceback" not in output and "rule " not in output.replace("in rule", "")
    assert not (tmp_path / "results").exists()


def test_outside_problem_27_a_run_removes_what_killed_processes_left(
    snakemake: Any, overlay: Callable[..., str], tmp_path: Path
) -> None:
    """Even in places where it writes nothing; files of a running process stay."""
    folders = ["tiny", "tiny/runs/another/seed_0", "checkpoints/0123456789abcdef", "weights", "images"]
    code = "import sys; from pathlib import Path; from cxrflow.io.files import aside; print(aside(Path('x.json')).name)"
    name = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    living = tmp_path / "results/tiny" / aside(Path("x.json")).name
    left = [tmp_path / "results" / folder / name for folder in folders]
    for file in (*left, living):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    run = snakemake(tmp_path, "--cores", "1", "--configfile", overlay(), "--until", "make_phantoms")
    assert run.returncode == 0, run.stderr
    assert [file for file in left if file.exists()] == [] and living.exists()


def test_outside_problem_planning_needs_no_home(
    snakemake: Any, overlay: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for home in ("/dev/null/home", None):
        monkeypatch.setenv("HOME", home) if home else monkeypatch.delenv("HOME")
        assert planned_jobs(snakemake(tmp_path, "-n", "--quiet", "rules", "--configfile", overlay())) == jobs(
            1, 1, 8, 1
        )
