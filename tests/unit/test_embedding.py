"""The quality of a t-SNE map, rivals of a network's features, and the files of embed_features, against known answers."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cxrflow.evaluation import embedding
from cxrflow.evaluation.embedding import map_quality, neighbours_kept, shared_neighbours, tsne_map
from cxrflow.evaluation.rivals import RANDOM_DRAWS, random_features, rivals_of
from cxrflow.evaluation.separation import chance_of, separation_of
from cxrflow.io.errors import UserError
from cxrflow.stages.embed_features import main
from feature_files import write_images
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness
from threadpoolctl import threadpool_limits

TSNE = {"perplexity": 5.0, "initialisation": "pca", "learning_rate": "auto", "seed": 0}
CLASSES = np.repeat(["covid", "normal", "viral"], 16)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Several threads wait for each other on a busy machine."""
    with threadpool_limits(1):
        yield


def clusters(distance: float = 3, units: int = 6, seed: int = 0) -> np.ndarray:
    centres = np.unique(CLASSES, return_inverse=True)[1][:, None] * distance
    return (np.random.default_rng(seed).normal(size=(48, units)) + centres).astype(np.float32)


# ---- the map ----------------------------------------------------------------------------------------------------------


def venna_and_kaski(space: np.ndarray, other: np.ndarray, k: int) -> float:
    """1 minus the scaled sum of rank(i, j) - k over the k nearest of each i in `other` that are not in `space`."""
    count = len(space)
    distances = [np.linalg.norm(points[:, None] - points[None], axis=2) for points in (space, other)]
    ranks = [one.argsort(axis=1).argsort(axis=1) for one in distances]  # 0 is the point itself
    excess = (ranks[0] - k)[(ranks[1] >= 1) & (ranks[1] <= k) & (ranks[0] > k)].sum()
    return 1 - 2 / (count * k * (2 * count - 3 * k - 1)) * excess


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(12, 40), st.integers(1, 5))
def test_known_answer_trustworthiness_and_continuity_by_their_definition(seed: int, count: int, k: int) -> None:
    random = np.random.default_rng(seed)
    features, found = random.normal(size=(count, 4)), random.normal(size=(count, 2))
    quality = neighbours_kept(features, found, k)
    assert quality["trustworthiness"] == pytest.approx(venna_and_kaski(features, found, k))
    assert quality["continuity"] == pytest.approx(venna_and_kaski(found, features, k))
    assert quality["continuity"] == pytest.approx(trustworthiness(found, features, n_neighbors=k))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-30, 1e-3, 1.0, 1e20]))
def test_known_answer_an_isometric_map_is_perfect(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    found = random.normal(size=(30, 2))
    turn, _ = np.linalg.qr(random.normal(size=(7, 7)))
    features = np.hstack([found, np.zeros((30, 5))]) @ turn * scale
    assert neighbours_kept(features, found, 5) == {"trustworthiness": 1, "continuity": 1}
    assert shared_neighbours(found, -3 * found[:, ::-1] + 1, 5) == 1


def test_a_shuffled_map_is_near_chance() -> None:
    features = np.random.default_rng(0).normal(size=(500, 2))
    found = np.random.default_rng(1).permutation(features)
    assert neighbours_kept(features, found, 5) == pytest.approx({"trustworthiness": 0.5, "continuity": 0.5}, abs=0.03)
    assert shared_neighbours(features, found, 5) == pytest.approx(5 / 499, abs=0.01)


def test_known_answer_shared_neighbours_by_hand() -> None:
    """On a line, 0 1 3 7: the nearest of each are 1, 0, 1, 3. With 3 moved to 6.5: 1, 0, 7, 6.5."""
    one, other = (np.array([[0, 0], [1, 0], [third, 0], [7, 0]]) for third in (3, 6.5))
    assert shared_neighbours(one, other, 1) == 3 / 4


def test_the_quality_of_a_map_is_that_of_maps_made_one_by_one() -> None:
    features = clusters()
    found = tsne_map(features, TSNE)
    quality = map_quality(features, found, TSNE)
    assert (quality["k"], quality["images"], quality["left_out"]) == (5, 48, None)
    assert [one["perplexity"] for one in quality["perplexities"]] == [2.5, 5, 10, 20]  # 1.25 is below 2
    for one in quality["perplexities"]:
        again = tsne_map(features, {**TSNE, "perplexity": one["perplexity"]})
        assert one["trustworthiness"] == trustworthiness(features, again, n_neighbors=5)
        assert one["continuity"] == trustworthiness(again, features, n_neighbors=5)
    assert quality["trustworthiness"] == quality["perplexities"][1]["trustworthiness"] > 0.85
    seeds = quality["other_seeds"]
    others = [tsne_map(features, {**TSNE, "seed": seed, "initialisation": "random"}) for seed in (1, 2, 3)]
    shares = [shared_neighbours(found, other, 5) for other in others]
    assert seeds == {"seeds": [1, 2, 3], "mean": np.mean(shares), "least": min(shares), "chance": 5 / 47}
    assert 0.3 < seeds["least"] < seeds["mean"] < 1


def test_perplexities_are_below_the_number_of_images() -> None:
    features = clusters()
    quality = map_quality(features, tsne_map(features, {**TSNE, "perplexity": 24.0}), {**TSNE, "perplexity": 24.0})
    assert [one["perplexity"] for one in quality["perplexities"]] == [6, 12, 24]


def test_few_images_have_no_quality() -> None:
    features = clusters()[:10]
    quality = map_quality(features, tsne_map(features, TSNE), TSNE)
    assert quality["left_out"] == "all numbers, since 10 images are too few for 5 neighbours"
    assert quality["trustworthiness"] is None and quality["perplexities"] is None


def test_many_images_are_not_mapped_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "MOST_MAPPED_AGAIN", 30)
    monkeypatch.setattr(embedding, "tsne_map", None)
    points = np.random.default_rng(0).normal(size=(48, 2))
    quality = map_quality(points.astype(np.float32), points.astype(np.float32), TSNE)
    assert (quality["images"], quality["trustworthiness"], quality["continuity"]) == (30, 1, 1)
    assert quality["other_seeds"] is None and quality["perplexities"] is None
    assert quality["left_out"] == "other seeds and perplexities, since 48 images are more than 30"


# ---- rivals -----------------------------------------------------------------------------------------------------------


def test_random_features_are_those_of_an_untrained_layer() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 256)).astype(float)
    found = random_features(pixels, 0)
    assert found.shape == (48, 256) and found.min() == 0
    np.testing.assert_array_equal(found, random_features(pixels, 0))
    assert not np.array_equal(found, random_features(pixels, 1))
    # A unit is positive for about half of the images, and does not depend on a constant that all images share.
    assert np.mean(found > 0) == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(random_features(pixels + 9, 0), found, atol=1e-8)


def test_known_answer_rivals_are_the_separation_of_their_features() -> None:
    random = np.random.default_rng(0)
    pixels, files = random.normal(size=(48, 256)) + (CLASSES == "viral")[:, None], random.normal(size=(48, 3))
    found = rivals_of(pixels, files, CLASSES)
    draws = [separation_of(random_features(pixels, seed), CLASSES) for seed in range(RANDOM_DRAWS)]
    for key in ("same_class_share", "silhouette"):
        assert found["pixels"][key] == separation_of(pixels, CLASSES)[key]
        assert found["file"][key] == separation_of(files, CLASSES)[key]
        assert found["random"][key] == pytest.approx(np.mean([one[key] for one in draws]))
    assert found["random"]["pairs"]["covid|viral"] == pytest.approx(
        np.mean([one["pairs"]["covid|viral"] for one in draws])
    )
    assert found["random"]["neighbour_shares"]["covid"]["viral"] == pytest.approx(
        np.mean([one["neighbour_shares"]["covid"]["viral"] for one in draws])
    )
    assert found["file"]["mostly_other_neighbours"] == separation_of(files, CLASSES)["mostly_other_neighbours"]
    chance = chance_of(CLASSES)["same_class_share"]
    assert found["file"]["same_class_share"] == pytest.approx(chance, abs=0.1)
    assert found["pixels"]["pairs"]["covid|viral"] > 0.95 > found["pixels"]["pairs"]["covid|normal"]


# ---- the stage --------------------------------------------------------------------------------------------------------


def separation_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, features: np.ndarray | None = None, **files: Any
) -> dict[str, Any]:
    images = [f"train/{name}/{place}.png" for place, name in enumerate(CLASSES)]
    inputs = write_images(folder, images, **files)
    subsets = np.where(np.arange(48) % 8 == 7, "test", "training")
    values = clusters() if features is None else features
    arrays = {"images": images, "classes": CLASSES, "subsets": subsets, "features": values, "training": "0123"}
    np.savez(folder / "features.npz", **arrays)
    outputs = ["--embedding", str(folder / "embedding.csv"), "--separation", str(folder / "separation.json")]
    flags = ["--features", str(folder / "features.npz"), "--settings", json.dumps({"tsne": TSNE})]
    monkeypatch.setattr(sys, "argv", ["embed_features", *flags, *inputs, *outputs])
    main()
    return json.loads((folder / "separation.json").read_text())


def test_the_file_rival_separates_classes_that_differ_in_file_size_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    size = 1000 * (1 + np.unique(CLASSES, return_inverse=True)[1]) + np.arange(48)
    found = separation_written(tmp_path, monkeypatch, bytes=size.tolist(), features=clusters(distance=0))
    rivals = found["rivals"]
    assert rivals["file"]["same_class_share"] == 1 and rivals["file"]["silhouette"] > 0.5
    assert rivals["file"]["pairs"] == {"covid|normal": 1, "covid|viral": 1, "normal|viral": 1}
    for name in ("pixels", "random"):  # random pixels
        assert rivals[name]["same_class_share"] == pytest.approx(found["chance"]["same_class_share"], abs=0.15)
    assert found["images"] == 42 and found["chance"]["same_class_share"] == pytest.approx(3 * 14 * 13 / (42 * 41))
    assert "(by chance: 32%)" in capsys.readouterr().out
    assert found["map"]["images"] == 48, "test images are on the map, too"


def test_files_that_are_all_the_same_are_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = separation_written(tmp_path, monkeypatch)
    assert found["rivals"]["file"]["not_judged"] == "all images have the same features"
    assert found["rivals"]["file"]["same_class_share"] is None
    assert found["units"] == {"total": 6, "constant": 0, "nearly_constant": 0}


def test_pixels_separate_dark_images_from_bright_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 40, (48, 32, 32, 3))
    pixels = noise + 80 * np.unique(CLASSES, return_inverse=True)[1][:, None, None, None]
    found = separation_written(tmp_path, monkeypatch, features=clusters(distance=0), pixels=pixels)
    assert found["rivals"]["pixels"]["same_class_share"] == 1 > found["same_class_share"]
    assert found["rivals"]["random"]["same_class_share"] == 1


@pytest.mark.parametrize(
    ("known", "counts"), [(0, "42 images"), (48, "42 images of 16 patients"), (24, "42 images of 29 patients")]
)
def test_patients_are_those_of_the_index(
    known: int, counts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every three images are of one patient; unknown ones count as patients of their own."""
    patients = [f"p{place // 3}" if place < known else None for place in range(48)]
    intervals = separation_written(tmp_path, monkeypatch, patient=patients)["intervals"]
    assert intervals["counts"] == counts
    assert intervals["images_of_unknown_patients"] == {0: 42, 48: 0, 24: 21}[known]


def test_images_of_another_run_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    separation_written(tmp_path, monkeypatch)
    argv = list(sys.argv)
    for flag in ("--images", "--pixels"):
        (tmp_path / flag).mkdir()
        inputs = write_images(tmp_path / flag, [f"other/{place}.png" for place in range(48)])
        asked = list(argv)
        asked[asked.index(flag) + 1] = inputs[inputs.index(flag) + 1]
        monkeypatch.setattr(sys, "argv", asked)
        with pytest.raises(UserError, match=f"{flag}: no image train/covid/0.png, which has features; give the files"):
            main()
