"""Rules about outcomes on the test images and about features; and that no measure is without a test."""

from collections.abc import Callable
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


def separated(**separation: Any) -> Callable[[Made], Any]:
    shares = {
        "x": {"x": 0.9, "y": 0.1, "z": 0.0},
        "y": {"x": 0.3, "y": 0.6, "z": 0.1},
        "z": {"x": 0.2, "y": 0.3, "z": 0.5},
    }
    whole = {"neighbour_shares": shares, "same_class_share": 0.9, "mostly_other_neighbours": 3, "pairs": {"y|z": 0.7}}
    return lambda made: made.run(separation={**whole, **separation})


CLUSTERS = {"share": 0.9, "silhouette": 0.25}
FEW = {"least": 1, "most": 6}

CASES = [
    # mean 0.5, s 0.1, so 0.5 +- 2.776445 * 0.1 * 1.095445 = 0.1959 to 0.8041
    Case("outcome_of_seeds", "consistent", seeds(0.4, 0.4, 0.5, 0.6, 0.6), ACCURACY, value="0.8"),
    Case("outcome_of_seeds", "differs", seeds(0.4, 0.4, 0.5, 0.6, 0.6), ACCURACY, value="0.82"),
    Case("outcome_of_seeds", "consistent", seeds(*[0.75] * 5), ACCURACY, value="0.75"),
    Case("outcome_of_seeds", "differs", seeds(*[0.75] * 5), ACCURACY, value="0.76"),
    Case("outcome_of_seeds", "cannot be told", seeds(*[0.75] * 4), ACCURACY, value="0.75", this_run="0.75, 4 seeds"),
    Case("outcome_of_seeds", "not run", seeds(*[0.75] * 5), {**ACCURACY, "epochs": 90}, value="0.75", this_run="0.75"),
    Case("outcome_at_least", "consistent", seeds(0.9, 0.95, 0.1), {**ACCURACY, "threshold": 0.9}),
    Case("outcome_at_least", "differs", seeds(0.95, 0.1, 0.2), {**ACCURACY, "threshold": 0.9}),
    Case("outcome_at_least", "cannot be told", seeds(0.9), {"metric": "sensitivity", "threshold": 0.9}),
    Case("clusters_separate", "consistent", separated(silhouette=0.26), CLUSTERS),
    Case("clusters_separate", "differs", separated(silhouette=0.25), CLUSTERS),
    Case("clusters_separate", "differs", separated(same_class_share=0.89), CLUSTERS),
    Case("clusters_separate", "cannot be told", separated(silhouette=None), CLUSTERS),
    Case("neighbours_at_least", "consistent", separated(), {"share": 0.9}),
    Case("neighbours_at_least", "differs", separated(), {"share": 0.91}),
    Case("few_among_others", "consistent", separated(mostly_other_neighbours=6), FEW, this_run="points 6, of 20"),
    Case("few_among_others", "differs", separated(mostly_other_neighbours=7), FEW),
    Case("few_among_others", "differs", separated(mostly_other_neighbours=0), FEW),
    Case("pair_overlaps", "consistent", separated(), {"first": "z", "second": "y", "share": 0.7}),
    Case("pair_overlaps", "differs", separated(), {"first": "y", "second": "z", "share": 0.69}),
    Case("pair_overlaps", "not run", separated(), {"first": "y", "second": "w", "share": 0.69}),
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


def test_measures_live_in_the_module_of_their_kind():
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
    ("stated", "where", "rank"),
    [("0.55", "inside", "4th"), ("0.5", "inside", "3rd to 4th"), ("0.1", "outside", "1st"), ("0.9", "outside", "6th")],
)
def test_an_outcome_shows_interval_and_rank(stated, where, rank, tmp_path):
    made = Made(tmp_path)
    seeds(0.4, 0.4, 0.5, 0.6, 0.6)(made)
    finding = made.judge(row("outcome_of_seeds", ACCURACY, value=stated))
    interval = f"{stated} lies {where} the 95 % prediction interval 0.1959 to 0.8041 of 5 seeds"
    assert finding.reason == f"{interval}; it ranks {rank} of 6 from the lowest"
    assert finding.this_run == "median 0.5 (0.4 to 0.6), 5 seeds"
    assert finding.difference == pytest.approx(0.5 - float(stated))


def test_an_interval_of_accuracy_ends_at_1_and_one_of_loss_does_not(tmp_path):
    made = Made(tmp_path)
    seeds(0.8, 0.9, 1.0, 1.0, 1.0)(made)
    assert " to 1 of 5 seeds" in made.judge(row("outcome_of_seeds", ACCURACY, value="1")).reason
    made = Made(tmp_path / "loss")
    seeds(0.8, 0.9, 1.0, 1.0, 1.0, metric="loss")(made)
    assert " to 1.212 of 5 seeds" in made.judge(row("outcome_of_seeds", {"metric": "loss"}, value="1")).reason


def test_one_seed_shows_how_many_were_right(tmp_path):
    made = Made(tmp_path).run(metrics={"accuracy": 16 / 18, "correct": 16})
    finding = made.judge(row("outcome_of_seeds", ACCURACY, value="1.0"))
    assert (finding.verdict, finding.this_run) == ("cannot be told", "0.8889 (16 of 18)")
    assert finding.reason == "1 seed; at least 5 are needed to know the spread"


def test_an_outcome_says_when_it_was_trained_longer(tmp_path):
    made = Made(tmp_path)
    seeds(*[0.75] * 5, epochs=350)(made)
    finding = made.judge(row("outcome_of_seeds", {**ACCURACY, "epochs": 220}, value="0.75"))
    assert finding.verdict == "consistent"
    assert finding.reason.endswith("; trained 350 epochs, where 220 are stated")


@pytest.mark.parametrize(
    ("trained", "selected", "verdict", "reason"),
    [
        (350, ("number", 220), "consistent", "from the lowest; trained 350 epochs, tested at 220"),
        (350, ("number", 300), "consistent", "; trained 350 epochs, tested at 300, where 220 are stated"),
        (350, ("number", 219), "not run", "trained 350 epochs, tested at 219, the rule needs 220"),
        (350, ("best", 40), "consistent", "; trained 350 epochs, where 220 are stated"),
        (220, ("number", 220), "consistent", "from the lowest"),
    ],
)
def test_an_outcome_is_that_of_the_tested_epoch(trained, selected, verdict, reason, tmp_path):
    made = Made(tmp_path)
    seeds(*[0.75] * 5, epochs=trained, selected=selected)(made)
    finding = made.judge(row("outcome_of_seeds", {**ACCURACY, "epochs": 220}, value="0.75"))
    assert finding.verdict == verdict
    assert finding.reason.endswith(reason)


def test_features_are_those_of_the_tested_epoch(tmp_path):
    """Trained long enough, but tested too early: the features are not those that are spoken of."""
    made = Made(tmp_path).run(epochs=350, selected=("number", 200), separation={"same_class_share": 0.9})
    arguments = {"share": 0.9, "epochs": 220}
    finding = made.judge(row("neighbours_at_least", arguments))
    assert (finding.verdict, finding.reason) == ("not run", "trained 350 epochs, tested at 200, the rule needs 220")
    made.run(seed=1, epochs=350, selected=("number", 220), separation={"same_class_share": 0.9})
    assert made.judge(row("neighbours_at_least", arguments)).verdict == "consistent"
