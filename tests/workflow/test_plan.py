"""What Snakemake plans for a config: dry runs, each with the exact jobs; and configs that are turned away."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
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
ONCE = {"make_phantoms": 1, "index_images": 1, "audit_data": 1, "describe_networks": 1, "assemble_report": 1, "all": 1}


def jobs(runs: int, tasks: int, pixels: int, manifests: int, **others: int) -> Counter[str]:
    wanted = {
        **ONCE,
        **dict.fromkeys(RUN, runs),
        "split_images": tasks,
        "check_network": others.pop("networks", runs),
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
        pytest.param({"claims": "study"}, jobs(1, 1, 8, 1, score_claims=1), id="claims"),
        pytest.param({"weights": "imagenet"}, jobs(1, 1, 8, 1, fetch_weights=1), id="weights of Keras"),
        pytest.param({"augmentation": "none"}, jobs(1, 1, 8, 1, plot_augmentation=0), id="no augmentation"),
        pytest.param(
            {"patients": {"pattern": r"^(?P<who>\w{3})_"}, "remarks": ["of {some} <kind>"]},
            jobs(1, 1, 8, 1),
            id="braces in values",
        ),
        pytest.param({"embed_images": "none"}, jobs(1, 1, 8, 1, plot_augmentation=0), id="no pictures"),
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
            id="one more experiment: the override holds for it too",
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
            id="sizes, epochs and seeds of their own",
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
    wanted = jobs(3, 2, 8, 3, make_phantoms=0, score_claims=1, fetch_weights=2)
    assert planned_jobs(plan) == wanted


def test_the_study_is_planned_from_nothing(snakemake: Any, tmp_path: Path) -> None:
    plan = snakemake(tmp_path, "-n", "--quiet", "rules")
    wanted = jobs(3, 2, 8, 3, make_phantoms=0, score_claims=1, fetch_weights=2, fetch_images=1)
    assert planned_jobs(plan) == wanted


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"resampling": "neerest"}, ["resampling: 'neerest' is not allowed", "did you mean 'nearest'?"]),
        ({"learning_rte": 1, "seeds": -1}, ["learning_rte: unknown key", "seeds: -1: at least 1 seed"]),
        ({"phantoms": None}, ["image_list: missing; `images: study` fetches the files of a list"]),
        ({"phantoms": None, "images": None}, ["images: missing; name the folder"]),
        ({"weights": "/nowhere/weights"}, ["weights: /nowhere/weights: no such file or folder"]),
        ({"claims": "nowhere.csv"}, ["claims: nowhere.csv: no such file"]),
        ({"split": "nowhere.csv"}, ["split: nowhere.csv: no such file"]),
        ({"image_list": "nowhere.csv"}, ["image_list: nowhere.csv: no such file"]),
    ],
)
def test_a_wrong_config_is_turned_away_before_any_job(
    snakemake: Any, overlay: Callable[..., str], tmp_path: Path, changes: dict[str, Any], told: list[str]
) -> None:
    run = snakemake(tmp_path, "--configfile", overlay(**changes))
    assert run.returncode != 0
    output = run.stdout + run.stderr
    assert [text for text in told if text not in output] == []
    assert "Traceback" not in output and "rule " not in output.replace("in rule", "")
    assert not (tmp_path / "results").exists()
