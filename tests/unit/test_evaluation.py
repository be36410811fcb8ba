"""Metrics, features and separation, against scikit-learn, Keras and known answers."""

import keras
import numpy as np
import pandas as pd
import pytest
from cxrflow.embed_features import embed_features
from cxrflow.evaluation.metrics import metrics_of, prediction_table
from cxrflow.evaluation.predict import class_probabilities, predict_in_batches
from cxrflow.evaluation.separation import separation_of
from cxrflow.stage.faults import Fault
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

CLASSES = ["covid", "normal", "viral"]


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
    wanted = -np.mean(np.log([0.9, 0.4, 0.8, 0.3, 1 - 1e-7]))
    assert found["loss"] == pytest.approx(wanted, rel=1e-12)


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
    loss = np.mean(keras.losses.categorical_crossentropy(one_hot, probabilities.astype(np.float32)))
    assert found["loss"] == pytest.approx(float(loss), rel=1e-3, abs=1e-4)
    assert found["sensitivity"] is None and found["specificity"] is None


def test_a_sigmoid_is_the_probability_of_the_second_class() -> None:
    np.testing.assert_allclose(class_probabilities(np.array([[0.25], [1.0]])), [[0.75, 0.25], [0, 1]])
    softmax = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_array_equal(class_probabilities(softmax), softmax)


def test_prediction_in_batches_is_prediction_at_once() -> None:
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


def test_features_that_never_vary() -> None:
    found = separation_of(np.zeros((12, 3)), np.repeat(CLASSES[:2], 6))
    assert found["silhouette"] is None
    assert sum(found["neighbour_shares"]["covid"].values()) == pytest.approx(1)


def test_too_few_images() -> None:
    with pytest.raises(Fault, match="5 images are too few for 5 neighbours; at least 6"):
        separation_of(np.zeros((5, 2)), np.array(["a", "a", "b", "b", "b"]))


TSNE = {"perplexity": 5, "initialisation": "pca", "learning_rate": "auto", "seed": 0}


def test_tsne_is_the_same_twice_and_keeps_clusters_apart() -> None:
    features, classes = clusters(50)
    first = embed_features(features.astype(np.float32), TSNE)
    np.testing.assert_array_equal(first, embed_features(features.astype(np.float32), TSNE))
    assert first.shape == (36, 2)
    assert peer.silhouette_score(first, classes) > 0.5


@pytest.mark.parametrize("perplexity", [36, 100])
def test_perplexity_must_be_below_the_number_of_images(perplexity: int) -> None:
    features, _ = clusters(1)
    with pytest.raises(Fault, match=rf"tsne.perplexity: {perplexity} is not below the number of images, 36"):
        embed_features(features.astype(np.float32), {**TSNE, "perplexity": perplexity})
