"""Opacity patterns: their places and shapes."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from cxrflow.phantoms.anatomy import AIR, CANVAS, PITCH, Chest, Grid, U, V
from cxrflow.phantoms.opacities import PATTERNS
from cxrflow.phantoms.radiograph import draw_absorption, draw_film
from cxrflow.phantoms.texture import network, random_field
from numpy.random import Generator, Philox
from scipy.ndimage import gaussian_filter, label

PEOPLE = range(4)
ILL = [pattern for pattern in PATTERNS if pattern != "none"]


@cache
def found(pattern: str, person: int) -> tuple[Chest, Grid, dict[str, Any]]:
    """A chest, and the opacity that a pattern adds to it."""
    chest, healthy, _ = draw_absorption("none", "person", person)
    _, ill, drawn = draw_absorption(pattern, "person", person)
    return chest, (ill - healthy) / AIR, drawn


def share_of(added: Grid, lung: Grid) -> float:
    return float((added * (lung > 0.5)).sum() / (lung > 0.5).sum())


@pytest.mark.parametrize("pattern", ILL)
@pytest.mark.parametrize("person", PEOPLE)
def test_a_pattern_is_within_the_lungs(pattern: str, person: int) -> None:
    chest, added, drawn = found(pattern, person)
    air = chest.lungs[0] + chest.lungs[1]
    assert np.abs(added[air == 0]).max() < 1e-6
    assert (added <= air + 1e-6).all()
    assert added.sum() > 0.1 * air.sum()
    assert drawn["extent"] == pytest.approx(added.sum() / air.sum(), rel=0.2)  # vessels show less where it is dense


@pytest.mark.parametrize("person", PEOPLE)
def test_lungs(person: int) -> None:
    chest, _, drawn = found("none", person)
    right, left = (lung > 0.5 for lung in chest.lungs)
    assert U[0, np.flatnonzero(right.any(axis=0)).max()] < 0 < U[0, np.flatnonzero(left.any(axis=0)).min()]
    assert label(right)[1] == label(left)[1] == 1  # each in one piece
    assert 0.7 < left.sum() / right.sum() < 1.1  # the heart takes its place from the left one
    assert chest.absorption[right | left].mean() < 0.6 * chest.absorption[(chest.body > 0.9) & ~right & ~left].mean()
    assert drawn == {"strength": None, "side": None, "lobe": None, "extent": 0.0}


@pytest.mark.parametrize("person", PEOPLE)
def test_ground_glass_is_bilateral_peripheral_and_low(person: int) -> None:
    chest, added, _ = found("ground_glass", person)
    shares = [share_of(added, lung) for lung in chest.lungs]
    assert 0.5 < shares[0] / shares[1] < 2
    lungs = chest.lungs[0] + chest.lungs[1]
    for place in (chest.lateral, np.broadcast_to(V, lungs.shape)):
        assert np.average(place, weights=np.abs(added)) > np.average(place, weights=lungs) + 0.1
    assert added.max() < 0.91


@pytest.mark.parametrize("person", PEOPLE)
def test_consolidation_is_in_one_lobe_dense_even_and_sharp(person: int) -> None:
    chest, added, drawn = found("consolidation", person)
    ill, other = chest.lungs if drawn["side"] == "right" else chest.lungs[::-1]
    assert share_of(added, other) == 0 and share_of(added, ill) > 0.25
    dense = (added > 0.5) & (ill > 0.95)
    assert label(dense)[1] == 1
    assert np.median(added[dense]) > 0.8 and added[dense].std() < 0.12
    middle = np.average(np.broadcast_to(V, ill.shape), weights=added)
    assert (middle < np.average(np.broadcast_to(V, ill.shape), weights=ill)) == (drawn["lobe"] == "upper")
    # Along the fissure opacity rises within three pixels; haze takes much longer.
    steep = np.abs(added[3:] - added[:-3])[(ill[3:] > 0.99) & (ill[:-3] > 0.99)].max()
    _, haze, _ = found("ground_glass", person)
    mild = np.abs(haze[3:] - haze[:-3])[(chest.lungs[0] + chest.lungs[1] > 0.99)[3:]].max()
    assert steep > 0.7 and mild < 0.4


@pytest.mark.parametrize("person", PEOPLE)
def test_interstitial_is_diffuse_and_fine(person: int) -> None:
    chest, added, _ = found("interstitial", person)
    shares = [share_of(added, lung) for lung in chest.lungs]
    assert 0.6 < shares[0] / shares[1] < 1.6
    inside = np.minimum(1, chest.lungs[0] + chest.lungs[1]) > 0.99

    def fine(opacity: Grid) -> float:
        return float((opacity - gaussian_filter(opacity, 0.05 / PITCH))[inside].std() / opacity[inside].std())

    assert fine(added) > 0.7 > fine(found("ground_glass", person)[1])


def test_both_sides_and_all_lobes_occur() -> None:
    drawn = [found("consolidation", person)[2] for person in range(24)]
    assert {(one["side"], one["lobe"]) for one in drawn} == {
        ("right", "upper"), ("right", "middle"), ("right", "lower"), ("left", "upper"), ("left", "lower"),
    }  # fmt: skip


def test_the_pose_does_not_depend_on_the_pattern() -> None:
    films = [draw_film(pattern, "person", 0) for pattern in PATTERNS]
    for film in films:
        assert film.grey.shape == film.lungs[0].shape == (224, 224)
        assert all(np.array_equal(*pair) for pair in zip(film.lungs, films[0].lungs, strict=True))
        assert film.parameters["rotation_degrees"] == films[0].parameters["rotation_degrees"]


def test_a_film_is_a_function_of_its_name() -> None:
    first = draw_film("interstitial", "person", 1)
    again = draw_film("interstitial", "person", 1)
    assert np.array_equal(first.grey, again.grey) and first.parameters == again.parameters
    assert not np.array_equal(first.grey, draw_film("interstitial", "person", 2).grey)


def test_random_fields_have_the_given_correlation() -> None:
    """A white field smoothed by sigma has the correlation exp(-d²/4sigma²) at distance d."""
    random = Generator(Philox(key=0))
    sigma, apart = 0.03, 5
    fields = [random_field(random, sigma) for _ in range(8)]
    assert fields[0].shape == (CANVAS, CANVAS)
    correlation = np.mean([(field[:, apart:] * field[:, :-apart]).mean() for field in fields])
    assert correlation == pytest.approx(np.exp(-((apart * PITCH) ** 2) / (4 * sigma**2)), abs=0.03)


def test_a_network_has_the_given_mesh() -> None:
    random = Generator(Philox(key=1))
    mesh = 0.15
    nets = [network(random, mesh, 0.03) > 0.5 for _ in range(6)]
    crossings = np.mean([np.diff(net.astype(int), axis=0).clip(0).sum(axis=0).mean() for net in nets])
    assert crossings == pytest.approx(CANVAS * PITCH / mesh, rel=0.15)
