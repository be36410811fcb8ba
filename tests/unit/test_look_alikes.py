"""Near-duplicate images: found whatever was done to them, and not invented."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cxrflow.audits.candidates import candidate_pairs
from cxrflow.audits.false_pairs import correlation_at, expected_false, fit_tail
from cxrflow.audits.findings import DataSet
from cxrflow.audits.image_details import COARSE, details_of, packed
from cxrflow.audits.look_alikes import BACK, TURNS, audit_look_alikes, look_alikes
from cxrflow.audits.registration import turned
from cxrflow.images.decode import decode_image, resized
from cxrflow.phantoms.radiograph import draw_film
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

PHANTOMS = 10
SIZE = 224
PLAIN = "re-encoded, resized or marked"

Pixels = NDArray[np.uint8]


def decoded(picture: Image.Image) -> Pixels:
    return resized(picture.convert("RGB"), SIZE, "nearest")


def encoded(picture: Image.Image, kind: str, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, kind, quality=quality)
    return Image.open(file)


def lettered(picture: Image.Image) -> Image.Image:
    ImageDraw.Draw(picture).text((40, 200), "L", fill=255, font=ImageFont.load_default(size=40))
    return picture


@pytest.fixture(scope="module")
def phantoms() -> list[Image.Image]:
    """Different films, larger than the networks see them."""
    films = [draw_film("none" if number % 2 else "ground_glass", "look-alikes", number) for number in range(PHANTOMS)]
    return [Image.fromarray(film.grey).resize((400, 360), Image.Resampling.BICUBIC) for film in films]


def of_different_patients(pixels: dict[str, Pixels]) -> "pd.Series[str]":
    return pd.Series(list(pixels), index=list(pixels))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda picture: encoded(picture, "JPEG", 50), PLAIN),
        (lambda picture: encoded(picture, "WEBP", 75), PLAIN),
        (lambda picture: picture.resize((250, 200), Image.Resampling.BICUBIC), PLAIN),
        (lambda picture: picture.crop((30, 10, 390, 334)), "cropped"),
        (ImageOps.mirror, "flipped left to right"),
        (ImageOps.flip, "flipped upside down"),
        (lambda picture: picture.transpose(Image.Transpose.ROTATE_90), "rotated by 90° counterclockwise"),
        (lambda picture: picture.transpose(Image.Transpose.ROTATE_270), "rotated by 90° clockwise"),
        (lambda picture: ImageOps.invert(ImageOps.mirror(picture)), "flipped left to right, inverted"),
        (lambda picture: ImageEnhance.Brightness(picture).enhance(1.4), PLAIN),
        (lettered, PLAIN),
    ],
)
@pytest.mark.parametrize("copy", ["a copy", "z copy"])  # before and after the original
def test_a_copy_is_found_whatever_was_done_to_it(
    phantoms: list[Image.Image], change: Callable[[Image.Image], Image.Image], words: str, copy: str
) -> None:
    pixels = {f"film {number}": decoded(picture) for number, picture in enumerate(phantoms[:6])}
    changed = decoded(change(phantoms[2].copy()))
    pixels = {**pixels, copy: changed} if copy > "film" else {copy: changed, **pixels}
    pairs, _ = look_alikes(pixels, of_different_patients(pixels))
    certain = pairs[pairs["certainty"] == "certain"]
    assert [{row["image"], row["other"]} for _, row in certain.iterrows()] == [{"film 2", copy}]
    found = certain.iloc[0]
    back = {"rotated by 90° clockwise": "counterclockwise", "rotated by 90° counterclockwise": "clockwise"}
    if found["image"] == copy and words in back:
        words = f"rotated by 90° {back[words]}"
    assert found["transformation"] == words
    assert found["correlation"] > 0.8 and found["expected_false"] <= 0.05


def test_different_phantoms_raise_no_alarm(phantoms: list[Image.Image]) -> None:
    pixels = {str(number): decoded(picture) for number, picture in enumerate(phantoms)}
    pairs, numbers = look_alikes(pixels, of_different_patients(pixels))
    assert "certain" not in set(pairs["certainty"])
    assert (numbers["images"], numbers["pairs"], numbers["registered_pairs"]) == (10, 45, 45)
    assert 0.6 <= numbers["certain_from"] < 0.9 and numbers["suspected_from"] < numbers["certain_from"]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_tiny_data_sets(phantoms: list[Image.Image], count: int) -> None:
    pixels = {str(number): decoded(phantoms[number]) for number in range(count)}
    pairs, numbers = look_alikes(pixels, of_different_patients(pixels))
    assert "certain" not in set(pairs["certainty"]) and numbers["images"] == count


def test_constant_images_are_not_compared() -> None:
    pixels = {str(grey): np.full((32, 32, 3), grey, np.uint8) for grey in (0, 7, 128, 255)}
    pairs, _ = look_alikes(pixels, of_different_patients(pixels))
    assert pairs.empty


def test_brightness_does_not_change_details_and_inversion_changes_their_sign(phantoms: list[Image.Image]) -> None:
    grey = decoded(phantoms[0]) // 2
    details = details_of(grey, COARSE)
    assert np.allclose(details, details_of(grey + np.uint8(50), COARSE), atol=0.01)
    assert np.allclose(details, -details_of(255 - grey, COARSE), atol=0.01)
    assert np.abs(packed(details)).max() <= 120


def test_turns_are_what_their_words_say() -> None:
    image = np.arange(9.0, dtype=np.float32).reshape(3, 3)
    assert np.array_equal(turned(image, TURNS.index("flipped left to right")), np.fliplr(image))
    assert np.array_equal(turned(image, TURNS.index("flipped upside down")), np.flipud(image))
    assert np.array_equal(turned(image, TURNS.index("rotated by 90° counterclockwise")), np.rot90(image))
    assert np.array_equal(turned(image, TURNS.index("rotated by 90° clockwise")), np.rot90(image, -1))
    assert np.array_equal(turned(image, TURNS.index("rotated by 180°")), np.rot90(image, 2))
    assert np.array_equal(turned(image, TURNS.index("transposed")), image.T)
    for order, back in enumerate(BACK):
        assert np.array_equal(turned(turned(image, order), back), image)


def test_each_pair_is_a_candidate_once_and_the_most_similar_is_first() -> None:
    random = np.random.default_rng(0)
    details = random.integers(-100, 100, (40, COARSE, COARSE)).astype(np.int8)
    details[33] = -np.rot90(details[5])
    candidates = candidate_pairs(details)
    pairs = {frozenset((int(one["first"]), int(one["second"]))) for one in candidates}
    assert len(pairs) == len(candidates) == 40 * 39 // 2
    assert {int(candidates[0]["first"]), int(candidates[0]["second"])} == {5, 33}
    assert candidates[0]["similarity"] > 0.9 and candidates[1]["similarity"] < 0.5


@pytest.mark.parametrize("copies", [0, 10])
def test_the_threshold_hardly_depends_on_copies_among_the_pairs(copies: int) -> None:
    z = np.random.default_rng(1).exponential(0.05, 1000)
    correlations = np.tanh(np.concatenate([np.full(copies, 2.0), z[copies:]]))
    tail = fit_tail(correlations, np.ones(1000, bool), 2000)
    # Of 2,000 exponential values, 0.05 are expected above 0.05 ln(40,000).
    assert np.arctanh(correlation_at(0.05, tail)) == pytest.approx(0.05 * np.log(40_000), rel=0.25)
    assert expected_false(np.array([np.tanh(2)]), tail)[0] < 0.05


def test_pairs_of_one_patient_do_not_calibrate_the_threshold() -> None:
    z = np.random.default_rng(1).exponential(0.05, 1000)
    same = np.arange(1000) < 300
    mixed = np.tanh(np.where(same, 1.0, z))
    assert fit_tail(mixed, ~same, 1000) == fit_tail(np.tanh(z[300:]), np.ones(700, bool), 1000)


def test_expected_false_pairs_agree_with_the_threshold() -> None:
    correlations = np.tanh(np.random.default_rng(2).exponential(0.05, 1000))
    tail = fit_tail(correlations, np.ones(1000, bool), 1000)
    for number in (0.05, 5.0):
        assert expected_false(np.array([correlation_at(number, tail)]), tail)[0] == pytest.approx(number)
    assert expected_false(np.array([0.0]), tail)[0] == 1000


def data_set(rows: list[tuple[str, str, str, str, str | None]], pixels: dict[str, Pixels]) -> DataSet:
    """A data set with one task: rows of image, class, subset, sha256 and patient."""
    table = pd.DataFrame(rows, columns=["image", "class", "subset", "sha256", "patient"])
    index = table[["image", "class", "sha256", "patient"]].assign(pixels_blake2=None)
    split = table[["image", "class", "subset"]].assign(patient=table["patient"].fillna(""))
    return DataSet(index, {"task": split}, {"task": sorted(set(table["class"]))}, pixels)


def test_findings(phantoms: list[Image.Image]) -> None:
    films = [decoded(picture) for picture in phantoms]
    pixels = {
        "train/a/0.png": films[0],
        "train/a/0 again.png": films[0],  # the same bytes: not reported, but a copy of the test image, too
        "test/b/0.png": decoded(ImageOps.mirror(phantoms[0])),
        "train/a/1.png": films[1],
        "train/a/1 small.png": decoded(phantoms[1].resize((230, 230), Image.Resampling.BICUBIC)),
        "validation/a/1.png": decoded(encoded(phantoms[1], "JPEG", 50)),
        "test/b/2.png": films[2],
        "train/b/3.png": films[3],
    }
    rows = [(name, name.split("/")[1], name.split("/")[0].replace("train", "training"), name, None) for name in pixels]
    rows[1] = (*rows[1][:3], "train/a/0.png", None)
    audited = audit_look_alikes(data_set(rows, pixels))
    across = ["test/b/0.png", "train/a/0 again.png", "train/a/0.png"]
    ones = ["train/a/1 small.png", "train/a/1.png"]
    certain = [finding for finding in audited.findings if finding.certainty == "certain"]
    assert [(finding.images, finding.is_headline) for finding in certain] == [
        (across, True),
        ([*ones, "validation/a/1.png"], False),
        (across, False),  # in two classes
        (ones, False),
    ]
    assert certain[0].text.startswith("Task task: 1 test image shows the picture of a training or validation image: ")
    assert "flipped left to right, correlation 0.9" in certain[0].text or "correlation 1.00" in certain[0].text
    assert {finding.task for finding in audited.findings} == {"task"}
    assert audited.details["tasks"] == {"task": {"test_images_seen_before": ["test/b/0.png"]}}
    assert len([pair for pair in audited.details["pairs_found"] if pair["certainty"] == "certain"]) == 5
    assert audited.details["images"] == 7


def test_no_images_and_unknown_patients() -> None:
    assert audit_look_alikes(data_set([], {})).findings == []
    noise = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)
    rows = [("train/a/1.png", "a", "training", "1", None), ("test/a/1.png", "a", "test", "2", None)]
    pixels = dict(zip([row[0] for row in rows], noise, strict=True))
    assert audit_look_alikes(data_set(rows, pixels)).findings == []
    pixels["test/a/1.png"] = noise[0, ::-1]
    [finding] = audit_look_alikes(data_set(rows, pixels)).findings
    assert finding.is_headline and "flipped upside down" in finding.text


@pytest.mark.slow
def test_audit_finding_of_the_studys_near_duplicate(study_data: Path) -> None:
    files = sorted(path for path in study_data.rglob("*") if path.suffix.lower() in (".jpeg", ".jpg", ".png"))
    pixels = {path.relative_to(study_data).as_posix(): decode_image(path, SIZE, "nearest") for path in files}
    rows = []
    for name in pixels:
        folder, label, _ = name.split("/")
        rows.append((name, label, "training" if folder == "train" else "test", name, None))
    audited = audit_look_alikes(data_set(rows, pixels))
    [certain] = [finding for finding in audited.findings if finding.certainty == "certain"]
    assert not certain.is_headline
    assert certain.images == [
        "train/covid/E63574A7-4188-4C8D-8D17-9D67A18A1AFA.jpeg",
        "train/covid/F4341CE7-73C9-45C6-99C8-8567A5484B63.jpeg",
    ]
    assert audited.details["tasks"] == {"task": {"test_images_seen_before": []}}
    assert audited.details["pairs"] == 46_360
