"""The files of phantoms."""

import io

import numpy as np
from cxrflow.phantoms.files import draw_form, encode
from cxrflow.phantoms.texture import random_stream
from PIL import Image

FORMS = [draw_form(random_stream("form", number)) for number in range(300)]


def test_sizes_modes_and_formats() -> None:
    sides = [(form.width, form.height) for form in FORMS]
    assert all(250 <= min(pair) <= 720 and max(pair) <= 900 and max(pair) / min(pair) < 1.26 for pair in sides)
    assert len(set(sides)) > 290 and {width > height for width, height in sides} == {True, False}
    assert {(form.format, form.mode) for form in FORMS} == {
        ("PNG", "L"), ("PNG", "RGB"), ("PNG", "RGBA"), ("JPEG", "L"), ("JPEG", "RGB"),
    }  # fmt: skip
    assert all((form.suffix == "png") == (form.format == "PNG") for form in FORMS)
    assert {form.suffix for form in FORMS} == {"png", "jpg", "jpeg"}


def test_a_file_has_the_given_format_and_shows_the_film() -> None:
    across, down = np.meshgrid(np.arange(224), np.arange(224))
    grey = (across / 2 + down / 2).astype(np.uint8)
    for form in {(form.format, form.mode): form for form in FORMS}.values():
        content = encode(grey, form)
        assert content == encode(grey, form)
        with Image.open(io.BytesIO(content)) as picture:
            assert (picture.format, picture.mode, *picture.size) == (form.format, form.mode, form.width, form.height)
            assert picture.getexif() == {}
            bands = np.asarray(picture.convert("RGBA"))
        assert (bands[..., 3] == 255).all() and (np.ptp(bands[..., :3], axis=2) == 0).all()
        back = np.asarray(Image.fromarray(bands[..., 0]).resize((224, 224), Image.Resampling.BILINEAR))
        assert np.abs(back.astype(int) - grey).mean() < 2
