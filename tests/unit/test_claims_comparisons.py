"""Rules that compare two experiments, and the searches."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from claims_study import Case, Made, noise, row, steps, zigzag

RIGHT, WRONG = [True] * 20, [False] * 20
MIXED = [True, False] * 10
B = {"experiment": "b"}


def two(a: dict[str, Any], b: dict[str, Any], seeds: int = 6, epochs: int = 50) -> Callable[[Made], None]:
    """Results of experiments a and b, the same for every seed."""

    def make(made: Made) -> None:
        for seed in range(seeds):
            made.run("a", seed, epochs, **a).run("b", seed, epochs, **b)

    return make


def case(
    measure: str, verdict: str, make: Callable[[Made], Any], arguments: dict[str, Any], experiment: str = "a b"
) -> Case:
    return Case(measure, verdict, make, arguments, experiment)


def reaching(epoch: int) -> dict[str, Any]:
    return {name: steps((epoch - 1, 0.1), (51 - epoch, 0.7)) for name in ("accuracy", "val_accuracy")}


def apart(distance: float) -> dict[str, Any]:
    return {"accuracy": 0.5, "val_accuracy": zigzag(50, distance)}


REACH = {**B, "curves": ["accuracy", "val_accuracy"], "level": 0.6}
LOWER = {**B, "curves": ["loss", "val_loss"], "epoch": 10}
APART = {**B, "first": "val_accuracy", "second": "accuracy", "over": [11, 50]}


def noisy(size: float) -> dict[str, Any]:
    return {"val_accuracy": noise(50, size)}


SPREAD = {**B, "curve": "val_accuracy"}
RISE = {"others": {"a": ["b"]}, "last": 10}
TIME = {**B, "epochs": {"a": 30, "b": 20}}


def rising(by: float) -> dict[str, Any]:
    return {"val_loss": steps((20, 1.0), (20, 0.5), (10, 0.5 + by))}


COMPARISONS = [
    case("higher_accuracy", "consistent", two({"right": WRONG}, {"right": RIGHT}), B),
    case("higher_accuracy", "differs", two({"right": RIGHT}, {"right": WRONG}), B),
    case("higher_accuracy", "undecided", two({"right": MIXED}, {"right": [not one for one in MIXED]}), B),
    case(
        "fewer_epochs_to_plateau",
        "consistent",
        two({"val_loss": steps((30, 1.0), (20, 0.5))}, {"val_loss": steps((20, 1.0), (5, 0.525), (25, 0.5))}),
        {**B, "within": 0.05},
    ),
    case(
        "fewer_epochs_to_plateau",
        "differs",
        two({"val_loss": steps((30, 1.0), (20, 0.5))}, {"val_loss": steps((20, 1.0), (15, 0.53), (15, 0.5))}),
        {**B, "within": 0.05},
    ),
    case("fewer_epochs_to_reach", "consistent", two(reaching(30), reaching(20)), REACH),
    case("fewer_epochs_to_reach", "consistent", two({}, reaching(20)), REACH),
    case("fewer_epochs_to_reach", "differs", two(reaching(20), reaching(20)), REACH),
    case("fewer_epochs_to_reach", "differs", two({}, {}), REACH),
    case("lower_at_epoch", "consistent", two({}, {"loss": 0.4, "val_loss": 0.4}), LOWER),
    case("lower_at_epoch", "differs", two({}, {"loss": 0.4, "val_loss": 0.6}), LOWER),
    case("farther_apart", "consistent", two(apart(0.1), apart(0.2)), APART),
    case("farther_apart", "differs", two(apart(0.2), apart(0.1)), APART),
    case("less_time_to_train", "consistent", two({"seconds": 1.0}, {"seconds": 1.4}), TIME),
    case("less_time_to_train", "differs", two({"seconds": 1.0}, {"seconds": 1.6}), TIME),
    case("less_time_to_train", "undecided", two({"processor": "one"}, {"processor": "other"}), TIME),
    case("smaller_spread", "consistent", two(noisy(0.2), noisy(0.1)), SPREAD),
    case("smaller_spread", "differs", two(noisy(0.1), noisy(0.2)), SPREAD),
]

BEST = {
    "a": {"val_loss": steps((29, 1.0), (21, 0.5)), "loss": 0.45},
    "b": {"val_loss": steps((19, 1.0), (31, 0.6)), "loss": 0.3},
}
MORE = {"experiment": "a", "extra": "b", "classes": ["x", "y"]}

SEARCHES = [
    case(
        "validation_loss_not_worse",
        "consistent",
        two({"val_loss": 0.4}, {"val_loss": 0.4}),
        {"others": {"a": ["b"]}},
        "a",
    ),
    case(
        "validation_loss_not_worse", "differs", two({"val_loss": 0.5}, {"val_loss": 0.4}), {"others": {"a": ["b"]}}, "a"
    ),
    case("rise_not_greater", "consistent", two(rising(0.1), rising(0.1)), RISE, "a"),
    case("rise_not_greater", "differs", two(rising(0.2), rising(0.1)), RISE, "a"),
    case("smaller_gap_later", "consistent", two(BEST["a"], BEST["b"]), {"other": "b"}, "a"),
    case("smaller_gap_later", "differs", two(BEST["b"], BEST["a"]), {"other": "b"}, "a"),
    case("smaller_gap_later", "differs", two({**BEST["a"], "loss": 0.1}, BEST["b"]), {"other": "b"}, "a"),
    case(
        "extra_less_accurate",
        "consistent",
        two({"right": RIGHT}, {"right": WRONG}),
        {"experiment": "a", "extra": "b"},
        "a",
    ),
    case(
        "extra_less_accurate",
        "differs",
        two({"right": WRONG}, {"right": RIGHT}),
        {"experiment": "a", "extra": "b"},
        "a",
    ),
    case("extra_more_accurate", "consistent", two({"right": WRONG}, {"right": RIGHT}), MORE, "a"),
    case("extra_more_accurate", "differs", two({"right": RIGHT}, {"right": WRONG}), MORE, "a"),
]

CASES = COMPARISONS + SEARCHES


@pytest.mark.parametrize("one", CASES, ids=lambda one: f"{one.measure}-{one.verdict}")
def test_rule(one, tmp_path):
    one.check(tmp_path)


@pytest.mark.parametrize("one", COMPARISONS[:1] + [one for one in COMPARISONS[3:] if one.verdict == "consistent"])
def test_a_comparison_with_one_side_is_not_run(one, tmp_path):
    made = Made(tmp_path).run("b", right=RIGHT)
    made.settings["experiments"]["a"] = {}
    judgement = made.judge(row(one.measure, one.arguments, experiment="a b"))
    assert (judgement.verdict, judgement.reason) == ("not run", "no runs of a in these results")


@pytest.mark.parametrize("one", [one for one in SEARCHES if one.verdict == "consistent"], ids=lambda one: one.measure)
def test_a_search_says_which_extras_to_run(one, tmp_path):
    made = Made(tmp_path).run("a", right=RIGHT)
    made.settings["experiments"]["b"] = {}
    judgement = made.judge(row(one.measure, one.arguments))
    assert judgement.verdict == "not run"
    assert judgement.reason == "no runs of b; run these extras (`only:` or `with_extras: true`)"


def test_a_search_names_an_extra_that_the_config_does_not_have(tmp_path):
    made = Made(tmp_path).run("a")
    made.settings["experiments"]["a_lr_2"] = {}
    judgement = made.judge(row("smaller_gap_later", {"other": "a_lr_1"}))
    assert judgement.reason == "the config has no experiment a_lr_1; did you mean 'a_lr_2'?"


def test_only_seeds_of_both_are_paired(tmp_path):
    made = Made(tmp_path)
    for seed in (0, 1, 2):
        made.run("a", seed, loss=1.0, val_loss=1.0)
    for seed in (2, 3):
        made.run("b", seed)
    judgement = made.judge(row("lower_at_epoch", LOWER, experiment="a b"))
    assert judgement.verdict == "undecided"
    assert judgement.reason == "the rule holds in 1 of 1 seed (95 % interval 0.03 to 1)"


def test_without_a_common_seed_the_verdict_is_undecided(tmp_path):
    judgement = Made(tmp_path).run("a", 0).run("b", 1).judge(row("lower_at_epoch", LOWER, experiment="a b"))
    assert (judgement.verdict, judgement.reason) == ("undecided", "b and a have no seed in common")


def test_a_longer_training_is_cut_for_the_comparison(tmp_path):
    made = Made(tmp_path).run("a", epochs=50, val_loss=steps((9, 1.0), (20, 0.5), (21, 0.1))).run("b", epochs=50)
    made_epochs = {**B, "within": 0.05, "epochs": {"a": 20}}
    judgement = made.judge(row("fewer_epochs_to_plateau", made_epochs, experiment="a b"))
    assert judgement.this_run.startswith("b 1, a 10;")
    judgement = made.judge(row("fewer_epochs_to_plateau", {**made_epochs, "epochs": {"a": 60}}, experiment="a b"))
    assert (judgement.verdict, judgement.reason) == ("not run", "trained 50 epochs, the rule needs 60")


def test_one_seed_has_no_spread_but_is_shown(tmp_path):
    made = Made(tmp_path)
    two({"right": WRONG}, {"right": MIXED}, seeds=1)(made)
    judgement = made.judge(row("higher_accuracy", B, experiment="a b"))
    assert judgement.verdict == "undecided"
    assert judgement.this_run == "0.5 against 0, difference 0.5"
    assert judgement.reason == "1 seed; at least 3 are needed to know the spread"
    made = Made(tmp_path / "two")
    two({"right": WRONG}, {"right": RIGHT}, seeds=2)(made)
    judgement = made.judge(row("higher_accuracy", B, experiment="a b"))
    assert judgement.verdict == "undecided"
    assert judgement.reason == "2 seeds; at least 3 are needed to know the spread"


def test_the_interval_is_shown_and_its_mean_is_the_difference(tmp_path):
    made = Made(tmp_path)
    two({"right": [True] * 10 + [False] * 10}, {"right": [True] * 18 + [False] * 2}, seeds=5)(made)
    judgement = made.judge(row("higher_accuracy", B, experiment="a b"))
    assert judgement.verdict == "consistent"
    assert judgement.this_run == "0.9 against 0.5, difference 0.4"
    # All seeds are the same, so only the images vary: 8 of 20, 0.4 -+ t(19) * sqrt(0.24 / 19), and 2 of 2^8 signs.
    reason = "the 95 % interval of the difference is 0.1648 to 0.6352 (20 images, 5 seeds), p = 0.008"
    assert judgement.reason == reason


def test_a_difference_that_patients_do_not_show_is_not_told(tmp_path):
    """5 images against 0 in all seeds: p = 0.0625."""
    made = Made(tmp_path)
    two({"right": [True] * 15 + [False] * 5}, {"right": [True] * 20}, seeds=5)(made)
    judgement = made.judge(row("higher_accuracy", B, experiment="a b"))
    assert judgement.verdict == "undecided"
    assert judgement.reason.endswith("(20 images, 5 seeds), p = 0.062")


def test_a_larger_network_chooses_among_the_given_classes(tmp_path):
    """An image of x is predicted as a third class; among x and y only, the prediction is right."""
    made = Made(tmp_path)
    two({"right": RIGHT}, {"right": RIGHT}, seeds=2)(made)
    for seed in (0, 1):
        place = tmp_path / "runs" / "a" / f"seed_{seed}" / "predictions.csv"
        text = place.read_text().replace("p_y", "p_y,p_z").splitlines()
        place.write_text("\n".join([text[0], *(line.replace(",x,x,", ",x,z,") + ",0.9" for line in text[1:])]))
    judgement = made.judge(row("extra_more_accurate", MORE))
    assert judgement.this_run == "1 against 1, difference 0"


def test_searches_of_two_experiments_are_judged_together(tmp_path):
    made = Made(tmp_path)
    for seed in range(6):
        made.run("a", seed, val_loss=0.4).run("a_2", seed).run("b", seed, val_loss=0.6).run("b_2", seed)
    arguments = {"others": {"a": ["a_2"], "b": ["b_2"]}}
    judgement = made.judge(row("validation_loss_not_worse", arguments, experiment="a b"))
    of_each = "6 of 6 seeds (95 % interval 0.54 to 1) of a and 0 of 6 seeds (95 % interval 0 to 0.46) of b"
    assert (judgement.verdict, judgement.reason) == ("differs", f"the rule holds in {of_each}")
    assert judgement.this_run == "a 0.4, a_2 0.5, b 0.6, b_2 0.5; holds in 6 of 6 seeds of a and 0 of 6 seeds of b"


def test_intervals_do_not_depend_on_the_order_of_images(tmp_path):
    random = np.random.default_rng(3)
    right = [(random.random(20) < 0.6).tolist() for _ in range(6)]
    made = Made(tmp_path)
    for seed in range(3):
        made.run("a", seed, right=right[seed]).run("b", seed, right=right[seed + 3])
    before = made.judge(row("higher_accuracy", B, experiment="a b"))
    place = tmp_path / "runs" / "a" / "seed_0" / "predictions.csv"
    head, *lines = place.read_text().splitlines()
    place.write_text("\n".join([head, *reversed(lines)]))
    assert made.judge(row("higher_accuracy", B, experiment="a b")) == before
