"""Null runs, and how often rules hold in them."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from claims_study import Made, made_history, noise, row, steps
from cxrflow.claims import curves
from cxrflow.claims.model import Null
from cxrflow.claims.null_runs import null_histories
from cxrflow.claims.results import CURVES, TrainingResults
from cxrflow.statistics.intervals import spread

CLIMB = 1 - np.exp(-np.arange(1, 101) / 20)
CURVES_OF_RUN = {
    "loss": 0.8 - 0.6 * CLIMB + noise(100, 0.02, 0),
    "val_loss": 0.8 - 0.5 * CLIMB + noise(100, 0.05, 0),
    "accuracy": np.clip(0.5 + 0.4 * CLIMB + noise(100, 0.02, 0), 0, 1),
    "val_accuracy": np.clip(0.5 + 0.4 * CLIMB + noise(100, 0.05, 0), 0, 1),
}


def made_training(folder: Path, images: tuple[int, int], classes: int = 2, epochs: int = 100) -> TrainingResults:
    folder.mkdir(parents=True, exist_ok=True)
    made_history(epochs, **CURVES_OF_RUN).to_csv(folder / "history.csv", index=False)
    record = {"classes": [*"abcd"[:classes]], "images": {"training": images[0], "validation": images[1]}}
    (folder / "training.json").write_text(json.dumps(record))
    return TrainingResults("a", 0, folder)


def tables(folder: Path, null: Null, draws: int = 400, images: tuple[int, int] = (100, 25)) -> list[pd.DataFrame]:
    return [pd.DataFrame(one.curves) for one in null_histories((made_training(folder, images),), null, draws)]


@pytest.mark.parametrize("null", get_args(Null))
def test_null_runs_look_like_histories_and_are_the_same_each_time(null: Null, tmp_path: Path) -> None:
    for table in tables(tmp_path / "one", null, 20):
        assert list(table.index) == list(range(100))
        assert np.isfinite(table[list(CURVES)].to_numpy()).all() and (table[list(CURVES)] >= 0).all(axis=None)
        assert (table[["accuracy", "val_accuracy"]] <= 1).all(axis=None)
    for one, again in zip(tables(tmp_path / "one", null, 3), tables(tmp_path / "two", null, 3), strict=True):
        pd.testing.assert_frame_equal(one, again)


def test_shuffled_epochs_are_those_of_the_run_in_another_order(tmp_path: Path) -> None:
    for table in tables(tmp_path, "shuffled", 5):
        assert table["loss"].tolist() != CURVES_OF_RUN["loss"].tolist()
        for name in CURVES:
            np.testing.assert_allclose(sorted(table[name]), sorted(CURVES_OF_RUN[name]))


def test_resampled_epochs_are_among_the_last_ten(tmp_path: Path) -> None:
    for table in tables(tmp_path, "last_resampled", 5):
        assert {round(value, 9) for value in table["loss"]} <= {
            round(value, 9) for value in CURVES_OF_RUN["loss"][-10:]
        }


@pytest.mark.parametrize("classes", [2, 4])
def test_known_answer_of_a_network_that_never_learns(classes: int, tmp_path: Path) -> None:
    """Chance is 1/K, with the variance of a binomial share; the loss is that of simulated logits."""
    training = made_training(tmp_path, (80, 20), classes)
    values = pd.concat([pd.DataFrame(one.curves) for one in null_histories((training,), "no_learning", 400)])
    for name, images in (("accuracy", 80), ("val_accuracy", 20)):
        assert values[name].mean() == pytest.approx(1 / classes, abs=0.002)
        assert values[name].var() == pytest.approx((1 / classes) * (1 - 1 / classes) / images, rel=0.03)
    logits = np.random.default_rng(0).normal(scale=0.5, size=(200_000, classes))
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[:, 0]
    assert values["loss"].mean() == pytest.approx(losses.mean(), abs=0.01)
    assert values["val_loss"].std() == pytest.approx(losses.std() / np.sqrt(20), rel=0.05)


def test_validation_at_chance_leaves_the_training_curves(tmp_path: Path) -> None:
    for table in tables(tmp_path, "validation_at_chance", 5):
        np.testing.assert_allclose(table["loss"], CURVES_OF_RUN["loss"])
        assert abs(table["val_accuracy"].mean() - 0.5) < 0.05


def test_a_random_walk_starts_where_the_run_starts(tmp_path: Path) -> None:
    ends = [table["loss"].iloc[-1] for table in tables(tmp_path, "random_walk")]
    first = [table["loss"].iloc[0] for table in tables(tmp_path, "random_walk")]
    np.testing.assert_allclose(first, CURVES_OF_RUN["loss"][0])
    assert np.mean(np.array(ends) > CURVES_OF_RUN["loss"][0]) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(("images", "rate"), [((50, 50), 0.5), ((100, 25), 1.0)])
def test_known_answer_a_smaller_subset_fluctuates_more(images: tuple[int, int], rate: float, tmp_path: Path) -> None:
    """With equal subsets, training and validation are exchangeable; a plain spread differs only since the sizes do.

    Spreads for each image are exchangeable in either case, in a network that does not learn.
    """
    rule = {"wider": "val_accuracy", "narrower": "accuracy"}
    training = (made_training(tmp_path, images),)
    learners = null_histories(training, "learner", 1000)
    plain = [spread(one.curve("val_accuracy")) > spread(one.curve("accuracy")) for one in learners]
    assert np.mean(plain) == pytest.approx(rate, abs=0.05)
    never = null_histories(training, "no_learning", 1000)
    assert np.mean([curves.wider_spread(one, **rule).holds for one in never]) == pytest.approx(0.5, abs=0.05)


def test_a_rule_that_most_null_runs_pass_decides_nothing(tmp_path: Path) -> None:
    """Six seeds of six are enough for a rule that shuffled epochs fail, not for one that they pass."""
    valley = np.abs(np.arange(1, 41) - 25.0) + 1
    made = Made(tmp_path, null_runs=100).runs(6, epochs=40, val_loss=valley)
    passed = made.judge(row("local_minimum", {"curve": "val_loss", "between": [10, 30]}))
    assert (passed.verdict, passed.null, passed.null_rate) == ("undecided", "shuffled", 1.0)
    assert "it also holds in 100 % of null runs (shuffled)" in passed.reason
    failed = made.judge(row("steady_rise", {"curves": ["val_loss"], "epochs": [26, 40], "correlation": 0.9}))
    assert (failed.verdict, failed.null) == ("consistent", "no_learning")
    assert failed.null_rate is not None and failed.null_rate < 0.1


def test_seeds_that_are_too_short_for_a_rule_have_no_null_runs(tmp_path: Path) -> None:
    """Early stopping ends seeds at different epochs; the rule is judged, and tried, on the others."""
    made = Made(tmp_path, null_runs=50).runs(6, epochs=40, accuracy=np.linspace(0.1, 0.9, 40)).run(seed=6, epochs=20)
    judgement = made.judge(row("steady_rise", {"curves": ["accuracy"], "epochs": [1, 40], "correlation": 0.9}))
    assert (judgement.verdict, judgement.null_rate) == ("consistent", 0.0)
    assert "1 seed left out: trained 20 epochs, the rule needs 40" in judgement.reason


def test_a_claim_names_its_null_runs(tmp_path: Path) -> None:
    made = Made(tmp_path, null_runs=50).runs(6, epochs=40, accuracy=steps((20, 0.5), (20, 0.9)))
    arguments = {"rising": ["accuracy"], "falling": []}
    assert made.judge(row("trends", arguments)).null == "no_learning"
    other = made.judge(row("trends", {**arguments, "null": "learner"}))
    assert (other.verdict, other.null, other.null_rate) == ("undecided", "learner", other.learner_rate)
    assert "not specific: " in other.reason


def test_two_experiments_are_compared_in_null_runs_of_both(tmp_path: Path) -> None:
    """Two generic learners are exchangeable: the first has the lower loss in half of the pairs."""
    made = Made(tmp_path, null_runs=1000)
    for seed in range(6):
        made.run("a", seed, 40, loss=0.9).run("b", seed, 40, loss=0.1)
    arguments = {"experiment": "b", "curves": ["loss"], "epoch": 30}
    judgement = made.judge(row("lower_at_epoch", arguments, experiment="a b"))
    assert judgement.null_rate == pytest.approx(0.5, abs=0.05)
    # Six of six have a lower end of 0.54, and the rate is estimated: near one half, either verdict may be right.
    assert judgement.verdict == ("consistent" if judgement.null_rate < 0.5407 else "undecided")
