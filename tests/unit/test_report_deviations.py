"""Tests of how the report tells a run from the study: the lines that differ."""

import dataclasses

import pytest
from cxrflow.config.read import read_config, read_yaml
from cxrflow.config.settings import whole_settings
from cxrflow.report.deviations import find_deviations
from cxrflow.report.inputs import read_locked_versions, read_study_config
from made_results import ROOT, changed, made_config, made_inputs, make_results

ALWAYS = [
    (
        "Software",
        "Python 3.11.9, TensorFlow 2.21.0, Keras 3.15.1; the study names no versions (a notebook service of April 2021 "
        "(Python 3.7); TensorFlow 2.4 by date).",
        True,
    ),
    (
        "Images",
        "All 306 files of the study's list were there and readable.",
        False,
    ),
    (
        "Initial weights",
        "binary_inception_v3 and multiclass_inception_v3: the backbone began from the ImageNet weights that Keras offers "
        "today (inceptionv3_notop.h5, SHA-256 abababababab…).",
        False,
    ),
    (
        "Initial weights",
        "multiclass_mobilenet: the backbone began from the ImageNet weights that Keras offers today (mobilenet_notop.h5, "
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
    ("Validation", "The validation images are augmented as the training images are, as read.", False),
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


def test_a_run_as_the_study_has_these_lines_and_no_others(inputs):
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
            "1 of the 306 listed images is not the file that the list means (other SHA-256), used as found: a.png.",
        ),
        (
            "settings/image_list",
            "/home/x/own.csv",
            "All 306 files",
            "The images are those of the list own.csv, not the study's 306 files.",
        ),
        (
            "settings/image_list",
            None,
            "All 306 files",
            "Whatever lies in the class folders was used; the study has 306 files.",
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
            "settings/validation_augmented",
            "clean",
            "are augmented as the training images are",
            "The validation images are not augmented; in the study they are, as read.",
        ),
        (
            "experiments/multiclass_mobilenet/epochs",
            300,
            ALL_SAME[1],
            "epochs: 300; the study: 220 (multiclass_mobilenet).",
        ),
        (
            "experiments/binary_inception_v3/head/dropout",
            0.2,
            ALL_SAME[1],
            "head.dropout: 0.2; the study: 0.05 (binary_inception_v3).",
        ),
        (
            "experiments/binary_inception_v3/batchnorm_momentum",
            0.8,
            None,
            "batchnorm_momentum: 0.8, set by hand for the moving averages of the backbone's batch normalisation; the study: "
            "the backbone's own (binary_inception_v3).",
        ),
        (
            "runs/training/versions/keras",
            "3.14.0",
            "have this project's locked",
            "Not the locked versions of this project: keras 3.14.0 (locked: 3.15.1).",
        ),
        (
            "runs/training/weights",
            {"source": "random", "file": None, "sha256": None},
            "ImageNet weights that Keras offers",
            "binary_inception_v3, multiclass_inception_v3 and multiclass_mobilenet: the backbone began from random numbers; "
            "the study's began from ImageNet weights.",
        ),
        (
            "runs/training/weights",
            {"source": "file", "file": "own.h5", "sha256": "12" * 32},
            "ImageNet weights that Keras offers",
            "binary_inception_v3, multiclass_inception_v3 and multiclass_mobilenet: the backbone began from a file of one's "
            "own (own.h5, SHA-256 121212121212…); the study's from ImageNet weights.",
        ),
    ],
)
def test_a_line_is_there_exactly_when_its_fact_is(inputs, path, value, gone, there):
    assert there not in [text for _, text, _ in lines(inputs)]
    found = lines(changed(inputs, path, value))
    line = next(line for line in found if line[1] == there)
    assert line[2]  # it differs
    if gone:
        assert not [text for _, text, _ in found if gone in text]
    # Nothing else has come: all others were there before, but for the list of locked versions and of software.
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


def test_keys_that_say_only_how_a_run_is_made_are_not_differences(inputs):
    for key, value in {"threads": 16, "name": "mine", "environment": "gpu", "missing_images": "warn"}.items():
        assert lines(changed(inputs, f"settings/{key}", value)) == ALWAYS


def test_the_studys_config_as_the_last_stages_see_it_differs_in_nothing(inputs):
    config = read_config({**read_yaml(ROOT / "config.yaml"), "images": "."})
    settings = whole_settings(config)
    experiments = {name: settings["experiments"][name] for name in inputs.experiments}
    same = dataclasses.replace(inputs, settings=settings, experiments=experiments)
    assert [text for topic, text, differs in lines(same) if topic == "Settings" and differs] == []


def test_no_augmentation_at_all(inputs):
    found = lines(changed(inputs, "settings/augmentation", "none"))
    texts = [text for _, text, _ in found]
    assert any(text.startswith("augmentation: none; the study: rotation_range 50") for text in texts)
    assert "The validation images are not augmented; in the study they are, as read." in texts
    # Told always, also where there is nothing to leave it out of.
    assert any("never fitted" in text for text in texts)


def test_phantoms_are_told_in_place_of_the_list(inputs):
    phantoms = changed(inputs, "settings/phantoms", {"train_per_class": 40, "test_per_class": 10, "seed": 3})
    texts = [text for topic, text, _ in lines(changed(phantoms, "settings/image_list", None)) if topic == "Images"]
    assert len(texts) == 1
    assert texts[0].startswith(
        "Drawn chest phantoms stand in for the X-rays: 40 per class to train with and 10 to test"
    )


def test_experiments_left_out_and_extra_ones_are_told(tmp_path):
    config = made_config(only=["binary_inception_v3", "binary_inception_v3_dropout_0"], override={"epochs": 2})
    texts = [text for _, text, _ in lines(made_inputs(tmp_path, config, make_results(tmp_path, config)))]
    assert "Not part of this run: multiclass_inception_v3 and multiclass_mobilenet." in texts
    assert "Beyond the study's own experiments: binary_inception_v3_dropout_0." in texts
    # An extra is held against the same extra of the study's config, so that its own dropout is no difference.
    assert not any("dropout:" in text for text in texts)
    assert "epochs: 2; the study: 90 (binary_inception_v3 and binary_inception_v3_dropout_0)." in texts


def test_without_the_study_nothing_is_compared_and_that_is_said(inputs):
    texts = [text for _, text, _ in lines(dataclasses.replace(inputs, study=None, locked=None))]
    assert "Not compared key by key: no config of the study was given." in texts
    assert not any("locked" in text or "Every setting" in text for text in texts)


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
    study = read_study_config(ROOT / "config.yaml")
    assert study["experiments"]["multiclass_inception_v3"]["head"]["last_hidden_units"] == 16
