"""Tests of the common parts of all plots."""

import base64
import io
import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from cxrflow.io.errors import UserError
from cxrflow.plotting.style import (
    CLASS_COLOURS,
    DARK,
    INK,
    PAPER,
    class_colours,
    new_figure,
    styled,
    tidied,
    write_figure,
)
from PIL import Image


def a_plot(path, title="a title"):
    with styled():
        figure = new_figure(3, 2, title)
        figure.subplots().plot([1, 2], [1 / 3, 2 / 3])
        write_figure(figure, path)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("count", [1, 2, 8, 9, 30])
def test_each_class_has_its_own_colour(count):
    colours = class_colours([f"class {place}" for place in range(count)])
    assert len(set(colours.values())) == count


def test_the_colours_of_the_first_classes_do_not_depend_on_how_many_there_are():
    assert list(class_colours(["a", "b"]).values()) == list(class_colours(["a", "b", "c"]).values())[:2]
    assert class_colours(["x"])["x"] == CLASS_COLOURS[0]


def test_equal_figures_give_equal_bytes_whatever_the_users_own_settings(tmp_path):
    first = a_plot(tmp_path / "one.svg")
    with matplotlib.rc_context({"svg.fonttype": "path", "lines.linewidth": 7, "svg.hashsalt": None}):
        assert a_plot(tmp_path / "two.svg") == first


def test_a_figure_has_no_date_no_long_numbers_in_its_paths_and_text_as_text(tmp_path):
    svg = a_plot(tmp_path / "one.svg")
    assert not re.search(r"<metadata|dc:date|Matplotlib v|<!--", svg)
    assert not any(re.search(r"\.\d{3}", path) for path in re.findall(r' d="([^"]*)"', svg))
    assert ">a title</text>" in svg


@pytest.mark.parametrize(("alpha", "kind"), [(255, "jpeg"), (254, "png")])
def test_opaque_pictures_become_jpeg(tmp_path, alpha, kind):
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (60, 1))
    rgba = np.dstack([ramp, ramp, ramp, np.full_like(ramp, 255)])
    rgba[0, 0, 3] = alpha
    with styled():
        figure = new_figure(3, 2)
        figure.subplots().imshow(rgba, interpolation="none")
        write_figure(figure, tmp_path / "one.svg")
    svg = (tmp_path / "one.svg").read_text(encoding="utf-8")
    (found, data), *more = re.findall(r'href="data:image/(\w+);base64,([^"]+)"', svg)
    assert found == kind and not more and "pixelated" not in svg
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    grey = picture if kind == "jpeg" else picture[..., 0]
    assert grey.shape == ramp.shape  # grey is stored once, and in its own size
    assert np.abs(grey.astype(float) - ramp).max() <= (6 if kind == "jpeg" else 0)


def test_a_figure_turns_dark_with_the_page(tmp_path):
    svg = a_plot(tmp_path / "one.svg")
    style = next(part for part in svg.split("<style") if "prefers-color-scheme: dark" in part)
    for light, dark in DARK.items():
        assert f'[style*="fill: {light}"]{{fill:{dark}!important}}' in style
    assert f"fill: {INK}" in svg and f"fill: {PAPER}" in svg  # as the rules above look for them


@pytest.mark.parametrize("title", ["<script>alert(1)</script>", "a $b$ c_d", "x & y \"z\" 'w'"])
def test_a_title_is_drawn_letter_by_letter(tmp_path, title):
    root = ET.fromstring(a_plot(tmp_path / "one.svg", title))
    assert title in [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))


def test_numbers_in_texts_are_not_changed():
    svg = '<text x="1.23456">0.98765</text><path d="M 1.23456 -0.00001\nL 2 3"/>'
    assert tidied(svg) == '<text x="1.23">0.98765</text><path d="M 1.23 -0.00 L 2 3"/>'


def test_only_svg_is_written(tmp_path):
    with styled(), pytest.raises(UserError, match=r"choose a name that ends in \.svg"):
        write_figure(new_figure(1, 1), tmp_path / "one.png")


def test_invisible_characters_are_escaped_in_plots(tmp_path):
    text = a_plot(tmp_path / "plot.svg", "seed \u202e0\u0007 of $x$ 肺")
    ET.fromstring(text)  # a control character is not valid XML
    assert r"seed \u202e0\x07 of $x$ 肺" in text and "\u202e" not in text
