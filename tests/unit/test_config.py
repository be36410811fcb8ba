"""The config: the study's values, its layers, and how faults are told."""

import json
from pathlib import Path, PurePath
from typing import Any

import jsonschema
import pytest
import yaml
from cxrflow.config.backbones import BACKBONES
from cxrflow.config.read import read_config, read_yaml
from cxrflow.config.schema import config_schema
from cxrflow.config.settings import experiment_settings
from cxrflow.config.training import Experiment
from cxrflow.stage.faults import Fault


@pytest.fixture
def study(project: Path) -> dict[str, Any]:
    """The study's config, raw, with a folder of images named."""
    return {**read_yaml(project / "config.yaml"), "images": "images"}


def faults_of(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(Fault) as caught:
        read_config(raw)
    return caught.value.messages


def test_the_study_is_what_the_design_says(study: dict[str, Any]) -> None:
    experiments = read_config(study).experiments
    told = {
        name: (one.backbone, one.frozen_layers, one.batch_size, one.learning_rate, one.loss, one.epochs)
        for name, one in experiments.items()
    }
    assert told == {
        "binary_inception_v3": ("InceptionV3", 100, 25, 1e-4, "binary_crossentropy", 90),
        "multiclass_inception_v3": ("InceptionV3", 150, 20, 1e-5, "categorical_crossentropy", 350),
        "multiclass_mobilenet": ("MobileNet", 20, 20, 1e-5, "categorical_crossentropy", 220),
    }
    heads = {name: one.head.model_dump() for name, one in experiments.items()}
    assert heads["binary_inception_v3"] == {
        "pooling": "average",
        "dense_units": [128],
        "dropout": 0.05,
        "last_hidden_units": 32,
    }
    assert heads["multiclass_inception_v3"]["last_hidden_units"] == 16
    assert heads["multiclass_mobilenet"]["last_hidden_units"] == 32


# What the study does where it could have done otherwise: Keras' defaults, and no way to train that it does not tell of.
PLAIN_TRAINING = {
    "image_size": 224,
    "head_initialisation": "glorot_uniform",
    "input_scaling": "study",
    "backbone_batchnorm": "train",
    "batchnorm_momentum": None,
    "incomplete_batch": "dropped",
    "optimizer": "adam",
    "schedule": "constant",
    "momentum": 0.0,
    "weight_decay": 0.004,
    "gradient_clip_norm": None,
    "label_smoothing": 0.0,
    "class_weights": "none",
    "early_stopping": None,
    "selected_epoch": "last",
    "precision": "float32",
    "deterministic": False,
}


def test_how_to_train_is_by_default_as_in_the_study(study: dict[str, Any]) -> None:
    """In config.yaml, and where an experiment is read without it."""
    for experiment in read_config(study).experiments.values():
        assert {key: getattr(experiment, key) for key in PLAIN_TRAINING} == PLAIN_TRAINING
    assert {key: Experiment.model_fields[key].get_default() for key in PLAIN_TRAINING} == PLAIN_TRAINING
    own = {
        "task",
        "backbone",
        "weights",
        "frozen_layers",
        "head",
        "batch_size",
        "learning_rate",
        "loss",
        "epochs",
        "seeds",
    }
    assert set(Experiment.model_fields) == {*PLAIN_TRAINING, *own}


def test_augmentation_is_by_default_that_of_the_study(study: dict[str, Any]) -> None:
    numbers = {
        "rotation_range": 50,
        "width_shift_range": 0.2,
        "height_shift_range": 0.2,
        "shear_range": 0.25,
        "zoom_range": 0.1,
        "channel_shift_range": 20,
        "horizontal_flip": True,
        "vertical_flip": True,
        "without_effect": ["featurewise_center", "featurewise_std_normalization", "zca_whitening"],
    }
    for config in (read_config(study), read_config({key: study[key] for key in study if key != "augmentation"})):
        assert config.augmentation != "none" and config.augmentation.model_dump() == numbers
        assert config.validation_augmented == "study"
    assert read_config({**study, "augmentation": "none"}).augmentation == "none"


def test_layers_of_an_experiment(study: dict[str, Any]) -> None:
    study["experiments"]["mine"] = {"like": "multiclass_mobilenet", "head": {"dropout": 0.25}, "epochs": 7}
    study["experiment_defaults"]["image_size"] = 192
    study["override"] = {"batch_size": 3}
    mine = read_config(study).experiments["mine"]
    assert (mine.backbone, mine.head.dropout, mine.head.dense_units) == ("MobileNet", 0.25, [512, 128])
    assert (mine.epochs, mine.image_size, mine.batch_size) == (7, 192, 3)


def test_an_override_goes_before_an_experiments_own_key(study: dict[str, Any]) -> None:
    study["override"] = {"epochs": 2}
    assert {one.epochs for one in read_config(study).experiments.values()} == {2}


@pytest.mark.parametrize("written", [True, False, "yes"])
def test_validation_is_the_studys_or_clean(study: dict[str, Any], written: Any) -> None:
    assert read_config(study).validation_augmented == "study"
    assert faults_of({**study, "validation_augmented": written}) == [
        f"validation_augmented: {written!r} is not allowed; allowed: study, clean"
    ]


@pytest.mark.parametrize(("written", "seeds"), [(1, [0]), (3, [0, 1, 2]), ([4, 2], [4, 2])])
def test_seeds_are_a_number_or_a_list(study: dict[str, Any], written: Any, seeds: list[int]) -> None:
    assert read_config({**study, "seeds": written}).seeds == seeds


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"<": 1}, "<: unknown key"),
        ({"<word>": 1}, "<word>: unknown key"),
        ({"augmentation": {"<other>": 3}}, "augmentation.<other>: unknown key"),
        ({"tasks": {"<x>": {"classes": 3}}}, "tasks.<x>.classes: 3: it should be a valid list"),
        (
            {"extras": {"<x>": {"like": "binary_inception_v3", "epochs": "y"}}},
            "extras.<x>.epochs: 'y': it should be a valid integer, unable to parse string as an integer",
        ),
    ],
)
def test_a_key_that_looks_like_the_form_of_a_value_is_told(
    study: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    assert told in faults_of({**study, **changes})


@pytest.mark.parametrize("number", [10_001, 3_790_578_809, 10**26])
def test_a_number_of_seeds_is_no_seed(study: dict[str, Any], number: int) -> None:
    (fault,) = faults_of({**study, "seeds": number})
    assert fault.startswith(f"seeds: {number}: more than 10,000 seeds") and "one seed is a list, [7]" in fault


PATHS = ("images", "image_list", "split", "claims", "weights")


@pytest.mark.parametrize("key", PATHS)
def test_paths_that_no_command_or_rule_can_take(study: dict[str, Any], key: str) -> None:
    assert faults_of({**study, key: "-x.csv"}) == [f"{key}: '-x.csv': begins as a flag does; write it as ./-x.csv"]
    assert "holds a line break" in faults_of({**study, key: "x\ny.csv"})[0]
    assert "holds a line break or another control character" in faults_of({**study, key: "x\0y.csv"})[0]
    for name in ("a {b}.csv", "a <b>.csv"):
        if key == "images":  # no input of a rule: its files are none of Snakemake's
            assert read_config({**study, key: name}).images == name
        else:
            assert faults_of({**study, key: name})[0].startswith(f"{key}: '{name}': holds {{, }}, < or >, which Snakem")


@pytest.mark.parametrize("name", ["..csv", "...csv", ".csv", "x/..", "a'b;$(touch c).csv"])
def test_images_are_fetched_below_the_results_whatever_the_list_is_named(study: dict[str, Any], name: str) -> None:
    folder = PurePath(str(read_config({**study, "images": "study", "image_list": name}).fetched_into()))
    assert folder.parts[0] == "images" and len(folder.parts) == 2 and ".." not in folder.parts


def test_one_line_for_each_fault(study: dict[str, Any]) -> None:
    study["resampling"] = "neerest"
    study["nmae"] = "x"
    study["tsne"]["perplexity"] = -1
    study["override"] = {"lerning_rate": 1, "head": {"droput": 0.5}}
    study["experiments"]["binary_inception_v3"]["backbone"] = "InceptionV4"
    study["experiments"]["multiclass_mobilenet"]["epochs"] = "many"
    study["augmentation"] = {"rotaton_range": 5}
    faults = faults_of(study)
    assert len(faults) == 8
    told = "\n".join(faults)
    assert (
        "resampling: 'neerest' is not allowed; allowed: nearest, bilinear, bicubic, lanczos, box, hamming; "
        "did you mean 'nearest'?" in faults
    )
    assert "nmae: unknown key; did you mean 'name'?" in faults
    assert "override.lerning_rate: unknown key; did you mean 'learning_rate'?" in faults
    assert "override.head.droput: unknown key; did you mean 'dropout'?" in faults
    assert "augmentation.rotaton_range: unknown key; did you mean 'rotation_range'?" in faults
    assert "tsne.perplexity: -1: " in told and "greater than 0" in told
    assert "experiments.multiclass_mobilenet.epochs: 'many': " in told
    assert "experiments.binary_inception_v3.backbone: 'InceptionV4': " in told
    assert "did you mean 'InceptionV3'?" in told and "EfficientNetB0" in told


def test_a_fault_is_told_where_it_is_written(study: dict[str, Any]) -> None:
    study["experiment_defaults"]["input_scaling"] = "none"
    assert [fault.split(":")[0] for fault in faults_of(study)] == ["experiment_defaults.input_scaling"]


def test_one_source_needs_no_list(study: dict[str, Any]) -> None:
    config = read_config({**study, "image_sources": "https://a/{path}", "weights_sources": "https://b/{path}"})
    assert (config.image_sources, config.weights_sources) == (["https://a/{path}"], ["https://b/{path}"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epochs": 3}, "epochs: a key of experiments, not of the whole; for all of them: override='{epochs: …}'"),
        ({"images": None}, "images: missing; name the folder"),
        ({"phantoms": {}}, "images, phantoms: both given"),
        ({"images": "study", "image_list": None}, "image_list: missing; `images: study` fetches the files of a list"),
        ({"image_sources": ["https://a/all/"]}, "must say where the file's own part stands; allowed: {path}, {sha256}"),
        ({"image_sources": ["https://a/{path}/{home}"]}, "allowed: {path}, {sha256}, {git_blob_sha1}"),
        ({"image_sources": ["file:///a/{path}"]}, "must begin with https:// or http://"),
        ({"image_sources": []}, "image_sources: "),
        ({"image_sources": "[https://a/{path}]"}, "each address is quoted: '[\"https://…/{path}\", …]'"),
        ({"weights_sources": ["https://a/{sha256}"]}, "must say where the file's own part stands; allowed: {path}"),
        ({"only": "multiclas_mobilenet"}, "did you mean 'multiclass_mobilenet'?"),
        ({"seeds": 0}, "seeds: 0: at least 1 seed"),
        ({"seeds": [1, 1]}, "seeds: something is named twice"),
        ({"name": "../elsewhere"}, "name: '../elsewhere': "),
        ({"experiments": {"a b": {}}, "extras": {}}, "experiments.a b: a name may hold"),
        ({"experiments": {"a": {"like": "b"}, "b": {"like": "a"}}}, "comes back to itself"),
        ({"experiments": {"a": {"like": "multi_mobilenet"}}}, "there is no experiment 'multi_mobilenet'"),
        ({"tasks": {"binary": {"classes": ["covid", "normal"], "positive": "covd"}}}, "'covd' is not one of"),
        ({"experiments": []}, "experiments: [] is not allowed"),
    ],
)
def test_faults_between_keys(study: dict[str, Any], change: dict[str, Any], told: str) -> None:
    assert told in "\n".join(faults_of({**study, **change}))


def test_a_task_that_is_not_there(study: dict[str, Any]) -> None:
    study["experiments"]["binary_inception_v3"]["task"] = "binry"
    assert faults_of(study) == [
        "experiments.binary_inception_v3.task: there is no task 'binry'; did you mean 'binary'?; "
        "allowed: binary, multiclass, bac_vir"
    ]


def test_binary_loss_needs_two_classes(study: dict[str, Any]) -> None:
    study["override"] = {"loss": "binary_crossentropy"}
    assert "override.loss: binary_crossentropy is for two classes; task multiclass has 4" in faults_of(study)


SCHEDULE = "constant, or a mapping with its kind (cosine, step, plateau), such as {kind: cosine, epochs: 90}"
WEIGHTS = "none, balanced, or a weight for each class, such as {covid: 2, normal: 1}"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"schedule": "cosine"}, f"schedule: 'cosine' is not allowed; allowed: {SCHEDULE}"),
        ({"schedule": 3}, f"schedule: 3 is not allowed; allowed: {SCHEDULE}"),
        ({"schedule": {"epochs": 3}}, "schedule.kind: missing; allowed: cosine, step, plateau"),
        (
            {"schedule": {"kind": "cosin", "epochs": 3}},
            "schedule.kind: 'cosin' is not allowed; allowed: cosine, step, plateau; did you mean 'cosine'?",
        ),
        ({"schedule": {"kind": "step"}}, "schedule.at: missing; it has no default"),
        ({"schedule": {"kind": "step", "at": []}}, "schedule.at: it should name at least 1"),
        (
            {"schedule": {"kind": "step", "at": [5], "facto": 0.1}},
            "schedule.facto: unknown key; did you mean 'factor'?",
        ),
        (
            {"schedule": {"kind": "cosine", "epochs": 3, "at": [5]}},
            "schedule.at: unknown key; allowed: kind, epochs, final",
        ),
        (
            {"class_weights": "balance"},
            f"class_weights: 'balance' is not allowed; allowed: {WEIGHTS}; did you mean 'balanced'?",
        ),
        ({"class_weights": 3}, f"class_weights: 3 is not allowed; allowed: {WEIGHTS}"),
        ({"class_weights": {"covid": 2}}, "class_weights: must name the classes of task binary: covid, normal"),
        (
            {"early_stopping": 5},
            "early_stopping: 5 is not allowed; allowed: empty, or a mapping, such as {patience: 10, ",
        ),
        ({"early_stopping": {"patiance": 3}}, "early_stopping.patiance: unknown key; did you mean 'patience'?"),
        (
            {"selected_epoch": "first"},
            "selected_epoch: 'first' is not allowed; allowed: last, best, or the number of an ",
        ),
        (
            {"selected_epoch": True},
            "selected_epoch: True is not allowed; allowed: last, best, or the number of an epoch",
        ),
        ({"selected_epoch": 91}, "selected_epoch: 91 is behind the last of 90 epochs"),
        ({"momentum": 0.9}, "momentum: only sgd has it, the optimizer is adam; leave it at 0.0"),
        (
            {"weight_decay": 0.1, "optimizer": "sgd"},
            "weight_decay: only adamw has it, the optimizer is sgd; leave it at ",
        ),
        ({"precision": "bfloat16"}, "precision: bfloat16 has 3 numbers in the study's range of input"),
    ],
)
def test_faults_of_how_to_train(study: dict[str, Any], keys: dict[str, Any], told: str) -> None:
    """Each told once, in one line, at its place."""
    binary = study["experiments"]["binary_inception_v3"]
    (fault,) = faults_of({**study, "experiments": {"binary_inception_v3": binary}, "extras": {}, "override": keys})
    assert fault.startswith(f"override.{told}")
    assert "\n" not in fault


def test_numbers_within_mappings_of_the_command_line_are_texts(study: dict[str, Any]) -> None:
    schedule = {"kind": "step", "at": ["5", "7"], "factor": "0.5"}
    study["override"] = {"selected_epoch": "20", "schedule": schedule, "early_stopping": {"patience": "3"}}
    config = read_config({**study, "tsne": {"learning_rate": "1e2"}})
    experiment = config.experiments["binary_inception_v3"]
    assert experiment.selected_epoch == 20
    assert experiment.model_dump()["schedule"] == {"kind": "step", "at": [5, 7], "factor": 0.5}
    assert experiment.early_stopping is not None and experiment.early_stopping.patience == 3
    assert config.tsne.learning_rate == 100


def test_a_schedule_of_another_kind_is_taken_whole(study: dict[str, Any]) -> None:
    study["experiment_defaults"]["schedule"] = {"kind": "cosine", "epochs": 30, "final": 0.5}
    study["override"] = {"schedule": {"kind": "step", "at": [5]}}
    schedule = read_config(study).experiments["binary_inception_v3"].model_dump()["schedule"]
    assert schedule == {"kind": "step", "at": [5], "factor": 0.1}


def test_only_may_name_an_extra(study: dict[str, Any]) -> None:
    selected = read_config({**study, "only": "multiclass_vgg16"}).selected()
    assert list(selected) == ["multiclass_vgg16"]
    assert selected["multiclass_vgg16"].head.last_hidden_units == 16


def test_class_index(study: dict[str, Any]) -> None:
    study["tasks"]["binary"]["classes"] = ["normal", "covid"]
    assert read_config(study).classes_of("binary") == ["covid", "normal"]
    assert read_config({**study, "class_index": "listed"}).classes_of("binary") == ["normal", "covid"]


def test_settings_do_not_hold_the_place_of_weights(study: dict[str, Any]) -> None:
    for written, told in {"imagenet": "imagenet", "random": "random", "/some/folder": "file"}.items():
        config = read_config({**study, "weights": written})
        assert experiment_settings(config, "multiclass_mobilenet")["weights"] == told


def test_schema_has_not_drifted(project: Path) -> None:
    committed = json.loads((project / "workflow/schemas/config.schema.json").read_text())
    assert committed == config_schema(), "run `make schema`"


@pytest.mark.parametrize("file", ["config.yaml", "examples/demo.yaml"])
def test_our_configs_fit_the_schema(project: Path, file: str) -> None:
    jsonschema.validate(yaml.safe_load((project / file).read_text()), config_schema())


def test_demo_is_an_overlay(project: Path) -> None:
    demo = read_config(read_yaml(project / "config.yaml", project / "examples/demo.yaml"))
    study = read_config({**read_yaml(project / "config.yaml"), "images": "x"})
    assert list(demo.experiments) == list(study.experiments)
    assert demo.phantoms is not None and demo.fetched_into() is None


@pytest.mark.parametrize(
    ("change", "folder"),
    [
        ({}, "images/study"),
        ({"image_list": "lists/mine.csv"}, "images/mine"),
        ({"images": "/data/cxr"}, None),
        ({"images": "./study"}, None),
        ({"phantoms": {}}, None),
    ],
)
def test_where_images_are_fetched_into(study: dict[str, Any], change: dict[str, Any], folder: str | None) -> None:
    assert read_config({**study, "images": "study", **change}).fetched_into() == folder


def test_yaml_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1,\nb: 2")
    with pytest.raises(Fault, match=r"broken\.yaml: not valid YAML"):
        read_yaml(tmp_path / "broken.yaml")


def test_every_value_of_the_study_is_commented(project: Path) -> None:
    """A reader finds each top-level key of the config explained: in its line, above it, or at its first key."""
    lines = (project / "config.yaml").read_text().splitlines()
    for place, line in enumerate(lines):
        if line and line[0].isalpha() and line.split(":")[0] not in ("name", "experiments"):
            assert "#" in line or "#" in lines[place + 1], line


def test_backbones_are_those_of_keras() -> None:
    import keras

    networks = {
        name for name in dir(keras.applications) if name[0].isupper() and callable(getattr(keras.applications, name))
    }
    assert set(BACKBONES) == networks
