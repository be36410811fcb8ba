"""The error gallery and the section on explanations: order, flags, pictures, and what is said without them."""

import dataclasses
import re
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cxrflow.evaluation.consistency import inconsistencies
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json, write_json
from cxrflow.report.errors import error_galleries, flags_of, wrong_images
from cxrflow.report.explanations import explanation_views, unexplained
from cxrflow.report.inputs import Explanation, Inputs, read_explanations
from cxrflow.report.page import render_page
from cxrflow.report.words import with_interval
from cxrflow.study.models import explained_seeds
from cxrflow.study.settings import whole_settings
from made_results import ROOT, made_config, made_inputs, make_results, measured, with_contents

PAGE = ROOT / "workflow/report/page"
NAME = "binary_inception_v3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def inputs(folder: Path) -> Inputs:
    """Two seeds of one experiment, of which the first is explained."""
    config = made_config(only=[NAME], seeds=2)
    return made_inputs(folder, config, make_results(folder, config))


def section(html: str, name: str) -> str:
    part = html[html.index(f'<section id="{name}"') :]
    return part[: part.index("</section>")]


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


# ---- order and flags ----------------------------------------------------------------------------------------------------


def predictions(*rows: tuple[str, str, str, float, float, float]) -> pd.DataFrame:
    columns = ["image", "class", "predicted", "p_a", "p_b", "p_c"]
    return pd.DataFrame(rows, columns=columns).set_index("image")


def test_errors_come_in_the_order_of_the_confidence_over_all_seeds() -> None:
    one = predictions(
        ("w", "a", "b", 0.1, 0.7, 0.2),
        ("x", "a", "c", 0.0, 0.0, 1.0),
        ("y", "b", "b", 0.3, 0.4, 0.3),
        ("z", "c", "a", 0.9, 0.1, 0.0),
        ("right", "c", "c", 0.4, 0.0, 0.6),
    )
    two = predictions(
        ("right", "c", "c", 0.0, 0.0, 1.0),
        ("z", "c", "a", 0.9, 0.0, 0.1),
        ("y", "b", "c", 0.3, 0.3, 0.4),
        ("x", "a", "a", 1.0, 0.0, 0.0),
        ("w", "a", "b", 0.1, 0.8, 0.1),
    )
    found = wrong_images({3: one, 5: two})
    # z 0.9, w (0.7 + 0.8) / 2, x (1 + 0) / 2, y (0.3 + 0.4) / 2
    assert [(row["image"], row["wrong_in"]) for row in found] == [("z", 2), ("w", 2), ("x", 1), ("y", 1)]
    assert [row["confidence"] for row in found] == pytest.approx([0.9, 0.75, 0.5, 0.35])
    assert found[2]["by_seed"] == [
        {"seed": 3, "predicted": "c", "probability": 1.0, "is_wrong": True},
        {"seed": 5, "predicted": "a", "probability": 1.0, "is_wrong": False},
    ]
    assert [row["image"] for row in wrong_images({3: one})] == ["x", "z", "w"]


def test_flags_name_the_other_image_and_its_subset() -> None:
    pair = {"transformation": "cropped", "correlation": 0.613, "certainty": "suspected"}
    audits: dict[str, Any] = {
        "patients": {"details": {"tasks": {"t": {"test_images_of_known_patients": ["a"]}}}},
        "duplicates": {"details": {"same_bytes": [["a", "b", "elsewhere"]], "same_pixels": [["c", "d"]]}},
        "look_alikes": {
            "details": {
                "pairs_found": [{"image": "b", "other": "a", **pair}, {"image": "a", "other": "elsewhere", **pair}]
            }
        },
    }
    subsets = {"a": "test", "b": "training", "c": "test", "d": "validation"}
    assert list(flags_of("a", audits, "t", subsets)) == [
        "its patient also has images in training or validation",
        "same bytes as b (training)",
        "may show the same picture as b (training; cropped, correlation 0.61)",
    ]
    assert list(flags_of("c", audits, "t", subsets)) == ["same pixels as d (validation)"]
    assert list(flags_of("a", {}, "t", subsets)) == []


# ---- gallery ------------------------------------------------------------------------------------------------------------


def test_the_gallery_has_every_wrong_image_with_all_seeds(inputs: Inputs) -> None:
    (gallery,) = error_galleries(inputs)
    tables = [training.predictions for training in inputs.trainings[NAME]]
    wrong = {image for table in tables for image in table.index[table["predicted"] != table["class"]]}
    assert {row["image"] for row in gallery["rows"]} == wrong and len(wrong) == gallery["wrong_images"] > 0
    assert gallery["predictions"] == 2 * gallery["images"]
    part = text_of(section(render_page(inputs, PAGE), "errors"))
    images = gallery["images"]
    assert f"of {images} test images are predicted wrong with at least one of 2 seeds" in part
    assert "not marked by the audits patients, duplicates and look-alikes" in part
    for row in gallery["rows"]:
        assert f"wrong with {row['wrong_in']} of 2 seeds" in part
    explained = {one["image"] for one in inputs.explanations[NAME][0].record["images"] if one["chosen_as"] == "error"}
    for row in gallery["rows"]:
        assert (row["heat"]["picture"] is not None) == (row["image"] in explained)
        if row["image"] not in explained:
            assert row["heat"]["reason"] == "right with seed 0, which is explained"


@pytest.mark.parametrize("seeds", [1, 2])
def test_no_error_is_stated_with_its_denominator(inputs: Inputs, seeds: int) -> None:
    trainings = [
        with_contents(one, predictions=one.predictions.assign(predicted=one.predictions["class"]))
        for one in inputs.trainings[NAME][:seeds]
    ]
    perfect = measured(dataclasses.replace(inputs, trainings={NAME: trainings}))
    (gallery,) = error_galleries(perfect)
    assert gallery["rows"] == [] and gallery["wrong_predictions"] == 0
    part = text_of(section(render_page(perfect, PAGE), "errors"))
    more = " with each of 2 seeds (36 predictions)" if seeds == 2 else ""
    assert f"No error: all 18 test images are predicted right{more}." in part


def test_a_run_without_explanations_has_a_gallery_without_heat_maps(inputs: Inputs) -> None:
    settings = {**inputs.settings, "explain": "none"}
    html = render_page(dataclasses.replace(inputs, explanations={}, settings=settings), PAGE)
    assert "This run has explain: none : no network was explained." in text_of(section(html, "explanations"))
    part = section(html, "errors")
    assert "<img" not in part and "not explained" in part and "A credit." not in part


def test_without_pictures_the_measurements_remain(inputs: Inputs) -> None:
    record = inputs.explanations[NAME][0].record
    html = render_page(dataclasses.replace(inputs, explanations={NAME: {0: Explanation(record)}}), PAGE)
    assert "<img" not in section(html, "errors") + section(html, "explanations")
    assert "no images are shown" in section(html, "errors")
    assert "No heat maps are shown" in section(html, "explanations")
    assert "everything but the outer tenth on each side is black" in section(html, "explanations")


# ---- explanations -------------------------------------------------------------------------------------------------------


def test_the_section_shows_each_measurement_with_baseline_and_interval(inputs: Inputs) -> None:
    (view,) = explanation_views(inputs)
    part = section(render_page(inputs, PAGE), "explanations")
    words = text_of(part)
    assert part.count("<img") == 1
    for check in view["checks"]:
        assert check["what"] in words and with_interval(check) in words and check["baseline"] in words
    unaltered = view["unaltered"]
    assert f"unaltered images {unaltered['correct']} of 18" in words
    assert all(row["description"] in words for row in [*view["occlusions"], *view["corruption_rows"]])
    assert (
        "0.480 of the area is outside" in words and "overlap the lungs with an intersection over union of 0.61" in words
    )


def test_an_explanation_that_failed_is_reported(inputs: Inputs) -> None:
    failed = dataclasses.replace(inputs, explanations={})
    assert unexplained(inputs) == [] and unexplained(failed) == [f"{NAME}, seed 0"]
    assert f"Not explained, since a step of the run failed: {NAME}, seed 0." in text_of(render_page(failed, PAGE))


def test_which_seeds_are_explained() -> None:
    selected = {"a": [3, 1], "b": [0]}
    assert explained_seeds("none", selected) == {}
    assert explained_seeds("one_seed", selected) == {"a": [3], "b": [0]}
    assert explained_seeds("all_seeds", selected) == selected
    assert made_config(only=[NAME], seeds=[4, 2], explain="one_seed").explained() == {NAME: [4]}
    with pytest.raises(
        UserError, match="explain: one_seed needs `backend: tensorflow`; with torch, write `explain: none`"
    ):
        made_config(backend="torch")


def test_explanations_that_do_not_belong_to_the_training(inputs: Inputs, folder: Path) -> None:
    file = folder / f"runs/{NAME}/seed_0/explanations.json"
    settings = whole_settings(made_config(only=[NAME], seeds=2))
    where = (folder / "runs", folder / "split", settings, {NAME: [0, 1]})
    record = read_json(file)
    try:
        write_json(file, {**record, "training": "another"})
        assert "explanations.json: of training another" in inconsistencies(*where, {NAME: [0]})[0]
        assert inconsistencies(*where) == []  # they are not used
        with pytest.raises(UserError, match=r"heat_maps\.json: of another training"):
            read_explanations(folder / "runs", folder / "plots", {NAME: [0]}, with_pictures=True)
        first, *others = record["images"]
        other = next(name for name in record["classes"] if name != first["predicted"])
        write_json(file, {**record, "images": [{**first, "predicted": other}, *others]})
        assert "its predictions are not those of predictions.csv" in inconsistencies(*where, {NAME: [0]})[0]
    finally:
        write_json(file, record)
    with pytest.raises(UserError, match=r"seed_1.explanations\.json: missing"):
        read_explanations(folder / "runs", folder / "plots", {NAME: [1]}, with_pictures=False)
