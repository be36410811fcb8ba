"""Tests of the readings of open points that the report shows."""

import dataclasses

import pytest
from cxrflow.io.errors import UserError
from cxrflow.report.inputs import read_open_points
from cxrflow.report.readings import NOT_RUN, OTHER, SAME, UNKNOWN, readings_in_use
from made_results import changed, made_config, made_inputs, make_results


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    config = made_config()
    return made_inputs(folder, config, make_results(folder, config))


def verdicts(inputs):
    return {row["id"]: (row["in_use"], row["verdict"]) for row in readings_in_use(inputs)}


def test_all_readings_of_the_study_are_those_taken(inputs):
    found = verdicts(inputs)
    assert {verdict for _, verdict in found.values()} == {SAME}
    assert found["last_hidden_units"] == ("16", SAME)
    assert found["mobilenet_epochs"] == ("220", SAME)
    assert found["augment_validation"] == ("true", SAME)
    assert found["tsne_settings"] == ("initialisation pca, learning_rate auto, perplexity 30, seed 0", SAME)
    assert found["images"] == ("306 images", SAME)
    assert found["versions"] == ("TensorFlow 2.21.0, Keras 3.15.1, Python 3.11.9", SAME)


@pytest.mark.parametrize(
    ("path", "value", "reading", "expected"),
    [
        ("settings/resampling", "bilinear", "resampling", "bilinear"),
        ("experiments/multiclass_inception_v3/head/4/dense", 32, "last_hidden_units", "32"),
        ("experiments/multiclass_inception_v3/head", ["flatten"], "last_hidden_units", "empty"),
        ("audit/missing", ["a.png"], "images", "306 images"),
        ("trainings/record/versions/tensorflow", "2.4.0", "versions", "TensorFlow 2.4.0, Keras 3.15.1, Python 3.11.9"),
        (
            "experiments/multiclass_mobilenet/incomplete_batch",
            "kept",
            "incomplete_batch",
            "dropped (binary_inception_v3 and multiclass_inception_v3); kept (multiclass_mobilenet)",
        ),
    ],
)
def test_another_reading_is_reported(inputs, path, value, reading, expected):
    found = verdicts(changed(inputs, path, value))
    assert found.pop(reading) == (expected, OTHER)
    assert {verdict for _, verdict in found.values()} == {SAME}


def test_readings_of_experiments_that_were_not_run(inputs):
    one = {"binary_inception_v3": inputs.experiments["binary_inception_v3"]}
    runs = {name: inputs.trainings[name] for name in one}
    found = verdicts(dataclasses.replace(inputs, experiments=one, trainings=runs))
    assert found["mobilenet_epochs"][1] == found["last_hidden_units"][1] == NOT_RUN
    assert found["selected_epoch"] == ("last", SAME)


def test_readings_without_the_study_are_not_compared(inputs):
    found = verdicts(dataclasses.replace(inputs, study=None, locked=None))
    assert found["resampling"] == ("nearest", UNKNOWN)
    assert found["versions"][1] == UNKNOWN
    assert found["images"][1] == UNKNOWN


def test_a_reading_of_an_unknown_key_is_an_error(inputs):
    rows = [{**inputs.open_points[0], "config_key": "experiment_defaults.incomplete_bach"}]
    with pytest.raises(
        UserError, match=r"row incomplete_batch: the settings have no key 'experiment_defaults.incomplete_bach'"
    ):
        readings_in_use(dataclasses.replace(inputs, open_points=rows))


def test_open_points_without_a_column_are_an_error(tmp_path):
    (tmp_path / "a.csv").write_text("id,what,reading,other_readings,evidence,concerns\n")
    with pytest.raises(UserError, match="column config_key is missing"):
        read_open_points(tmp_path / "a.csv")
