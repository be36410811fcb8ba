"""Metrics, features and separation, against scikit-learn, Keras and known answers."""

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from cxrflow.evaluation.embedding import tsne_map
from cxrflow.evaluation.metrics import (
    EARLIER_LEAST_PROBABILITY,
    beside_accuracy,
    metrics_of,
    only_prediction,
    prediction_table,
)
from cxrflow.evaluation.predict import (
    class_probabilities,
    logit_network,
    predict_in_batches,
    probabilities_from_logits,
)
from cxrflow.evaluation.separation import separation_of
from cxrflow.io.errors import UserError
from cxrflow.stages.embed_features import main as embed_main
from cxrflow.stages.evaluate_model import in_one_line
from cxrflow.stages.plot_embedding import main as plot_main
from feature_files import write_images
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer
from sklearn.dummy import DummyClassifier
from sklearn.manifold import TSNE as TSNE_OF_SCIKIT_LEARN
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

CLASSES = ["covid", "normal", "viral"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """One thread maps so few points in 0.2 s; several threads wait for each other on a busy machine."""
    with threadpool_limits(1):
        yield


def table_of(truth: list[int], probabilities: np.ndarray) -> pd.DataFrame:
    images = pd.DataFrame(
        {"image": [f"test/x/{n}.png" for n in range(len(truth))], "class": [CLASSES[t] for t in truth]}
    )
    return prediction_table(images, probabilities, CLASSES[: probabilities.shape[1]])


def test_known_metrics() -> None:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3], [0.0, 1.0]])
    table = table_of([0, 0, 1, 1, 1], probabilities)
    assert table["predicted"].tolist() == ["covid", "normal", "normal", "covid", "normal"]
    found = metrics_of(table, CLASSES[:2], "covid")
    assert (found["images"], found["correct"], found["accuracy"]) == (5, 3, 0.6)
    assert found["confusion_matrix"] == [[1, 1], [1, 2]]
    assert (found["sensitivity"], found["specificity"]) == (0.5, 2 / 3)
    assert found["per_class"]["normal"] == {"images": 3, "sensitivity": 2 / 3, "precision": 2 / 3}
    assert found["loss"] == pytest.approx(-np.mean(np.log([0.9, 0.4, 0.8, 0.3, 1])), rel=1e-12)
    earlier = metrics_of(table, CLASSES[:2], "covid", EARLIER_LEAST_PROBABILITY)
    assert earlier["loss"] == pytest.approx(-np.mean(np.log([0.9, 0.4, 0.8, 0.3, 1 - 1e-7])), rel=1e-12)


@pytest.mark.parametrize("outputs", [1, 2])
def test_known_answer_loss_of_the_logit_20_is_that_of_keras(outputs: int) -> None:
    """Keras computes 20 from the logit, and 16.1 from the probability in single precision."""
    last = keras.layers.Dense(
        outputs, activation="softmax" if outputs == 2 else "sigmoid", use_bias=False, name="output"
    )
    pixels = keras.Input((outputs,))
    model = keras.Model(pixels, last(pixels))
    last.set_weights([np.eye(outputs)])
    model.compile(loss="categorical_crossentropy" if outputs == 2 else "binary_crossentropy")
    inputs = np.array([[-20.0, 20.0]]) / 2 if outputs == 2 else np.array([[20.0]])
    of_keras = model.evaluate(inputs, np.array([[1.0, 0.0]]) if outputs == 2 else np.array([[0.0]]), verbose=0)
    logits = logit_network(model).predict_on_batch(inputs)
    probabilities = probabilities_from_logits(logits)
    np.testing.assert_allclose(probabilities, class_probabilities(model.predict_on_batch(inputs)), atol=1e-7)
    found = metrics_of(table_of([0], probabilities), CLASSES[:2], None)
    assert found["loss"] == pytest.approx(20.0, abs=1e-6) == of_keras


def test_logits_need_a_dense_layer_with_softmax_or_sigmoid() -> None:
    pixels = keras.Input((2,))
    model = keras.Model(pixels, keras.layers.Dense(2, name="linear")(pixels))
    with pytest.raises(UserError, match="ends with linear, not with a Dense layer and softmax or sigmoid"):
        logit_network(model)
    with pytest.raises(UserError, match="not a number for 1 of 1 images"):
        probabilities_from_logits(np.array([[np.nan]]))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_metrics_are_those_of_scikit_learn_and_keras(seed: int, images: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, images)
    probabilities = random.dirichlet([0.3, 0.3, 0.3], images).astype(np.float32).astype(np.float64)
    table = table_of(truth.tolist(), probabilities)
    found = metrics_of(table, CLASSES, None)
    predicted = probabilities.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(peer.accuracy_score(truth, predicted))
    assert found["confusion_matrix"] == peer.confusion_matrix(truth, predicted, labels=[0, 1, 2]).tolist()
    for place, name in enumerate(CLASSES):
        if (truth == place).any():
            recall = peer.recall_score(truth, predicted, labels=[place], average=None, zero_division=0)[0]
            assert found["per_class"][name]["sensitivity"] == pytest.approx(recall)
        else:
            assert found["per_class"][name]["sensitivity"] is None
    one_hot = np.eye(3, dtype=np.float32)[truth]
    earlier = metrics_of(table, CLASSES, None, EARLIER_LEAST_PROBABILITY)["loss"]
    loss = np.mean(keras.losses.categorical_crossentropy(one_hot, probabilities.astype(np.float32)))
    assert earlier == pytest.approx(float(loss), rel=1e-3, abs=1e-4)
    assert found["loss"] >= earlier - 1e-6
    assert found["sensitivity"] is None and found["specificity"] is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_outside_problem_15_balanced_accuracy_and_baseline_are_those_of_scikit_learn(
    pairs: list[tuple[int, int]],
) -> None:
    truth, predicted = zip(*pairs, strict=True)
    matrix = peer.confusion_matrix(truth, predicted, labels=[0, 1, 2]).tolist()
    found = beside_accuracy(matrix, CLASSES)
    with warnings.catch_warnings(action="ignore"):  # of predicted classes without an image
        assert found["balanced_accuracy"] == pytest.approx(peer.balanced_accuracy_score(truth, predicted))
    always = DummyClassifier(strategy="most_frequent").fit(truth, truth).predict(truth)
    assert found["majority"]["accuracy"] == pytest.approx(peer.accuracy_score(truth, always))
    assert found["majority"]["class"] == CLASSES[always[0]]
    assert found["majority"]["images"] == truth.count(always[0])


def test_outside_problem_15_a_constant_network_at_100_to_1() -> None:
    table = table_of([1] * 100 + [0], np.tile([0.1, 0.9], (101, 1)))
    found = metrics_of(table, CLASSES[:2], "covid")
    assert (found["correct"], found["images"]) == (100, 101)
    assert found["balanced_accuracy"] == 0.5
    assert found["majority"] == {"class": "normal", "images": 100, "accuracy": 100 / 101}
    line = "100 of 101 right (always predicting normal: 100), balanced accuracy 50.0%, loss 0.1271"
    assert in_one_line(found) == line
    assert only_prediction(found["confusion_matrix"], found["classes"]) == "normal"
    assert only_prediction([[1, 0], [0, 9]], CLASSES[:2]) is None
    assert only_prediction([[0, 0], [0, 9]], CLASSES[:2]) is None  # one class in the test: nothing else to predict


def test_a_sigmoid_is_the_probability_of_the_second_class() -> None:
    np.testing.assert_allclose(class_probabilities(np.array([[0.25], [1.0]])), [[0.75, 0.25], [0, 1]])
    softmax = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_array_equal(class_probabilities(softmax), softmax)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outside_problem_17_an_output_that_is_not_a_number_is_an_error(value: float) -> None:
    with pytest.raises(UserError, match="not a number for 1 of 2 images: its training diverged; a lower learning_rate"):
        class_probabilities(np.array([[0.5, 0.5], [value, 0.5]], dtype=np.float32))


def test_prediction_in_batches_equals_prediction_in_one_batch() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    pixels = {str(n): np.random.default_rng(n).integers(0, 256, (4, 4, 3)).astype(np.uint8) for n in range(70)}
    names = [str(n) for n in reversed(range(70))]
    once = model.predict_on_batch(np.stack([pixels[name] for name in names]).astype(np.float32))
    np.testing.assert_allclose(predict_in_batches(model, pixels, names), once, rtol=1e-5, atol=1e-4)


def clusters(distance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    classes = np.repeat(CLASSES, 12)
    centres = np.repeat([0.0, 1.0, 2.0], 12)[:, None] * distance
    return random.normal(size=(36, 5)) + centres, classes


def test_separated_and_mixed_classes() -> None:
    apart = separation_of(*clusters(50))
    assert apart["same_class_share"] == 1 and apart["silhouette"] > 0.8
    assert apart["mostly_other_neighbours"] == 0
    assert apart["neighbour_shares"]["covid"] == {"covid": 1, "normal": 0, "viral": 0}
    assert apart["pairs"] == {"covid|normal": 1, "covid|viral": 1, "normal|viral": 1}
    mixed = separation_of(*clusters(0))
    assert mixed["same_class_share"] < 0.6 and mixed["silhouette"] < 0.1
    assert mixed["mostly_other_neighbours"] > 10


@pytest.mark.parametrize("distance", [0.0, 0.7, 3.0])
def test_neighbours_are_those_of_scikit_learn(distance: float) -> None:
    features, classes = clusters(distance)
    points = StandardScaler().fit_transform(features)
    shares, wrong = [], 0
    for left_out in range(len(points)):
        others = np.arange(len(points)) != left_out
        knn = KNeighborsClassifier(5).fit(points[others], classes[others])
        same = dict(zip(knn.classes_, knn.predict_proba(points[[left_out]])[0], strict=True))[classes[left_out]]
        shares.append(same)
        wrong += same < 0.5
    found = separation_of(features, classes)
    assert found["same_class_share"] == pytest.approx(np.mean(shares))
    assert found["mostly_other_neighbours"] == wrong
    assert found["silhouette"] == pytest.approx(peer.silhouette_score(points, classes))


BY_CLASS = np.repeat([[0.2, 3.0], [0.7, 1.0], [0.7, 2.0]], 12, axis=0)
NOISE = np.random.default_rng(0).uniform(-1e-7, 1e-7, (36, 2))  # as 32-bit sums have it
ALL_THE_SAME = "all images have the same features"
UNDECIDED = {
    "all 0": (np.zeros((36, 2)), ALL_THE_SAME),
    "all the same": (np.full((36, 2), 0.7), ALL_THE_SAME),
    "the same but for rounding": ((0.7 + NOISE).astype(np.float32), ALL_THE_SAME),
    "constant by class": (BY_CLASS, "all images of a class have the same features"),
    "constant by class but for rounding": (
        (BY_CLASS + NOISE).astype(np.float32),
        "all images of a class have the same",
    ),
    "not a number": (
        np.where(np.arange(36) == 3, np.nan, 1)[:, None] * BY_CLASS,
        "the features of 1 of 36 images are not",
    ),
    "infinite": (np.where(np.arange(36) < 3, -np.inf, 1)[:, None] * BY_CLASS, "the features of 3 of 36 images are not"),
}


@pytest.mark.parametrize("kind", UNDECIDED)
def test_outside_problem_13_meaningless_features_are_reported_and_not_judged(kind: str) -> None:
    features, reason = UNDECIDED[kind]
    found = separation_of(features, np.repeat(CLASSES, 12))
    assert found["not_judged"].startswith(reason)
    numbers = [
        found["same_class_share"],
        found["silhouette"],
        found["mostly_other_neighbours"],
        *found["pairs"].values(),
    ]
    numbers += [share for shares in found["neighbour_shares"].values() for share in shares.values()]
    assert numbers == [None] * (3 + 3 + 9)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_outside_problem_13_two_classes_at_one_point_are_not_judged() -> None:
    features, classes = clusters(3)
    features[:24] = 0.5
    found = separation_of(features, classes)
    assert found["not_judged"] is None and found["same_class_share"] is not None
    assert found["pairs"]["covid|normal"] is None
    assert found["pairs"]["normal|viral"] is not None


def test_outside_problem_13_equally_distant_neighbours_count_the_same_fraction() -> None:
    """Dead units put many images at the same point; the order of the rows must not matter."""
    random = np.random.default_rng(0)
    classes = np.array(["covid"] * 4 + ["normal"] * 8 + ["viral"] * 12)
    features = np.where(classes == "viral", 1, 0)[:, None] * random.normal(50, 1, (24, 5))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(24)
        found = separation_of(features[order], classes[order])
        # 11 others are at each of the twelve points, so each of these counts 5/11 of a neighbour.
        assert found["neighbour_shares"]["covid"] == pytest.approx({"covid": 3 / 11, "normal": 8 / 11, "viral": 0})
        assert found["neighbour_shares"]["normal"] == pytest.approx({"covid": 4 / 11, "normal": 7 / 11, "viral": 0})
        assert found["neighbour_shares"]["viral"] == {"covid": 0, "normal": 0, "viral": 1}
        assert found["same_class_share"] == pytest.approx((4 * 3 / 11 + 8 * 7 / 11 + 12) / 24)
        assert found["mostly_other_neighbours"] == 4


def test_too_few_images() -> None:
    with pytest.raises(UserError, match="5 images are too few for 5 neighbours; at least 6"):
        separation_of(np.zeros((5, 2)), np.array(["a", "a", "b", "b", "b"]))


def test_known_answer_separation_needs_two_classes_and_two_images_of_one() -> None:
    features = np.random.default_rng(0).normal(size=(8, 3))
    with pytest.raises(
        UserError, match="all 8 images are a; how classes separate needs images of at least two classes"
    ):
        separation_of(features, np.repeat("a", 8))
    with pytest.raises(UserError, match="each of the 8 images is of another class; a class needs at least two images"):
        separation_of(features, np.array(list("abcdefgh")), k=1)
    with pytest.raises(UserError, match="there are no images"):
        separation_of(np.zeros((0, 3)), np.array([], dtype=str))


TSNE = {"perplexity": 5, "initialisation": "pca", "learning_rate": "auto", "seed": 0}


def test_tsne_is_the_same_twice_and_keeps_clusters_apart() -> None:
    features, classes = clusters(50)
    first = tsne_map(features.astype(np.float32), TSNE)
    np.testing.assert_array_equal(first, tsne_map(features.astype(np.float32), TSNE))
    assert first.shape == (36, 2)
    assert peer.silhouette_score(first, classes) > 0.5


@pytest.mark.parametrize("perplexity", [36, 100])
def test_perplexity_must_be_below_the_number_of_images(perplexity: int) -> None:
    features, _ = clusters(1)
    with pytest.raises(UserError, match=rf"tsne.perplexity: {perplexity} is not below the number of images, 36"):
        tsne_map(features.astype(np.float32), {**TSNE, "perplexity": perplexity})


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e20, 1e36])
@pytest.mark.parametrize("initialisation", ["pca", "random"])
def test_outside_problem_17_tsne_of_tiny_and_huge_features(scale: float, initialisation: str) -> None:
    """Their squares do not fit into 32 bits: scikit-learn's t-SNE crashed or mapped all points to one place."""
    features, classes = clusters(50)
    found = tsne_map((features * scale).astype(np.float32), {**TSNE, "initialisation": initialisation})
    assert np.isfinite(found).all() and peer.silhouette_score(found, classes) > 0.5


@pytest.mark.parametrize("initialisation", ["pca", "random"])
def test_outside_problem_17_tsne_of_one_feature(initialisation: str) -> None:
    features, classes = clusters(50)
    found = tsne_map(features[:, :1].astype(np.float32), {**TSNE, "initialisation": initialisation})
    assert found.shape == (36, 2) and peer.silhouette_score(found, classes) > 0.5


def test_outside_problem_17_features_of_ordinary_size_are_not_rescaled() -> None:
    features = clusters(50)[0].astype(np.float32)
    wanted = TSNE_OF_SCIKIT_LEARN(perplexity=5, init="pca", random_state=0).fit_transform(features)
    np.testing.assert_array_equal(tsne_map(features, TSNE), wanted)


@pytest.mark.parametrize("kind", UNDECIDED)
def test_outside_problem_17_meaningless_features_have_no_map(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    features, reason = UNDECIDED[kind]
    table = pd.DataFrame({"image": [f"{n}.png" for n in range(36)], "class": np.repeat(CLASSES, 12)})
    subsets = np.tile(["training"] * 10 + ["validation"] * 2, 3)
    np.savez(
        tmp_path / "features.npz",
        images=table["image"].to_numpy(dtype=str),
        classes=table["class"].to_numpy(dtype=str),
        subsets=subsets,
        features=features.astype(np.float32),
        training="0123456789abcdef",
    )
    files = {name: str(tmp_path / name) for name in ("embedding.csv", "separation.json", "map.svg")}
    inputs = write_images(tmp_path, table["image"].tolist())
    asked = ["embed_features", "--features", str(tmp_path / "features.npz"), *inputs]
    asked += ["--settings", json.dumps({"tsne": TSNE})]
    asked += ["--embedding", files["embedding.csv"], "--separation", files["separation.json"]]
    monkeypatch.setattr("sys.argv", asked)
    embed_main()
    embedding = pd.read_csv(files["embedding.csv"])
    assert embedding[["x", "y"]].isna().all(axis=None) and embedding["image"].tolist() == table["image"].tolist()
    separation = json.loads(Path(files["separation.json"]).read_text())
    assert separation["no_map"].startswith(reason) and separation["not_judged"].startswith(reason)
    assert f"warning: no t-SNE map: {separation['no_map']}" in capsys.readouterr().out
    asked = ["plot_embedding", "--embedding", files["embedding.csv"], "--separation", files["separation.json"]]
    monkeypatch.setattr("sys.argv", [*asked, "--figure", files["map.svg"]])
    plot_main()
    drawn = " ".join(re.findall(r">([^<>]+)</text>", Path(files["map.svg"]).read_text()))
    assert f"no t-SNE map: {separation['no_map']}" in drawn
    assert f"how the classes separate is not judged: {separation['not_judged']}" in drawn
