"""Every rule about curves, on curves made so that the answer is known."""

from typing import Any

import numpy as np
import pytest
from claims_study import Case, Made, noise, row, steps, zigzag

RISE = np.linspace(0.1, 1, 100)
FALL = np.linspace(2, 0.2, 100)
BOTH = {"curves": ["accuracy", "val_accuracy"]}


def case(measure: str, holds: bool, epochs: int, arguments: dict[str, Any], **curves: Any) -> Case:
    verdict = "consistent" if holds else "differs"
    return Case(measure, verdict, lambda made: made.run(epochs=epochs, **curves), arguments)


FURTHER = {"curve": "val_loss", "whole": [1, 90], "early": [1, 40], "factor": 0.9}
TRENDS = {"rising": ["accuracy", "val_accuracy"], "falling": ["loss", "val_loss"], "epochs": [1, 100]}
GAIN = {**BOTH, "early": [1, 10], "late": [11, 20], "gain": 0.03}
REACHES = {"curve": "val_accuracy", "maximum": 1.0, "over": [11, 20], "early": [1, 10], "late": [11, 20]}
LOWEST = {"curve": "loss", "epochs": [1, 90], "share": 0.1, "between": [30, 50]}
MINIMUM = {"curve": "val_loss", "epochs": [1, 90], "between": [70, 90]}
BELOW = {"lower": "val_loss", "upper": "loss", "epochs": [1, 10], "share": 0.8}
BEST = {"curve": "val_loss", "epochs": [1, 40], "late": [31, 40], "window": 10, "factor": 1.1}
DISTANCE = {"first": "val_accuracy", "second": "accuracy", "epochs": [1, 10], "distance": 0.05}
WIDER = {"wider": "val_accuracy", "narrower": "accuracy", "epochs": [1, 50]}
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
    case("ends_near_best", True, 40, BEST, val_loss=steps((20, 1.0), (10, 0.5), (10, 0.55))),
    case("ends_near_best", False, 40, BEST, val_loss=steps((20, 1.0), (10, 0.5), (10, 0.56))),
    case("mean_distance_at_most", True, 10, DISTANCE, accuracy=0.5, val_accuracy=0.45),
    case("mean_distance_at_most", False, 10, DISTANCE, accuracy=0.5, val_accuracy=0.44),
    case("wider_spread", True, 50, WIDER, accuracy=noise(50, 0.1), val_accuracy=noise(50, 0.2)),
    case("wider_spread", False, 50, WIDER, accuracy=noise(50, 0.2), val_accuracy=RISE[:50]),
    case(
        "mean_falls", True, 20, {"curve": "loss", "early": [1, 10], "late": [11, 20]}, loss=steps((10, 1), (10, 0.99))
    ),
    case("mean_falls", False, 20, {"curve": "loss", "early": [1, 10], "late": [11, 20]}, loss=1.0),
    case("epochs_to_reach", True, 30, REACH, accuracy=steps((5, 0), (25, 1)), val_accuracy=steps((9, 0), (21, 0.6))),
    case("epochs_to_reach", False, 30, REACH, accuracy=1.0, val_accuracy=steps((8, 0), (22, 0.6))),
    case("epochs_to_reach", False, 30, REACH, accuracy=1.0, val_accuracy=0.59),
    case("minimum_at_most", True, 12, AT_MOST, loss=0.75, val_loss=steps((5, 0.9), (5, 0.7), (2, 0.9))),
    case("minimum_at_most", False, 12, AT_MOST, loss=0.75, val_loss=0.76),
    case("mean_below_and_wider", True, 40, UNDER, accuracy=noise(40, 0.1), val_accuracy=noise(40, 0.16, 0.4)),
    case("mean_below_and_wider", False, 40, UNDER, accuracy=noise(40, 0.1), val_accuracy=noise(40, 0.2, 0.6)),
    case("mean_below_and_wider", False, 40, UNDER, accuracy=noise(40, 0.1), val_accuracy=noise(40, 0.14, 0.4)),
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
    finding = made.judge(row(one.measure, one.arguments))
    assert finding.verdict == "not run"
    assert finding.reason.startswith("trained 2 epochs, the rule needs ")
    assert finding.difference is None


def test_the_reason_names_the_epochs_that_are_needed(tmp_path):
    finding = Made(tmp_path).run(epochs=2).judge(row("epoch_of_minimum", MINIMUM))
    assert finding.reason == "trained 2 epochs, the rule needs 90"


def test_a_local_minimum_needs_an_epoch_past_its_range(tmp_path):
    finding = Made(tmp_path).run(epochs=30, val_loss=VALLEY[:30]).judge(row("local_minimum", LOCAL))
    assert (finding.verdict, finding.reason) == ("not run", "trained 30 epochs, the rule needs 31")


def test_most_seeds_decide_and_are_counted(tmp_path):
    made = Made(tmp_path)
    for seed, epoch in enumerate([75, 80, 20]):
        made.run(seed=seed, epochs=90, val_loss=steps((epoch - 1, 1.0), (91 - epoch, 0.5)))
    finding = made.judge(row("epoch_of_minimum", MINIMUM, value="80"))
    assert finding.verdict == "consistent"
    assert finding.this_run == "median 75 (20 to 80); holds in 2 of 3 seeds"
    assert finding.difference == -5


def test_half_of_the_seeds_is_not_most(tmp_path):
    made = Made(tmp_path)
    for seed, epoch in enumerate([80, 20]):
        made.run(seed=seed, epochs=90, val_loss=steps((epoch - 1, 1.0), (91 - epoch, 0.5)))
    finding = made.judge(row("epoch_of_minimum", MINIMUM, value="80"))
    assert (finding.verdict, finding.reason) == ("differs", "the rule holds in 1 of 2 seeds")


def test_an_epoch_that_never_comes_is_told_as_such(tmp_path):
    finding = Made(tmp_path).run(epochs=30).judge(row("epochs_to_reach", REACH, value="15"))
    assert finding.this_run == "never; holds in 0 of 1 seed"
    assert finding.difference is None


def test_a_claim_about_several_experiments_needs_most_of_all_their_runs(tmp_path):
    arguments = {"rising": ["accuracy"], "falling": []}
    made = Made(tmp_path).run("a", epochs=100, accuracy=RISE).run("b", epochs=100, accuracy=FALL)
    finding = made.judge(row("trends", arguments, experiment="a b"))
    assert (finding.verdict, finding.reason) == ("differs", "the rule holds in 1 of 2 runs")


@pytest.mark.parametrize("experiment", ["b", "c"])
def test_without_runs_it_is_not_run(experiment, tmp_path):
    made = Made(tmp_path).run("a")
    made.settings["experiments"]["b"] = {}
    finding = made.judge(row("epoch_of_minimum", MINIMUM, experiment=experiment))
    told = {"b": "no runs of b in these results", "c": "the config has no experiment c"}
    assert (finding.verdict, finding.reason) == ("not run", told[experiment])
