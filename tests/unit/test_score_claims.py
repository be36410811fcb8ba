"""All claims of the study on made results: complete ones, ones of two epochs, and ones with missing parts."""

import csv
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from claims_study import Made, write_claims
from cxrflow.claims.load import load_claims
from cxrflow.claims.model import RESULT_KINDS, VERDICTS
from cxrflow.claims.registry import MEASURES
from cxrflow.claims.results import Results
from cxrflow.claims.scorecard import SCORECARD, headline, score
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json, write_json, write_table
from cxrflow.stages import score_claims
from cxrflow.study.read import read_config
from cxrflow.study.settings import experiment_settings
from study_config import study_config

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = ROOT / "studies/sha_2021/claims.csv"
DEMO = ROOT / "studies/demo/claims.csv"
BINARY, INCEPTION, MOBILENET = "binary_inception_v3", "multiclass_inception_v3", "multiclass_mobilenet"
STUDY = {BINARY: 90, INCEPTION: 350, MOBILENET: 370}
CLASSES = {2: ["covid", "normal"], 4: ["covid", "normal", "pneumonia_bac", "pneumonia_vir"]}
BACKBONES = {"InceptionV3": (311, [5, 5, 2048], 21802784), "MobileNet": (86, [7, 7, 1024], 3228864)}
BUILT = {  # parameters of head, last hidden layer, output; total, trainable, non-trainable
    BINARY: ("InceptionV3", (262272, 4128, 33), (22069217, 19892801, 2176416)),
    INCEPTION: ("InceptionV3", (26280576, 2064, 68), (48085492, 43649684, 4435808)),
    MOBILENET: ("MobileNet", (25756288, 4128, 132), (28989412, 28953508, 35904)),
}
CONFIG = read_config({**study_config(), "images": "."})
EVERY = {**CONFIG.experiments, **CONFIG.extras}


def make_study(
    folder: Path,
    epochs: dict[str, int],
    seeds: int = 6,
    extras: bool = False,
    override: Any = None,
    tested: int | None = None,
) -> Made:
    """Results of the study with noisy rising and falling curves; `tested` is the evaluated epoch of all networks."""
    made = Made(folder)
    config = read_config({**study_config(), "images": ".", "override": override or {}})
    made.settings = {
        **config.model_dump(mode="json", exclude={"experiments", "extras"}),
        "experiments": {name: experiment_settings(config, name) for name in EVERY},
    }
    for name in [*epochs, *(CONFIG.extras if extras else [])]:
        like = next((one for one in STUDY if name.startswith(one)), INCEPTION)
        for seed in range(seeds):
            make_run(made, name, seed, epochs.get(name, STUDY[like]), tested)
    made.networks["experiments"] = {name: built(name) for name in epochs if name in BUILT}
    made.networks["backbones"] = {
        "InceptionV3": {"with_top": 23851784, "without_top": 21802784},
        "VGG16": {"with_top": 138357544, "without_top": 14714688},
    }
    made.audit = {
        **{"formats": {"covid": {"JPEG": 40, "PNG": 29}}, "width": [255, 3342], "height": [249, 4095]},
        **{"images": 306, "file_kinds": {"JPEG 255x249 RGB": 306}},
    }
    return made


def make_run(made: Made, name: str, seed: int, epochs: int, tested: int | None) -> None:
    random = np.random.default_rng([seed, len(name)])
    classes = made.settings["experiments"][name]["classes"]
    climb = 1 - np.exp(-np.arange(1, epochs + 1) / 30)
    wide = 0.05 if "mobilenet" in name else 0.02
    curves = {
        "loss": 1.5 - 1.3 * climb + 0.01 * random.normal(size=epochs),
        "val_loss": 1.4 - 1.2 * climb + wide * random.normal(size=epochs),
        "accuracy": np.clip(0.4 + 0.55 * climb + 0.01 * random.normal(size=epochs), 0, 1),
        "val_accuracy": np.clip(0.4 + 0.6 * climb + wide * random.normal(size=epochs), 0, 1),
    }
    images = 9 * len(classes)
    truth = np.repeat(classes, 9)
    chosen = np.where(random.random(images) < 0.75, truth, random.choice(classes, images))
    correct = int((truth == chosen).sum())
    metrics = {"images": images, "correct": correct, "accuracy": correct / images, "loss": 0.5 + 0.1 * random.random()}
    share = (1 - 0.6) / (len(classes) - 1)
    separation = {
        **{"images": 130, "k": 5, "same_class_share": 0.92, "silhouette": 0.4, "mostly_other_neighbours": 4},
        "neighbour_shares": {one: {two: 0.6 if one == two else share for two in classes} for one in classes},
        "pairs": {f"{one}|{two}": 0.7 for one in classes for two in classes if one < two},
    }
    selected = ("number", tested) if tested else None
    made.run(name, seed, epochs, metrics=metrics, separation=separation, selected=selected, **curves)
    names = [f"test/{one}/{place % 9}.png" for place, one in enumerate(truth)]
    table = pd.DataFrame({"image": names, "class": truth, "predicted": chosen})
    for one in classes:
        table[f"p_{one}"] = np.where(chosen == one, 0.7, 0.3 / (len(classes) - 1))
    write_table(made.folder / "runs" / name / f"seed_{seed}" / "predictions.csv", table)


def built(name: str) -> dict[str, Any]:
    backbone, (head, hidden, output), (total, trainable, frozen) = BUILT[name]
    layers, shape, parameters = BACKBONES[backbone]
    counts = {"backbone": parameters, "head": head, "last_hidden": hidden, "output": output}
    return {
        **{"backbone": backbone, "backbone_layers": layers, "backbone_output_shape": shape},
        "blocks": [{"block": block, "parameters": count} for block, count in counts.items()],
        "parameters": {"total": total, "trainable": trainable, "non_trainable": frozen},
        "layer_kinds": {"Conv2D": 94} if backbone == "InceptionV3" else {"Conv2D": 14, "DepthwiseConv2D": 13},
        "first_dense_parameters": {"average": 262272, "flatten": 6553728},
    }


def scored(made: Made, claims: Path = CLAIMS) -> pd.DataFrame:
    scorecard = score(load_claims(claims), made.results()).set_index("id")
    check_scorecard(scorecard, claims)
    return scorecard


def check_scorecard(scorecard: pd.DataFrame, claims: Path) -> None:
    """Check every scorecard: all rows in order, known verdicts, reasons, and nothing unreadable."""
    rows = pd.read_csv(claims, dtype=str, keep_default_na=False)
    assert scorecard.index.tolist() == rows["id"].tolist()
    assert set(scorecard["verdict"]) <= set(VERDICTS)
    assert scorecard["reason"].str.len().gt(0).all()
    for column in ("this_run", "difference", "reason"):
        unreadable = scorecard[column].str.contains(
            r"\bnan\b|None|np\.|float64|array|\binf\b|e-\d\d|\d{8}\d*\.", regex=True
        )
        assert not unreadable.any(), scorecard.loc[unreadable, column].tolist()
    pd.to_numeric(scorecard.loc[scorecard["difference"] != "", "difference"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_study(tmp_path_factory.mktemp("whole"), STUDY)


@pytest.fixture(scope="module")
def scorecard(whole: Made) -> pd.DataFrame:
    return scored(whole)


def verdicts_of(scorecard: pd.DataFrame, kind: str) -> set[str]:
    return set(scorecard.loc[scorecard["kind"] == kind, "verdict"])


def test_the_whole_study_is_scored(scorecard):
    assert len(scorecard) == 117
    assert verdicts_of(scorecard, "architecture") == {"exact"}
    assert verdicts_of(scorecard, "text") == {"contradicted", "consistent"}
    assert verdicts_of(scorecard, "search") == {"not run"}
    for kind in RESULT_KINDS:
        assert verdicts_of(scorecard, kind) <= {"consistent", "not excluded", "differs", "undecided"}
        assert "consistent" in verdicts_of(scorecard, kind) or kind == "outcome"
    assert scorecard.loc["png_224", "verdict"] == "differs"
    assert scorecard.loc["multi_test_images", "verdict"] == "exact"
    assert scorecard.loc["binary_epochs", "verdict"] == "as configured"
    assert scorecard.loc["augmentation", "verdict"] == "as configured"
    settings = scorecard[scorecard["kind"] == "setting"]
    assert set(settings["verdict"]) == {"as configured"}


def test_the_tables_contradict_the_text_and_the_built_networks_confirm_it(scorecard):
    reasons = scorecard["reason"]
    assert reasons["text_hidden_32"] == (
        "the 2,064 parameters of multi_inception_hidden_params are those of 16 units; so do the networks built here"
    )
    assert reasons["text_4125"] == "multi_mobilenet_frozen_params says 35,904; so do the networks built here"
    assert reasons["text_vgg16_params"] == (
        "21,802,784 against 14,714,688 without top, as used; with top it is 23,851,784 against 138,357,544"
    )
    assert "it is multi_inception_base_params that has 21,802,784" in reasons["text_output_layer_params"]


def test_after_two_epochs_no_claim_of_the_study_is_judged(tmp_path):
    made = make_study(tmp_path, dict.fromkeys(STUDY, 2), seeds=1, override={"epochs": 2})
    scorecard = scored(made)
    for kind in (*RESULT_KINDS, "search"):
        assert verdicts_of(scorecard, kind) == {"not run"}
    assert scorecard.loc["binary_val_loss_until_80", "reason"] == "trained 2 epochs, the rule needs 90"
    assert re.match(r"0\.\d+ \(\d+ of 18\)$", scorecard.loc["binary_test_accuracy", "this_run"])
    assert scorecard.loc["binary_epochs", ["verdict", "this_run", "difference"]].tolist() == ["differs", "2", "-88"]
    assert verdicts_of(scorecard, "architecture") == {"exact"}


def test_few_seeds_decide_no_outcome(tmp_path):
    scorecard = scored(make_study(tmp_path, STUDY, seeds=1))
    assert verdicts_of(scorecard, "outcome") == {"undecided"}
    assert scorecard.loc["inception_better", "verdict"] == "undecided"


def test_a_single_experiment(tmp_path):
    scorecard = scored(make_study(tmp_path, {BINARY: 90}, seeds=1))
    about_others = scorecard[~scorecard["experiment"].str.contains(BINARY) & (scorecard["kind"] != "text")]
    assert set(about_others["verdict"]) == {"not run"}
    assert scorecard.loc["image_size", "verdict"] == "as configured"
    assert scorecard.loc["image_size", "reason"].endswith(f"{INCEPTION} and {MOBILENET} not run")
    assert verdicts_of(scorecard, "text") == {"contradicted", "consistent"}


def test_searches_are_judged_once_their_extras_have_run(tmp_path):
    scorecard = scored(make_study(tmp_path, STUDY, seeds=2, extras=True))
    searches = scorecard[scorecard["kind"] == "search"]
    assert len(searches) == 8
    assert set(searches["verdict"]) <= {"consistent", "differs", "undecided"}


def test_mobilenet_of_220_epochs_has_no_later_minimum(tmp_path):
    scorecard = scored(make_study(tmp_path, {MOBILENET: 220}, seeds=1))
    late = scorecard.loc[["multi_mobilenet_minimum_250", "multi_mobilenet_minimum_350"]]
    assert late["reason"].tolist() == [
        "trained 220 epochs, the rule needs 261",
        "trained 220 epochs, the rule needs 361",
    ]
    others = scorecard[(scorecard["kind"] == "curve") & (scorecard["experiment"] == MOBILENET)].drop(late.index)
    assert "not run" not in set(others["verdict"])


def test_mobilenet_trained_further_and_tested_at_220(tmp_path):
    """Its later curve is judged; its outcome, features and setting are those of the study."""
    override = {"epochs": 350, "selected_epoch": 220}
    scorecard = scored(make_study(tmp_path, {MOBILENET: 350}, override=override, tested=220))
    verdicts, reasons = scorecard["verdict"], scorecard["reason"]
    assert verdicts["multi_mobilenet_epochs"] == "as configured"
    assert reasons["multi_mobilenet_minimum_250"].startswith("the rule holds in ")
    assert reasons["multi_mobilenet_minimum_350"] == "trained 350 epochs, the rule needs 361"
    assert "; trained 350 epochs, tested at 220" in reasons["multi_mobilenet_test_accuracy"]
    about = scorecard[(scorecard["experiment"] == MOBILENET) & scorecard["kind"].isin(["outcome", "features"])]
    assert len(about) == 6
    assert "not run" not in set(about["verdict"])


def test_another_augmentation_differs(whole):
    made = Made(whole.folder, whole.selected, {**whole.settings}, whole.networks, whole.audit)
    made.settings["augmentation"] = {**made.settings["augmentation"], "rotation_range": 10, "vertical_flip": False}
    found = scored(made).loc["augmentation"]
    assert found["verdict"] == "differs"
    assert found["this_run"] == "rotation_range 10, not 50; vertical_flip false, not true"


def test_the_headline_counts_results_and_other_claims_separately(scorecard):
    counts = headline(scorecard)
    assert (counts["claims"], counts["results"], counts["apart"]) == (117, 53, 64)
    assert list(counts["verdicts"]) == list(VERDICTS)
    assert sum(counts["verdicts"].values()) == 53
    assert {kind: sum(verdicts.values()) for kind, verdicts in counts["by_kind"].items()} == (
        scorecard["kind"].value_counts().to_dict()
    )
    assert list(counts["by_kind"])[:4] == list(RESULT_KINDS)
    assert counts["by_kind"]["text"]["contradicted"] == 4
    assert headline(scorecard.iloc[:0])["by_kind"] == {}


def command(monkeypatch: pytest.MonkeyPatch, made: Made, claims: Path, **changes: str) -> Path:
    write_json(made.folder / "networks.json", made.networks)
    write_json(made.folder / "audit.json", made.audit)
    write_json(made.folder / "settings.json", made.settings)
    write_json(made.folder / "selected.json", made.selected)
    for task in ("binary", "multiclass"):
        write_table(made.folder / "split" / f"{task}.csv", pd.DataFrame({"image": ["unknown"], "patient": [""]}))
    flags = {
        "--claims": str(claims),
        "--settings": str(made.folder / "settings.json"),
        "--selected": str(made.folder / "selected.json"),
        "--runs": str(made.folder / "runs"),
        "--networks": str(made.folder / "networks.json"),
        "--splits": str(made.folder / "split"),
        "--audit": str(made.folder / "audit.json"),
        "--scorecard": str(made.folder / "out" / "scorecard.csv"),
        **changes,
    }
    monkeypatch.setattr("sys.argv", ["score_claims.py", *(word for flag in flags.items() for word in flag)])
    score_claims.main()
    return made.folder / "out" / "scorecard.csv"


def test_the_stage_writes_the_scorecard_and_prints_the_verdicts(whole, scorecard, monkeypatch, capsys):
    monkeypatch.setattr("cxrflow.stages.score_claims.Results", partial(Results, null_runs=0, noisy_copies=0))
    path = command(monkeypatch, whole, CLAIMS)
    read = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert read.columns.tolist() == list(SCORECARD)
    pd.testing.assert_frame_equal(read.set_index("id"), scorecard, check_dtype=False)
    assert re.match(r"117 claims; of 53 results \d+ consistent, ", capsys.readouterr().out)
    before = path.read_bytes()
    assert command(monkeypatch, whole, CLAIMS).read_bytes() == before


def test_the_stage_refuses_an_experiment_that_the_settings_do_not_have(whole, monkeypatch, tmp_path):
    write_json(tmp_path / "selected.json", {"other": [0]})
    with pytest.raises(UserError, match="the settings have no experiment 'other'"):
        command(monkeypatch, whole, CLAIMS, **{"--selected": str(tmp_path / "selected.json")})


def test_a_claim_of_a_user(whole, tmp_path):
    rows = list(csv.DictReader(DEMO.read_text(encoding="utf-8").splitlines(keepends=True)))[:1]
    arguments = json.dumps({"curve": "val_accuracy", "epoch": 10, "level": 0.2})
    mine = {**rows[0], "id": "mine", "kind": "curve", "measure": "level_at_epoch", "arguments": arguments}
    write_claims(tmp_path / "mine.csv", mine)
    assert scored(whole, tmp_path / "mine.csv").loc["mine", "this_run"].endswith("holds in 6 of 6 seeds")


def test_the_demo_claims_on_made_phantoms(tmp_path):
    made = make_study(tmp_path, dict.fromkeys(STUDY, 12), seeds=6)
    for file in (tmp_path / "runs").glob("*/*/metrics.json"):
        write_json(file, {**read_json(file), "accuracy": 0.95})
    scorecard = scored(made, DEMO)
    of_six_seeds = scorecard["experiment"] == "binary_mobilenet"
    assert set(scorecard.loc[~of_six_seeds, "verdict"]) == {"consistent", "exact", "as configured"}
    assert set(scorecard.loc[of_six_seeds, "verdict"]) == {"not run"}
    assert scorecard["statement"].str.contains("phantom").all()
    for claim in load_claims(DEMO):
        assert claim.kind == MEASURES[claim.measure].kind
