"""Tests of metrics with intervals, of results over seeds, and of comparisons of experiments."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cxrflow.evaluation.experiments import (
    MOST_COMPARED,
    Experiment,
    compare_experiments,
    measure_experiment,
    read_experiment,
)
from cxrflow.evaluation.measures import (
    PREVALENCES,
    Predictions,
    calibration_bins,
    curve_points,
    metric_rows,
    predictions_of,
    prevalence_rows,
    threshold_rows,
)
from cxrflow.io.errors import UserError
from cxrflow.io.files import write_json, write_table
from cxrflow.plotting.style import styled
from cxrflow.stages.measure_results import metrics_table
from cxrflow.stages.plot_evaluation import evaluation_figure
from cxrflow.statistics.intervals import clopper_pearson, wilson_interval
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

CLASSES = ["covid", "normal", "viral"]


def made(images: int = 60, classes: int = 3, seed: int = 0, patients: bool = True) -> Predictions:
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, images)
    scores = random.normal(size=(images, classes)) + 1.5 * np.eye(classes)[truth]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return Predictions(
        CLASSES[:classes], truth, probabilities, random.integers(0, images // 2, images) if patients else None
    )


def by_name(rows: list[dict]) -> dict[tuple[str, str | None], dict]:
    return {(row["metric"], row["class"]): row for row in rows}


def test_metrics_are_those_of_scikit_learn() -> None:
    of = made()
    rows = by_name(metric_rows(of))
    labels, guesses = of.truth, of.predicted
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(labels, guesses),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(labels, guesses),
        "macro_f1": sklearn_metrics.f1_score(labels, guesses, average="macro"),
        "weighted_f1": sklearn_metrics.f1_score(labels, guesses, average="weighted"),
        "kappa": sklearn_metrics.cohen_kappa_score(labels, guesses),
        "matthews": sklearn_metrics.matthews_corrcoef(labels, guesses),
        "macro_auroc": sklearn_metrics.roc_auc_score(labels, of.probabilities, multi_class="ovr"),
        "log_loss": sklearn_metrics.log_loss(labels, of.probabilities),
    }
    assert {name: rows[name, None]["value"] for name in expected} == pytest.approx(expected)
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(labels, guesses)
    for place, name in enumerate(CLASSES):
        assert rows["ppv", name]["value"] == pytest.approx(precision[place])
        assert rows["sensitivity", name]["value"] == pytest.approx(recall[place])
        assert rows["f1", name]["value"] == pytest.approx(f1[place])
        average = sklearn_metrics.average_precision_score(labels == place, of.probabilities[:, place])
        assert rows["average_precision", name]["value"] == pytest.approx(average)


@given(st.integers(4, 40), st.integers(2, 3), st.integers(0, 1000), st.booleans())
def test_every_value_has_an_interval_that_contains_it_or_a_reason(
    images: int, classes: int, seed: int, patients: bool
) -> None:
    for row in metric_rows(made(images, classes, seed, patients)):
        if row["value"] is None:
            assert row["reason"]
        elif row["low"] is None:
            assert row["reason"] and row["method"] is None
        else:
            assert row["low"] <= row["value"] + 1e-9 and row["value"] <= row["high"] + 1e-9
            assert row["low"] < row["high"] and row["method"] and "image" in row["counts"]
        if row["of"] is not None and row["value"] is not None:
            assert row["value"] == row["right"] / row["of"]


def test_independent_images_have_wilsons_interval_and_perfect_ones_of_patients_the_exact_one() -> None:
    row = by_name(metric_rows(made(patients=False)))["accuracy", None]
    assert (row["low"], row["high"]) == pytest.approx(wilson_interval(row["right"], row["of"]))
    assert row["method"] == "Wilson" and row["counts"] == "60 images"
    perfect = Predictions(["a", "b"], np.array([0] * 9 + [1] * 9), np.eye(2)[[0] * 9 + [1] * 9], np.arange(18) // 2)
    row = by_name(metric_rows(perfect))["sensitivity", "a"]
    assert (row["right"], row["of"], row["counts"]) == (9, 9, "9 images of 5 patients")
    assert row["low"] == pytest.approx(clopper_pearson(5, 5)[0]) == pytest.approx(0.4782, abs=1e-4)


def test_a_class_without_images_has_reasons_and_no_curves() -> None:
    of = Predictions(CLASSES, np.array([0, 0, 1, 1, 1]), made(5).probabilities, None)
    rows = by_name(metric_rows(of))
    assert rows["sensitivity", "viral"]["value"] is None and rows["sensitivity", "viral"]["reason"] == "no images"
    assert rows["auroc", "viral"]["value"] is None
    table = pd.DataFrame({"class": [CLASSES[place] for place in of.truth]}, index=list("vwxyz"))
    table[[f"p_{name}" for name in CLASSES]] = of.probabilities
    split = pd.DataFrame({"image": list("vwxyz"), "class": table["class"].to_numpy(), "subset": "test"})
    measured = measure_experiment(Experiment("task", CLASSES, {0: table}, {}), split)
    assert list(measured["curves"]) == list(measured["thresholds"]) == ["covid", "normal"]


def test_curves_are_those_of_scikit_learn() -> None:
    of = made(40, 2, seed=3)
    points = curve_points(of, 1)
    alarms, found, thresholds = sklearn_metrics.roc_curve(
        of.truth == 1, of.probabilities[:, 1], drop_intermediate=False
    )
    assert [point["threshold"] for point in points] == pytest.approx(thresholds[1:])
    assert [1 - point["specificity"] for point in points] == pytest.approx(alarms[1:])
    assert [point["sensitivity"] for point in points] == pytest.approx(found[1:])
    precision, _, _ = sklearn_metrics.precision_recall_curve(of.truth == 1, of.probabilities[:, 1])
    assert [point["ppv"] for point in points] == pytest.approx(precision[:-1][::-1])
    assert all(point["sensitivity_low"] <= point["sensitivity"] <= point["sensitivity_high"] for point in points)
    assert len(curve_points(made(2000, 2), 1)) <= 101


def test_thresholds_count_images() -> None:
    of = made(40, 2)
    for row in threshold_rows(of, 0):
        is_positive = of.probabilities[:, 0] >= row["threshold"]
        assert row["sensitivity"]["right"] == int((is_positive & (of.truth == 0)).sum())
        assert row["npv"]["of"] == int((~is_positive).sum())


def test_predictive_values_follow_from_bayes_theorem_and_are_those_of_the_images_at_their_prevalence() -> None:
    of = made(40, 2)
    own = by_name(metric_rows(of))
    sensitivity, specificity = own["sensitivity", "covid"]["value"], own["specificity", "covid"]["value"]
    rows = prevalence_rows(of, 0)
    assert [row["prevalence"] for row in rows] == list(PREVALENCES)
    for row in rows:
        share = row["prevalence"]
        expected = sensitivity * share / (sensitivity * share + (1 - specificity) * (1 - share))
        assert row["ppv"]["value"] == pytest.approx(expected)
        assert row["ppv"]["low"] <= expected <= row["ppv"]["high"]


def test_calibration_bins_have_all_images() -> None:
    of = made()
    bins = calibration_bins(of)
    assert sum(row["of"] for row in bins) == 60 and sum(row["right"] for row in bins) == of.is_correct.sum()
    assert [row["probability"] for row in bins] == sorted(row["probability"] for row in bins)


def split_of(of: Predictions) -> pd.DataFrame:
    images = [f"image {place}" for place in range(len(of.truth))]
    patients = [""] * len(images) if of.patients is None else [str(one) for one in of.patients]
    test = {"image": images, "class": [of.classes[one] for one in of.truth], "subset": "test", "patient": patients}
    training = {"image": ["t0", "t1", "t2", "t3"], "class": [*["covid"] * 3, "normal"], "subset": "training"}
    return pd.concat([pd.DataFrame(test), pd.DataFrame({**training, "patient": ""})], ignore_index=True)


def table_of(of: Predictions) -> pd.DataFrame:
    table = pd.DataFrame({"class": [of.classes[one] for one in of.truth]})
    table.index = [f"image {place}" for place in range(len(of.truth))]
    table[[f"p_{name}" for name in of.classes]] = of.probabilities
    return table


def with_accuracy(of: Predictions, right: int) -> pd.DataFrame:
    """Predictions of which the first ones are right."""
    wrong = np.arange(len(of.truth)) >= right
    return table_of(Predictions(of.classes, of.truth, np.eye(2)[np.where(wrong, 1 - of.truth, of.truth)], of.patients))


def test_several_seeds_have_their_median_mean_range_interval_and_ensemble() -> None:
    of = made(20, 2, patients=False)
    tables = {seed: with_accuracy(of, right) for seed, right in ((3, 20), (5, 12), (8, 16))}
    measured = measure_experiment(Experiment("task", of.classes, tables, {}), split_of(of))
    accuracy = measured["seeds"][0]
    assert accuracy["values"] == [1.0, 0.6, 0.8] and measured["median_seed"] == 8
    assert (accuracy["median"], accuracy["mean"]) == pytest.approx((0.8, 0.8))
    assert (accuracy["least"], accuracy["most"]) == (0.6, 1.0)
    assert accuracy["interval"]["low"] < 0.6 and accuracy["interval"]["counts"] == "20 images, 3 seeds"
    ensemble = by_name(measured["ensemble"])["accuracy", None]
    assert ensemble["right"] == 16  # the first 16 are right in at least two of three
    assert [run["seed"] for run in measured["runs"]] == [3, 5, 8]
    table = metrics_table(measured)
    assert set(table["seed"]) == {3, 5, 8, "ensemble", "mean"}
    row = table[(table["seed"] == "mean") & (table["metric"] == "accuracy")].iloc[0]
    assert row["value"] == pytest.approx(0.8) and row["method"] == "Wilson, adjusted for seeds and patients"
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured


def test_baselines() -> None:
    truth = np.array([0] * 6 + [1] * 4)
    of = Predictions(["covid", "normal"], truth, np.eye(2)[truth], None)
    measured = measure_experiment(Experiment("task", of.classes, {0: table_of(of)}, {}), split_of(of))
    majority, stratified = measured["baselines"]
    assert majority["accuracy"] == 0.6 and majority["description"] == "always predicting covid, the largest class"
    assert (majority["low"], majority["high"]) == pytest.approx(wilson_interval(6, 10))
    assert stratified["accuracy"] == pytest.approx(0.6 * 0.75 + 0.4 * 0.25)  # 3 of 4 training images are covid
    assert measured["ensemble"] is None and measured["seeds"][0]["interval"] is None


def test_temperature_is_fitted_on_validation_images_only() -> None:
    of, other = made(200, 2, seed=1), made(200, 2, seed=2)
    extreme = Predictions(
        of.classes, of.truth, of.probabilities**4 / (of.probabilities**4).sum(axis=1, keepdims=True), None
    )
    tables = {0: table_of(extreme)}
    validation = {0: table_of(Predictions(other.classes, other.truth, other.probabilities**4, None))}
    validation[0][["p_covid", "p_normal"]] = validation[0][["p_covid", "p_normal"]].pipe(
        lambda t: t.div(t.sum(axis=1), axis=0)
    )
    found = measure_experiment(Experiment("task", of.classes, tables, validation), split_of(of))["runs"][0][
        "temperature"
    ]
    assert found["temperature"] > 2 and found["log_loss_after"] < found["log_loss_before"]
    assert found["ece_after"] < found["ece_before"]
    none = measure_experiment(Experiment("task", of.classes, tables, {}), split_of(of))["runs"][0]["temperature"]
    assert none == {"reason": "these results have no predictions of validation images"}


def compared(first: dict[int, int], second: dict[int, int], images: int = 40) -> list[dict]:
    of = made(images, 2, patients=False)
    experiments = {
        name: Experiment("task", of.classes, {seed: with_accuracy(of, right) for seed, right in runs.items()}, {})
        for name, runs in (("one", first), ("other", second))
    }
    return compare_experiments(experiments, {"task": split_of(of)})


def test_two_experiments_are_compared_by_their_ensembles_and_over_common_seeds() -> None:
    (row,) = compared({0: 40, 1: 39, 2: 40, 7: 1}, {0: 20, 1: 21, 2: 19, 9: 40})
    assert row["seeds"] == [0, 1, 2] and row["difference"] == pytest.approx((119 - 60) / 120)
    assert row["adjusted_p"] == row["p_value"] < 0.05 and row["interval"]["low"] > 0
    (row,) = compared({0: 40}, {0: 34})
    assert (row["correct"], row["only_first"], row["only_second"]) == ([40, 34], 6, 0)
    assert row["mcnemar_p"] == pytest.approx(2 * 0.5**6)
    assert row["p_value"] is None and row["reason"] == "1 seed; at least 3 are needed to know the spread"
    assert row["power"].startswith("40 images can")
    (row,) = compared({0: 30}, {1: 30})
    assert row["seeds"] == [] and row["reason"] == "0 seeds; at least 3 are needed to know the spread"


def test_p_values_are_adjusted_and_many_experiments_are_compared_with_the_first() -> None:
    of = made(40, 2, patients=False)
    runs = {f"e{place}": {seed: with_accuracy(of, 20 + place) for seed in range(3)} for place in range(3)}
    rows = compare_experiments(
        {n: Experiment("task", of.classes, r, {}) for n, r in runs.items()}, {"task": split_of(of)}
    )
    assert [(row["first"], row["second"]) for row in rows] == [("e0", "e1"), ("e0", "e2"), ("e1", "e2")]
    smallest = min(row["p_value"] for row in rows)
    assert min(row["adjusted_p"] for row in rows) == pytest.approx(min(1, 3 * smallest))
    one = with_accuracy(of, 20)
    many = {f"e{place}": Experiment("task", of.classes, {0: one}, {}) for place in range(MOST_COMPARED + 1)}
    assert {row["first"] for row in compare_experiments(many, {"task": split_of(of)})} == {"e0"}
    apart = {"a": many["e0"], "b": Experiment("other", of.classes, {0: one}, {})}
    assert compare_experiments(apart, {"task": split_of(of), "other": split_of(of)}) == []


def test_predictions_of_other_images_are_refused(tmp_path: Path) -> None:
    of = made(20, 2)
    split = split_of(of)
    for seed in (0, 1):
        table = table_of(of).rename_axis("image").reset_index()
        write_table(tmp_path / f"seed_{seed}/predictions.csv", table.iloc[::-1])
        write_json(tmp_path / f"seed_{seed}/training.json", {"classes": of.classes})
    read = read_experiment(tmp_path, [0, 1], "task", split)
    assert (
        list(read.classes) == of.classes
        and list(read.predictions[1].index) == [f"image {place}" for place in range(20)]
        and read.validation == {}
    )
    assert predictions_of(read.predictions[0], of.classes, split).patients is not None
    for seed in (0, 1):
        write_table(tmp_path / f"seed_{seed}/predictions.csv", table.iloc[1:])
    with pytest.raises(UserError, match=r"predictions\.csv: not the test images of the split") as error:
        read_experiment(tmp_path, [0, 1], "task", split)
    assert len(error.value.messages) == 2


def test_the_figure_draws_the_points_and_the_range_of_the_seeds() -> None:
    of = made(20, 2)
    tables = {seed: with_accuracy(of, right) for seed, right in ((0, 20), (1, 12), (2, 16))}
    measured = measure_experiment(Experiment("task", of.classes, tables, {}), split_of(of))
    curve = pd.DataFrame({"epoch": [1, 2, 3], "loss": [3.0, 2, 1], "accuracy": [0.1, 0.2, 0.3]})
    curve = curve.assign(val_loss=curve["loss"], val_accuracy=curve["accuracy"])
    histories = [curve, curve.assign(loss=[5.0, 4, 3]), curve.assign(loss=[4.0, 3, 2])]
    with styled():
        figure = evaluation_figure(measured, histories, "an experiment")
    lines = {line.get_gid(): line for axes in figure.axes for line in axes.lines if line.get_gid()}
    assert lines["loss-median"].get_ydata().tolist() == [4.0, 3.0, 2.0]
    points = measured["curves"]["covid"]
    assert lines["roc-0"].get_ydata().tolist() == [0.0, *(point["sensitivity"] for point in points)]
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "ROC (median run, seed 2)" in titles and "loss (median of 3 seeds, and range)" in titles
