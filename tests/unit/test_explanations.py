"""Explanations: choice, lungs, checks of heat maps, altered images; known answers, peers and properties."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from cxrflow.explanations.choice import choose_images, sample_of, stream_of
from cxrflow.explanations.corruption import CORRUPTIONS, corrupted
from cxrflow.explanations.deletion import RANDOM_MAPS, STEPS, curves_of
from cxrflow.explanations.grad_cam import SplitNetwork, grad_cam, split_network
from cxrflow.explanations.lungs import (
    FIXED_BOXES,
    FIXED_IOU,
    border_mask,
    box_mask,
    intersection_over_union,
    read_boxes,
    share_inside,
)
from cxrflow.explanations.occlusion import OCCLUSIONS, occluded
from cxrflow.explanations.robustness import accuracy_on_altered_images
from cxrflow.explanations.sanity import DRAWS, mean_similarity, randomised_heat, structural_similarity
from cxrflow.explanations.summary import summary_of
from cxrflow.io.errors import UserError
from cxrflow.phantoms.opacities import PATTERNS
from cxrflow.phantoms.radiograph import draw_film
from cxrflow.statistics.intervals import wilson_interval
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

SIZE = 32
IMAGES = [f"test/a/{number}.png" for number in range(40)]


def picture_of(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def by_corner(pictures: np.ndarray) -> np.ndarray:
    """A network whose probability of class 1 is the brightness of the 8 x 8 pixels at the top left."""
    bright = pictures[:, :8, :8].mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - bright, bright], axis=1)


def by_centre(pictures: np.ndarray) -> np.ndarray:
    """A network that ignores the outer quarter on each side."""
    bright = pictures[:, 8:-8, 8:-8].mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - bright, bright], axis=1)


# ---- choice -------------------------------------------------------------------------------------------------------------


def test_all_errors_and_a_sample_are_chosen() -> None:
    right = [number % 4 > 0 for number in range(40)]
    chosen = choose_images(IMAGES, right, seed=0, sample=5, most_errors=20)
    errors = [image for image, is_right in zip(IMAGES, right, strict=True) if not is_right]
    assert chosen.images[:10] == sorted(errors)
    assert len(chosen.images) == 15 and not set(chosen.images[10:]) & set(errors)
    assert (chosen.errors, chosen.errors_in_all, chosen.correct_in_all) == (10, 10, 30)
    fewer = choose_images(IMAGES, right, seed=0, sample=5, most_errors=3)
    assert (fewer.errors, fewer.errors_in_all) == (3, 10) and set(fewer.images) <= set(chosen.images)
    assert choose_images(IMAGES, right, seed=1, sample=5, most_errors=20) != chosen
    assert choose_images(IMAGES, [True] * 40, 0, sample=0, most_errors=9).images == []


@settings(max_examples=30, deadline=None)
@given(st.permutations(IMAGES), st.integers(0, 40), st.integers(0, 3))
def test_a_sample_does_not_depend_on_the_order_and_changes_little_with_one_image(
    images: list[str], most: int, seed: int
) -> None:
    sample = sample_of(images, most, seed, "sample")
    assert sample == sample_of(IMAGES, most, seed, "sample") and len(sample) == min(most, 40)
    assert len(set(sample) - set(sample_of([*images, "test/b/new.png"], most, seed, "sample"))) <= 1


def test_random_numbers_of_an_image_are_the_same_on_every_machine() -> None:
    assert stream_of("test/a/1.png", 0, "noise").random() == pytest.approx(KNOWN_NUMBER, abs=1e-15)
    assert stream_of("test/\udce9.png", 0, "noise").random() != stream_of("test/e.png", 0, "noise").random()


KNOWN_NUMBER = 0.33689947933492725


# ---- lungs --------------------------------------------------------------------------------------------------------------


def test_the_error_of_the_fixed_boxes_is_as_documented() -> None:
    overlaps = []
    for number in range(8):
        film = draw_film(list(PATTERNS)[number % len(PATTERNS)], "lungs", 0, number)
        fields = [field > 0.5 for field in film.lungs]
        size, boxes = len(film.grey), []
        for field in fields:
            rows, columns = np.flatnonzero(field.any(axis=1)), np.flatnonzero(field.any(axis=0))
            ends = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / size
            boxes.append(tuple(ends.tolist()))
        fixed = box_mask(FIXED_BOXES, size)
        both = fields[0] | fields[1]
        overlaps.append([intersection_over_union(fixed, one) for one in (both, box_mask(boxes, size))])
    found = dict(zip(("lung_fields", "lung_boxes"), np.mean(overlaps, axis=0), strict=True))
    assert found == pytest.approx(FIXED_IOU, abs=0.04)


def test_boxes_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "lungs.csv"
    path.write_text("image,left,top,right,bottom\na.png,0,0,0.5,1\na.png,0.5,0.25,1,1\nb.png,0.1,0.1,0.2,0.2\n")
    boxes = read_boxes(path)
    assert boxes == {"a.png": [(0, 0, 0.5, 1), (0.5, 0.25, 1, 1)], "b.png": [(0.1, 0.1, 0.2, 0.2)]}
    assert box_mask(boxes["a.png"], 8).sum() == 32 + 24
    path.write_text(
        "image,left,top,right,bottom\na.png,0,0,0.5,1\nb.png,10,20,200,220\nc.png,0.5,0,0.5,1\nd.png,x,0,1,1\n"
    )
    with pytest.raises(UserError) as caught:
        read_boxes(path)
    assert len(caught.value.messages) == 3
    assert "row 3: b.png: a box needs 0 <= left < right <= 1" in caught.value.messages[0]
    path.write_text("image,left,top,right\na.png,0,0,1\n")
    with pytest.raises(UserError, match="no column bottom; the columns are image, left, top, right, bottom"):
        read_boxes(path)


def test_shares_of_heat() -> None:
    heat = np.zeros((20, 20), np.float32)
    assert share_inside(heat, border_mask(20)) is None
    heat[:, :] = 0.5
    assert share_inside(heat, border_mask(20)) == pytest.approx(0.36)
    heat[2:18, 2:18] = 0
    assert share_inside(heat, border_mask(20)) == 1


# ---- checks of heat maps ------------------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_structural_similarity_is_that_of_tensorflow(seed: int) -> None:
    random = np.random.default_rng(seed)
    one, other = (gaussian_filter(random.random((SIZE, SIZE), dtype=np.float32), 2) for _ in range(2))
    peer = float(tf.image.ssim(one[..., None], other[..., None], max_val=1.0))
    assert structural_similarity(one, other) == pytest.approx(peer, abs=1e-4)
    assert structural_similarity(one, one) == pytest.approx(1)


def test_similarity_counts_only_maps_that_vary() -> None:
    ramp = np.linspace(0, 1, SIZE * SIZE, dtype=np.float32).reshape(SIZE, SIZE)
    zero = np.zeros_like(ramp)
    assert mean_similarity(ramp, np.stack([ramp, zero])) == pytest.approx({"maps": 1, "spearman": 1, "ssim": 1})
    assert mean_similarity(ramp, np.stack([1 - ramp]))["spearman"] == pytest.approx(-1)
    assert mean_similarity(ramp, np.stack([zero])) == {"maps": 0, "spearman": None, "ssim": None}
    assert mean_similarity(zero, np.stack([ramp])) == {"maps": 1, "spearman": None, "ssim": None}


def small_network(seed: int) -> tuple[keras.Model, SplitNetwork]:
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Conv2D(6, 5, strides=4, activation="relu", name="conv")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(pixels, keras.layers.Dense(3, activation="softmax")(x))
    return model, split_network(model)


def test_random_weights_change_the_heat_and_are_taken_back() -> None:
    model, network = small_network(seed=0)
    before, pictures = model.get_weights(), np.stack([picture_of(seed) for seed in range(3)])
    heat = grad_cam(network, pictures, [0, 1, 2])
    found = randomised_heat(model, network, pictures, [0, 1, 2], seed=0)
    assert {name: maps.shape for name, maps in found.items()} == dict.fromkeys(found, (DRAWS, 3, SIZE, SIZE))
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # The network was built with the same seed; its initial weights must not be drawn again.
    assert all(not np.allclose(heat, draw) for maps in found.values() for draw in maps)
    again = randomised_heat(model, network, pictures, [0, 1, 2], seed=0)
    for name in found:
        np.testing.assert_array_equal(found[name], again[name])
    np.testing.assert_array_equal(heat, grad_cam(network, pictures, [0, 1, 2]))


def test_deletion_and_insertion_find_the_corner() -> None:
    """Deleting the bright corner first lowers the probability at once; a wrong map does worse than random ones."""
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[:8, :8] = 255
    right = np.zeros((SIZE, SIZE), np.float32)
    right[:8, :8] = 1
    curves = [curves_of(picture, heat, (8, 8), 1, by_corner, np.random.default_rng(0)) for heat in (right, 1 - right)]
    assert curves[0]["shares"] == [step / STEPS for step in range(STEPS + 1)]
    for kind, sign in (("deletion", -1), ("insertion", 1)):
        good, bad = (one[kind] for one in curves)
        assert len(good["random_areas"]) == RANDOM_MAPS and good["random_areas"] == bad["random_areas"]
        assert sign * bad["area"] < sign * np.mean(good["random_areas"]) < sign * good["area"]
    deletion = curves[0]["deletion"]["probabilities"]
    assert deletion[0] == 1 and deletion[1] < 1  # 128 of 1024 pixels are replaced, 64 of them are the corner
    assert deletion[1] == pytest.approx(16 / 255, abs=0.01)  # the mean of the picture
    assert curves[0]["insertion"]["probabilities"][1] == 1


def test_the_area_of_a_curve_of_a_constant_network() -> None:
    def constant(pictures: np.ndarray) -> np.ndarray:
        return np.tile([0.25, 0.75], (len(pictures), 1))

    heat = np.random.default_rng(0).random((SIZE, SIZE), dtype=np.float32)
    curves = curves_of(picture_of(), heat, (4, 4), 1, constant, np.random.default_rng(0))
    assert [curves[kind]["area"] for kind in ("deletion", "insertion")] == [0.75, 0.75]


# ---- altered images -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OCCLUSIONS)
def test_occlusions(name: str) -> None:
    picture = picture_of()
    lungs = box_mask([(0.25, 0.25, 0.75, 0.75)], SIZE)
    found = occluded(name, picture, lungs, stream_of("a", 0, name))
    assert found.shape == picture.shape and found.dtype == np.uint8
    border = border_mask(SIZE)
    black = {"border_black": border, "centre_black": ~border, "lungs_black": lungs, "lungs_only": ~lungs}
    if name in black:
        assert (found[black[name]] == 0).all()
        np.testing.assert_array_equal(found[~black[name]], picture[~black[name]])
    elif name == "grey":
        assert (found == found[..., :1]).all()
        np.testing.assert_array_equal(occluded(name, found, lungs, stream_of("a", 0, name)), found)
    else:
        assert (found != picture).any()
        np.testing.assert_array_equal(np.sort(found.reshape(-1, 3), axis=0), np.sort(picture.reshape(-1, 3), axis=0))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_grow_with_their_strength(name: str) -> None:
    picture = gaussian_filter(picture_of().astype(np.float64), (2, 2, 0))
    picture = np.clip(np.rint(128 + 6 * (picture - 128)), 0, 255).astype(np.uint8)
    strengths = sorted(CORRUPTIONS[name][1], key=lambda value: -value if name == "jpeg_quality" else abs(value))
    differences = []
    for strength in strengths:
        found, again = (corrupted(name, strength, picture, stream_of("a", 0, name)) for _ in range(2))
        np.testing.assert_array_equal(found, again)
        assert found.shape == picture.shape and found.dtype == np.uint8
        differences.append(np.abs(found.astype(float) - picture).mean())
    assert differences[-1] == max(differences) > differences[0]  # the weakest blur of so small an image is none


def test_corruptions_of_known_result() -> None:
    picture = np.full((SIZE, SIZE, 3), 100, np.uint8)
    random = np.random.default_rng(0)
    assert (corrupted("brightness", 30, picture, random) == 130).all()
    assert (corrupted("brightness", -120, picture, random) == 0).all()
    assert (corrupted("blur", 0.04, picture, random) == 100).all()
    noise = corrupted("noise", 10, picture, random).astype(float)
    assert noise.std() == pytest.approx(10, rel=0.1) and (noise == noise[..., :1]).all()
    shifted = corrupted("shift", 0.2, picture, random)
    assert (shifted == 0).any() and (shifted == 100).any()
    with pytest.raises(KeyError):
        corrupted("fog", 1, picture, random)


def test_a_network_that_ignores_the_border_does_not_change_without_it() -> None:
    pixels = {image: picture_of(number) for number, image in enumerate(IMAGES)}
    truth = {image: number % 2 for number, image in enumerate(IMAGES)}
    lungs = dict.fromkeys(IMAGES, box_mask([(0.25, 0.25, 0.75, 0.75)], SIZE))
    found = accuracy_on_altered_images(pixels, truth, lungs, by_centre, seed=0, patients=np.arange(40) // 2)
    rows = {row["name"]: row for row in found["occlusions"]}
    same = dict(found["unaltered"])
    for name in ("border_black", "lungs_only"):
        assert {key: rows[name][key] for key in same} == same
    assert rows["lungs_black"]["correct"] == 20  # always the first class
    assert rows["lungs_black"]["true_probability"] == 0.5
    assert [row["name"] for row in found["occlusions"]] == list(OCCLUSIONS)
    assert len(found["corruptions"]) == sum(len(strengths) for _, strengths in CORRUPTIONS.values())
    for row in (found["unaltered"], *found["occlusions"], *found["corruptions"]):
        assert row["images"] == 40 and row["correct"] == found["unaltered"]["correct"] + row["gained"] - row["lost"]
        low, high = row["interval"]
        assert low < row["accuracy"] < high and high - low > np.diff(wilson_interval(row["correct"], 40)) - 1e-3
        assert row["change"] == pytest.approx((row["correct"] - found["unaltered"]["correct"]) / 40, abs=1e-4)


def test_a_decision_by_the_corner_is_lost_with_the_border() -> None:
    pixels, truth = {}, {}
    for number, image in enumerate(IMAGES):
        picture = picture_of(number) // 8
        picture[:8, :8] = 255 * (number % 2)
        pixels[image], truth[image] = picture, number % 2
    lungs = dict.fromkeys(IMAGES, box_mask(FIXED_BOXES, SIZE))
    found = accuracy_on_altered_images(
        pixels, truth, lungs, lambda pictures: (by_corner(pictures) - 0.5) * [1, 1.5] + 0.5, 0, np.arange(40) // 8
    )
    rows = {row["name"]: row for row in found["occlusions"]}
    assert found["unaltered"]["correct"] == 40 and found["unaltered"]["interval"] == [0.4782, 1]  # 5 of 5 patients
    assert rows["grey"]["correct"] == 40
    assert rows["centre_black"]["true_probability"] < found["unaltered"]["true_probability"]


def test_each_image_has_its_own_random_numbers_whatever_the_others_are() -> None:
    seen: list[np.ndarray] = []

    def watching(pictures: np.ndarray) -> np.ndarray:
        seen.append(pictures.copy())
        return by_centre(pictures)

    pixels = dict.fromkeys(IMAGES, picture_of())
    lungs = dict.fromkeys(IMAGES, box_mask(FIXED_BOXES, SIZE))
    accuracy_on_altered_images(pixels, dict.fromkeys(IMAGES[:2], 0), lungs, watching, 0, np.arange(2))
    of_two, seen = seen, []
    accuracy_on_altered_images(pixels, dict.fromkeys(IMAGES[1:3], 0), lungs, watching, 0, np.arange(2))
    for one, other in zip(of_two, seen, strict=True):
        np.testing.assert_array_equal(one[1], other[0])
    assert any((one[0] != one[1]).any() for one in of_two)


def test_images_that_stay_the_same_are_not_predicted_again() -> None:
    seen = []

    def counting(pictures: np.ndarray) -> np.ndarray:
        seen.append(len(pictures))
        return by_centre(pictures)

    grey = np.repeat(picture_of()[..., :1], 3, axis=-1)
    found = accuracy_on_altered_images({"a": grey}, {"a": 0}, {"a": border_mask(SIZE)}, counting, 0, np.arange(1))
    rows = {row["name"]: row for row in found["occlusions"]}
    assert rows["grey"]["true_probability"] == found["unaltered"]["true_probability"]
    # Once unaltered, and for each alteration but the removed colour and the weakest blur, 0.16 pixels here.
    assert len(seen) == 1 + len(OCCLUSIONS) + len(found["corruptions"]) - 2


# ---- summary ------------------------------------------------------------------------------------------------------------


def explained_image(number: int, outside: float, deletion: float, constant: bool = False) -> dict[str, Any]:
    curve = {"area": deletion, "random_areas": [0.5]}
    similar = {"maps": 3, "spearman": 0.1 * number, "ssim": None}
    return {
        **{
            "image": f"{number}.png",
            "heat_is_constant": constant,
            "heat_outside_lungs": outside,
            "heat_in_border": 0.2,
        },
        **{"area_outside_lungs": 0.4, "random_weights": {"output_layer": similar, "all_layers": similar}},
        "curves": None if constant else {"deletion": curve, "insertion": curve},
    }


def test_summary_by_hand() -> None:
    """Shares 0.5, 0.7 and 0.9 of three patients: mean 0.7, standard error 0.2 / sqrt(3), t(0.975, 2) = 4.302653."""
    explained = [explained_image(number, 0.3 + 0.2 * number, 0.2 * number) for number in (1, 2, 3)]
    explained.append(explained_image(4, 0.0, 0.0, constant=True))
    found = summary_of(explained, {f"{number}.png": number for number in range(5)})
    assert (found["images"], found["images_with_constant_heat"]) == (4, 1)
    half = 4.302653 * 0.2 / np.sqrt(3)
    assert found["heat_outside_lungs"] == {"mean": 0.7, "interval": [round(0.7 - half, 4), 1]}  # cut off
    assert found["excess_outside_lungs"]["mean"] == 0.3 and found["area_outside_lungs"]["interval"] == [0.4, 0.4]
    assert found["random_weights"]["all_layers"]["ssim"] == {"mean": None, "interval": None}
    similar = found["random_weights"]["all_layers"]["spearman"]
    assert similar["interval"] == [round(0.2 - half / 2, 4), round(0.2 + half / 2, 4)]  # 0.1, 0.2 and 0.3
    # Areas 0.2, 0.4 and 0.6 against 0.5 of the random order.
    assert (found["deletion"]["advantage"]["mean"], found["deletion"]["better_than_random"]) == (0.1, 2)
    assert (found["insertion"]["advantage"]["mean"], found["insertion"]["better_than_random"]) == (-0.1, 1)
    one_patient = summary_of(explained[:3], dict.fromkeys([f"{number}.png" for number in (1, 2, 3)], 0))
    assert one_patient["heat_outside_lungs"] == {"mean": 0.7, "interval": None}
