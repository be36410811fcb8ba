"""The report's section on features: units, chance, intervals, rivals and quality of maps; and results without them."""

import dataclasses
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from cxrflow.report.features import separation_tables
from cxrflow.report.inputs import Inputs, find_trainings
from cxrflow.report.page import render_page
from made_results import ROOT, made_config, made_inputs, make_results, with_contents

PAGE = ROOT / "workflow/report/page"
NAME = "multiclass_mobilenet"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("results")
    config = made_config(only=[NAME], seeds=2, explain="none")
    return made_inputs(folder, config, make_results(folder, config))


def with_separations(inputs: Inputs, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Inputs:
    runs = [with_contents(run, separation=change(run.separation)) for run in inputs.trainings[NAME]]
    return dataclasses.replace(inputs, trainings={NAME: runs})


def section_of(inputs: Inputs) -> str:
    html = render_page(inputs, PAGE)
    part = html[html.index('<section id="features"') :]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", part[: part.index("</section>")])).split())


def per_cent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def test_the_section_has_chance_intervals_rivals_and_units(inputs: Inputs) -> None:
    text = section_of(inputs)
    for run in inputs.trainings[NAME]:
        low, high = run.separation["intervals"]["same_class_share"]
        share = per_cent(run.separation["same_class_share"])
        assert f"{run.seed} {share} {100 * low:.0f} to {per_cent(high, 0)}" in text
        assert (
            f"Seed {run.seed}: of 4 units, 1 have the same value for all images and 1 for all but one or two; these do not "
            "count."
        ) in text
    chance = per_cent(run.separation["chance"]["same_class_share"])
    assert f"by chance {chance} raw pixels {chance} 0.12 properties of the files {chance} 0.12" in text
    assert "Intervals: Bayesian patient bootstrap, 68 images, among the same neighbours." in text
    assert "The patients of 68 images are not known; each of these images counts as a patient" in text
    first = inputs.trainings[NAME][0].separation
    low, high = first["intervals"]["pairs"]["covid|normal"]
    share, by_chance = (one["pairs"]["covid|normal"] for one in (first, first["chance"]))
    interval = per_cent(share) if low == high else f"{100 * low:.1f} to {per_cent(high)}"
    expected = f"{per_cent(share)} {interval} chance {per_cent(by_chance)} {per_cent(by_chance)}"
    assert f"covid and normal {expected}" in text


def test_the_section_has_the_quality_of_the_map(inputs: Inputs) -> None:
    text = section_of(inputs)
    assert "Quality of the map, by seed of the training (68 images, 5 neighbours)" in text
    assert "0 0.912 0.934 71 % at least 68 %; chance 4 % 1 0.912" in text
    assert "7.5 0.912 0.934 15 0.912 0.934 30" in text
    reason = "other seeds and perplexities, since 3,000 images are more than 2,000"
    nothing = {"other_seeds": None, "perplexities": None, "left_out": reason}
    left_out = section_of(with_separations(inputs, lambda one: {**one, "map": {**one["map"], **nothing}}))
    assert f"0 0.912 0.934 – 1 0.912 0.934 – Not measured: {reason}." in left_out
    assert "Other perplexities" not in left_out


def test_a_rival_without_numbers_says_why(inputs: Inputs) -> None:
    none = {"same_class_share": None, "silhouette": None, "not_judged": "all images have the same features"}

    def change(one: dict[str, Any]) -> dict[str, Any]:
        rival = {**one["rivals"]["file"], **none, "pairs": dict.fromkeys(one["pairs"])}
        return {**one, "rivals": {**one["rivals"], "file": rival}}

    text = section_of(with_separations(inputs, change))
    assert "No numbers for properties of the files: all images have the same features." in text
    assert "properties of the files – –" in text


NEW = ("units", "chance", "intervals", "rivals", "map", "not_judged", "no_map")


def test_results_of_version_0_1_are_shown_without_them(inputs: Inputs) -> None:
    old = with_separations(inputs, lambda one: {key: value for key, value in one.items() if key not in NEW})
    text = section_of(old)
    for run in inputs.trainings[NAME]:
        assert f"{run.seed} {per_cent(run.separation['same_class_share'])}" in text
    for word in ("chance", "Chance", "95 % interval", "Intervals", "raw pixels", "trustworthiness", "units", "None"):
        assert word not in text, word


def test_published_results_are_shown(inputs: Inputs) -> None:
    """They are of version 0.1, without the new keys."""
    separation = find_trainings(ROOT / "studies/sha_2021/results/full_run/runs", {NAME: [0]})[NAME][0].separation
    published = with_separations(inputs, lambda _: separation)
    (found,) = separation_tables(published)
    assert not {"units", "chance", "intervals", "rivals", "map"} & set(separation)
    assert found["rows"][0]["same_class_share"] == separation["same_class_share"]
    assert found["chance"] is None and found["intervals"] is None
    assert found["rivals"] == found["units"] == found["maps"] == []
    of_covid = dict(found["shares"])["covid"][found["classes"].index("normal")]
    own, share = (separation["neighbour_shares"]["covid"][name] for name in ("covid", "normal"))
    assert of_covid == {"share": share, "interval": None, "chance": None}
    assert f"covid {per_cent(own, 0)} {per_cent(share, 0)} " in section_of(published)
