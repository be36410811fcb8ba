"""The config: values of the study, how keys override each other, and messages on errors."""

import json
import re
import subprocess
from pathlib import Path, PurePath
from typing import Any

import jsonschema
import pytest
import yaml
from cxrflow.io.errors import UserError
from cxrflow.study.experiment import Experiment
from cxrflow.study.fields import BACKBONES, RESERVED_EXPERIMENTS, RESERVED_NAMES
from cxrflow.study.head import MUST_BE_LIST, head_as_text
from cxrflow.study.layers import named_layers
from cxrflow.study.read import read_config
from cxrflow.study.schema import config_schema
from cxrflow.study.settings import experiment_settings
from study_config import study_config


@pytest.fixture
def study(project: Path) -> dict[str, Any]:
    """The raw config of the study, with a folder of images."""
    return {**study_config(), "images": "images"}


def errors_of(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(UserError) as caught:
        read_config(raw)
    return caught.value.messages


def test_experiments_of_the_study(study: dict[str, Any]) -> None:
    experiments = read_config(study).experiments
    main_settings = {
        name: (one.backbone, one.frozen_layers, one.batch_size, one.learning_rate, one.loss, one.epochs)
        for name, one in experiments.items()
    }
    assert main_settings == {
        "binary_inception_v3": ("InceptionV3", 100, 25, 1e-4, "binary_crossentropy", 90),
        "multiclass_inception_v3": ("InceptionV3", 150, 20, 1e-5, "categorical_crossentropy", 350),
        "multiclass_mobilenet": ("MobileNet", 20, 20, 1e-5, "categorical_crossentropy", 220),
    }
    heads = {name: head_as_text(one.model_dump()["head"]) for name, one in experiments.items()}
    assert heads == {
        "binary_inception_v3": "[average_pooling, {dense: 128}, {dropout: 0.05}, {dense: 32}]",
        "multiclass_inception_v3": "[flatten, {dense: 512}, {dropout: 0.5}, {dense: 128}, {dense: 16}]",
        "multiclass_mobilenet": "[flatten, {dense: 512}, {dropout: 0.5}, {dense: 128}, {dense: 32}]",
    }


# How the study trains where it states nothing: Keras' defaults, and no options that it does not mention.
PLAIN_TRAINING = {
    "image_size": 224,
    "head_initialisation": "glorot_uniform",
    "backbone_batchnorm": "train",
    "batchnorm_momentum": None,
    "incomplete_batch": "kept",
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


def test_how_to_train_by_default(study: dict[str, Any]) -> None:
    """The defaults of the models; the study drops incomplete batches."""
    for experiment in read_config(study).experiments.values():
        own = {**PLAIN_TRAINING, "incomplete_batch": "dropped"}
        assert {key: getattr(experiment, key) for key in PLAIN_TRAINING} == own
    assert {key: Experiment.model_fields[key].get_default() for key in PLAIN_TRAINING} == PLAIN_TRAINING
    assert {one.input_scaling for one in read_config(study).experiments.values()} == {"double"}
    own = {
        "input_scaling",
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


GENTLE = {
    "rotation_range": 10,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "shear_range": 0,
    "zoom_range": 0.1,
    "channel_shift_range": 20,
    "horizontal_flip": True,
    "vertical_flip": False,
    "without_effect": [],
}


def test_augmentation_of_the_study_and_by_default(study: dict[str, Any]) -> None:
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
    plain = {key: study[key] for key in study if key not in ("augmentation", "augment_validation")}
    for raw, expected, validation in ((study, numbers, True), (plain, GENTLE, False)):
        config = read_config(raw)
        assert config.augmentation != "none" and config.augmentation.model_dump() == expected
        assert config.augment_validation is validation
    assert read_config({**study, "augmentation": "none"}).augmentation == "none"


def test_layers_of_an_experiment(study: dict[str, Any]) -> None:
    study["experiments"]["mine"] = {"like": "multiclass_mobilenet", "head": ["flatten", {"dense": 9}], "epochs": 7}
    study["experiment_defaults"]["image_size"] = 192
    study["override"] = {"batch_size": 3}
    mine = read_config(study).experiments["mine"]
    assert (mine.backbone, head_as_text(mine.model_dump()["head"])) == ("MobileNet", "[flatten, {dense: 9}]")
    assert (mine.epochs, mine.image_size, mine.batch_size) == (7, 192, 3)


def test_override_takes_precedence_over_an_experiments_own_key(study: dict[str, Any]) -> None:
    study["override"] = {"epochs": 2}
    assert {one.epochs for one in read_config(study).experiments.values()} == {2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"validation_augmented": "study"},
            "validation_augmented: was renamed; write augment_validation: true or false",
        ),
        ({"images": "study"}, "images: 'study' was renamed; write published"),
        (
            {"image_list": "study"},
            "image_list: 'study' was renamed; write the path of a CSV; a study names its own in study.yaml",
        ),
        (
            {"claims": "study"},
            "claims: 'study' was renamed; write the path of a CSV; a study names its own in study.yaml",
        ),
    ],
)
def test_errors_on_earlier_names_suggest_the_current_ones(study: dict[str, Any], change: Any, message: str) -> None:
    assert message in errors_of({**study, **change})


@pytest.mark.parametrize(("written", "seeds"), [(1, [0]), (3, [0, 1, 2]), ([4, 2], [4, 2])])
def test_seeds_are_a_number_or_a_list(study: dict[str, Any], written: Any, seeds: list[int]) -> None:
    assert read_config({**study, "seeds": written}).seeds == seeds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"<": 1}, "<: unknown key"),
        ({"<word>": 1}, "<word>: unknown key"),
        ({"augmentation": {"<other>": 3}}, "augmentation.<other>: unknown key"),
        ({"tasks": {"<x>": {"classes": 3}}}, "tasks.<x>.classes: 3: it should be a valid list"),
        (
            {"extras": {"<x>": {"like": "binary_inception_v3", "epochs": "y"}}},
            "extras.<x>.epochs: 'y': it should be a valid integer",
        ),
    ],
)
def test_keys_that_look_like_tags_of_unions_are_reported(
    study: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    assert message in errors_of({**study, **changes})


@pytest.mark.parametrize("number", [10_001, 3_790_578_809, 10**26])
def test_a_seed_given_as_the_number_of_seeds(study: dict[str, Any], number: int) -> None:
    (message,) = errors_of({**study, "seeds": number})
    assert message.startswith(f"seeds: {number}: more than 10,000 seeds") and "one seed is a list, [7]" in message


PATHS = ("images", "image_list", "split", "claims", "weights")


@pytest.mark.parametrize("key", PATHS)
def test_paths_that_commands_or_rules_cannot_take(study: dict[str, Any], key: str) -> None:
    assert errors_of({**study, key: "-x.csv"}) == [
        f"{key}: '-x.csv': must not start with a dash, like a flag; write ./-x.csv"
    ]
    assert "holds a line break" in errors_of({**study, key: "x\ny.csv"})[0]
    assert "holds a line break or another control character" in errors_of({**study, key: "x\0y.csv"})[0]
    for name in ("a {b}.csv", "a <b>.csv"):
        if key == "images":  # not an input of a rule
            assert read_config({**study, key: name}).images == name
        else:
            assert errors_of({**study, key: name})[0].startswith(f"{key}: '{name}': must not contain {{, }}, < or >")


@pytest.mark.parametrize("name", ["..csv", "...csv", ".csv", "x/..", "a'b;$(touch c).csv"])
def test_images_are_fetched_into_the_results_for_any_name_of_the_list(study: dict[str, Any], name: str) -> None:
    folder = PurePath(str(read_config({**study, "images": "published", "image_list": name}).fetched_into()))
    assert folder.parts[0] == "images" and len(folder.parts) == 2 and ".." not in folder.parts


OLD_HEAD = {"pooling": "max", "dense_units": [512, 128], "dropout": 0.5, "last_hidden_units": 16}
ALLOWED_LAYERS = "average_pooling, max_pooling, flatten, {conv: FILTERS}, {dense: UNITS}, {dropout: RATE}"
HEAD_ERRORS: list[tuple[dict[str, Any], str]] = [
    (
        {"head": OLD_HEAD},
        "head: must be a list of layers; write [max_pooling, {dense: 512}, {dropout: 0.5}, {dense: 128}, {dense: 16}]",
    ),
    (
        {"head": {"dropout": 0.2}},
        "head: must be a list of layers; write [average_pooling, {dense: …}, {dropout: 0.2}, {dense: …}], with the missing ",
    ),
    ({"head": "flatten"}, "head: 'flatten': must be a list of layers, such as [average_pooling, {dense: 128}"),
    ({"head": {"dense": 3}}, "head: must be a list of layers"),
    *(
        ({"head": {**OLD_HEAD, **mistake}}, f"head: {MUST_BE_LIST}")
        for mistake in (
            {"pooling": "avg"},
            {"dense_units": "many"},
            {"dense_units": []},
            {"dropout": 5},
            {"last_hidden_units": {"dense": 3}},
            {"batch_norm": True},
        )
    ),
    ({"head": [{"dense": 3}]}, "head: needs exactly one of average_pooling, max_pooling, flatten; it has none"),
    (
        {"head": ["flatten", "max_pooling"]},
        "head: needs exactly one of average_pooling, max_pooling, flatten; it has f",
    ),
    (
        {"head": ["flaten"]},
        f"head: layer 1: 'flaten' is not allowed; allowed: {ALLOWED_LAYERS}; did you mean 'flatten'?",
    ),
    (
        {"head": ["flatten", {"dens": 3}]},
        f"head: layer 2: {{dens: 3}} is not allowed; allowed: {ALLOWED_LAYERS}; did you",
    ),
    ({"head": ["flatten", "dropout"]}, "head: layer 2: dropout needs a number; write {dropout: 0.3}"),
    ({"head": ["flatten", 3]}, f"head: layer 2: 3 is not allowed; allowed: {ALLOWED_LAYERS}"),
    (
        {"head": ["flatten", {"dense": 3, "dropout": 0.5}]},
        "head: layer 2: has dense and dropout; write one layer for each",
    ),
    ({"head": ["flatten", {"conv": 3}]}, "head: layer 2: conv must come before flatten"),
    ({"head": [{"dense": 3}, "flatten"]}, "head: layer 1: dense must come after flatten"),
    (
        {"head": ["flatten", {"dense": 3, "activation": "rely"}]},
        "head.layer 2.activation: 'rely' is not allowed; allowed: r",
    ),
    ({"head": ["flatten", {"dense": "many"}]}, "head.layer 2.dense: 'many' is not allowed; allowed: a number of units"),
    ({"head": ["flatten", {"dropout": 1}]}, "head.layer 2.dropout: 1: it should be less than 1"),
    (
        {"head": ["flatten", {"dense": 3, "unit": 3}]},
        "head.layer 2.unit: unknown key; allowed: dense, activation, l2, name",
    ),
    (
        {"head": ["flatten", {"dense": 3, "name": "output"}]},
        "head: layer 2: the name output belongs to another part of ",
    ),
    (
        {"head": ["flatten", {"dense": 3, "name": "vgg16"}]},
        "head: layer 2: the name vgg16 belongs to another part of the ",
    ),
    (
        {"head": ["flatten", {"dense": 3, "name": "dense_2"}, {"dense": 4}, {"dense": 4}]},
        "head: layer 2: another layer is named dense_2; choose another name",
    ),
]


def test_layers_of_a_head_have_names_and_defaults(study: dict[str, Any]) -> None:
    """Also with numbers as texts, as in mappings on the command line."""
    conv, dense = {"conv": "8"}, {"dense": 4}
    head = [
        conv,
        {"dropout": 0.1},
        {**conv, "kernel": 5},
        "flatten",
        dense,
        {**dense, "name": "two"},
        {"dropout": 0.2},
        dense,
    ]
    study["override"] = {"head": head}
    (read, *_) = read_config(study).experiments.values()
    layers = read.model_dump()["head"]
    names = ["conv_1", "dropout", "conv_2", "flatten", "dense_1", "two", "dropout_2", "last_hidden"]
    assert [layer.name for layer in named_layers(layers)] == names
    defaults = {"kernel": 3, "padding": "same", "activation": "relu", "l2": 0.0, "name": None}
    assert layers[0] == {"conv": 8, **defaults}
    assert head_as_text(layers).startswith(
        "[{conv: 8}, {dropout: 0.1}, {conv: 8, kernel: 5}, flatten, {dense: 4}, {dense: 4, n"
    )


def test_one_line_for_each_error(study: dict[str, Any]) -> None:
    study["resampling"] = "neerest"
    study["nmae"] = "x"
    study["tsne"]["perplexity"] = -1
    study["override"] = {"lerning_rate": 1, "head": ["flatten", {"dense": 5, "activaton": "relu"}]}
    study["experiments"]["binary_inception_v3"]["backbone"] = "InceptionV4"
    study["experiments"]["multiclass_mobilenet"]["epochs"] = "many"
    study["augmentation"] = {"rotaton_range": 5}
    errors = errors_of(study)
    assert len(errors) == 8
    text = "\n".join(errors)
    assert (
        "resampling: 'neerest' is not allowed; allowed: nearest, bilinear, bicubic, lanczos, box, hamming; "
        "did you mean 'nearest'?" in errors
    )
    assert "nmae: unknown key; did you mean 'name'?" in errors
    assert "override.lerning_rate: unknown key; did you mean 'learning_rate'?" in errors
    assert "override.head.layer 2.activaton: unknown key; did you mean 'activation'?" in errors
    assert "augmentation.rotaton_range: unknown key; did you mean 'rotation_range'?" in errors
    assert "tsne.perplexity: -1: " in text and "greater than 0" in text
    assert "experiments.multiclass_mobilenet.epochs: 'many': " in text
    assert "experiments.binary_inception_v3.backbone: 'InceptionV4': " in text
    assert "did you mean 'InceptionV3'?" in text and "EfficientNetB0" in text


def test_an_error_is_reported_where_it_is_written(study: dict[str, Any]) -> None:
    study["experiment_defaults"]["input_scaling"] = "none"
    assert [message.split(":")[0] for message in errors_of(study)] == ["experiment_defaults.input_scaling"]


def test_one_source_needs_no_list(study: dict[str, Any]) -> None:
    config = read_config({**study, "image_sources": "https://a/{path}", "weights_sources": "https://b/{path}"})
    assert (config.image_sources, config.weights_sources) == (["https://a/{path}"], ["https://b/{path}"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"epochs": 3},
            "epochs: a key of experiments, not of the whole config; to set it for all of them: override='{epochs: …}'",
        ),
        ({"images": None}, "images: missing; name the folder"),
        ({"phantoms": {}}, "images, phantoms: both given"),
        ({"images": "published", "image_list": None}, "image_list: missing; with `images: published` it is a CSV"),
        ({"image_sources": ["https://a/all/"]}, "must contain a placeholder for the file; allowed: {path}, {sha256}"),
        ({"image_sources": ["https://a/{path}/{home}"]}, "allowed: {path}, {sha256}, {git_blob_sha1}"),
        ({"image_sources": ["file:///a/{path}"]}, "must start with https:// or http://"),
        ({"images": "published", "image_sources": []}, "image_sources: missing; with `images: published`"),
        ({"image_sources": "[https://a/{path}]"}, "quote each address of a list: '[\"https://…/{path}\", …]'"),
        ({"weights_sources": ["https://a/{sha256}"]}, "must contain a placeholder for the file; allowed: {path}"),
        ({"only": "multiclas_mobilenet"}, "did you mean 'multiclass_mobilenet'?"),
        ({"seeds": 0}, "seeds: 0: at least 1 seed"),
        ({"seeds": [1, 1]}, "seeds: a value is repeated; give each once"),
        ({"name": "../elsewhere"}, "name: '../elsewhere': "),
        ({"experiments": {"a b": {}}, "extras": {}}, "experiments.a b: not allowed as a name; allowed: letters"),
        ({"experiments": {"a": {"like": "b"}, "b": {"like": "a"}}}, "leads back to itself"),
        ({"experiments": {"a": {"like": "multi_mobilenet"}}}, "there is no experiment 'multi_mobilenet'"),
        ({"tasks": {"binary": {"classes": ["covid", "normal"], "positive": "covd"}}}, "'covd' is not one of"),
        ({"experiments": []}, "experiments: [] is not allowed"),
    ],
)
def test_errors_of_keys(study: dict[str, Any], change: dict[str, Any], message: str) -> None:
    assert message in "\n".join(errors_of({**study, **change}))


def test_a_task_that_does_not_exist(study: dict[str, Any]) -> None:
    study["experiments"]["binary_inception_v3"]["task"] = "binry"
    assert errors_of(study) == [
        "experiments.binary_inception_v3.task: there is no task 'binry'; did you mean 'binary'?; "
        "allowed: binary, multiclass, bac_vir"
    ]


def test_binary_loss_needs_two_classes(study: dict[str, Any]) -> None:
    study["override"] = {"loss": "binary_crossentropy"}
    assert errors_of(study) == [
        "override.loss: binary_crossentropy is for two classes; task multiclass has 4; write categorical_crossentropy",
    ]


SCHEDULE = (
    "constant, or a mapping with its kind (cosine, step, exponential, plateau), such as {kind: cosine, epochs: 90}"
)
WEIGHTS = "none, balanced, or a weight above 0 for each class, such as {opacity: 2, clear: 1}"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"schedule": "cosine"}, f"schedule: 'cosine' is not allowed; allowed: {SCHEDULE}"),
        ({"schedule": 3}, f"schedule: 3 is not allowed; allowed: {SCHEDULE}"),
        ({"schedule": {"epochs": 3}}, "schedule.kind: missing; allowed: cosine, step, exponential, plateau"),
        (
            {"schedule": {"kind": "cosin", "epochs": 3}},
            "schedule.kind: 'cosin' is not allowed; allowed: cosine, step, exponential, plateau; did you mean 'cosine'?",
        ),
        ({"schedule": {"kind": "step"}}, "schedule.at: missing; it has no default"),
        ({"schedule": {"kind": "step", "at": []}}, "schedule.at: it needs at least 1"),
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
            "early_stopping: 5 is not allowed; allowed: empty, or a mapping, such as {monitor: val_loss, ",
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
        ({"selected_epoch": 91}, "selected_epoch: 91 is after the last epoch, 90"),
        ({"momentum": 0.9}, "momentum: only for sgd and rmsprop; the optimizer is adam; leave it at 0.0"),
        ({"schedule": {"kind": "exponential", "factor": 0.9}}, "schedule.steps: missing; it has no default"),
        (
            {"early_stopping": {"monitor": "val_acc"}},
            "early_stopping.monitor: 'val_acc' is not allowed; allowed: val_loss, val_accuracy, loss, accuracy; did you ",
        ),
        ({"input_scaling": "study"}, "input_scaling: 'study' was renamed; write double"),
        ({"input_scaling": "imagenet"}, "input_scaling: 'imagenet' was renamed; write backbone"),
        (
            {"input_scaling": "doubel"},
            "input_scaling: 'doubel' is not allowed; allowed: backbone, unit, double; did you ",
        ),
        *HEAD_ERRORS,
        (
            {"weight_decay": 0.1, "optimizer": "sgd"},
            "weight_decay: only for adamw; the optimizer is sgd; leave it at ",
        ),
        ({"precision": "bfloat16"}, "precision: bfloat16 has 3 numbers in the range of double scaling"),
    ],
)
def test_errors_of_training_settings(study: dict[str, Any], keys: dict[str, Any], message: str) -> None:
    """Each is reported once, in one line, with its place."""
    binary = study["experiments"]["binary_inception_v3"]
    (error,) = errors_of({**study, "experiments": {"binary_inception_v3": binary}, "extras": {}, "override": keys})
    assert error.startswith(f"override.{message}")
    assert "\n" not in error


def test_numbers_may_be_texts_as_in_mappings_on_the_command_line(study: dict[str, Any]) -> None:
    schedule = {"kind": "step", "at": ["5", "7"], "factor": "0.5"}
    study["override"] = {"selected_epoch": "20", "schedule": schedule, "early_stopping": {"patience": "3"}}
    config = read_config({**study, "tsne": {"learning_rate": "1e2"}})
    experiment = config.experiments["binary_inception_v3"]
    assert experiment.selected_epoch == 20
    assert experiment.model_dump()["schedule"] == {"kind": "step", "at": [5, 7], "factor": 0.5}
    assert experiment.early_stopping is not None and experiment.early_stopping.patience == 3
    assert config.tsne.learning_rate == 100


def test_a_schedule_of_another_kind_is_replaced_as_a_whole(study: dict[str, Any]) -> None:
    study["experiment_defaults"]["schedule"] = {"kind": "cosine", "epochs": 30, "final": 0.5}
    study["override"] = {"schedule": {"kind": "step", "at": [5]}}
    schedule = read_config(study).experiments["binary_inception_v3"].model_dump()["schedule"]
    assert schedule == {"kind": "step", "at": [5], "factor": 0.1}


def test_only_may_name_an_extra(study: dict[str, Any]) -> None:
    selected = read_config({**study, "only": "multiclass_vgg16"}).selected()
    assert list(selected) == ["multiclass_vgg16"]
    assert selected["multiclass_vgg16"].model_dump()["head"][-1]["dense"] == 16


def test_class_index(study: dict[str, Any]) -> None:
    study["tasks"]["binary"]["classes"] = ["normal", "covid"]
    assert read_config(study).classes_of("binary") == ["covid", "normal"]
    assert read_config({**study, "class_index": "listed"}).classes_of("binary") == ["normal", "covid"]


def test_settings_do_not_contain_the_path_of_weights(study: dict[str, Any]) -> None:
    for written, source in {"imagenet": "imagenet", "random": "random", "/some/folder": "file"}.items():
        config = read_config({**study, "weights": written})
        assert experiment_settings(config, "multiclass_mobilenet")["weights"] == source


def test_schema_has_not_drifted(project: Path) -> None:
    committed = json.loads((project / "workflow/schemas/config.schema.json").read_text())
    assert committed == config_schema(), "run `make schema`"


@pytest.mark.parametrize("file", ["config.yaml", "studies/demo/study.yaml", "studies/sha_2021/study.yaml"])
def test_our_configs_fit_the_schema(project: Path, file: str) -> None:
    jsonschema.validate(yaml.safe_load((project / file).read_text()), config_schema())


def test_demo_has_the_experiments_of_the_study(project: Path) -> None:
    demo = read_config(study_config("demo"))
    study = read_config({**study_config(), "images": "x"})
    assert list(demo.experiments) == list(study.experiments)
    assert list(demo.extras) == ["binary_mobilenet"] and len(demo.seeds_of("binary_mobilenet")) == 6
    assert demo.phantoms is not None and demo.fetched_into() is None


STEP = "{experiment}"


def fixed_names(project: Path) -> tuple[set[str], set[str]]:
    """List the names that rules write next to the results of each name, and next to the folders of experiments."""
    rules = "\n".join(
        file.read_text() for file in [project / "workflow/Snakefile", *project.glob("workflow/rules/*.smk")]
    )
    paths = re.findall(r'"results"\) / "([^"]+)"', rules) + re.findall(r'"results/([^"]+)"', rules)
    fetched = read_config({**study_config(), "images": "published"}).fetched_into()
    shared = {path.split("/")[0] for path in [*paths, str(fetched)]}
    tracked = ["git", "ls-files", "results"]
    listed = subprocess.run(tracked, cwd=project, capture_output=True, text=True, check=True).stdout.split()
    shared |= {PurePath(name).parts[1] for name in listed}

    written = re.findall(r'RESULTS\s*/\s*f?"([^"]+)"', rules) + re.findall(r'runs\(f?"([^"]+)"\)', rules)
    below = [re.sub(r"{+(wildcards\.)?(\w+)}+", r"{\2}", path).split("/") for path in written]
    beside = set()
    for place, before in {(path.index(STEP), tuple(path[: path.index(STEP)])) for path in below if STEP in path}:
        near = {path[place] for path in below if tuple(path[:place]) == before and len(path) > place}
        beside |= {name for name in near if "{" not in name}
    return shared, beside


def test_outside_problem_20_reserved_names_are_those_that_the_rules_use(project: Path) -> None:
    shared, beside = fixed_names(project)
    assert shared == set(RESERVED_NAMES)
    assert beside == set(RESERVED_EXPERIMENTS)


@pytest.mark.parametrize("name", [*RESERVED_NAMES, *map(str.upper, RESERVED_NAMES), "Weights", "readme.md"])
def test_outside_problem_20_reserved_names_are_refused(study: dict[str, Any], name: str) -> None:
    (message,) = errors_of({**study, "name": name})
    assert message == (
        f"name: {name!r}: results/{name} is shared by all results; choose another name; reserved, in any case: "
        "benchmarks, images, locks, logs, pixels, README.md, checkpoints, weights"
    )


@pytest.mark.parametrize("section", ["experiments", "extras"])
def test_outside_problem_20_experiments_and_tasks_do_not_share_files(study: dict[str, Any], section: str) -> None:
    like = {"like": "multiclass_mobilenet"}
    study[section] = {**study[section], "Augmentation": like, "Multiclass_MobileNet": like}
    study["tasks"] = {**study["tasks"], "BINARY": {"classes": ["covid", "normal"]}}
    differs = "only by case, which some file systems ignore; choose another name"
    assert errors_of(study) == [
        f"{section}.Augmentation: results have a folder of this name; choose another; reserved, in any case: "
        "augmentation",
        f"{section}.Multiclass_MobileNet: differs from experiments.multiclass_mobilenet {differs}",
        f"tasks.BINARY: differs from tasks.binary {differs}",
    ]


@pytest.mark.parametrize(
    ("change", "folder"),
    [
        ({}, "images/sha_2021"),
        ({"image_list": "lists/mine.csv"}, "images/mine"),
        ({"images": "/data/cxr"}, None),
        ({"images": "./study"}, None),
        ({"phantoms": {}}, None),
    ],
)
def test_where_images_are_fetched_into(study: dict[str, Any], change: dict[str, Any], folder: str | None) -> None:
    assert read_config({**study, "images": "published", **change}).fetched_into() == folder


def test_a_misspelt_key_of_experiments_at_the_top_is_recognised(study: dict[str, Any]) -> None:
    assert errors_of({**study, "epohs": 3}) == [
        "epohs: unknown key; did you mean 'epochs'? That is a key of experiments."
    ]


NOT_BOOLEAN = [
    *({"override": {key: True}} for key in ("epochs", "batch_size", "learning_rate", "frozen_layers", "weight_decay")),
    *({"override": {"head": ["flatten", {key: True}]}} for key in ("dropout", "dense")),
    {"override": {"head": ["flatten", {"dense": 64, "l2": True}]}},
    {"override": {"schedule": {"kind": "step", "at": [True]}}},
    {"override": {"early_stopping": {"patience": True}}},
    *({key: True} for key in ("threads", "seeds", "validation_fraction", "save_every", "split_seed")),
    {"seeds": [False]},
    {"tsne": {"perplexity": True}},
    {"augmentation": {"rotation_range": True}},
]


@pytest.mark.parametrize("change", NOT_BOOLEAN, ids=str)
def test_outside_problem_true_and_false_are_not_numbers(study: dict[str, Any], change: dict[str, Any]) -> None:
    messages = errors_of({**study, **change})
    assert messages and all("should be a number, not true or false" in message for message in messages)


def test_outside_problem_true_is_not_a_class_weight(study: dict[str, Any]) -> None:
    weights = {"covid": True, "normal": 1}
    messages = errors_of(
        {
            **study,
            "only": "binary_inception_v3",
            "experiments": {
                **study["experiments"],
                "binary_inception_v3": {**study["experiments"]["binary_inception_v3"], "class_weights": weights},
            },
        }
    )
    assert messages == ["experiments.binary_inception_v3.class_weights: it should be a number, not true or false"]


def test_every_value_of_the_study_is_commented(project: Path) -> None:
    """Each top-level key of the config has a comment: in its line, above it, or at its first key."""
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
