"""Cross-validation: the division of images into folds, the results of all folds, and names of folds."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cxrflow.evaluation.folds import Fold, measure_folds, pooled_predictions, read_folds
from cxrflow.evaluation.metrics import prediction_table
from cxrflow.io.errors import UserError
from cxrflow.run.adapter import UnfinishedJob
from cxrflow.run.finished import reason_of_folds
from cxrflow.stages import split_folds
from cxrflow.stages.split_folds import folds_of, split_into_folds
from cxrflow.statistics.folds import fold_mean_interval
from cxrflow.statistics.intervals import share_interval
from cxrflow.study.folds import name_of_fold, pattern_of, trainings_of_folds, without_fold
from cxrflow.study.read import read_config
from cxrflow.study.settings import experiment_settings, training_settings
from hypothesis import given
from hypothesis import strategies as st
from study_config import study_config

CLASSES = ["a", "b"]


def index_of(patients: dict[str, list[int]]) -> pd.DataFrame:
    """An index of images: for each class, the number of images of each patient; patients are of one class."""
    rows = [
        {"image": f"{name}/{patient}_{number}.png", "class": name, "patient": f"{name}{patient}"}
        for name, sizes in patients.items()
        for patient, size in enumerate(sizes)
        for number in range(size)
    ]
    return pd.DataFrame(rows).assign(subset_folder="", status="ok", sha256=None)


sizes = st.lists(st.integers(1, 9), min_size=2, max_size=40)
numbers = st.integers(0, 5)


@given(a=sizes, b=sizes, folds=st.integers(2, 6), repeat=numbers, seed=numbers)
def test_properties_of_folds(a: list[int], b: list[int], folds: int, repeat: int, seed: int) -> None:
    index = index_of({"a": a, "b": b})
    fold = folds_of(index, folds, repeat, seed)
    assert fold.between(0, folds - 1).all()
    assert (fold.groupby(index["patient"]).nunique() == 1).all()
    for name, patients in (("a", a), ("b", b)):
        counts = fold[index["class"] == name].value_counts().reindex(range(folds), fill_value=0)
        if len(patients) >= folds:
            assert counts.min() >= 1
        if max(patients) <= sum(patients) / folds:
            assert (abs(counts - sum(patients) / folds) <= max(patients)).all()
    shuffled = index.sample(frac=1, random_state=seed)
    pd.testing.assert_series_equal(folds_of(shuffled, folds, repeat, seed).sort_index(), fold)


@given(a=st.integers(12, 60), folds=st.integers(2, 6), repeat=numbers, new=st.integers(0, 1000))
def test_an_additional_image_moves_at_most_one_other_at_each_cut(a: int, folds: int, repeat: int, new: int) -> None:
    index = index_of({"a": [1] * a, "b": [1] * 20})
    more = pd.concat([index, index.iloc[:1].assign(image=f"a/new{new}.png", patient=f"new{new}")], ignore_index=True)
    before, after = folds_of(index, folds, repeat, 0), folds_of(more, folds, repeat, 0)[: len(index)]
    moved = index[(before != after).to_numpy()]
    assert len(moved) < folds and set(moved["class"]) <= {"a"}


@given(a=st.integers(10, 50), b=st.integers(10, 50), folds=st.integers(2, 5), repeat=numbers, seed=numbers)
def test_each_image_is_tested_once_in_each_repeat(a: int, b: int, folds: int, repeat: int, seed: int) -> None:
    splits = split_into_folds(index_of({"a": [1] * a, "b": [1] * b}), CLASSES, folds, repeat, 0.25, seed)
    tested = pd.concat([split[split["subset"] == "test"] for split in splits])
    assert tested["image"].is_unique and len(tested) == a + b
    for split in splits:
        assert sorted(split["image"]) == sorted(tested["image"])
        for name, count in (("a", a), ("b", b)):
            counts = split[split["class"] == name]["subset"].value_counts()
            assert abs(counts["test"] - count / folds) < 1
            others = count - counts["test"]
            assert abs(counts["validation"] - others / 4) <= 1 + others / 40


def test_repeats_and_seeds_give_other_folds_and_folds_other_validation_images() -> None:
    index = index_of({"a": [1] * 50, "b": [1] * 50})
    found = {tuple(folds_of(index, 5, repeat, seed)) for repeat in (0, 1) for seed in (0, 1)}
    assert len(found) == 4
    splits = split_into_folds(index, CLASSES, 5, 0, 0.2, 0)
    validation = pd.concat([split.loc[split["subset"] == "validation", "image"] for split in splits])
    assert validation.nunique() > 50  # of 80; were it always the same ones, about 20


def test_images_of_the_test_folder_and_same_pictures_are_divided_too() -> None:
    index = index_of({"a": [1] * 10, "b": [1] * 10})
    index["subset_folder"] = ["test"] * 5 + ["train"] * 15
    index.loc[[0, 9], "sha256"] = "same"
    index.loc[3, "status"] = "missing"
    splits = split_into_folds(index, CLASSES, 2, 0, 0.2, 0)
    assert {len(split) for split in splits} == {19}
    of_picture = [split.set_index("image").loc[index.loc[[0, 9], "image"], "subset"] for split in splits]
    assert [one.nunique() for one in of_picture] == [1, 1]
    present = index.assign(status="ok")
    others = [
        split[split["image"] != index.loc[3, "image"]] for split in split_into_folds(present, CLASSES, 2, 0, 0.2, 0)
    ]
    for split, other in zip(splits, others, strict=True):
        pd.testing.assert_frame_equal(split, other.reset_index(drop=True))


def test_images_outside_of_the_split_are_in_no_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of({"a": [1] * 10, "b": [1] * 10})
    index.to_parquet(tmp_path / "images.parquet")
    index[1:].to_csv(tmp_path / "split.csv", index=False)
    files = [str(tmp_path / f"{fold}.csv") for fold in (0, 1)]
    words = [
        "--images",
        str(tmp_path / "images.parquet"),
        "--split",
        str(tmp_path / "split.csv"),
        "--classes",
        *CLASSES,
    ]
    monkeypatch.setattr(sys, "argv", ["split_folds", *words, "--repeat", "0", "--splits", *files])
    split_folds.main()
    assert [sorted(pd.read_csv(file)["image"]) for file in files] == [sorted(index["image"][1:])] * 2


def test_too_many_folds_are_reported_with_the_class_and_its_counts() -> None:
    with pytest.raises(UserError) as caught:
        split_into_folds(index_of({"a": [1] * 40, "b": [5, 5, 2]}), CLASSES, 4, 1, 0.2, 0)
    (message,) = caught.value.messages
    assert message.startswith(
        "folds: 4 are too many for class b, with 12 images of 3 patients (an image of an unknown patient counts as one): "
        "in repeat 1, fold 3 has no test image; lower `folds`"
    )


def folds_with(right: list[list[int]], images: int) -> list[Fold]:
    """Folds of so many images of the classes a and b in turn, two images to a patient, of which so many are right."""
    found = []
    for repeat, of_repeat in enumerate(right):
        names = [f"image {number:03}" for number in range(images * len(of_repeat))]
        rows = pd.DataFrame({"image": names, "class": (CLASSES * len(names))[: len(names)]})
        rows["patient"] = [f"patient {number // 2}" for number in range(len(names))]
        for fold, count in enumerate(of_repeat):
            is_fold = np.arange(len(names)) // images == fold
            split = rows.assign(subset=np.where(is_fold, "test", "training"))
            own = rows[is_fold]
            is_right = np.arange(images) < count
            chances = np.where((own["class"] == "a") == is_right, 0.8, 0.2)
            found.append(
                Fold(
                    repeat,
                    fold,
                    split,
                    prediction_table(own, np.stack([chances, 1 - chances], 1), CLASSES).set_index("image"),
                )
            )
    return found


def test_known_answer_results_of_a_cross_validation() -> None:
    folds = folds_with([[8, 6, 9], [7, 7, 9]], 10)
    found = measure_folds(folds, "task", CLASSES)
    assert (found["folds"], found["repeats"], found["counts"]) == (3, 2, "30 images of 15 patients")
    accuracies = [one["metrics"][0] for one in found["pooled"]]
    assert [(one["right"], one["of"]) for one in accuracies] == [(23, 30), (23, 30)]
    pooled = pooled_predictions(folds)
    first = pooled[pooled["repeat"] == 0]
    interval = share_interval(first["predicted"] == first["class"], np.arange(30) // 2)
    assert (accuracies[0]["low"], accuracies[0]["high"]) == (interval.low, interval.high)
    mean = fold_mean_interval([0.8, 0.6, 0.9, 0.7, 0.7, 0.9], 20, 10)
    assert found["mean"]["value"] == pytest.approx(23 / 30)
    assert (found["mean"]["low"], found["mean"]["high"]) == pytest.approx((mean.low, mean.high))
    assert found["mean"]["method"] == "Nadeau-Bengio" and found["mean"]["counts"] == "6 folds"
    assert [one["right"] for one in found["by_fold"]] == [8, 6, 9, 7, 7, 9]
    assert [found["over_repeats"][0][key] for key in ("median", "least", "most")] == pytest.approx([23 / 30] * 3)
    assert found["baselines"][0]["right"] == 15
    json.dumps(found, allow_nan=False)


def test_equal_folds_have_a_reason_instead_of_an_interval() -> None:
    mean = measure_folds(folds_with([[8, 8]], 10), "task", CLASSES)["mean"]
    assert (
        mean["value"] == 0.8 and mean["low"] is None and "use the interval of the pooled predictions" in mean["reason"]
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The files of two folds of an experiment `one`."""
    for fold in folds_with([[8, 6]], 10):
        split = tmp_path / f"split/{name_of_fold('task', 0, fold.fold)}.csv"
        run = tmp_path / "runs" / name_of_fold("one", 0, fold.fold) / "seed_0"
        for file, table in ((split, fold.split), (run / "predictions.csv", fold.predictions.reset_index())):
            file.parent.mkdir(parents=True, exist_ok=True)
            table.to_csv(file, index=False)
        (run / "training.json").write_text(json.dumps({"classes": CLASSES}))
    return tmp_path


def test_folds_are_read_as_they_were_written(written: Path) -> None:
    classes, folds = read_folds(written / "runs", written / "split", "one", "task", 2, 1)
    assert classes == CLASSES and measure_folds(folds, "task", classes) == measure_folds(
        folds_with([[8, 6]], 10), "task", CLASSES
    )


def test_predictions_of_other_images_are_reported(written: Path) -> None:
    file = written / "runs/one@repeat_0.fold_1/seed_0/predictions.csv"
    file.write_text(file.read_text().replace("image 010", "image 099"))
    with pytest.raises(UserError, match=r"fold_1/seed_0/predictions.csv: not the images of the fold; delete the file"):
        read_folds(written / "runs", written / "split", "one", "task", 2, 1)


def test_an_image_in_two_folds_is_reported(written: Path) -> None:
    for name in ("split/task@repeat_0.fold_1.csv", "runs/one@repeat_0.fold_1/seed_0/predictions.csv"):
        file = written / name
        file.write_text(file.read_text().replace("image 010", "image 000", 1))
    with pytest.raises(
        UserError, match="the folds of repeat 0 do not have each image once; delete the splits of task@"
    ):
        read_folds(written / "runs", written / "split", "one", "task", 2, 1)


def test_names_of_folds_belong_to_one_experiment_and_are_no_names_of_the_config() -> None:
    raw = {**study_config(), "images": "x", "folds": 3, "repeats": 2}
    config = read_config(raw)
    name = "multiclass_mobilenet"
    folds = trainings_of_folds(config, name)
    assert list(folds.values()) == [[0]] * 3 + [[1]] * 3
    pattern, with_folds = (re.compile(pattern_of(["a.b", name], one)) for one in (False, True))
    for fold in folds:
        assert without_fold(fold) == name and with_folds.fullmatch(fold) and not pattern.fullmatch(fold)
        assert not with_folds.fullmatch(f"{fold}0.x") and not with_folds.fullmatch(fold.replace("multiclass", "binary"))
        with pytest.raises(UserError, match=re.escape(f"extras.{fold}: not allowed as a name")):
            read_config({**raw, "extras": {fold: {"like": name}}})
    settings = experiment_settings(config, name_of_fold(name, 1, 2))
    assert settings["task"] == "multiclass@repeat_1.fold_2"
    assert training_settings(settings) == training_settings(experiment_settings(config, name))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"folds": 1}, "folds: 1: it should be greater than or equal to 2"),
        ({"folds": True}, "folds: "),
        ({"folds": 5, "repeats": 0}, "repeats: 0: it should be greater than or equal to 1"),
        ({"repeats": 2}, "repeats: 2 without `folds`, which are repeated; write `folds: 5`, or remove it"),
    ],
)
def test_impossible_folds_are_reported_in_one_line(keys: dict[str, int], message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_config({**study_config(), "images": "x", **keys})
    assert len(caught.value.messages) == 1 and caught.value.messages[0].startswith(message), caught.value.messages


def test_a_failed_fold_is_the_reason_for_a_missing_cross_validation(tmp_path: Path) -> None:
    def job(stage: str, wildcards: dict[str, str], log: str) -> UnfinishedJob:
        file = tmp_path / f"{stage}_{'_'.join(wildcards.values())}.log"
        if log:
            file.write_text(log)
        return UnfinishedJob(stage, wildcards, [], [file], f"python -m cxrflow.stages.{stage} --task t")

    of_other = job(
        "train_model", {"experiment": "other@repeat_0.fold_0", "seed": "0"}, "error: of another experiment\n"
    )
    of_split = job("train_model", {"experiment": "one", "seed": "0"}, "error: of the split itself\n")
    measuring = job("measure_folds", {"experiment": "one"}, "")
    assert reason_of_folds([of_other, of_split, measuring], measuring, 0) == "not run, since an earlier job failed"
    of_fold = job("train_model", {"experiment": "one@repeat_0.fold_1", "seed": "0"}, "a\nerror: of the fold\n")
    assert reason_of_folds([of_other, of_split, measuring, of_fold], measuring, 0) == "of the fold"
    dividing = job("split_folds", {"task": "t", "repeat": "0"}, "error: too many folds\n")
    assert reason_of_folds([of_other, measuring, dividing], measuring, 0) == "too many folds"
