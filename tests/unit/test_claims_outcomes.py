"""Rules about outcomes on the test images and about features; every measure has a test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_claims_comparisons
import test_claims_curves
import test_claims_networks
from claims_study import Case, Made, row
from cxrflow.claims.load import MODULES
from cxrflow.claims.registry import MEASURES

ACCURACY = {"metric": "accuracy"}


def seeds(
    *values: float, epochs: int = 10, metric: str = "accuracy", selected: tuple[str, int] | None = None
) -> Callable[[Made], None]:
    def make(made: Made) -> None:
        for seed, value in enumerate(values):
            made.run(seed=seed, epochs=epochs, metrics={metric: value}, selected=selected)

    return make


def of_18(*right: int) -> Callable[[Made], None]:
    return seeds(*(count / 18 for count in right))


def separated(**separation: Any) -> Callable[[Made], Any]:
    shares = {
        "x": {"x": 0.9, "y": 0.1, "z": 0.0},
        "y": {"x": 0.3, "y": 0.6, "z": 0.1},
        "z": {"x": 0.2, "y": 0.3, "z": 0.5},
    }
    whole = {"neighbour_shares": shares, "same_class_share": 0.9, "mostly_other_neighbours": 3, "pairs": {"y|z": 0.7}}
    return lambda made: made.runs(separation={**whole, **separation})


CLUSTERS = {"share": 0.9, "silhouette": 0.25}
FEW = {"least": 1, "most": 6}

CASES = [
    # 7, 7, 9, 11 and 11 of 18: mean 9, s 2, so 9 +- 2.776445 * 2 * 1.095445 = 2.9 to 15.1. A coin has 9.
    Case("outcome_of_seeds", "not excluded", of_18(7, 7, 9, 11, 11), ACCURACY, value="0.833"),
    Case("outcome_of_seeds", "differs", of_18(7, 7, 9, 11, 11), ACCURACY, value="0.84"),
    # All images right in 5 seeds: 17 of 18 are expected, too.
    Case("outcome_of_seeds", "consistent", of_18(*[18] * 5), ACCURACY, value="0.945"),
    Case("outcome_of_seeds", "differs", of_18(*[18] * 5), ACCURACY, value="0.94"),
    Case("outcome_of_seeds", "undecided", seeds(*[0.75] * 4), ACCURACY, value="0.75", this_run="0.75, 4 seeds"),
    Case("outcome_of_seeds", "undecided", seeds(*[0.75] * 5, metric="loss"), {"metric": "loss"}, value="0.75"),
    Case("outcome_of_seeds", "not run", seeds(*[0.75] * 5), {**ACCURACY, "epochs": 90}, value="0.75", this_run="0.75"),
    Case("outcome_at_least", "consistent", seeds(*[0.9] * 8, 0.1), {**ACCURACY, "threshold": 0.9}),
    Case("outcome_at_least", "differs", seeds(0.95, *[0.1] * 8), {**ACCURACY, "threshold": 0.9}),
    Case("outcome_at_least", "undecided", seeds(0.9), {"metric": "sensitivity", "threshold": 0.9}),
    Case("clusters_separate", "consistent", separated(silhouette=0.26), CLUSTERS),
    Case("clusters_separate", "differs", separated(silhouette=0.25), CLUSTERS),
    Case("clusters_separate", "differs", separated(same_class_share=0.89), CLUSTERS),
    Case("clusters_separate", "undecided", separated(silhouette=None), CLUSTERS),
    Case("neighbours_at_least", "consistent", separated(), {"share": 0.9}),
    Case("neighbours_at_least", "differs", separated(), {"share": 0.91}),
    Case("few_among_others", "consistent", separated(mostly_other_neighbours=6), FEW, this_run="points 6, of 20"),
    Case("few_among_others", "differs", separated(mostly_other_neighbours=7), FEW),
    Case("few_among_others", "differs", separated(mostly_other_neighbours=0), FEW),
    Case("pair_overlaps", "consistent", separated(), {"first": "z", "second": "y", "share": 0.7}),
    Case("pair_overlaps", "differs", separated(), {"first": "y", "second": "z", "share": 0.69}),
    Case("pair_overlaps", "not run", separated(), {"first": "y", "second": "w", "share": 0.69}),
    Case("pair_separates", "consistent", separated(), {"first": "z", "second": "y", "share": 0.7}),
    Case("pair_separates", "differs", separated(), {"first": "y", "second": "z", "share": 0.71}),
    Case("separate_better", "consistent", separated(), {"better": ["x", "y"], "worse": ["z"]}),
    Case("separate_better", "differs", separated(), {"better": ["x", "z"], "worse": ["y"]}),
    Case("neighbours_mostly", "consistent", separated(), {"neighbours_of": "y", "among": "x", "over": ["z"]}),
    Case("neighbours_mostly", "differs", separated(), {"neighbours_of": "z", "among": "x", "over": ["y"]}),
    Case("neighbours_mostly", "not run", separated(), {"neighbours_of": "w", "among": "x", "over": ["y"]}),
    Case("neighbours_at_least", "not run", separated(of="test_folder"), {"share": 0.9}),
    Case("neighbours_at_least", "consistent", separated(of="test_folder"), {"share": 0.9, "of": "test_folder"}),
    Case("neighbours_at_least", "not run", separated(), {"share": 0.9, "epochs": 11}),
]


@pytest.mark.parametrize("one", CASES, ids=lambda one: f"{one.measure}-{one.verdict}")
def test_rule(one, tmp_path):
    one.check(tmp_path)


HOLDING = [one for one in CASES if MEASURES[one.measure].kind == "features" and one.verdict == "consistent"]


@pytest.mark.parametrize("one", HOLDING, ids=lambda one: one.measure)
def test_outside_problem_13_features_that_are_not_judged_are_never_consistent(one, tmp_path):
    """The numbers would fulfil the rule."""
    reason = "all images of a class have the same features"
    made = Made(tmp_path)
    separated(silhouette=None, not_judged=reason)(made)
    judgement = made.judge(row(one.measure, one.arguments | {"of": "training_folder"}))
    assert (judgement.verdict, judgement.reason) == ("undecided", reason)
    # A file of an earlier version.
    separated(silhouette=None)(made)
    assert made.judge(row(one.measure, one.arguments | {"of": "training_folder"})).verdict == "undecided"


def test_outside_problem_13_classes_that_are_one_point_do_not_overlap_by_row_order(tmp_path):
    made = Made(tmp_path)
    separated(pairs={"y|z": None})(made)
    judgement = made.judge(row("pair_overlaps", {"first": "z", "second": "y", "share": 0.7}))
    assert judgement.verdict == "undecided"
    assert judgement.reason == "all images of z have the same features, and so have those of y"


def rival(share: float | None, **values: Any) -> dict[str, Any]:
    reason = "all images have the same features" if share is None else None
    return {"not_judged": reason, "same_class_share": share, "neighbour_shares": {}, "description": "others", **values}


@pytest.mark.parametrize(
    ("share", "files", "verdict", "rate", "words"),
    [
        (0.95, 0.2, "undecided", 1.0, "it also holds in 100 % of null runs (random features)"),
        (0.5, 0.2, "consistent", 0.0, "it also holds in 0 % of null runs (random features)"),
        (0.5, 0.95, "consistent", 0.0, "not specific: it also holds for properties of the files"),
        (None, None, "consistent", 0.0, "it also holds in 0 % of null runs (random features)"),
    ],
)
def test_features_that_random_features_have_as_well_decide_nothing(
    share: float | None, files: float | None, verdict: str, rate: float, words: str, tmp_path: Path
) -> None:
    made = Made(tmp_path, null_runs=10)
    rivals = {"random": rival(share), "file": rival(files, description="properties of the files")}
    separated(rivals=rivals)(made)
    judgement = made.judge(row("neighbours_at_least", {"share": 0.9}))
    assert (judgement.verdict, judgement.null, judgement.null_rate) == (verdict, "random_features", rate)
    assert (judgement.learner_rate, judgement.control_rate) == (None, None)
    assert words in judgement.reason
    assert ("not specific" in judgement.reason) == (files == 0.95)


def test_features_of_earlier_versions_are_not_compared_with_rivals(tmp_path: Path) -> None:
    made = Made(tmp_path, null_runs=10)
    separated(rivals={"random": {"not_judged": None, "same_class_share": 0.95}})(made)
    judgement = made.judge(row("neighbours_at_least", {"share": 0.9}))
    assert (judgement.verdict, judgement.null, judgement.null_rate) == ("consistent", "", None)


def test_every_measure_has_a_case_that_holds_and_one_that_does_not():
    cases = [
        case for tests in (test_claims_networks, test_claims_curves, test_claims_comparisons) for case in tests.CASES
    ]
    verdicts: dict[str, set[str]] = {name: set() for name in MEASURES}
    for case in [*cases, *CASES]:
        verdicts[case.measure].add(case.verdict)
    for name, seen in verdicts.items():
        assert seen & {"exact", "as configured", "consistent"}, f"{name} holds in no test"
        assert seen & {"differs", "contradicted"}, f"{name} fails in no test"


def test_measures_are_in_the_module_of_their_kind():
    modules = {
        **{kind: kind for kind in ("architecture", "data", "features", "text")},
        **{"setting": "settings", "outcome": "outcomes", "curve": "curves"},
        **{"comparison": "comparisons", "search": "searches"},
    }
    assert {module.__name__.rpartition(".")[2] for module in MODULES} == set(modules.values())
    for module in MODULES:
        for name, known in MEASURES.items():
            if getattr(getattr(module, name, None), "__module__", None) == module.__name__:
                assert module.__name__.endswith(modules[known.kind])


@pytest.mark.parametrize(
    ("stated", "where", "as_good"),
    [("0.55", "inside", 2), ("0.5", "inside", 3), ("0.1", "outside", 5), ("0.9", "outside", 0)],
)
def test_an_outcome_shows_interval_chance_and_seeds_as_good(stated, where, as_good, tmp_path):
    made = Made(tmp_path)
    of_18(7, 7, 9, 11, 11)(made)
    judgement = made.judge(row("outcome_of_seeds", ACCURACY, value=stated))
    interval = f"{stated} lies {where} the 95 % prediction interval 0.1667 to 0.8333 (3 to 15 of 18 images) of 5 seeds"
    seeds_as_good = f"{stated} or better in {as_good} of 5 seeds"
    assert judgement.reason == f"{interval}, which includes chance (0.5); {seeds_as_good}"
    assert judgement.this_run == "median 0.5 (0.3889 to 0.6111), 5 seeds"
    assert judgement.difference == pytest.approx(0.5 - float(stated))


def test_an_interval_of_accuracy_ends_at_1_and_one_of_loss_begins_at_0(tmp_path):
    made = Made(tmp_path)
    of_18(12, 16, 18, 18, 18)(made)
    assert " to 1 (8 to 18 of 18 images) of 5 seeds" in made.judge(row("outcome_of_seeds", ACCURACY, value="1")).reason
    made = Made(tmp_path / "loss")
    seeds(0.003132, 0.2002, 1.1378, 0.9825, 0.01297, metric="loss")(made)
    assert " interval 0 to 3.92" in made.judge(row("outcome_of_seeds", {"metric": "loss"}, value="1")).reason


def test_one_seed_shows_how_many_were_right(tmp_path):
    made = Made(tmp_path).run(metrics={"accuracy": 16 / 18, "correct": 16})
    judgement = made.judge(row("outcome_of_seeds", ACCURACY, value="1.0"))
    assert (judgement.verdict, judgement.this_run) == ("undecided", "0.8889 (16 of 18)")
    assert judgement.reason == "1 seed; at least 5 are needed to know the spread"


def test_an_outcome_says_when_it_was_trained_longer(tmp_path):
    made = Made(tmp_path)
    seeds(*[0.75] * 5, epochs=350)(made)
    judgement = made.judge(row("outcome_of_seeds", {**ACCURACY, "epochs": 220}, value="0.75"))
    assert judgement.verdict == "consistent"
    assert judgement.reason.endswith("; trained 350 epochs; the rule asks for 220")


@pytest.mark.parametrize(
    ("trained", "selected", "verdict", "reason"),
    [
        (350, ("number", 220), "consistent", "of 5 seeds; trained 350 epochs, tested at 220"),
        (350, ("number", 300), "consistent", "; trained 350 epochs, tested at 300; the rule asks for 220"),
        (350, ("number", 219), "not run", "trained 350 epochs, tested at 219, the rule needs 220"),
        (350, ("best", 40), "consistent", "; trained 350 epochs; the rule asks for 220"),
        (220, ("number", 220), "consistent", "0.75 or better in 5 of 5 seeds"),
    ],
)
def test_an_outcome_is_that_of_the_tested_epoch(trained, selected, verdict, reason, tmp_path):
    made = Made(tmp_path)
    seeds(*[0.75] * 5, epochs=trained, selected=selected)(made)
    judgement = made.judge(row("outcome_of_seeds", {**ACCURACY, "epochs": 220}, value="0.75"))
    assert judgement.verdict == verdict
    assert judgement.reason.endswith(reason)


def test_features_are_those_of_the_tested_epoch(tmp_path):
    """Trained long enough, but evaluated too early: the features are not those of the claim."""
    made = Made(tmp_path).run(epochs=350, selected=("number", 200), separation={"same_class_share": 0.9})
    arguments = {"share": 0.9, "epochs": 220}
    judgement = made.judge(row("neighbours_at_least", arguments))
    assert (judgement.verdict, judgement.reason) == ("not run", "trained 350 epochs, tested at 200, the rule needs 220")
    for seed in range(1, 7):
        made.run(seed=seed, epochs=350, selected=("number", 220), separation={"same_class_share": 0.9})
    judgement = made.judge(row("neighbours_at_least", arguments))
    assert judgement.verdict == "consistent"
    assert judgement.reason.startswith("the rule holds in 6 of 6 seeds (95 % interval 0.54 to 1); 1 seed left out: ")
