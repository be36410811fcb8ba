"""Tests of the report's page: what it says, and what its HTML is."""

import base64
import dataclasses
import json
import re
import sys
import xml.etree.ElementTree as ET
from html import unescape
from html.parser import HTMLParser

import pytest
from cxrflow import assemble_report
from cxrflow.claims.headline import headline
from cxrflow.claims.model import KINDS, VERDICTS
from cxrflow.config.read import read_config, read_yaml
from cxrflow.config.settings import experiment_settings
from cxrflow.report import scorecard
from cxrflow.report.again import DERIVED, overlay_of
from cxrflow.report.deviations import find_deviations
from cxrflow.report.inputs import read_sheets
from cxrflow.report.page import render_page
from cxrflow.report.tables import head_words, training_words
from cxrflow.report.words import number, percent, thousands
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import canonical_json, write_table
from made_results import ASSUMPTIONS, ROOT, changed, made_config, made_inputs, made_scorecard, make_results, make_sheet

PAGE = ROOT / "workflow/report/page"
VOID = {"meta", "img", "br", "wbr"}
SCORECARD = made_scorecard(
    ("binary_inception_v3", "outcome", "consistent"),
    ("binary_inception_v3", "curve", "differs"),
    ("multiclass_inception_v3 multiclass_mobilenet", "comparison", "cannot be told"),
    ("multiclass_mobilenet", "features", "consistent"),
    ("binary_inception_v3", "setting", "as configured"),
    ("binary_inception_v3", "architecture", "exact"),
    ("binary_inception_v3", "text", "contradicted"),
    ("binary_inception_v3", "search", "not run"),
)


class Page(HTMLParser):
    """A page taken apart: its tags, ids, addresses and text; `faults` tells tags that are not closed in order."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.faults, self.tags, self.text = [], [], [], []
        self.feed(html)
        self.close()
        self.faults += [f"{tag} is not closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> in {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def words_of(html):
    """The text that a reader sees, blanks made one."""
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
        claims="examples/demo_claims.csv",
    )
    selected = make_results(folder, config, images=100, listed=100)
    return made_inputs(folder, config, selected, scorecard=SCORECARD)


def test_the_html_is_well_formed(html):
    page = Page(html)
    assert page.faults == []
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
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.attributes("src"))
    assert all(address.startswith("#") for address in page.attributes("href"))
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|http-equiv", html)
    assert len(html) < 1_000_000


def test_the_sections_come_in_their_order(html):
    titles = re.findall(r'<h2 id="(\w+)-title">', html)
    assert titles == "run study networks results curves features backbones data augmentation scorecard again".split()


def test_research_only_is_said_at_the_top_at_the_results_and_at_the_foot(html):
    said = "Research only, not for clinical use"
    for part in ("<header", '<section id="results"', '<section id="scorecard"', "<footer"):
        end = {"<header": "</header>", "<footer": "</footer>"}.get(part, "</section>")
        begin = html.index(part)
        assert said in html[begin : html.index(end, begin)]


def test_test_results_are_those_of_the_files(inputs, html):
    for name, runs in inputs.runs.items():
        section = html[html.index(f'aria-label="Test results of {name} by seed"') :]
        rows = re.findall(r"<tr>(.*?)</tr>", section[: section.index("</tbody>")])[1:]
        assert len(rows) == len(runs)
        for row, run in zip(rows, runs, strict=True):
            cells = [unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)]
            metrics = run.metrics
            assert cells[:3] == [
                str(run.seed),
                f"{metrics['correct']} of {metrics['images']}",
                percent(metrics["accuracy"]),
            ]
            assert cells[4] == number(metrics["loss"])
            assert cells[-1] == str(metrics["selected_epoch"])
            if metrics["positive"]:
                assert cells[5:7] == [percent(metrics["sensitivity"]), percent(metrics["specificity"])]


def test_confusion_matrices_of_all_seeds_are_those_of_the_files(inputs, html):
    tables = re.findall(r'<table class="confusion">(.*?)</table>', html, re.DOTALL)
    matrices = [
        [[int(count) for count in re.findall(r"<td[^>]*>(\d+)</td>", row)] for row in table.split("<tr>")[2:]]
        for table in tables
    ]
    assert matrices == [run.metrics["confusion_matrix"] for run in inputs.all_runs]


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


def test_one_image_of_few_is_told_its_worth(html):
    words = words_of(html)
    assert "With 18 test images, one image is worth 5.6 percentage points." in words
    assert "With 36 test images, one image is worth 2.8 percentage points." in words


def test_the_head_is_told_layer_by_layer(inputs):
    told = head_words(inputs.experiments["binary_inception_v3"], 2)
    assert told == "global average pooling, Dense 128 relu, Dropout 0.05, Dense 32 relu, Dense 1 sigmoid"
    told = head_words(inputs.experiments["multiclass_mobilenet"], 4)
    assert told == "flatten, Dense 512 relu, Dropout 0.5, Dense 128 relu, Dense 32 relu, Dense 4 softmax"


def test_backbones_stand_side_by_side_only_where_there_are_several(inputs, html, demo):
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
    told = "2 are consistent with this run, 1 differs and 1 cannot be told"
    assert f"Of the study's 4 outcomes, curves, comparisons and features, {told}" in words
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
        credit = "Pictures: Kermany et al. (CC BY 4.0). Shrunk; from epoch 1 on changed by augmentation."
        assert credit in svg and credit in unescape(alt) and f"task {sheet['task']} " in alt
    assert "Validation images are augmented in the same way; test images never are." in words_of(section)


def test_withheld_images_are_told_with_what_shows_them(html):
    notes = re.findall(r'<p class="note">(.*?)</p>', augmentation_section(html))
    assert [words_of(note) for note in notes] == [
        "Withheld, since no licence is known that lets anyone pass them on and change them: 47 training images of covid. "
        "With embed_images: all they are shown."
    ]


def test_a_task_without_images_to_show_has_no_empty_picture(inputs, tmp_path):
    sheet = read_sheets([make_sheet(tmp_path, "binary", ["covid", "normal"], {"covid": 47, "normal": 1})])
    section = augmentation_section(render_page(dataclasses.replace(inputs, sheets=sheet), PAGE))
    assert "<img" not in section
    words = words_of(section)
    assert "No image of the task binary is shown." in words
    assert "47 training images of covid, 1 training image of normal. With embed_images: all they are shown." in words


def test_without_pictures_or_augmentation_the_page_says_so(inputs):
    bare = dataclasses.replace(inputs, sheets=[])
    section = augmentation_section(render_page(bare, PAGE))
    assert "<img" not in section and "No pictures: the run has embed_images: none." in words_of(section)
    clean = render_page(changed(bare, "settings/validation_augmented", "clean"), PAGE)
    assert "Validation images are not augmented; test images never are." in words_of(augmentation_section(clean))
    none = render_page(changed(bare, "settings/augmentation", "none"), PAGE)
    assert 'id="augmentation"' not in none and 'href="#augmentation"' not in none
    assert "The images are not augmented (augmentation: none): each epoch shows them as they are" in words_of(none)


def test_without_a_scorecard_the_page_says_so(inputs):
    html = render_page(dataclasses.replace(inputs, scorecard=None), PAGE)
    assert "No scorecard was made for this run." in html
    assert 'class="tiles"' not in html and "The study states" not in html
    assert Page(html).faults == []


def test_every_kind_and_verdict_has_its_words():
    assert set(scorecard.TITLES) == set(KINDS)
    assert set(scorecard.SIGNS) == set(scorecard.TONES) == set(scorecard.PHRASES) == set(VERDICTS)


def test_a_run_on_phantoms_says_so_and_is_not_held_against_the_study(demo):
    html = render_page(demo, PAGE)
    words = words_of(html)
    assert "This run was made on drawn phantoms." in words
    assert "on 100 drawn phantoms, not X-rays" in words
    assert "Training began from random weights" in words
    assert "The study states" not in words
    assert "outcomes, curves, comparisons and features stated in demo_claims.csv" in words
    assert "reproduc" not in words.lower()


def test_a_run_without_all_images_says_so(inputs):
    audit = {**inputs.audit, "images": 305, "missing": ["train/covid/x.png"]}
    html = render_page(dataclasses.replace(inputs, audit=audit), PAGE)
    words = words_of(html)
    assert "made without 1 of the 306 listed images (missing): train/covid/x.png" in words
    assert "305 images used of 306 listed" in words
    assert "reproduc" not in words.lower()


def test_a_whole_run_has_no_warning_at_its_top(html):
    header = html[html.index("<header") : html.index("</header>")]
    assert 'class="warning"' not in header


def test_the_page_tells_how_it_was_trained_and_what_identifies_it(tmp_path):
    keys = {
        **{
            "epochs": 12,
            "selected_epoch": 5,
            "optimizer": "adamw",
            "input_scaling": "imagenet",
            "precision": "bfloat16",
        },
        **{"schedule": {"kind": "step", "at": [4, 8], "factor": 0.5}, "early_stopping": {"patience": 9}},
    }
    config = made_config(only=["multiclass_mobilenet"], override=keys)
    inputs = made_inputs(tmp_path, config, make_results(tmp_path, config))
    words = words_of(render_page(inputs, PAGE))
    assert (
        "adamw, learning rate 1e-05, times 0.5 behind epoch 4, 8, weight decay 0.004, early stopping after 9 epochs, bfloat16"
    ) in words
    assert "12tested: 5 (by number)" in words
    assert "schedule: kind step, at 4, 8, factor 0.5; the study: constant (multiclass_mobilenet)." in words
    assert "selected_epoch: 5; the study: last (multiclass_mobilenet)." in words
    assert "A Processor 3217.2 GBLinux 6.1 x86_64cpumulticlass_mobilenet seed 0" in words
    assert f"multiclass_mobilenet0{0:016x}0123456789abcdef" in words
    assert f"multiclass_mobilenet0pixels (BLAKE2){'ab' * 16}" in words


def test_keys_of_the_machine_are_no_differences_from_the_study(tmp_path):
    config = made_config(
        only=["multiclass_mobilenet"], device="cpu", save_every=5, keep_states="none", tensorboard=True
    )
    inputs = made_inputs(tmp_path, config, make_results(tmp_path, config))
    told = [line.text for line in find_deviations(inputs) if line.topic == "Settings"]
    assert told == ["Every setting is the study's own, or the reading taken of it (below)."]


def test_a_plain_training_is_told_in_two_words():
    settings = experiment_settings(made_config(), "binary_inception_v3")
    assert training_words(settings) == ["adam", "learning rate 0.0001"]


def test_what_was_done_with_images_is_told(inputs):
    audit = {
        **inputs.audit,
        "faults": {"train/covid/x.png": "empty (0 bytes)"},
        "conversions": {"DICOM by its window": 1200, "palette": 1},
        "same_bytes": [["test/covid/a.png", "train/normal/b.png"], ["train/covid/c.png", "train/covid/d.png"]],
        "same_bytes_in_train_and_test": [["test/covid/a.png", "train/normal/b.png"]],
        "same_bytes_in_several_classes": [["test/covid/a.png", "train/normal/b.png"]],
    }
    words = " ".join("".join(Page(render_page(dataclasses.replace(inputs, audit=audit), PAGE)).text).split())
    assert "1 image left out: train/covid/x.png: empty (0 bytes)" in words
    assert "Converted to 8 bits of grey or colour: 1,200 DICOM by its window; 1 palette." in words
    assert "1 picture both in train/ and in test/, byte for byte, which makes the test easier" in words
    leak = "test/covid/a.png, train/normal/b.png; in train/ and test/, which makes the test easier than it looks"
    assert (
        f"{leak}; in several classes, so that one of its labels may be wrong train/covid/c.png, train/covid/d.png"
        in words
    )


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (
            {"patients_known": False, "patients": 0, "without_patient": 306},
            [
                "Patients are not known, so that it cannot be told whether one has images both for training and for the test."
            ],
        ),
        (
            {"patients_known": True, "patients": 40, "without_patient": 7},
            [
                "No patient known has images both for training and for the test, by folder or list.",
                "7 images of unknown patients, each taken for a patient of its own; 40 patients known.",
            ],
        ),
        ({"patients_known": True, "patients": 47, "without_patient": 0}, ["No patient known has images both"]),
    ],
)
def test_what_is_known_of_patients_is_told(inputs, known, told):
    audit = {**inputs.audit, **known, "patients_in_train_and_test": {}}
    words = " ".join("".join(Page(render_page(dataclasses.replace(inputs, audit=audit), PAGE)).text).split())
    assert [line for line in told if line not in words] == []
    assert ("of unknown patients" in words) == (len(told) == 2) and ("Patients are not known" in words) != known[
        "patients_known"
    ]


def test_names_are_escaped_wherever_they_come_from(inputs):
    evil = "<script>alert('x')</script> onload=\" &amp;"
    hardware = {"processor": evil, "cores": 2, "memory": 10**9, "system": evil}
    runs = {
        name: [
            dataclasses.replace(
                run,
                training={
                    **run.training,
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
        for name, runs in inputs.runs.items()
    }
    networks = json.loads(
        json.dumps(inputs.networks).replace('"covid"', json.dumps(evil)).replace('"head"', json.dumps(evil))
    )
    audit = {
        **inputs.audit,
        "missing": [evil],
        "modes": {evil: {evil: 1}},
        "licences": {evil: 1},
        "patients_in_train_and_test": {evil: [evil, evil]},
        "same_bytes": [[evil, evil]],
        "same_bytes_in_train_and_test": [[evil, evil]],
        "same_bytes_in_several_classes": [[evil, evil]],
        "same_but_for_case": [[evil, evil]],
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
            runs=runs,
            networks=networks,
            audit=audit,
            sheets=[{**sheet, "task": evil, "credit": evil, "withheld": {evil: 1}} for sheet in inputs.sheets],
            assumptions=[{**row, "what": evil, "evidence": evil} for row in inputs.assumptions],
            scorecard=table,
        ),
        PAGE,
    )
    page = Page(html)
    assert page.faults == []
    assert "<script" not in html
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "".join(page.text).count("<script>alert") > 20


def test_folders_of_the_machine_are_not_on_the_page(html):
    assert "someone" not in html and '"images": "x-rays"' in unescape(html)


def test_the_settings_on_the_page_make_the_run_again(inputs, results, html):
    _, config, selected = results
    overlay = json.loads(unescape(re.search(r"<pre>(.*?)</pre>", html, re.DOTALL)[1]))
    assert overlay == overlay_of(inputs)
    raw = read_yaml(ROOT / "config.yaml")
    again = read_config({**raw, **overlay, "experiment_defaults": raw["experiment_defaults"], "extras": raw["extras"]})
    assert {name: again.seeds_of(name) for name in again.selected()} == selected
    for name in selected:
        assert experiment_settings(again, name) == experiment_settings(config, name)
    assert again.augmentation == config.augmentation and again.tasks == config.tasks


def test_weights_of_a_file_are_asked_for_on_the_page(inputs):
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
    assert html.count('<figure class="embedding">') == len(inputs.runs)
    assert html.count('<figure class="sheet">') == 2
    assert html.count("accuracy and loss by epoch.") == 5  # three experiments, two of them once more side by side
    for run in inputs.all_runs:
        assert number(run.separation["silhouette"], 2) in html


def run_main(monkeypatch, folder, config, selected, report, **changes):
    arguments = {
        "settings": canonical_json(config.model_dump(mode="json")),
        "selected": json.dumps(selected),
        "runs": folder / "runs",
        "plots": folder / "plots",
        "networks": folder / "networks.json",
        "audit": folder / "data_audit.json",
        "assumptions": ASSUMPTIONS,
        "study-config": ROOT / "config.yaml",
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


def test_faults_name_each_file(results, tmp_path, monkeypatch):
    folder, config, _ = results
    write_table(folder / "scorecard.csv", SCORECARD)
    with pytest.raises(Fault) as fault:
        run_main(monkeypatch, folder, config, {"binary_inception_v3": [0, 9]}, tmp_path / "a.html")
    assert len(fault.value.messages) == 4
    assert all("seed_9" in message and "missing" in message for message in fault.value.messages)
    with pytest.raises(Fault, match="the settings have no experiment 'other'"):
        run_main(monkeypatch, folder, config, {"other": [0]}, tmp_path / "a.html")
    with pytest.raises(Fault, match="each experiment needs a seed"):
        run_main(monkeypatch, folder, config, {"binary_inception_v3": []}, tmp_path / "a.html")
    with pytest.raises(Fault, match=r"index\.html\.j2 is missing"):
        run_main(monkeypatch, folder, config, {"binary_inception_v3": [0]}, tmp_path / "a.html", page=tmp_path)
    with pytest.raises(Fault, match=r"binary\.json: missing; run plot_augmentation"):
        absent = str(tmp_path / "binary.json")
        run_main(monkeypatch, folder, config, {"binary_inception_v3": [0]}, tmp_path / "a.html", sheets=absent)
    with pytest.raises(Fault, match=r"curves\.svg: missing"):
        run_main(monkeypatch, folder, config, {"binary_inception_v3": [0]}, tmp_path / "a.html", plots=tmp_path)
    assert not (tmp_path / "a.html").exists()


def test_a_scorecard_that_is_none(inputs):
    with pytest.raises(Fault, match="column verdict is missing"):
        render_page(dataclasses.replace(inputs, scorecard=SCORECARD.drop(columns="verdict")), PAGE)
    with pytest.raises(Fault, match="unknown verdict great"):
        render_page(dataclasses.replace(inputs, scorecard=SCORECARD.assign(verdict="great")), PAGE)
