"""An external test: its images and labels, what it shares with the study, and the drops of metrics."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cxrflow.evaluation.experiments import measure_experiment, read_experiment
from cxrflow.evaluation.external import drop_rows, measure_external, shared_images
from cxrflow.evaluation.metrics import prediction_table
from cxrflow.images.external import external_fingerprint, list_external, read_external
from cxrflow.io.errors import UserError
from cxrflow.report.inputs import read_external_results
from cxrflow.report.page import render_page
from cxrflow.run.images import check_external
from cxrflow.stages.index_external import main as index_external
from cxrflow.stages.measure_external import main as measure_stage
from made_images import index_images
from made_results import made_config, made_inputs, make_results

CLASSES = ["covid", "normal"]
PAGE = Path(__file__).resolve().parents[2] / "workflow/report/page"


@pytest.fixture
def elsewhere(tmp_path: Path, draw: Callable[..., None]) -> Path:
    """Three images of each class and two of another, in folders of subsets, and one outside of the class folders."""
    folder = tmp_path / "elsewhere"
    for seed, place in enumerate(("train/covid", "test/normal", "normal/sub", "Testing/pneumonia")):
        for number in range({"train/covid": 3, "normal/sub": 1}.get(place, 2)):
            draw(folder / place / f"{number}.png", 5000 + 10 * seed + number)
    draw(folder / "alone.png", 5100)
    return folder


def of_folder(path: Path, classes: list[str]) -> pd.DataFrame:
    return list_external(path, read_external(path), classes)


def test_labels_of_a_folder_are_its_class_folders(elsewhere: Path) -> None:
    external = read_external(elsewhere)
    listed = list_external(elsewhere, external, CLASSES)
    assert dict(zip(listed["image"], listed["class"], strict=True)) == {
        **{f"train/covid/{number}.png": "covid" for number in range(3)},
        **dict.fromkeys(("test/normal/0.png", "test/normal/1.png", "normal/sub/0.png"), "normal"),
    }
    assert external.others(CLASSES)["class"].tolist() == ["pneumonia"] * 2
    assert external.remarks == [f"external: {elsewhere}: 1 image outside of class folders left out: alone.png"]


def test_a_list_names_labels_and_patients(elsewhere: Path) -> None:
    file = elsewhere / "list.csv"
    rows = ["train/covid/0.png,covid,anna,fold 1", "test/normal/0.png,normal,,fold 2", "alone.png,other,,"]
    file.write_text("\n".join(["path,label,PatientID,split", *rows, ""]))
    external = read_external(file)
    listed = list_external(file, external, CLASSES)
    assert listed[["image", "class", "patient"]].fillna("").to_numpy().tolist() == [
        ["test/normal/0.png", "normal", ""],
        ["train/covid/0.png", "covid", "anna"],
    ]
    assert external.root == elsewhere and list(external.stamps) == [
        "alone.png",
        "test/normal/0.png",
        "train/covid/0.png",
    ]


@pytest.mark.parametrize(
    ("rows", "reported"),
    [
        (["path,finding", "a.png,covid"], ["list.csv: no column `label`; to use `finding`: rename `finding`"]),
        (
            ["path,label", "a.png,covid", "b.png,Covid", "c.png,"],
            [
                "list.csv: label 'Covid' is not a class",
                "list.csv: no label (1 image, c.png)",
                "found , Covid, covid; add",
            ],
        ),
        (
            ["path,label", "a.png,covid", "a.png,covid", "../b.png,normal"],
            ["list.csv: a.png: listed twice", "'../b.png': must be a file below the folder of the images"],
        ),
        (["path,label", "a.png,covd"], ["did you mean 'covid'?", "list.csv: found covd; add images of each class"]),
        (["path,label"], ["list.csv: no image of class covid", "list.csv: no image of class normal", "found nothing"]),
    ],
)
def test_all_errors_of_a_list_are_reported_together(tmp_path: Path, rows: list[str], reported: list[str]) -> None:
    file = tmp_path / "list.csv"
    file.write_text("\n".join([*rows, ""]))
    with pytest.raises(UserError) as found:
        of_folder(file, CLASSES)
    text = "\n".join(found.value.messages)
    assert [one for one in reported if one not in text] == []
    assert all(message.startswith(f"external: {file}: ") for message in found.value.messages)


def test_what_is_missing_is_named(elsewhere: Path) -> None:
    with pytest.raises(
        UserError, match=r"external: .*nowhere: no such folder or file; allowed: a folder with <class>/"
    ):
        read_external(elsewhere / "nowhere")
    with pytest.raises(UserError) as found:
        of_folder(elsewhere, ["covid", "normals", "bacterial"])
    assert found.value.messages == [
        f"external: {elsewhere}: no image of class bacterial",
        f"external: {elsewhere}: no image of class normals; did you mean 'normal'?",
        f"external: {elsewhere}: found covid, normal, pneumonia; add images of each class, or choose experiments with other "
        "classes by `only`",
    ]


def test_the_doctor_counts_the_images_without_opening_them(elsewhere: Path) -> None:
    (elsewhere / "train/covid/0.png").write_bytes(b"broken")
    config = made_config(external=str(elsewhere), only=["binary_inception_v3"])
    (check,) = check_external(config)
    assert (check.level, check.subject) == ("ok", "external")
    assert check.text == f"{elsewhere}: covid 3, normal 3; 2 images of other classes are left out"
    assert {one.level for one in check_external(made_config(external=str(elsewhere)))} == {"error"}
    assert check_external(made_config()) == []
    (elsewhere / "list.csv").write_text("path,label\ntrain/covid/0.png,covid\ngone.png,normal\n")
    listed = made_config(external=f"{elsewhere}/list.csv", only=["binary_inception_v3"])
    assert [(one.level, "1 image not found: gone.png" in one.text) for one in check_external(listed)] == [
        ("error", True)
    ]


def run(monkeypatch: pytest.MonkeyPatch, main: Callable[[], None], **flags: Any) -> None:
    words = [word for key, value in flags.items() for word in (f"--{key.replace('_', '-')}", *map(str, value))]
    monkeypatch.setattr(sys, "argv", ["stage", *words])
    main()


def test_the_index_has_all_images_and_remembers_them(
    elsewhere: Path, tmp_path: Path, draw: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    record, index = tmp_path / "seen.json", tmp_path / "images.parquet"
    before = external_fingerprint(elsewhere, record)
    flags: dict[str, Any] = {"external": [elsewhere], "classes": CLASSES, "images": [index], "record": [record]}
    run(monkeypatch, index_external, **flags, fingerprint=[before])
    assert "note: 2 images of other classes are left out: pneumonia 2" in capsys.readouterr().out
    assert pd.read_parquet(index)["status"].value_counts().to_dict() == {"ok": 6, "other class": 2}
    (elsewhere / "train/covid/0.png").touch()
    assert external_fingerprint(elsewhere, record) == before
    draw(elsewhere / "train/covid/0.png", 7000)
    assert external_fingerprint(elsewhere, record) != before
    (elsewhere / "train/covid/0.png").write_bytes(b"broken")
    (elsewhere / "test/normal/0.png").write_bytes(b"broken")
    with pytest.raises(UserError) as found:
        run(monkeypatch, index_external, **flags)
    assert [re.sub(": .*: ", ": … ", one) for one in found.value.messages] == [
        *["external: … not an image file, or of an unsupported kind"] * 2,
        "external: fix these images, or continue with `on_bad_image: skip` (every report will say so)",
    ] or all(one.startswith("external: ") for one in found.value.messages)
    run(monkeypatch, index_external, **flags, settings=[json.dumps({"on_bad_image": "skip"})])
    assert (pd.read_parquet(index)["status"] == "unreadable").sum() == 2


@pytest.fixture
def tested(image_folder: Path, tmp_path: Path, draw: Callable[..., None]) -> dict[str, Any]:
    """Two networks with predictions of four test images and of five external ones, one of which was trained on.

    The external images have the ids of images of the study.
    """
    other = tmp_path / "other"
    for number, name in enumerate(
        ("test/covid/covid_t0", "test/covid/covid_t1", "test/normal/normal_t0", "test/normal/n")
    ):
        draw(other / f"{name}.png", 8000 + number)
    (other / "test/normal/same.bmp").write_bytes((image_folder / "train/normal/normal_1.png").read_bytes())
    images, _ = index_images(image_folder, CLASSES)
    subset = images["image"].str.partition("/")[0].map({"train": "training", "test": "test"})
    subset[images["image"].str.endswith("_0.png")] = "validation"
    split = images[["image", "class"]].assign(subset=subset, patient=images["image"])
    external = of_folder(other, CLASSES)
    external, _ = index_images_of(other, external)
    external.loc[external["class"] == "covid", "patient"] = "anna"
    runs = tmp_path / "runs"
    for seed in (0, 1):
        folder = runs / f"seed_{seed}"
        folder.mkdir(parents=True)
        (folder / "training.json").write_text(json.dumps({"classes": CLASSES}))
        for name, table in {
            "predictions": split[split["subset"] == "test"],
            "validation_predictions": split[split["subset"] == "validation"],
            "external_predictions": external,
        }.items():
            right = [[0.8, 0.2] if one == "covid" else [0.3, 0.7] for one in table["class"]]
            if name == "external_predictions":
                right[0] = [0.1, 0.9]
            prediction_table(table, pd.DataFrame(right).to_numpy(), CLASSES).to_csv(folder / f"{name}.csv", index=False)
    internal = measure_experiment(read_experiment(runs, [0, 1], "binary", split), split)
    return {"folder": runs, "split": split, "images": images, "external": external, "internal": internal}


def index_images_of(root: Path, listed: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    from cxrflow.images.index import index_images as index

    return index(root, listed)


def test_images_of_the_study_are_named_and_left_out(tested: dict[str, Any]) -> None:
    shared = shared_images(tested["external"], tested["images"], tested["split"])
    same = {
        "image": "test/normal/same.bmp",
        "same_as": "train/normal/normal_1.png",
        "subset": "training",
        "by": "bytes",
    }
    assert shared == [same]
    found = measure_external(seeds=[0, 1], task="binary", **tested)
    assert found["left_out"] == {"shared": [same], "unusable": [], "other_classes": 0}
    assert found["counts"] == "4 images of 3 patients", "two of them of one patient, whatever the study's own ids"
    assert found["class_counts"] == {"covid": "2 images of 1 patient", "normal": "2 images of 2 patients"}


def test_drops_are_those_of_both_tests(tested: dict[str, Any]) -> None:
    found = measure_external(seeds=[0, 1], task="binary", **tested)
    assert found["median_seed"] == tested["internal"]["median_seed"]
    assert [(one["seed"], one["internal_right"]) for one in found["drops"]] == [(0, 4), (1, 4)]
    accuracy, *others = found["drops"][0]["rows"]
    assert accuracy["value"] == pytest.approx(1 - 3 / 4)
    assert accuracy["low"] < 0 < accuracy["value"] < accuracy["high"] <= 1
    assert accuracy["method"].startswith("hybrid score (MOVER), from Clopper-Pearson, patients and Wilson")
    assert accuracy["counts"] == "4 images of 4 patients; 4 images of 3 patients"
    sensitivity = next(row for row in others if (row["metric"], row["class"]) == ("sensitivity", "covid"))
    assert sensitivity["value"] == 0.5
    assert found["drops_of_ensemble"][0]["value"] == accuracy["value"]
    assert found["drops_over_seeds"][0]["reason"].startswith("internal test: 2 seeds; at least 3 are needed")


def test_an_external_test_with_images_of_the_study_only_is_refused(tested: dict[str, Any]) -> None:
    own = tested["images"].query("image.str.startswith('train/')")
    split = tested["split"]
    for seed in (0, 1):
        rows = [[0.5, 0.5]] * len(own)
        table = prediction_table(own, pd.DataFrame(rows).to_numpy(), CLASSES)
        table.to_csv(tested["folder"] / f"seed_{seed}/external_predictions.csv", index=False)
    with pytest.raises(UserError, match="external: all 13 images of the task binary are images of the study itself"):
        measure_external(seeds=[0, 1], task="binary", **{**tested, "external": own, "split": split})


def test_a_drop_without_interval_says_why() -> None:
    row = {"metric": "auroc", "class": "a", "value": 0.9, "low": 0.7, "high": 1.0, "method": "m", "counts": "c"}
    none = {**row, "low": None, "high": None, "reason": "no images"}
    (drop,) = drop_rows([{**row, "reason": None}, {**row, "metric": "log_loss"}], [{**none, "value": 0.8}])
    assert (drop["value"], drop["low"], drop["reason"]) == (pytest.approx(0.1), None, "external test: no images")
    (drop,) = drop_rows([{**row, "reason": None}], [{**none, "value": None}])
    assert drop["value"] is None


def test_the_stage_writes_results_and_table(
    tested: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    tested["split"].to_csv(tmp_path / "binary.csv", index=False)
    (tmp_path / "internal.json").write_text(json.dumps(tested["internal"]))
    for name in ("images", "external"):
        tested[name].to_parquet(tmp_path / f"{name}.parquet")
    run(
        monkeypatch,
        measure_stage,
        runs=[tested["folder"]],
        seeds=[0, 1],
        split=[tmp_path / "binary.csv"],
        images=[tmp_path / "images.parquet"],
        external_images=[tmp_path / "external.parquet"],
        internal=[tmp_path / "internal.json"],
        evaluation=[tmp_path / "found.json"],
        table=[tmp_path / "found.csv"],
    )
    said = capsys.readouterr().out
    assert "1 image is in the study, too (1 training): test/normal/same.bmp is train/normal/normal_1.png" in said
    assert "external test, seed 0: 3 of 4 images of 3 patients right; drop of the accuracy +25.0%" in said
    table = pd.read_csv(tmp_path / "found.csv")
    assert {"0", "1", "ensemble", "mean"} == set(table["seed"].astype(str))
    assert table.loc[(table["metric"] == "drop_accuracy") & (table["seed"] == "0"), "value"].tolist() == [0.25]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The inputs of a report of two experiments, the first with an external test, which is its own test with one error less."""
    folder = tmp_path_factory.mktemp("reported")
    config = made_config(
        seeds=3, external="/home/someone/hospital b", only=["binary_inception_v3", "multiclass_mobilenet"]
    )
    inputs = made_inputs(folder, config, make_results(folder, config))
    name = "binary_inception_v3"
    internal = inputs.evaluation[name]
    drops = [
        {
            "seed": one["seed"],
            "internal_right": one["metrics"][0]["right"],
            "rows": list(drop_rows(one["metrics"], one["metrics"])),
        }
        for one in internal["runs"]
    ]
    shared = [{"image": "a.png", "same_as": "train/covid/x.png", "subset": "training", "by": "bytes"}]
    means = [
        {**one, "value": one["mean"], "low": 0.2, "high": 1.0, "method": "m", "counts": "c"}
        for one in internal["seeds"]
    ]
    external = {
        **internal,
        "drops": drops,
        "drops_over_seeds": list(drop_rows(means, means)),
        "left_out": {"shared": shared, "unusable": ["b.png"], "other_classes": 7},
    }
    file = folder / "external" / f"{name}.json"
    file.parent.mkdir()
    file.write_text(json.dumps(external))
    vars(inputs)["external"] = read_external_results([file], inputs.evaluation)
    return inputs, file


def test_the_report_shows_the_external_test(reported: tuple[Any, Path]) -> None:
    inputs, _ = reported
    html = render_page(inputs, PAGE)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))
    assert "External test: hospital b" in text and "/home/someone" not in html
    assert "Drop of the accuracy from the test images of the study: 0.0 percentage points (95 % interval −" in text
    assert "these images cannot show whether the accuracy differs" in text
    assert "Mean of all seeds: 0.0 (−" in text
    shared = "1 image is in the study, too (1 training): a.png is train/covid/x.png"
    assert f"External test of binary_inception_v3: {shared}; left out." in text
    for words in (shared, "1 image, missing or unreadable: b.png", "7 images of other classes"):
        assert f"Left out: {words}." in text
    assert "The external test of multiclass_mobilenet is not finished, and not part of this report." in text
    assert text.count("Both tests of") == 1


def test_results_of_another_test_are_not_reported(reported: tuple[Any, Path]) -> None:
    inputs, file = reported
    other = json.loads(file.read_text())
    other["drops"][0]["internal_right"] += 1
    another = file.with_name("changed") / file.name
    another.parent.mkdir(exist_ok=True)
    another.write_text(json.dumps(other))
    with pytest.raises(UserError, match=r"of other seeds or predictions than binary_inception_v3\.json in evaluation/"):
        read_external_results([another], inputs.evaluation)
    with pytest.raises(UserError, match=r"gone\.json: missing"):
        read_external_results([file.with_name("gone.json")], inputs.evaluation)
