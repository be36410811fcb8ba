"""Tests of the page of the report: its statements and its HTML."""

import base64
import dataclasses
import json
import re
import sys
import xml.etree.ElementTree as ET
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from cxrflow.claims.model import KINDS, VERDICTS
from cxrflow.claims.scorecard import headline
from cxrflow.evaluation.experiments import measure_experiment, read_experiment
from cxrflow.io.errors import UserError
from cxrflow.io.files import write_json, write_table
from cxrflow.report import scorecard
from cxrflow.report.audits import findings_in_words, rival_tables, rivals_in_words, without_leaks
from cxrflow.report.deviations import find_deviations
from cxrflow.report.inputs import read_sheets
from cxrflow.report.page import render_page
from cxrflow.report.repeat import DERIVED, overlay_of
from cxrflow.report.summary import precision_in_words
from cxrflow.report.tables import head_words, training_words
from cxrflow.report.words import number, percent_range, thousands
from cxrflow.stages import assemble_report
from cxrflow.statistics.intervals import wilson_interval
from cxrflow.study.read import read_config
from cxrflow.study.settings import experiment_settings, whole_settings
from made_results import (
    OPEN_POINTS,
    ROOT,
    changed,
    made_config,
    made_finding,
    made_inputs,
    made_scorecard,
    make_results,
    make_sheet,
    measured,
    with_contents,
)
from study_config import study_config

PAGE = ROOT / "workflow/report/page"
VOID = {"meta", "img", "br", "wbr"}
SCORECARD = made_scorecard(
    ("binary_inception_v3", "outcome", "consistent"),
    ("binary_inception_v3", "curve", "differs"),
    ("multiclass_inception_v3 multiclass_mobilenet", "comparison", "undecided"),
    ("multiclass_mobilenet", "features", "consistent"),
    ("binary_inception_v3", "setting", "as configured"),
    ("binary_inception_v3", "architecture", "exact"),
    ("binary_inception_v3", "text", "contradicted"),
    ("binary_inception_v3", "search", "not run"),
)


class Page(HTMLParser):
    """A parsed page: its tags, ids, addresses and text; `errors` lists tags that are not closed in order."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.errors, self.tags, self.text = [], [], [], []
        self.feed(html)
        self.close()
        self.errors += [f"{tag} is not closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.errors.append(f"</{tag}> in {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def words_of(html):
    """Return the text that a reader sees, with single blanks."""
    return " ".join("".join(Page(html).text).split())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    config = made_config(seeds=2)
    return folder, config, make_results(folder, config)


@pytest.fixture(scope="module")
def inputs(results):
    folder, config, _ = results
    sheets = (
        make_sheet(folder, "binary", config.classes_of("binary"), {"covid": 47}),
        make_sheet(folder, "multiclass", config.classes_of("multiclass"), {}),
    )
    return made_inputs(*results, scorecard=SCORECARD, sheets=sheets)


@pytest.fixture(scope="module")
def html(inputs):
    return render_page(inputs, PAGE)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    config = made_config(
        name="demo",
        images=None,
        phantoms={"train_per_class": 40, "test_per_class": 10, "seed": 3},
        image_list=None,
        weights="random",
        only=["binary_inception_v3"],
        override={"epochs": 2, "image_size": 96},
        claims="studies/demo/claims.csv",
    )
    selected = make_results(folder, config, images=100, listed=100)
    return made_inputs(folder, config, selected, scorecard=SCORECARD)


def test_the_html_is_well_formed(html):
    page = Page(html)
    assert page.errors == []
    assert html.startswith("<!DOCTYPE html>")
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    inner = [address[1:] for address in page.attributes("href") if address.startswith("#")]
    assert inner and set(inner) <= set(ids)
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    assert {"lang": "en"} in [attributes for tag, attributes in page.tags if tag == "html"]


def test_the_page_fetches_and_runs_nothing(html):
    page = Page(html)
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"} == set()
    assert all(
        address.startswith(("data:image/svg+xml;base64,", "data:image/jpeg;base64,"))
        for address in page.attributes("src")
    )
    assert all(address.startswith("#") for address in page.attributes("href"))
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|http-equiv", html)
    assert len(html) < 3_000_000


def test_the_sections_come_in_their_order(html):
    titles = re.findall(r'<h2 id="(\w+)-title">', html)
    order = (
        "run study networks results audits explanations errors curves features backbones data augmentation scorecard"
    )
    assert titles == [*order.split(), "repeat"]


def test_research_only_is_stated_at_the_top_at_the_results_and_at_the_foot(html):
    said = "Research only, not for clinical use"
    for part in ("<header", '<section id="results"', '<section id="scorecard"', "<footer"):
        end = {"<header": "</header>", "<footer": "</footer>"}.get(part, "</section>")
        begin = html.index(part)
        assert said in html[begin : html.index(end, begin)]


def test_test_results_are_those_of_the_files(inputs, html):
    for name, runs in inputs.trainings.items():
        section = html[html.index(f'aria-label="Test results of {name} by seed') :]
        rows = re.findall(r"<tr>(.*?)</tr>", section[: section.index("</tbody>")], re.DOTALL)[1:]
        assert len(rows) == len(runs) + (len(runs) > 1)  # and the ensemble
        for row, run in zip(rows, runs, strict=False):
            cells = [unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)]
            metrics = run.metrics
            low, high = wilson_interval(metrics["correct"], metrics["images"])  # patients are not known
            right = f"{metrics['correct']} of {metrics['images']}"
            assert cells[:2] == [str(run.seed), f"{right} ({percent_range(low, high, 0)})"]
            assert cells[2].startswith(f"{metrics['balanced_accuracy']:.2f} (") and " to " in cells[2]
            assert cells[4] == f"{metrics['loss']:.2f}"
            assert cells[-1] == str(metrics["selected_epoch"])
        section = html[html.index('aria-label="By class', html.index(f'aria-label="Test results of {name} by seed')) :]
        rows = re.findall(r"<tr>(.*?)</tr>", section[: section.index("</tbody>")], re.DOTALL)[1:]
        for row, (label, of) in zip(rows, inputs.median_run(name).metrics["per_class"].items(), strict=True):
            cells = [unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)]
            assert re.sub("<.*?>", "", cells[0]).startswith(label)
            assert cells[1].startswith(f"{round(of['sensitivity'] * of['images'])} of {of['images']} (")


def test_confusion_matrices_of_all_seeds_are_those_of_the_files(inputs, html):
    tables = re.findall(r'<table class="confusion">(.*?)</table>', html, re.DOTALL)
    matrices = [
        [[int(count) for count in re.findall(r"<td[^>]*>(\d+)</td>", row)] for row in table.split("<tr>")[2:]]
        for table in tables
    ]
    assert matrices == [run.metrics["confusion_matrix"] for run in inputs.all_trainings]


def test_architecture_and_counts_are_those_of_the_files(inputs, html):
    words = words_of(html)
    for network in inputs.networks["experiments"].values():
        assert f"non-trainable{thousands(network['parameters']['non_trainable'])}" in words.replace(" ", "")
        for block in network["blocks"]:
            assert thousands(block["parameters"]) in words
    section = html[html.index('aria-label="Images of the task multiclass"') :]
    first = re.search(r"<tbody>\s*<tr>(.*?)</tr>", section, re.DOTALL)[1]
    assert re.findall(r">([^<>]+)</t", first) == ["covid", "14", "3", "9"]
    last = re.search(r"<tfoot><tr>(.*?)</tr>", section)[1]
    assert re.findall(r">([^<>]+)</t", last) == ["all", "56", "12", "36"]


def test_one_image_of_few_is_shown_in_percentage_points(html):
    words = words_of(html)
    assert "With 18 test images, one image corresponds to 5.6 percentage points." in words
    assert "With 36 test images, one image corresponds to 2.8 percentage points." in words


def test_the_head_is_described_layer_by_layer(inputs):
    expected = head_words(inputs.experiments["binary_inception_v3"], 2)
    assert expected == "global average pooling, Dense 128 relu, Dropout 0.05, Dense 32 relu, Dense 1 sigmoid"
    expected = head_words(inputs.experiments["multiclass_mobilenet"], 4)
    assert expected == "flatten, Dense 512 relu, Dropout 0.5, Dense 128 relu, Dense 32 relu, Dense 4 softmax"
    conv = {"conv": 256, "kernel": 3, "padding": "same", "activation": "relu", "l2": 0.001, "name": None}
    head = [conv, "max_pooling", {"dropout": 0.0}, {"dense": 8, "activation": "tanh", "l2": 0.01, "name": None}]
    expected = head_words({"loss": "binary_crossentropy", "head": head}, 2)
    assert expected == "Conv 256 (3x3, same) relu, L2 0.001, global max pooling, Dense 8 tanh, L2 0.01, Dense 1 sigmoid"


def test_backbones_are_compared_only_if_there_are_several(inputs, html, demo):
    section = html[html.index('<section id="backbones"') : html.index('<section id="data"')]
    assert len(re.findall(r'<figure class="(?:curves|confusion)">', section)) == 4
    assert "21,802,784" in section and "3,228,864" in section
    assert 'id="backbones"' not in render_page(demo, PAGE)


def test_the_headline_is_that_of_the_scorecard(html):
    counts = headline(SCORECARD)
    tiles = re.findall(r"<li class=\"\w+\"><b>(\d+)</b> <span><span[^>]*>.</span> ([a-z ]+)</span></li>", html)
    assert {verdict: int(count) for count, verdict in tiles} == {
        verdict: count for verdict, count in counts["verdicts"].items() if count
    }
    words = words_of(html)
    expected = "2 are consistent with this run, 1 differs and 1 is undecided"
    assert f"Of the 4 outcomes, curves, comparisons and features stated in sha_2021, {expected}" in words
    assert "setting 1 as configured" in words and "search 1 not run" in words


def test_every_claim_is_on_the_page_with_its_verdict_in_words(html):
    for row in SCORECARD.to_dict("records"):
        at = html.index(f"<code>{row['id'].replace('_', '_<wbr>')}</code>")
        assert re.search(r'aria-hidden="true">.</span> ([a-z ]+)</span>', html[at:])[1] == row["verdict"]


def augmentation_section(html):
    section = html[html.index('<section id="augmentation"') :]
    return section[: section.index("</section>")]


def test_each_sheet_of_the_augmentation_is_on_the_page_with_its_credit(inputs, html):
    section = augmentation_section(html)
    pictures = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', section)
    assert len(pictures) == 2
    for (data, alt), sheet in zip(pictures, inputs.sheets, strict=True):
        svg = base64.b64decode(data).decode()
        assert ET.fromstring(svg).tag.endswith("svg")
        credit = "Pictures: Kermany et al. (CC BY 4.0). Reduced in size; changed by augmentation from epoch 1 on."
        assert credit in svg and credit in unescape(alt) and f"task {sheet['task']} " in alt
    assert "Validation images are augmented in the same way; test images never are." in words_of(section)


def test_withheld_images_are_reported_with_the_setting_that_shows_them(html):
    notes = re.findall(r'<p class="note">(.*?)</p>', augmentation_section(html))
    assert [words_of(note) for note in notes] == [
        "Withheld, since no licence is known that allows sharing and changing them: 47 training images of covid. "
        "Set embed_images: all to show them."
    ]


def test_a_task_without_images_to_show_has_no_empty_picture(inputs, tmp_path):
    sheet = read_sheets([make_sheet(tmp_path, "binary", ["covid", "normal"], {"covid": 47, "normal": 1})])
    section = augmentation_section(render_page(dataclasses.replace(inputs, sheets=sheet), PAGE))
    assert "<img" not in section
    words = words_of(section)
    assert "No image of the task binary is shown." in words
    assert "47 training images of covid, 1 training image of normal. Set embed_images: all to show them." in words


def test_without_pictures_or_augmentation_the_page_says_so(inputs):
    bare = dataclasses.replace(inputs, sheets=[])
    section = augmentation_section(render_page(bare, PAGE))
    assert "<img" not in section and "No pictures: the run has embed_images: none." in words_of(section)
    clean = render_page(changed(bare, "settings/augment_validation", False), PAGE)
    assert "Validation images are not augmented; test images never are." in words_of(augmentation_section(clean))
    none = render_page(changed(bare, "settings/augmentation", "none"), PAGE)
    assert 'id="augmentation"' not in none and 'href="#augmentation"' not in none
    assert "The images are not augmented (augmentation: none): each epoch uses the original images" in words_of(none)


def test_without_a_scorecard_the_page_says_so(inputs):
    html = render_page(dataclasses.replace(inputs, scorecard=None), PAGE)
    assert "No scorecard was made for this run." in html
    assert 'class="tiles"' not in html and "The study states" not in html
    assert Page(html).errors == []


def test_every_kind_and_verdict_has_its_words():
    assert set(scorecard.TITLES) == set(KINDS)
    assert tuple(scorecard.STYLES) == VERDICTS


def test_a_run_on_phantoms_says_so_and_is_not_compared_with_the_study(demo):
    html = render_page(demo, PAGE)
    words = words_of(html)
    assert "This run used drawn phantoms." in words
    assert "on 100 drawn phantoms, not X-rays" in words
    assert "Training started from random weights" in words
    assert "The study states" not in words
    assert "outcomes, curves, comparisons and features stated in claims.csv" in words
    assert "reproduc" not in words.lower()


def test_a_run_without_all_images_says_so(inputs):
    audit = {**inputs.audit, "images": 305, "missing": ["train/covid/x.png"]}
    html = render_page(dataclasses.replace(inputs, audit=audit), PAGE)
    words = words_of(html)
    assert "made without 1 of the 306 listed images (missing): train/covid/x.png" in words
    assert "305 images used of 306 listed" in words
    assert "reproduc" not in words.lower()


def test_a_complete_run_has_no_warning(inputs):
    html = render_page(with_findings(inputs), PAGE)
    header = html[html.index("<header") : html.index("</header>")]
    assert 'class="warning"' not in header


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"optimizer": "rmsprop", "momentum": 0.5}, ["rmsprop", "learning rate 0.0001", "momentum 0.5"]),
        (
            {"schedule": {"kind": "exponential", "factor": 0.9, "steps": 10_000, "staircase": False}},
            ["adam", "learning rate 0.0001", "times 0.9 in 10000 steps, exponentially"],
        ),
        (
            {"schedule": {"kind": "exponential", "factor": 0.9, "steps": 10_000, "staircase": True}},
            ["adam", "learning rate 0.0001", "times 0.9 every 10000 steps"],
        ),
    ],
)
def test_optimizer_and_schedule_in_words(inputs, changes, expected):
    assert training_words({**inputs.experiments["binary_inception_v3"], **changes}) == expected


def test_the_page_shows_how_a_network_was_trained_and_its_identity(tmp_path):
    keys = {
        **{
            "epochs": 12,
            "selected_epoch": 5,
            "optimizer": "adamw",
            "input_scaling": "backbone",
            "precision": "bfloat16",
        },
        "schedule": {"kind": "step", "at": [4, 8], "factor": 0.5},
        "early_stopping": {"monitor": "val_accuracy", "patience": 9},
    }
    config = made_config(only=["multiclass_mobilenet"], override=keys)
    inputs = made_inputs(tmp_path, config, make_results(tmp_path, config))
    words = words_of(render_page(inputs, PAGE))
    assert (
        "adamw, learning rate 1e-05, times 0.5 after epoch 4, 8, weight decay 0.004, "
        "early stopping after 9 epochs without a better validation accuracy, bfloat16"
    ) in words
    assert "12tested: 5 (by number)" in words
    assert "schedule: kind step, at 4, 8, factor 0.5; the study: constant (multiclass_mobilenet)." in words
    assert "selected_epoch: 5; the study: last (multiclass_mobilenet)." in words
    assert "A Processor 3217.2 GBLinux 6.1 x86_64cpumulticlass_mobilenet seed 0" in words
    (run,) = inputs.all_trainings
    assert f"multiclass_mobilenet0{run.record['identity']}0123456789abcdef" in words
    assert f"multiclass_mobilenet0pixels (BLAKE2){'ab' * 16}" in words


def test_keys_of_the_machine_are_not_differences_from_the_study(tmp_path):
    config = made_config(
        only=["multiclass_mobilenet"], device="cpu", save_every=5, keep_checkpoints="none", tensorboard=True
    )
    inputs = made_inputs(tmp_path, config, make_results(tmp_path, config))
    expected = [line.text for line in find_deviations(inputs) if line.topic == "Settings"]
    assert expected == ["Every setting is the study's own, or the reading taken of it (below)."]


def test_a_plain_training_is_described_in_two_words():
    settings = experiment_settings(made_config(), "binary_inception_v3")
    assert training_words(settings) == ["adam", "learning rate 0.0001"]


def test_the_page_reports_what_was_done_with_images(inputs):
    audit = {
        **inputs.audit,
        "faults": {"train/covid/x.png": "empty (0 bytes)"},
        "conversions": {"DICOM by its window": 1200, "palette": 1},
    }
    groups = {
        "tasks": {},
        "same_bytes": [["test/covid/a.png", "train/normal/b.png"], ["train/covid/c.png", "train/covid/d.png"]],
        "same_pixels": [["test/covid/e.bmp", "train/covid/f.png"]],
    }
    audit["audits"] = {"duplicates": {"findings": [], "details": groups}}
    words = " ".join("".join(Page(render_page(dataclasses.replace(inputs, audit=audit), PAGE)).text).split())
    assert "1 image left out: train/covid/x.png: empty (0 bytes)" in words
    assert "Converted to 8 bits of grey or colour: 1,200 DICOM by its window; 1 palette." in words
    assert (
        "Files with the same bytes, in any subset: test/covid/a.png, train/normal/b.png; train/covid/c.png, train/covid/d.png."
        in words
    )
    assert (
        "Files with the same pixels but different bytes, in any subset: test/covid/e.bmp, train/covid/f.png." in words
    )


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (
            {"patients_known": False, "patients": 0, "without_patient": 306},
            ["Patients are not known, so a patient may have images for both training and test."],
        ),
        (
            {"patients_known": True, "patients": 40, "without_patient": 7},
            [
                "7 images of unknown patients, each treated as a different patient; 40 patients known.",
            ],
        ),
        ({"patients_known": True, "patients": 47, "without_patient": 0}, []),
    ],
)
def test_the_page_reports_what_is_known_about_patients(inputs, known, expected):
    audit = {**inputs.audit, **known}
    words = " ".join("".join(Page(render_page(dataclasses.replace(inputs, audit=audit), PAGE)).text).split())
    assert [line for line in expected if line not in words] == []
    assert ("of unknown patients" in words) == (known["without_patient"] == 7) and (
        "Patients are not known" in words
    ) != known["patients_known"]


def summary_of(inputs):
    """Return the words of the summary."""
    html = render_page(inputs, PAGE)
    return words_of(html[: html.index("</header>")])


def constant_network(run, images=(1, 100)):
    """Make a training whose network predicts the second class for all images."""
    metrics = run.metrics
    keep = ("subset", "classes", "per_class", "positive", "sensitivity", "specificity", "loss", "selected_epoch")
    of_earlier_version = {key: metrics[key] for key in keep}  # without balanced accuracy and baseline
    matrix = [[0, images[0]], [0, images[1]]]
    counts = {"images": sum(images), "correct": images[1], "accuracy": images[1] / sum(images)}
    return with_contents(run, metrics={**of_earlier_version, **counts, "confusion_matrix": matrix})


def test_outside_problem_15_baseline_and_balanced_accuracy_are_beside_the_accuracy(inputs):
    name = "binary_inception_v3"
    runs = {**inputs.trainings, name: [constant_network(run) for run in inputs.trainings[name]]}
    images = [f"image {place}" for place in range(101)]
    table = {"class": ["covid", *["normal"] * 100], "predicted": "normal", "p_covid": 0.1, "p_normal": 0.9}
    always_normal = {name: pd.DataFrame(table, index=images)}
    constant = measured(dataclasses.replace(inputs, trainings=runs), always_normal)
    summary = summary_of(constant)
    assert f"{name} 99.0 % of 101 (mean of 2 seeds; 99.0 %; no interval; " in summary
    beside = "balanced accuracy 50.0 %; always predicting normal: 99.0 %)"
    assert beside in summary
    expected = (
        f"{name} predicts normal for every test image (seeds 0 and 1): the network does not distinguish the classes."
    )
    assert expected in summary and "predicts" not in summary_of(inputs)
    words = words_of(render_page(constant, PAGE))
    assert "always predicting normal, the largest class: 100 of 101 right (99.0 %, 95 to 100 %)" in words
    assert "balanced accuracy, the mean sensitivity of the classes: 0.50 (" in words
    one = dataclasses.replace(constant, trainings={**runs, name: runs[name][1:]})
    one = measured(one, always_normal)
    assert f"{name} 100 of 101 (99.0 %; 95 % interval 95 to 100 %; {beside}" in summary_of(one)
    assert "for every test image (seed 1)" in summary_of(one)


def test_outside_problem_15_the_backbones_side_by_side_have_both_too(inputs):
    html = render_page(inputs, PAGE)
    section = words_of(html[html.index('<section id="backbones"') : html.index('<section id="data"')])
    assert "balanced accuracy, median of the seeds" in section
    assert "accuracy of always predicting the largest class25.0 % (covid)25.0 % (covid)" in section.replace("> ", ">")


@pytest.mark.parametrize("kind", ["no_map", "not_judged"])
def test_outside_problem_17_meaningless_features_are_reported_in_one_sentence(inputs, kind):
    nothing = dict.fromkeys(("same_class_share", "silhouette", "mostly_other_neighbours"))

    def without_numbers(run):
        classes = list(run.separation["neighbour_shares"])
        shares = {"neighbour_shares": {name: dict.fromkeys(classes) for name in classes}}
        pairs = {"pairs": dict.fromkeys(run.separation["pairs"])}
        reason = {"no_map": None, "not_judged": None, kind: "all images have the same features"}
        return with_contents(run, separation={**run.separation, **nothing, **shares, **pairs, **reason})

    name = "multiclass_mobilenet"
    runs = {**inputs.trainings, name: [without_numbers(run) for run in inputs.trainings[name]]}
    html = render_page(dataclasses.replace(inputs, trainings=runs), PAGE)
    section = words_of(html[html.index('<section id="features"') : html.index('<section id="backbones"')])
    expected = {"no_map": "no t-SNE map", "not_judged": "how the classes separate is not judged"}[kind]
    for seed in (0, 1):
        assert section.count(f"Seed {seed}: {expected}: all images have the same features.") == 1
    assert "– of" not in section and "None" not in section


def with_findings(inputs, **findings):
    """The inputs with other findings of audits, and no rivals unless they are given."""
    audits = {name: {"findings": of_audit, "details": DETAILS[name]} for name, of_audit in findings.items()}
    return dataclasses.replace(inputs, audit={**inputs.audit, "audits": audits})


DETAILS = {
    "patients": {"tasks": {}},
    "duplicates": {"tasks": {}},
    "look_alikes": {"tasks": {}},
    "confounders": {"tasks": {}},
    "rivals": {},
    "quality": {},
    "labels": {"tasks": {}},
}


def audits_section(inputs):
    html = render_page(inputs, PAGE)
    return words_of(html[html.index('<section id="audits"') : html.index('<section id="curves"')])


def test_outside_problem_the_summary_states_headlines_of_audits_with_their_effects(inputs):
    """Patients who cross subsets, for example; other findings are in the section on audits."""
    headline = made_finding("Task binary: cohen-13 is in training and test.", effect="The score may be higher.")
    other = made_finding("The file format differs between classes.", is_headline=False, certainty="suspected")
    found = with_findings(inputs, patients=[headline], confounders=[other])
    assert "Task binary: cohen-13 is in training and test. The score may be higher." in summary_of(found)
    assert "The file format" not in summary_of(found)
    section = audits_section(found)
    assert "Task binary: cohen-13 is in training and test. The score may be higher. 1 imagea.png" in section
    assert "Suspected. The file format differs between classes. It matters." in section
    assert section.count("This run was made without this audit.") == 5


def test_audits_that_found_nothing_say_so(inputs):
    section = audits_section(
        with_findings(
            inputs, patients=[], duplicates=[], look_alikes=[], confounders=[], rivals=[], quality=[], labels=[]
        )
    )
    assert section.count("Nothing found.") == 7 and "without this audit" not in section


def test_a_rival_that_reaches_a_network_is_in_the_summary(inputs):
    summary = summary_of(inputs)
    network = inputs.trainings["binary_inception_v3"]
    right = [(one.predictions["predicted"] == one.predictions["class"]).mean() for one in network]
    assert (
        "Task binary: a grey thumbnail of 16 × 16 pixels with logistic regression, which sees too little to recognise disease, "
        "gets 15 of 18 test images right (95 % interval 61 to 94 %). The network binary_inception_v3 gets on average, over "
        f"{len(right)} seeds, {18 * sum(right) / len(right):g} of 18 right (" in summary
    )
    assert (
        "of 1 such rivals. (Paired permutation tests over 18 patients, adjusted for the number of rivals.)" in summary
    )
    assert "properties of the file" not in summary, "the network does not see them"


def test_a_network_that_no_rival_reaches_has_no_such_warning(inputs):
    rivals = inputs.rivals.assign(predicted="none")
    audit = json.loads(json.dumps(inputs.audit))
    for of_task in audit["audits"]["rivals"]["details"].values():
        for rival in of_task["rivals"]:
            rival["own_split"] |= {"correct": 0, "accuracy": 0.0, "low": 0.0, "high": 0.05}
    summary = summary_of(dataclasses.replace(inputs, rivals=rivals, audit=audit))
    assert "which sees too little to recognise disease" not in summary
    number = len(inputs.experiments)
    assert f"All {number} networks are significantly better than every classifier that sees too little" in summary


def of_rivals(p_value: float, difference: float, networks: int = 1, task: str = "t") -> dict[str, Any]:
    own = {"reason": None, "correct": 17, "images": 18}
    against = {"one": {"p_value": p_value, "difference": difference}, "two": {"p_value": 0.01, "difference": 0.3}}
    rivals = [
        {"name": "one", "reaches_network": True, "own_split": own},
        {"name": "two", "reaches_network": True, "own_split": {**own, "correct": 12}},
        {"name": "file", "reaches_network": False, "own_split": {**own, "correct": 18}},
    ]
    return {"task": task, "rivals": rivals, "networks": [{"against": against}] * networks}


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([of_rivals(0.01, 0.2)], "The network is significantly better than every classifier that"),
        ([of_rivals(0.06, 0.2)], "The network is not significantly better than every classifier that"),
        ([of_rivals(0.01, -0.2)], "The network is not significantly"),
        ([of_rivals(0.2, 0.2, 3)], "None of the 3 networks is significantly better"),
        (
            [of_rivals(0.2, 0.2, task="a"), of_rivals(0.01, 0.2, task="b")],
            "1 of the 2 networks is significantly better",
        ),
        ([of_rivals(0.01, 0.2, 2)], "the best of these gets 17 of 18 test images right."),
        ([of_rivals(0.2, 0.2, task="a"), of_rivals(0.2, 0.2, task="b")], "gets 17 of 18 (a) and 17 of 18 (b) test"),
        ([], "No classifier that sees too little to recognise disease was tested on the same images."),
        ([of_rivals(0.2, 0.2, 0)], "No classifier that sees too little"),
    ],
)
def test_one_sentence_says_how_many_networks_are_better_than_every_rival(
    tables: list[dict[str, Any]], words: str
) -> None:
    assert words in rivals_in_words(tables)


def test_one_sentence_counts_the_findings_that_limit_the_numbers(inputs):
    assert findings_in_words(inputs) == "The audits found nothing that limits what these numbers mean."
    audit = json.loads(json.dumps(inputs.audit))
    finding = {"text": "A.", "effect": "", "is_headline": True}
    audit["audits"]["patients"] = {"findings": [finding, {**finding, "is_headline": False}]}
    one = dataclasses.replace(inputs, audit=audit)
    assert findings_in_words(one) == "1 finding of the audits limits what these numbers mean: patients (1)."
    audit["audits"]["confounders"] = {"findings": [finding, finding]}
    words = "3 findings of the audits limit what these numbers mean: patients (1) and who is in the data (2)."
    assert findings_in_words(one) == words


def test_one_sentence_says_what_so_few_test_images_cannot_show(inputs):
    rows = [{"correct": [9, 9], "power": "Nothing."}, {"correct": [12, 9], "power": "Something."}]
    assert precision_in_words(dataclasses.replace(inputs, comparisons=rows)) == "Something."
    alone = precision_in_words(dataclasses.replace(inputs, comparisons=[]))
    assert re.fullmatch(r"With 18 images.* in the smallest test, one image more or less is 5\.6.%\.", alone)


def test_rivals_and_networks_are_compared_on_the_same_images(inputs):
    (binary, *_) = rival_tables(inputs)
    (network,) = binary["networks"]
    share = sum(
        (one.predictions["predicted"] == one.predictions["class"]).mean()
        for one in inputs.trainings["binary_inception_v3"]
    )
    share /= len(inputs.trainings["binary_inception_v3"])
    assert network["accuracy"] == pytest.approx(share)
    assert network["against"]["thumbnail_16"]["difference"] == pytest.approx(share - 15 / 18)
    assert 0 < network["against"]["thumbnail_16"]["p_value"] <= 1
    section = audits_section(inputs)
    assert "Task binary: trivial rivals beside the networks" in section
    assert "the network does not see this" in section and "15 of 18" in section


def test_the_score_without_patients_of_other_subsets(inputs):
    images = inputs.trainings["binary_inception_v3"][0].predictions.index[:4]
    audits = {
        "patients": {"findings": [], "details": {"tasks": {"binary": {"test_images_of_known_patients": [*images]}}}}
    }
    found = dataclasses.replace(inputs, audit={**inputs.audit, "audits": audits})
    rows = without_leaks(found)
    others = inputs.trainings["binary_inception_v3"][0].predictions.drop(index=images)
    assert rows[0]["images_without"] == 14 and {row["experiment"] for row in rows} == {"binary_inception_v3"}
    assert rows[0]["correct_without"] == (others["predicted"] == others["class"]).sum()
    assert f"{rows[0]['correct_without']} of 14" in audits_section(found)


# Right to left, bell, zero width, byte order mark, line separator.
UNSEEN = "\u202e\u0007\u200b\ufeff\u2028"


@pytest.mark.parametrize("evil", ["<script>alert('x')</script> onload=\" &amp;", f"<script>alert{UNSEEN}</script>"])
def test_outside_problem_names_are_escaped_wherever_they_come_from(inputs, evil):
    hardware = {"processor": evil, "cores": 2, "memory": 10**9, "system": evil}
    runs = {
        name: [
            with_contents(
                run,
                record={
                    **run.record,
                    "device": evil,
                    "identity": evil,
                    "versions": {evil: evil},
                    "hardware": hardware,
                },
                metrics={
                    **run.metrics,
                    "classes": [evil, *run.metrics["classes"][1:]],
                    "per_class": {evil: run.metrics["per_class"]["covid"], **run.metrics["per_class"]},
                    "positive": evil,
                },
                separation={**run.separation, "of": evil, "pairs": {f"{evil}|{evil}": 0.5, "b|c": 0.5}},
            )
            for run in runs
        ]
        for name, runs in inputs.trainings.items()
    }
    networks = json.loads(
        json.dumps(inputs.networks).replace('"covid"', json.dumps(evil)).replace('"head"', json.dumps(evil))
    )
    audit = {
        **inputs.audit,
        "missing": [evil],
        "modes": {evil: {evil: 1}},
        "licences": {evil: 1},
        "audits": {
            name: {
                "findings": [made_finding(evil, effect=evil, images=[evil], task=evil)],
                "details": {"tasks": {evil: {"tables": {}, "associations": {}}}}
                if "confounders" in name
                else {"tasks": {}},
            }
            for name in ("patients", "duplicates", "confounders")
        },
        "file_kinds": {evil: 306},
        "conversions": {evil: 1},
        "faults": {evil: evil},
    }
    table = SCORECARD.copy()
    for column in set(table) - {"kind", "verdict"}:
        table[column] = evil
    html = render_page(
        dataclasses.replace(
            inputs,
            settings={**inputs.settings, "name": evil, "claims": evil},
            trainings=runs,
            networks=networks,
            audit=audit,
            sheets=[{**sheet, "task": evil, "credit": evil, "withheld": {evil: 1}} for sheet in inputs.sheets],
            open_points=[{**row, "what": evil, "evidence": evil} for row in inputs.open_points],
            scorecard=table,
        ),
        PAGE,
    )
    page = Page(html)
    assert page.errors == []
    assert "<script" not in html
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "".join(page.text).count("<script>alert") > 20
    assert not set(UNSEEN) & set(html)
    if UNSEEN in evil:
        assert html.count(r"alert\u202e\x07\u200b\ufeff\u2028") > 20


def test_folders_of_the_machine_are_not_on_the_page(html):
    assert "someone" not in html and '"images": "x-rays"' in unescape(html)


def test_the_settings_on_the_page_repeat_the_run(inputs, results, html):
    _, config, selected = results
    overlay = json.loads(unescape(re.search(r"<pre>(.*?)</pre>", html, re.DOTALL)[1]))
    assert overlay == overlay_of(inputs)
    raw = study_config()
    again = read_config({**raw, **overlay, "experiment_defaults": raw["experiment_defaults"], "extras": raw["extras"]})
    assert {name: again.seeds_of(name) for name in again.selected()} == selected
    for name in selected:
        assert experiment_settings(again, name) == experiment_settings(config, name)
    assert again.augmentation == config.augmentation and again.tasks == config.tasks


def test_the_page_asks_for_a_folder_of_weights_files(inputs):
    command = "snakemake --configfile settings.json --config images=FOLDER"
    assert f"<code>{command}</code>" in render_page(inputs, PAGE)
    name = next(iter(inputs.experiments))
    own = {**inputs.experiments, name: {**inputs.experiments[name], "weights": "file"}}
    inputs = dataclasses.replace(inputs, settings={**inputs.settings, "weights": "imagenet"}, experiments=own)
    assert f"<code>{command} weights=FOLDER</code>" in render_page(inputs, PAGE)
    overlay = overlay_of(inputs)
    assert "weights" not in overlay
    assert {*own[name]} - {*overlay["experiments"][name]} == {"weights", *DERIVED}
    assert all("weights" in keys for other, keys in overlay["experiments"].items() if other != name)


def test_many_seeds_show_one_plot_and_all_numbers(inputs, html):
    assert html.count('<figure class="embedding">') == len(inputs.trainings)
    assert html.count('<figure class="sheet">') == 2
    assert html.count("accuracy and loss by epoch.") == 5  # three experiments, two of them once more side by side
    for run in inputs.all_trainings:
        assert number(run.separation["silhouette"], 2) in html


def run_main(monkeypatch, folder, config, selected, report, **changes):
    handed_on = report.parent / "handed_on"
    write_json(handed_on / "settings.json", whole_settings(config))
    write_json(handed_on / "selected.json", selected)
    write_json(handed_on / "explained.json", config.explained())
    evaluation = folder / "evaluation"
    if selected == {"binary_inception_v3": [0]}:
        evaluation = report.parent / "evaluation"
        results = pd.read_csv(folder / "split/binary.csv", dtype=str, keep_default_na=False)
        one = read_experiment(folder / "runs/binary_inception_v3", [0], "binary", results)
        write_json(evaluation / "binary_inception_v3.json", measure_experiment(one, results))
        write_json(evaluation / "comparisons.json", [])
    arguments = {
        "settings": handed_on / "settings.json",
        "explained": handed_on / "explained.json",
        "selected": handed_on / "selected.json",
        "runs": folder / "runs",
        "plots": folder / "plots",
        "networks": folder / "networks.json",
        "evaluation": evaluation,
        "audit": folder / "data_audit.json",
        "rivals": folder / "audits/rivals.csv",
        "open-points": OPEN_POINTS,
        "study": ROOT / "studies/sha_2021/study.yaml",
        "locked-versions": ROOT / "envs/cpu.lock",
        "scorecard": folder / "scorecard.csv",
        "page": PAGE,
        "report": report,
        **changes,
    }
    flags = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
    splits = ["--splits", *map(str, sorted((folder / "split").glob("*.csv")))]
    monkeypatch.setattr(sys, "argv", ["assemble_report.py", *flags, *splits])
    assemble_report.main()


def test_equal_files_give_equal_bytes(results, tmp_path, monkeypatch):
    folder, config, selected = results
    write_table(folder / "scorecard.csv", SCORECARD)
    for name in ("a.html", "b.html"):
        run_main(monkeypatch, folder, config, selected, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_errors_name_each_file(results, tmp_path, monkeypatch):
    folder, config, _ = results
    write_table(folder / "scorecard.csv", SCORECARD)
    with pytest.raises(UserError) as error:
        run_main(monkeypatch, folder, config, {"binary_inception_v3": [0, 9]}, tmp_path / "a.html")
    assert len(error.value.messages) == 4
    assert all("seed_9" in message and "missing" in message for message in error.value.messages)
    with pytest.raises(UserError, match="the settings have no experiment 'other'"):
        run_main(monkeypatch, folder, config, {"other": [0]}, tmp_path / "a.html")
    with pytest.raises(UserError, match="no experiment with a seed is selected"):
        run_main(monkeypatch, folder, config, {"binary_inception_v3": []}, tmp_path / "a.html")
    with pytest.raises(UserError, match=r"index\.html\.j2 is missing"):
        run_main(monkeypatch, folder, config, {"binary_inception_v3": [0]}, tmp_path / "a.html", page=tmp_path)
    with pytest.raises(UserError, match=r"binary\.json: missing; run plot_augmentation"):
        absent = str(tmp_path / "binary.json")
        run_main(monkeypatch, folder, config, {"binary_inception_v3": [0]}, tmp_path / "a.html", sheets=absent)
    with pytest.raises(UserError, match=r"binary_inception_v3\.json: of other seeds or predictions"):
        other = {"evaluation": folder / "evaluation"}
        run_main(monkeypatch, folder, config, {"binary_inception_v3": [0]}, tmp_path / "a.html", **other)
    with pytest.raises(UserError, match=r"explanations\.svg: missing"):
        run_main(monkeypatch, folder, config, {"binary_inception_v3": [0]}, tmp_path / "a.html", plots=tmp_path)
    with pytest.raises(UserError, match=r"curves\.svg: missing"):
        none = tmp_path / "none.json"
        write_json(none, {})
        changes = {"plots": tmp_path, "explained": none}
        run_main(monkeypatch, folder, config, {"binary_inception_v3": [0]}, tmp_path / "a.html", **changes)
    assert not (tmp_path / "a.html").exists()


def test_an_invalid_scorecard_is_refused(inputs):
    with pytest.raises(UserError, match="column verdict is missing"):
        render_page(dataclasses.replace(inputs, scorecard=SCORECARD.drop(columns="verdict")), PAGE)
    with pytest.raises(UserError, match="unknown verdict great"):
        render_page(dataclasses.replace(inputs, scorecard=SCORECARD.assign(verdict="great")), PAGE)


def test_audits_that_could_not_judge_say_why(inputs):
    """Classes of a few images have no label audit, and a few images are not compared."""
    tasks = {
        "binary": {
            "reason": "not enough images: fewer than two classes have images of 5 patients",
            "left_out": {"a": 2},
        },
        "multiclass": {"reason": None, "left_out": {"a": 2, "b": 1}},
    }
    audits = {
        "labels": {"findings": [], "details": {"tasks": tasks}},
        "quality": {"findings": [], "details": {"images": 12, "compared": False}},
    }
    section = audits_section(dataclasses.replace(inputs, audit={**inputs.audit, "audits": audits}))
    assert "Task binary: not enough images: fewer than two classes have images of 5 patients." in section
    assert "Task multiclass: not enough images of a and b, which are left out." in section
    assert "12 images: too few to compare them with each other." in section
