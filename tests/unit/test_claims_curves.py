"""Every rule about curves, on curves with a known answer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claims_study import Case, Made, noise, row, steps, zigzag
from cxrflow.claims.results import TrainingResults
from cxrflow.io.errors import UserError
from cxrflow.io.words import counted

RISE = np.linspace(0.1, 1, 100)
FALL = np.linspace(2, 0.2, 100)
BOTH = {"curves": ["accuracy", "val_accuracy"]}


def case(measure: str, holds: bool, epochs: int, arguments: dict[str, Any], **curves: Any) -> Case:
    verdict = "consistent" if holds else "differs"
    return Case(measure, verdict, lambda made: made.runs(epochs=epochs, **curves), arguments)


FURTHER = {"curve": "val_loss", "whole": [1, 90], "early": [1, 40], "factor": 0.9}
TRENDS = {"rising": ["accuracy", "val_accuracy"], "falling": ["loss", "val_loss"], "epochs": [1, 100]}
GAIN = {**BOTH, "early": [1, 10], "late": [11, 20], "gain": 0.03}
REACHES = {"curve": "val_accuracy", "maximum": 1.0, "over": [11, 20], "early": [1, 10], "late": [11, 20]}
LOWEST = {"curve": "loss", "epochs": [1, 90], "share": 0.1, "between": [30, 50]}
MINIMUM = {"curve": "val_loss", "epochs": [1, 90], "between": [70, 90]}
BELOW = {"lower": "val_loss", "upper": "loss", "epochs": [1, 10], "share": 0.8}
BEST = {"curve": "val_loss", "epochs": [1, 40], "late": [31, 40], "window": 10, "share": 0.1}
DISTANCE = {"first": "val_accuracy", "second": "accuracy", "epochs": [1, 10], "distance": 0.05}
WIDER = {"wider": "val_accuracy", "narrower": "accuracy", "epochs": [1, 50]}
CROSSES = {"curve": "val_loss", "other": "loss", "epochs": [1, 10], "least": 0.2}
REACH = {**BOTH, "level": 0.6, "between": [10, 20]}
AT_MOST = {"curves": ["loss", "val_loss"], "epochs": [5, 10], "level": 0.75}
UNDER = {"curve": "val_accuracy", "other": "accuracy", "epochs": [11, 40], "spread_epochs": [1, 40], "factor": 1.5}
BESIDE = {"curve": "loss", "wider": "val_loss", "epochs": [1, 100], "correlation": -0.8}
LOCAL = {"curve": "val_loss", "between": [20, 30]}
VALLEY = np.abs(np.arange(1, 41) - 25.0)
NO_FALL = {"curve": "val_loss", "before": 31, "window": 10, "factor": 0.97, "least_epochs": 50}

CASES = [
    case("minimum_falls_further", True, 90, FURTHER, val_loss=steps((40, 1.0), (50, 0.9))),
    case("minimum_falls_further", False, 90, FURTHER, val_loss=steps((40, 1.0), (50, 0.91))),
    # One low epoch is not a minimum of m5.
    case("minimum_falls_further", False, 90, FURTHER, val_loss=steps((40, 1.0), (1, 0.1), (49, 1.0))),
    case("trends", True, 100, TRENDS, accuracy=RISE, val_accuracy=RISE, loss=FALL, val_loss=FALL),
    case("trends", False, 100, TRENDS, accuracy=RISE, val_accuracy=RISE, loss=FALL, val_loss=RISE),
    case("trends", False, 100, TRENDS, accuracy=0.5, val_accuracy=RISE, loss=FALL, val_loss=FALL),
    case("steady_rise", True, 100, {**BOTH, "epochs": [1, 100], "correlation": 0.8}, accuracy=RISE, val_accuracy=RISE),
    case("steady_rise", False, 100, {**BOTH, "epochs": [1, 100], "correlation": 0.8}, accuracy=RISE, val_accuracy=FALL),
    case("level_at_epoch", True, 40, {"curve": "accuracy", "epoch": 36, "level": 0.9}, accuracy=np.float32(0.9)),
    case(
        "level_at_epoch", True, 40, {"curve": "accuracy", "epoch": 36, "level": 0.9}, accuracy=steps((33, 0), (7, 0.9))
    ),
    case(
        "level_at_epoch", False, 40, {"curve": "accuracy", "epoch": 36, "level": 0.9}, accuracy=steps((36, 0), (4, 1))
    ),
    case(
        "gain_at_most", True, 20, GAIN, accuracy=steps((10, 0.9), (10, 0.93)), val_accuracy=steps((10, 0.9), (10, 0.1))
    ),
    case(
        "gain_at_most",
        False,
        20,
        GAIN,
        accuracy=steps((10, 0.9), (10, 0.93)),
        val_accuracy=steps((10, 0.9), (10, 0.94)),
    ),
    case("reaches_maximum", True, 20, REACHES, val_accuracy=steps((10, 0.9), (9, 0.95), (1, 1.0))),
    case("reaches_maximum", False, 20, REACHES, val_accuracy=steps((10, 0.9), (10, 0.99))),
    case("reaches_maximum", False, 20, REACHES, val_accuracy=steps((10, 0.9), (9, 0.5), (1, 1.0))),
    case("deviation_at_most", True, 10, {"curve": "loss", "epochs": [1, 10], "deviation": 0.05}, loss=zigzag(10, 0.05)),
    case(
        "deviation_at_most", False, 10, {"curve": "loss", "epochs": [1, 10], "deviation": 0.05}, loss=zigzag(10, 0.06)
    ),
    case("first_in_lowest_range", True, 90, LOWEST, loss=steps((29, 1.0), (30, 0.1), (31, 0.0))),
    case("first_in_lowest_range", False, 90, LOWEST, loss=steps((29, 1.0), (30, 0.2), (31, 0.0))),
    case("epoch_of_minimum", True, 90, MINIMUM, val_loss=steps((69, 1.0), (21, 0.5))),
    case("epoch_of_minimum", False, 90, MINIMUM, val_loss=steps((60, 1.0), (9, 0.4), (21, 0.5))),
    case("share_below", True, 10, BELOW, loss=1.0, val_loss=steps((8, 0.9), (2, 1.0))),
    case("share_below", False, 10, BELOW, loss=1.0, val_loss=steps((7, 0.9), (3, 1.0))),
    case("ends_near_best", True, 40, BEST, val_loss=steps((20, 1.0), (10, 0.5), (10, 0.5499))),
    case("ends_near_best", False, 40, BEST, val_loss=steps((20, 1.0), (10, 0.5), (10, 0.56))),
    case("ends_near_best", False, 40, BEST, val_loss=0.5),  # it never falls
    case("mean_distance_at_most", True, 10, DISTANCE, accuracy=0.5, val_accuracy=0.45),
    case("mean_distance_at_most", False, 10, DISTANCE, accuracy=0.5, val_accuracy=0.44),
    # Of 100 training and 25 validation images: twice the spread is expected.
    case("wider_spread", True, 50, WIDER, accuracy=noise(50, 0.1), val_accuracy=noise(50, 0.21)),
    case("wider_spread", False, 50, WIDER, accuracy=noise(50, 0.1), val_accuracy=noise(50, 0.19)),
    case("wider_spread", False, 50, WIDER, accuracy=noise(50, 0.2), val_accuracy=RISE[:50]),
    case("spread_at_most", True, 50, {**WIDER, "factor": 1.5}, accuracy=noise(50, 0.1), val_accuracy=noise(50, 0.29)),
    case("spread_at_most", False, 50, {**WIDER, "factor": 1.5}, accuracy=noise(50, 0.1), val_accuracy=noise(50, 0.31)),
    case("crosses_often", True, 10, CROSSES, loss=1.0, val_loss=steps((8, 0.9), (2, 1.1))),
    case("crosses_often", False, 10, CROSSES, loss=1.0, val_loss=steps((9, 0.9), (1, 1.1))),
    case("crosses_often", False, 10, CROSSES, loss=1.0, val_loss=1.1),
    case(
        "mean_falls", True, 20, {"curve": "loss", "early": [1, 10], "late": [11, 20]}, loss=steps((10, 1), (10, 0.99))
    ),
    case("mean_falls", False, 20, {"curve": "loss", "early": [1, 10], "late": [11, 20]}, loss=1.0),
    case("epochs_to_reach", True, 30, REACH, accuracy=steps((5, 0), (25, 1)), val_accuracy=steps((9, 0), (21, 0.6))),
    case("epochs_to_reach", False, 30, REACH, accuracy=1.0, val_accuracy=steps((8, 0), (22, 0.6))),
    case("epochs_to_reach", False, 30, REACH, accuracy=1.0, val_accuracy=0.59),
    case("minimum_at_most", True, 12, AT_MOST, loss=0.75, val_loss=steps((5, 0.9), (5, 0.7), (2, 0.9))),
    case("minimum_at_most", False, 12, AT_MOST, loss=0.75, val_loss=0.76),
    case("mean_below_and_wider", True, 40, UNDER, accuracy=noise(40, 0.1), val_accuracy=noise(40, 0.32, 0.4)),
    case("mean_below_and_wider", False, 40, UNDER, accuracy=noise(40, 0.1), val_accuracy=noise(40, 0.4, 0.6)),
    case("mean_below_and_wider", False, 40, UNDER, accuracy=noise(40, 0.1), val_accuracy=noise(40, 0.28, 0.4)),
    case("steady_fall_beside_wider", True, 100, BESIDE, loss=FALL, val_loss=noise(100, 0.1)),
    case("steady_fall_beside_wider", False, 100, BESIDE, loss=RISE, val_loss=noise(100, 0.1)),
    case("steady_fall_beside_wider", False, 100, BESIDE, loss=FALL, val_loss=0.5),
    case("local_minimum", True, 40, LOCAL, val_loss=VALLEY),
    case("local_minimum", False, 40, LOCAL, val_loss=np.arange(40)),
    case("local_minimum", False, 50, LOCAL, val_loss=np.r_[np.arange(10), VALLEY]),
    case("no_further_fall", True, 50, NO_FALL, val_loss=steps((20, 2.0), (10, 1.0), (10, 0.5), (10, 0.97))),
    case("no_further_fall", False, 50, NO_FALL, val_loss=steps((20, 2.0), (10, 1.0), (20, 0.96))),
]


@pytest.mark.parametrize("one", CASES, ids=lambda one: f"{one.measure}-{one.verdict}")
def test_rule(one, tmp_path):
    one.check(tmp_path)


@pytest.mark.parametrize("one", [one for one in CASES if one.verdict == "consistent"], ids=lambda one: one.measure)
def test_a_rule_that_needs_more_epochs_is_not_run(one, tmp_path):
    made = Made(tmp_path).run(epochs=2)
    judgement = made.judge(row(one.measure, one.arguments))
    assert judgement.verdict == "not run"
    assert judgement.reason.startswith("trained 2 epochs, the rule needs ")
    assert judgement.difference is None


def test_the_reason_names_the_epochs_that_are_needed(tmp_path):
    judgement = Made(tmp_path).run(epochs=2).judge(row("epoch_of_minimum", MINIMUM))
    assert judgement.reason == "trained 2 epochs, the rule needs 90"


def test_a_local_minimum_needs_an_epoch_past_its_range(tmp_path):
    judgement = Made(tmp_path).run(epochs=30, val_loss=VALLEY[:30]).judge(row("local_minimum", LOCAL))
    assert (judgement.verdict, judgement.reason) == ("not run", "trained 30 epochs, the rule needs 31")


def minima(folder: Path, *epochs: int) -> Made:
    """A training for each epoch, at which the validation loss has its minimum."""
    made = Made(folder)
    for seed, epoch in enumerate(epochs):
        made.run(seed=seed, epochs=90, val_loss=steps((epoch - 1, 1.0), (91 - epoch, 0.5)))
    return made


@pytest.mark.parametrize(
    ("inside", "outside", "interval", "verdict"),
    [
        (6, 0, "0.54 to 1", "consistent"),
        (8, 1, "0.52 to 1", "consistent"),
        (7, 1, "0.47 to 1", "undecided"),
        (5, 0, "0.48 to 1", "undecided"),
        (1, 1, "0.01 to 0.99", "undecided"),
        (1, 7, "0 to 0.53", "undecided"),
        (1, 8, "0 to 0.48", "differs"),
        (0, 6, "0 to 0.46", "differs"),
    ],
)
def test_known_answer_of_how_many_seeds_decide(inside, outside, interval, verdict, tmp_path):
    """Intervals of Clopper and Pearson (1934), as in R: binom.test(8, 9) gives 0.5175 to 0.9972."""
    judgement = minima(tmp_path, *[80] * inside, *[20] * outside).judge(row("epoch_of_minimum", MINIMUM, value="80"))
    share = f"{inside} of {counted(inside + outside, 'seed')}"
    assert (judgement.verdict, judgement.reason) == (verdict, f"the rule holds in {share} (95 % interval {interval})")


def test_seeds_are_counted(tmp_path):
    judgement = minima(tmp_path, 75, 80, 20).judge(row("epoch_of_minimum", MINIMUM, value="80"))
    assert judgement.this_run == "median 75 (20 to 80); holds in 2 of 3 seeds"
    assert judgement.difference == -5


def test_an_epoch_that_is_never_reached_is_shown_as_never(tmp_path):
    judgement = Made(tmp_path).run(epochs=30).judge(row("epochs_to_reach", REACH, value="15"))
    assert judgement.this_run == "never; holds in 0 of 1 seed"
    assert judgement.difference is None


@pytest.mark.parametrize(
    ("seeds_of_b", "curve_of_b", "verdict", "share"),
    [
        (6, RISE, "consistent", "6 of 6 seeds (95 % interval 0.54 to 1)"),
        (6, FALL, "differs", "0 of 6 seeds (95 % interval 0 to 0.46)"),
        (2, RISE, "undecided", "2 of 2 seeds (95 % interval 0.16 to 1)"),
    ],
)
def test_a_claim_about_several_experiments_is_decided_in_each(seeds_of_b, curve_of_b, verdict, share, tmp_path):
    """The many seeds of one experiment must not decide for another."""
    made = Made(tmp_path)
    for experiment, seeds, curve in (("a", 9, RISE), ("b", seeds_of_b, curve_of_b)):
        made.runs(seeds, experiment=experiment, epochs=100, accuracy=curve)
    judgement = made.judge(row("trends", {"rising": ["accuracy"], "falling": []}, experiment="a b"))
    of_each = f"9 of 9 seeds (95 % interval 0.66 to 1) of a and {share} of b"
    assert (judgement.verdict, judgement.reason) == (verdict, f"the rule holds in {of_each}")


def test_each_reason_for_leaving_trainings_out_is_given_once(tmp_path):
    made = Made(tmp_path).run(seed=0, epochs=90)
    for seed, epochs in ((1, 2), (2, 3), (3, 3)):
        made.run(seed=seed, epochs=epochs)
    reason = made.judge(row("epoch_of_minimum", MINIMUM, value="80")).reason
    assert [part.partition(",")[0] for part in reason.split("; ")[1:]] == [
        "3 seeds left out: trained 2 epochs",
        "trained 3 epochs",
    ]


@pytest.mark.parametrize(
    ("epoch", "loss", "message"),
    [(3, 0.5, "row 2 is of epoch 3, not 2"), (2, "nan", "loss of epoch 2 is nan, not a finite number")],
)
def test_a_damaged_history_is_reported_with_its_epoch(epoch, loss, message, tmp_path):
    file = tmp_path / "history.csv"
    file.write_text(f"epoch,loss,accuracy,val_loss,val_accuracy\n1,1,1,1,1\n{epoch},{loss},1,1,1\n")
    with pytest.raises(UserError) as caught:
        _ = TrainingResults("a", 0, tmp_path).history
    assert caught.value.messages == [
        f"{file}: {message}; the file is damaged; delete it and run the same command again"
    ]


@pytest.mark.parametrize("experiment", ["b", "c"])
def test_without_runs_it_is_not_run(experiment, tmp_path):
    made = Made(tmp_path).run("a")
    made.settings["experiments"]["b"] = {}
    judgement = made.judge(row("epoch_of_minimum", MINIMUM, experiment=experiment))
    expected = {"b": "no runs of b in these results", "c": "the config has no experiment c"}
    assert (judgement.verdict, judgement.reason) == ("not run", expected[experiment])


def test_outside_problem_21_a_window_longer_than_the_curve_is_not_applied(tmp_path):
    arguments = {"curve": "val_loss", "epochs": [1, 10], "late": [8, 10], "window": 11, "share": 0.1}
    judgement = Made(tmp_path).run(epochs=10).judge(row("ends_near_best", arguments))
    assert (judgement.verdict, judgement.reason) == ("not run", "trained 10 epochs, the rule needs 11")


def test_outside_problem_21_a_window_that_reaches_before_the_first_epoch_is_undecided(tmp_path):
    arguments = {"curve": "val_loss", "before": 5, "window": 5, "factor": 0.9, "least_epochs": 10}
    judgement = Made(tmp_path).run(epochs=10).judge(row("no_further_fall", arguments))
    assert (judgement.verdict, judgement.reason) == ("undecided", "there are no 5 epochs before epoch 5")
