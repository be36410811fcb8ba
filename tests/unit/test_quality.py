"""The audit of image quality finds what was done to drawn films, and nothing in films as they are."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from cxrflow.audits.findings import DataSet
from cxrflow.audits.markings import find_markings
from cxrflow.audits.orientation import orientation_of
from cxrflow.audits.picture_measures import measure
from cxrflow.audits.quality import FEWEST, KINDS, audit_quality, robust_z
from cxrflow.phantoms.opacities import PATTERNS
from cxrflow.phantoms.radiograph import draw_film
from hypothesis import given
from hypothesis import strategies as st
from made_data_sets import data_set
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps
from sklearn.datasets import load_sample_images

FILMS = 30
SIZE = 160


@cache
def films():
    """Pixels of drawn films."""
    pictures = [Image.fromarray(draw_film(list(PATTERNS)[n % len(PATTERNS)], "quality", n).grey) for n in range(FILMS)]
    return [np.asarray(one.convert("RGB").resize((SIZE, SIZE))) for one in pictures]


def audited(changed=None, count=FILMS, subset="test", **columns):
    """The findings for films of which the first are changed by functions, by kind; the changed images are of one subset."""
    changed = changed or []
    rows = pd.DataFrame({"image": [f"{n:02}.png" for n in range(count)]})
    rows["class"] = ["a", "b"] * (count // 2)
    rows["subset"] = [subset if n < max(1, len(changed)) else "training" for n in range(count)]
    pixels = {f"{n:02}.png": one for n, one in enumerate(films()[:count])}
    for n, change in enumerate(changed):
        pixels[f"{n:02}.png"] = np.asarray(change(Image.fromarray(films()[n])).convert("RGB").resize((SIZE, SIZE)))
    made = data_set(rows.assign(**columns))
    found = audit_quality(DataSet(made.index, made.splits, made.classes, pixels))
    assert len(found.findings) == sum(map(bool, found.details["kinds"].values()))
    return found


def with_text(picture):
    marked = picture.copy()
    ImageDraw.Draw(marked).text((4, 140), "PORTABLE 1234", fill=(5, 5, 5), font=ImageFont.load_default(size=12))
    return marked


def with_red_arrow(picture):
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    draw.line((60, 60, 75, 75), fill=(230, 20, 20), width=2)
    draw.polygon([(82, 82), (70, 78), (78, 70)], fill=(230, 20, 20))
    return marked


def with_white_arrow(picture):
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    draw.line((36, 60, 46, 70), fill=(255, 255, 255), width=2)
    draw.polygon([(53, 77), (42, 74), (50, 66)], fill=(255, 255, 255))
    return marked


def test_films_as_they_are_give_no_finding():
    found = audited()
    assert found.findings == [] and found.details["compared"] and found.details["marks_searched"]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("constant", lambda picture: picture.point(lambda level: 100 + level / 20)),
        ("dark", lambda picture: picture.point(lambda level: level / 4)),
        ("bright", lambda picture: picture.point(lambda level: 255 - (255 - level) / 4)),
        ("blurred", lambda picture: picture.filter(ImageFilter.GaussianBlur(2))),
        ("inverted", ImageOps.invert),
        ("turned", lambda picture: picture.rotate(90)),
        ("turned", lambda picture: picture.rotate(180)),
        ("turned", lambda picture: picture.rotate(270)),
        ("text", with_text),
        ("arrows", with_red_arrow),
        ("arrows", with_white_arrow),
        ("no_chest_xray", lambda _: Image.fromarray(load_sample_images().images[0])),
        ("no_chest_xray", lambda _: with_text(Image.new("RGB", (SIZE, SIZE), (240, 240, 240)))),
    ],
)
def test_audit_finding_of_a_changed_image_names_it_and_its_kind_only(kind, change):
    found = audited([change])
    assert {name for name, images in found.details["kinds"].items() if images} == {kind}
    assert [one.images for one in found.findings] == [["00.png"]]
    assert "the score depends on 1 of the 1 a test image." in found.findings[0].effect
    assert found.findings[0].certainty == KINDS[kind].certainty


def test_audit_finding_of_turned_images_says_by_how_much():
    found = audited([lambda picture: picture.rotate(90), lambda picture: picture.rotate(270)], subset="training")
    (finding,) = found.findings
    assert finding.text == "2 images seem to be turned: 00.png (by 90°), 01.png (by 270°)."
    assert finding.effect.endswith("; no test image is concerned.")


def test_audit_finding_of_text_counts_classes():
    (finding,) = audited([with_text, with_text, with_text]).findings
    assert finding.text.startswith("3 images have text burnt in (2 a and 1 b): ")


def test_audit_finding_of_a_shape_needs_a_file_that_differs_from_the_others():
    (finding,) = audited(width=[700] + [300] * (FEWEST - 1), height=300, count=FEWEST).findings
    assert finding.images == ["00.png"] and "unusual shape" in finding.text and finding.certainty == "certain"
    assert audited(width=700, height=300, count=FEWEST).findings == []  # all have it
    assert len(audited(width=1000, height=300, count=FEWEST).findings[0].images) == FEWEST  # beyond any radiograph


def test_a_few_images_are_judged_by_fixed_limits_only():
    few = FEWEST - 2
    found = audited([lambda picture: picture.rotate(180), lambda picture: picture.point(lambda level: level / 5)], few)
    assert found.details["kinds"]["dark"] == ["01.png"] and not found.details["compared"]
    assert len(found.findings) == 1


def test_small_images_are_not_searched_for_letters():
    pixels = np.asarray(Image.fromarray(films()[0]).resize((64, 64)))
    assert not find_markings(pixels).has_text and not find_markings(pixels).has_arrow


def test_a_tinted_film_is_not_coloured():
    tinted = (films()[0] * np.array([0.6, 0.8, 1.0])).astype(np.uint8)
    assert measure(tinted).colour < 0.02 and not find_markings(tinted).has_colour


@given(st.floats(0.5, 1.5), st.floats(-20, 20))
def test_small_copies_do_not_depend_on_brightness_and_contrast(gain, offset):
    film = 60 + films()[0].astype(float) / 4
    changed = np.clip(film * gain + offset, 0, 255)
    one, other = (measure(np.rint(pixels).astype(np.uint8)).small for pixels in (film, changed))
    assert np.sum(one * other) > 0.999


def test_turning_all_images_turns_none():
    """The data set itself teaches what upright is."""
    small = np.array([measure(np.rot90(pixels)).small for pixels in films()])
    assert (orientation_of(small).turned_by < -0.3).all()


def test_robust_z_of_known_numbers():
    """Median 3, absolute deviations 2, 1, 0, 1, 97: their median is 1."""
    assert robust_z(np.array([1.0, 2, 3, 4, 100]), 0.1)[-1] == pytest.approx(97 / 1.4826)
    assert robust_z(np.array([1.0, 1, 1, 2]), 0.5)[-1] == 2
