"""The distance of an observation and of a verdict from where they would flip, and positive controls."""

from pathlib import Path

import numpy as np
import pytest
from claims_study import Made, made_history, row
from cxrflow.claims.control_runs import control_failures, control_histories
from cxrflow.claims.features import neighbours_mostly
from cxrflow.claims.model import Observation, UndecidedError
from cxrflow.claims.noise import MOST, distance_of_verdict, noisy_histories, noisy_separations, observe_with_distance
from cxrflow.claims.results import CURVES, History, TrainingResults
from hypothesis import given
from hypothesis import strategies as st

MOBILENET = {
    "images": 269,
    "neighbour_shares": {
        "covid": {"covid": 0.6305, "normal": 0.0610, "pneumonia_bac": 46 / 295, "pneumonia_vir": 45 / 295},
        "normal": {"covid": 0.02, "normal": 0.8629, "pneumonia_bac": 0.0314, "pneumonia_vir": 0.0857},
        "pneumonia_bac": {"covid": 0.0657, "normal": 0.04, "pneumonia_bac": 0.4943, "pneumonia_vir": 0.4},
        "pneumonia_vir": {"covid": 0.0657, "normal": 0.0543, "pneumonia_bac": 0.3943, "pneumonia_vir": 0.4857},
    },
    "same_class_share": 0.6178,
    "mostly_other_neighbours": 97,
    "pairs": {"covid|normal": 0.927, "normal|other": None},
    "silhouette": 0.08,
}


def flat_training(folder: Path, seed: int, epochs: int, noise: float) -> TrainingResults:
    folder.mkdir()
    (folder / "training.json").write_text('{"images": {"training": 100, "validation": 25}}')
    values = 0.5 + np.random.default_rng(seed).normal(scale=noise, size=epochs)
    made_history(epochs, loss=values, val_loss=1 - values).to_csv(folder / "history.csv", index=False)
    return TrainingResults("a", seed, folder)


@pytest.mark.parametrize("deviations", [0.0, 1.0, 2.0])
def test_known_answer_of_the_distance_of_a_mean(deviations: float, tmp_path: Path) -> None:
    """The mean of n epochs has the standard deviation of an epoch, divided by the root of n.

    Residuals from the running median over 5 are smaller by 6 %: the variance of that median is 0.2868 for normal numbers, and
    its covariance with each of them is 1/5 (Basu's theorem).
    """
    found = []
    for seed in range(24):
        training = flat_training(tmp_path / str(seed), seed, epochs=60, noise=0.05)
        limit = training.history.curve("loss").mean() + deviations * 0.05 / np.sqrt(60)

        def rule(history: History, limit: float = limit) -> Observation:
            return Observation(bool(history.curve("loss").mean() <= limit), {})

        copies = [(copy,) for copy in noisy_histories(training, 500)]
        distance = observe_with_distance(rule, (training.history,), copies).distance
        assert distance is not None
        found.append(distance)
    assert np.mean(found) == pytest.approx(deviations / np.sqrt(1 + 0.2868 - 2 / 5), abs=0.25)


def test_noisy_copies_keep_the_curve_and_its_noise(tmp_path: Path) -> None:
    training = flat_training(tmp_path / "one", 0, epochs=300, noise=0.05)
    copies = noisy_histories(training, 200)
    losses = np.array([copy.curves["loss"] for copy in copies])
    assert losses.std(axis=1).mean() == pytest.approx(training.history.curves["loss"].std(), rel=0.1)
    np.testing.assert_allclose(losses.mean(axis=0), training.history.smooth("loss"), atol=0.05)
    # Curves take the residuals of the same epoch, so that what varies together still does.
    np.testing.assert_allclose(losses[0] + copies[0].curves["val_loss"], 1, atol=1e-9)


def test_noisy_copies_stay_in_range(tmp_path: Path) -> None:
    made = Made(tmp_path).run(epochs=30, accuracy=np.tile([1.0, 0.7], 15), loss=np.tile([0.0, 0.4], 15))
    for copy in noisy_histories(made.results().of("a")[0], 50):
        assert (copy.curves["accuracy"] <= 1).all() and (copy.curves["loss"] >= 0).all()


def test_an_answer_of_all_copies_is_far_from_the_edge_and_an_undecided_copy_is_another_answer() -> None:
    def always(_: int) -> Observation:
        return Observation(True, {})

    def rarely(copy: int) -> Observation:
        if copy:
            raise UndecidedError("undecided", "too short")
        return Observation(True, {})

    copies = [(number,) for number in range(1, 2000)]
    assert observe_with_distance(always, (0,), copies).distance == MOST
    assert observe_with_distance(rarely, (0,), copies).distance == 0
    assert observe_with_distance(always, (0,), []).distance is None


def test_46_against_45_neighbours_is_on_the_edge() -> None:
    rule = {"neighbours_of": "covid", "among": "pneumonia_bac", "over": ["pneumonia_vir"]}
    copies = [(copy,) for copy in noisy_separations(MOBILENET, 1000)]
    observation = observe_with_distance(lambda one: neighbours_mostly(one, **rule), (MOBILENET,), copies)
    assert observation.holds and observation.distance is not None
    # The difference of two multinomial counts has the variance n (p + q - (p - q)^2).
    assert observation.distance == pytest.approx(1 / np.sqrt(91), abs=0.12)
    far = observe_with_distance(
        lambda one: neighbours_mostly(one, neighbours_of="covid", among="covid", over=["normal"]), (MOBILENET,), copies
    )
    assert far.distance == MOST


def seen(*distances: float | None, failing: tuple[float, ...] = ()) -> list[Observation]:
    return [Observation(True, {}, one) for one in distances] + [Observation(False, {}, one) for one in failing]


@pytest.mark.parametrize(
    ("observations", "rate", "distance"),
    [
        (seen(3, 2, 1, 3, 3, 3), 0.0, 1),  # 5 of 6 is undecided: one seed is enough
        (seen(3, 2, 1, 3, 3, 3, 3, 3, 3), 0.0, 2),  # 8 of 9 is consistent, 7 of 9 is not
        (seen(3, 2, failing=(0.5,)), 0.0, 0.5),  # three seeds never decide
        (seen(3, 2, 1, failing=(3, 3, 3, 0.5, 3, 3)), 0.0, 2),  # 3 of 9 is undecided, 1 of 9 differs
        (seen(failing=(1, 2, 3, 3, 3, 3)), 0.0, 1),
        (seen(3, 2, 1, 3, 3, 3, 3, 3, 3), 0.6, 1),  # 9 of 9 have a lower end of 0.66, 8 of 9 one of 0.52
        (seen(3, None, 1), 0.0, None),
    ],
)
def test_known_answer_of_the_distance_of_a_verdict(
    observations: list[Observation], rate: float, distance: float | None
) -> None:
    assert distance_of_verdict(observations, rate) == distance


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), min_size=1, max_size=15))
def test_a_verdict_is_as_far_as_one_of_its_seeds(seeds: list[tuple[bool, float]]) -> None:
    observations = [Observation(holds, {}, distance) for holds, distance in seeds]
    found = distance_of_verdict(observations)
    assert found in [distance for _, distance in seeds]


def test_controls_are_runs_of_the_same_length_and_the_same_each_time(tmp_path: Path) -> None:
    made = Made(tmp_path).run(epochs=30)
    training = made.results().of("a")[0]
    for smooth, noisy in control_histories((training,), 30):
        for one in (smooth, noisy):
            assert one.trained == 30 and all(np.isfinite(one.curves[name]).all() for name in CURVES)
            assert all((one.curves[name] >= 0).all() for name in CURVES) and (one.curves["accuracy"] <= 1).all()
        # 25 validation images: the noise is that of a binomial share.
        assert np.abs(smooth.curves["val_accuracy"] - noisy.curves["val_accuracy"]).max() < 0.5
    again = Made(tmp_path / "again").run(epochs=30).results().of("a")[0]
    one, other = (control_histories((same,), 3)[2][1] for same in (training, again))
    np.testing.assert_array_equal(one.curves["loss"], other.curves["loss"])


def test_a_rule_that_holds_whenever_it_is_true_fails_no_control_and_an_impossible_one_has_none(tmp_path: Path) -> None:
    trainings = [(Made(tmp_path).run(epochs=30).results().of("a")[0],)]
    assert control_failures(lambda _: Observation(True, {}), trainings, 100) == 0
    assert control_failures(lambda _: Observation(False, {}), trainings, 100) is None


def test_a_rule_that_its_controls_fail_cannot_differ(tmp_path: Path) -> None:
    """With 25 validation images, accuracy varies by 0.1 even in a run whose true accuracy is constant."""
    unsteady = np.tile([0.4, 0.6], 20)
    made = Made(tmp_path, null_runs=200).runs(6, epochs=40, val_accuracy=unsteady)
    arguments = {"curve": "val_accuracy", "epochs": [20, 40]}
    strict = made.judge(row("deviation_at_most", {**arguments, "deviation": 0.02}))
    assert strict.verdict == "undecided" and strict.control_rate is not None and strict.control_rate > 0.9
    assert "cannot differ: it fails in " in strict.reason and "0 of 6 seeds" in strict.this_run


def test_a_rule_that_its_controls_pass_differs(tmp_path: Path) -> None:
    made = Made(tmp_path, null_runs=200).runs(6, epochs=40, accuracy=0.5)
    judgement = made.judge(row("level_at_epoch", {"curve": "accuracy", "epoch": 30, "level": 0.9}))
    assert judgement.verdict == "differs"
    assert judgement.control_rate is not None and judgement.control_rate < 0.2
    assert judgement.distance == MOST
