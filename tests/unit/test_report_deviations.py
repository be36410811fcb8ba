"""Tests of the lines of the report on differences between a run and the study."""

import dataclasses

import pytest
from cxrflow.report.deviations import find_deviations
from cxrflow.report.inputs import read_locked_versions, read_study
from cxrflow.study.read import read_config
from cxrflow.study.settings import whole_settings
from made_results import ROOT, changed, made_config, made_inputs, make_results
from study_config import study_config

ALWAYS = [
    (
        "Software",
        "Python 3.11.9, TensorFlow 2.21.0, Keras 3.15.1; the study: a notebook service of April 2021 "
        "(Python 3.7); TensorFlow 2.4 by date.",
        True,
    ),
    (
        "Images",
        "All 306 files of the study's list were there and readable.",
        False,
    ),
    (
        "Initial weights",
        "binary_inception_v3 and multiclass_inception_v3: the backbone started from the ImageNet weights that Keras "
        "publishes (inceptionv3_notop.h5, SHA-256 abababababab…).",
        False,
    ),
    (
        "Initial weights",
        "multiclass_mobilenet: the backbone started from the ImageNet weights that Keras publishes (mobilenet_notop.h5, "
        "SHA-256 abababababab…).",
        False,
    ),
    ("Settings", "Every setting is the study's own, or the reading taken of it (below).", False),
    (
        "Augmentation",
        "featurewise_center, featurewise_std_normalization and zca_whitening are switched on in the study but never "
        "fitted, so that they do nothing; this run leaves them out, with the same effect.",
        False,
    ),
    ("Software", "Of 3 packages compared, all have this project's locked versions.", False),
]
ALL_SAME = ALWAYS[4]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    config = made_config()
    return made_inputs(folder, config, make_results(folder, config))


def lines(inputs):
    return [(line.topic, line.text, line.differs) for line in find_deviations(inputs)]


def test_a_run_like_the_study_has_exactly_these_lines(inputs):
    assert lines(inputs) == ALWAYS


@pytest.mark.parametrize(
    ("path", "value", "gone", "there"),
    [
        (
            "audit/missing",
            ["train/covid/a.png"],
            "All 306 files",
            "1 of the 306 listed images is missing, left out; the split stays that of the full list: train/covid/a.png.",
        ),
        (
            "audit/unreadable",
            ["a.png", "b.png"],
            "All 306 files",
            "2 of the 306 listed images are unreadable, left out; the split stays that of the full list: a.png, b.png.",
        ),
        (
            "audit/changed",
            ["a.png"],
            "All 306 files",
            "1 of the 306 listed images is not the listed file (its SHA-256 is different), used anyway: a.png.",
        ),
        (
            "settings/image_list",
            "/home/x/own.csv",
            "All 306 files",
            "The images are those of the list own.csv, not those of the study's own list.",
        ),
        (
            "settings/image_list",
            None,
            "All 306 files",
            "All files in the class folders were used, not those of the study's own list.",
        ),
        ("settings/resampling", "bilinear", ALL_SAME[1], "resampling: bilinear; the study: nearest."),
        ("settings/tsne/perplexity", 10, ALL_SAME[1], "tsne.perplexity: 10; the study: 30."),
        ("settings/augmentation/zoom_range", 0.0, ALL_SAME[1], "augmentation.zoom_range: 0; the study: 0.1."),
        (
            "settings/tasks/binary/positive",
            "normal",
            ALL_SAME[1],
            "tasks.binary.positive: normal; the study: covid.",
        ),
        (
            "settings/augment_validation",
            False,
            ALL_SAME[1],
            "augment_validation: false; the study: true.",
        ),
        (
            "experiments/multiclass_mobilenet/epochs",
            300,
            ALL_SAME[1],
            "epochs: 300; the study: 220 (multiclass_mobilenet).",
        ),
        (
            "experiments/binary_inception_v3/head/2/dropout",
            0.2,
            ALL_SAME[1],
            "head.dropout: 0.2; the study: 0.05 (binary_inception_v3).",
        ),
        (
            "experiments/binary_inception_v3/head",
            ["average_pooling"],
            ALL_SAME[1],
            "head: [average_pooling]; the study: [average_pooling, {dense: 128}, {dropout: 0.05}, {dense: 32}] "
            "(binary_inception_v3).",
        ),
        (
            "experiments/binary_inception_v3/batchnorm_momentum",
            0.8,
            ALL_SAME[1],
            "batchnorm_momentum: 0.8; the study: empty (binary_inception_v3).",
        ),
        (
            "trainings/record/versions/keras",
            "3.14.0",
            "have this project's locked",
            "Not the locked versions of this project: keras 3.14.0 (locked: 3.15.1).",
        ),
        (
            "trainings/record/weights",
            {"source": "random", "file": None, "sha256": None},
            "ImageNet weights that Keras publishes",
            "binary_inception_v3, multiclass_inception_v3 and multiclass_mobilenet: the backbone started from random numbers; "
            "in the study from ImageNet weights.",
        ),
        (
            "trainings/record/weights",
            {"source": "file", "file": "own.h5", "sha256": "12" * 32},
            "ImageNet weights that Keras publishes",
            "binary_inception_v3, multiclass_inception_v3 and multiclass_mobilenet: the backbone started from a file "
            "(own.h5, SHA-256 121212121212…); in the study from ImageNet weights.",
        ),
    ],
)
def test_a_line_is_written_if_and_only_if_it_is_true(inputs, path, value, gone, there):
    assert there not in [text for _, text, _ in lines(inputs)]
    found = lines(changed(inputs, path, value))
    line = next(line for line in found if line[1] == there)
    assert line[2]  # it differs
    if gone:
        assert not [text for _, text, _ in found if gone in text]
    # No other line is new, except the lists of locked versions and of software.
    before = [text for _, text, _ in lines(inputs)]
    others = [text for _, text, _ in found if text != there and text not in before]
    assert all(text.startswith("Python 3.11.9") for text in others)


def test_one_difference_of_all_experiments_is_one_line(inputs):
    for name in inputs.experiments:
        inputs = changed(inputs, f"experiments/{name}/image_size", 96)
    names = "binary_inception_v3, multiclass_inception_v3 and multiclass_mobilenet"
    assert [text for _, text, _ in lines(inputs) if "image_size" in text] == [
        f"image_size: 96; the study: 224 ({names})."
    ]


def test_keys_without_effect_on_results_are_not_differences(inputs):
    for key, value in {"threads": 16, "name": "mine", "environment": "gpu", "missing_images": "warn"}.items():
        assert lines(changed(inputs, f"settings/{key}", value)) == ALWAYS


def test_an_empty_key_that_earlier_versions_did_not_have_is_no_difference(inputs):
    earlier = {key: value for key, value in inputs.settings.items() if key != "columns"}
    assert ALL_SAME in lines(dataclasses.replace(inputs, settings=earlier))
    named = {**inputs.settings, "columns": {"path": "filename"}}
    assert ALL_SAME not in lines(dataclasses.replace(inputs, settings=named))


def test_the_studys_config_as_the_last_stages_see_it_has_no_differences(inputs):
    config = read_config({**study_config(), "images": "."})
    settings = whole_settings(config)
    experiments = {name: settings["experiments"][name] for name in inputs.experiments}
    same = dataclasses.replace(inputs, settings=settings, experiments=experiments)
    assert [text for topic, text, differs in lines(same) if topic == "Settings" and differs] == []


def test_no_augmentation_at_all(inputs):
    found = lines(changed(inputs, "settings/augmentation", "none"))
    texts = [text for _, text, _ in found]
    assert any(text.startswith("augmentation: none; the study: rotation_range 50") for text in texts)
    # Always reported, even if there is nothing to leave it out of.
    assert any("never fitted" in text for text in texts)


def test_phantoms_are_reported_instead_of_the_list(inputs):
    phantoms = changed(inputs, "settings/phantoms", {"train_per_class": 40, "test_per_class": 10, "seed": 3})
    texts = [text for topic, text, _ in lines(changed(phantoms, "settings/image_list", None)) if topic == "Images"]
    assert len(texts) == 1
    assert texts[0].startswith(
        "The images are drawn chest phantoms instead of X-rays: 40 per class for training and 10 for testing"
    )


def test_missing_and_extra_experiments_are_reported(tmp_path):
    config = made_config(only=["binary_inception_v3", "binary_inception_v3_dropout_0"], override={"epochs": 2})
    texts = [text for _, text, _ in lines(made_inputs(tmp_path, config, make_results(tmp_path, config)))]
    assert "Not part of this run: multiclass_inception_v3 and multiclass_mobilenet." in texts
    assert "Beyond the study's own experiments: binary_inception_v3_dropout_0." in texts
    # An extra is compared with the same extra of the study's config, so its own dropout is not a difference.
    assert not any("dropout:" in text for text in texts)
    assert "epochs: 2; the study: 90 (binary_inception_v3 and binary_inception_v3_dropout_0)." in texts


def test_a_run_without_a_study_mentions_none(inputs):
    found = lines(dataclasses.replace(inputs, study=None, open_points=[], locked=None))
    assert {topic for topic, _, _ in found} == {"Initial weights", "Software"}
    assert not any(differs for _, _, differs in found)
    assert not any("study" in text or "locked" in text or "Every setting" in text for _, text, _ in found)


@pytest.mark.parametrize(("python", "numpy"), [("3.11.7", "2.4.6"), ("3.13.1", "2.5.5")])
def test_the_lock_file_is_read_for_the_python_of_the_runs(tmp_path, python, numpy):
    lock = tmp_path / "x.lock"
    lock.write_text(
        "# made by a tool\nTyping_Extensions==4.1 \\\n    --hash=sha256:aa==1\n"
        "numpy==2.4.6 ; python_full_version < '3.12' \\\n    # via d==9\n"
        "numpy==2.5.5 ; python_full_version >= '3.12'\ntensorflow-cpu==2.21.0\n"
    )
    assert read_locked_versions(lock, python) == {"typing-extensions": "4.1", "numpy": numpy, "tensorflow": "2.21.0"}


def test_the_lock_file_of_the_project_is_read():
    locked = read_locked_versions(ROOT / "envs/cpu.lock", "3.12.3")
    assert {"tensorflow", "keras", "numpy", "pillow", "scipy"} <= set(locked)


def test_the_studys_own_config_is_read():
    study = read_study(ROOT / "studies/sha_2021/study.yaml")
    assert study["experiments"]["multiclass_inception_v3"]["head"][-1]["dense"] == 16
