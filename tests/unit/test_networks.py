"""Networks: architecture against the study's tables, preprocessing against Keras' own, frozen batch normalisation."""

import hashlib
import importlib
import json
import re
from itertools import takewhile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from cxrflow.io.errors import UserError
from cxrflow.networks import load
from cxrflow.networks.backbones import backbone_module, make_backbone, preprocessing_layers
from cxrflow.networks.build import build_network, feature_layer
from cxrflow.networks.first_layer import first_layer_spread
from cxrflow.networks.load import load_network
from cxrflow.networks.parameters import network_parameters
from cxrflow.networks.weights import find_weights
from cxrflow.stages.check_network import check_saved, describe_network, parameter_counts, refuse_too_large
from cxrflow.stages.describe_networks import backbone_parameters
from cxrflow.study.fields import BACKBONES
from cxrflow.study.head import Head
from cxrflow.study.read import read_config
from cxrflow.study.settings import experiment_settings
from keras.src.utils import file_utils
from pydantic import TypeAdapter
from study_config import study_config

EXPERIMENTS = ("binary_inception_v3", "multiclass_inception_v3", "multiclass_mobilenet")


def settings_of(project: Path, experiment: str, **changes: Any) -> dict[str, Any]:
    config = read_config({**study_config(), "images": "x"})
    return {**experiment_settings(config, experiment), **changes}


@pytest.fixture(scope="module")
def described(project: Path) -> dict[str, dict[str, Any]]:
    """The study's three networks, built at full size."""
    return {name: describe_network(settings_of(project, name)) for name in EXPERIMENTS}


@pytest.fixture(scope="module")
def claims(project: Path) -> pd.DataFrame:
    """The study's statements about architecture, by id."""
    table = pd.read_csv(project / "studies/sha_2021/claims.csv", dtype="string").set_index("id")
    return table[table["kind"] == "architecture"]


PREFIXES = {
    "binary": "binary_inception_v3",
    "multi_inception": "multiclass_inception_v3",
    "multi_mobilenet": "multiclass_mobilenet",
}


@pytest.mark.parametrize("count", ["total", "trainable", "non_trainable"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_architecture_parameters_of_the_whole(
    described: dict[str, Any], claims: pd.DataFrame, prefix: str, count: str
) -> None:
    reported = claims.loc[f"{prefix}_{count.replace('non_trainable', 'frozen')}_params", "value"]
    assert described[PREFIXES[prefix]]["parameters"][count] == int(reported)


@pytest.mark.parametrize(
    ("claim", "experiment", "block"),
    [
        ("binary_base_params", "binary_inception_v3", "backbone"),
        ("binary_dense128_params", "binary_inception_v3", "head"),
        ("binary_dense32_params", "binary_inception_v3", "last_hidden"),
        ("binary_output_params", "binary_inception_v3", "output"),
        ("multi_inception_base_params", "multiclass_inception_v3", "backbone"),
        ("multi_inception_head_params", "multiclass_inception_v3", "head"),
        ("multi_inception_hidden_params", "multiclass_inception_v3", "last_hidden"),
        ("multi_inception_output_params", "multiclass_inception_v3", "output"),
        ("multi_mobilenet_base_params", "multiclass_mobilenet", "backbone"),
        ("multi_mobilenet_head_params", "multiclass_mobilenet", "head"),
        ("multi_mobilenet_hidden_params", "multiclass_mobilenet", "last_hidden"),
        ("multi_mobilenet_output_params", "multiclass_mobilenet", "output"),
    ],
)
def test_architecture_parameters_of_each_block(
    described: dict[str, Any], claims: pd.DataFrame, claim: str, experiment: str, block: str
) -> None:
    blocks = {one["block"]: one["parameters"] for one in described[experiment]["blocks"]}
    assert blocks[block] == int(claims.loc[claim, "value"])
    assert sum(blocks.values()) == described[experiment]["parameters"]["total"]


def test_architecture_layers_and_shapes(described: dict[str, Any], claims: pd.DataFrame) -> None:
    for prefix, experiment in (("inception", "multiclass_inception_v3"), ("mobilenet", "multiclass_mobilenet")):
        assert described[experiment]["backbone_layers"] == int(claims.loc[f"{prefix}_layers", "value"])
        shape = "x".join(map(str, described[experiment]["backbone_output_shape"]))
        assert shape == claims.loc[f"{prefix}_output", "value"]
    kinds = {name: one["layer_kinds"] for name, one in described.items()}
    assert kinds["multiclass_mobilenet"]["DepthwiseConv2D"] == 13
    assert "DepthwiseConv2D" not in kinds["multiclass_inception_v3"]
    assert described["binary_inception_v3"]["first_dense_parameters"] == {"average": 262272, "flatten": 6553728}


def test_architecture_backbones_with_and_without_top() -> None:
    assert backbone_parameters("MobileNet") == {"with_top": 4253864, "without_top": 3228864}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("input_scaling", ["backbone", "double"])
def test_preprocessing_is_the_backbones_own(backbone: str, input_scaling: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    entry = keras.Input((8, 8, 3))
    model = keras.Model(entry, preprocessing_layers(backbone, input_scaling, entry))
    scaled = pixels / 255 if input_scaling == "double" else pixels
    wanted = backbone_module(backbone).preprocess_input(scaled.copy())
    np.testing.assert_allclose(model.predict_on_batch(pixels), wanted, atol=2e-4, rtol=1e-5)


# Backbones that do not accept images of 32 pixels.
SMALLEST = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71, "NASNetMobile": 224, "NASNetLarge": 331}

# Layers by which backbones scale their input, and the range that they produce from pixels of 0 and 255 in the first channel;
# with random weights, since EfficientNet's Normalization stores mean and variance with the weights.
SCALED_UP, CENTRED, STANDARDISED = (0.0, 2.0897), (-1.0, 1.0), (-2.1179, 2.2489)
CAFFE, CENTRED_AT_128 = (-103.939, 151.061), (-1.0, 0.9922)
SCALED_INSIDE = {
    **{f"EfficientNetB{n}": (["Rescaling", "Normalization", "Rescaling"], SCALED_UP) for n in range(8)},
    **{f"EfficientNetV2B{n}": (["Rescaling", "Normalization"], STANDARDISED) for n in range(4)},
    **{f"EfficientNetV2{size}": (["Rescaling"], CENTRED_AT_128) for size in "SML"},
    **{f"MobileNetV3{size}": (["Rescaling"], CENTRED) for size in ("Small", "Large")},
    **{f"ConvNeXt{size}": (["Normalization"], STANDARDISED) for size in ("Tiny", "Small", "Base", "Large", "XLarge")},
}
SCALED_BEFORE: dict[str, tuple[list[str], tuple[float, float]]] = {
    **{f"DenseNet{layers}": ([], STANDARDISED) for layers in (121, 169, 201)},
    **dict.fromkeys(["InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2", "Xception"], ([], CENTRED)),
    **dict.fromkeys(["NASNetMobile", "NASNetLarge", "ResNet50V2", "ResNet101V2", "ResNet152V2"], ([], CENTRED)),
    **dict.fromkeys(["ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19"], ([], CAFFE)),
}
INPUT_SCALINGS = SCALED_INSIDE | SCALED_BEFORE
LONG = [pytest.mark.slow, pytest.mark.long]
QUICK = ("EfficientNetB0", "MobileNetV3Small", "ConvNeXtTiny", "MobileNet", "VGG16")
# The smallest network of each family; the others have the same code with other sizes.
FAMILIES = (
    *(
        "ConvNeXtTiny",
        "DenseNet121",
        "EfficientNetB0",
        "EfficientNetV2B0",
        "InceptionResNetV2",
        "InceptionV3",
        "MobileNet",
    ),
    *("MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50", "ResNet50V2", "VGG16", "Xception"),
)


def test_every_backbone_is_of_a_family() -> None:
    stems = {name.rstrip("0123456789").removesuffix("B") for name in FAMILIES}
    stems |= {"ConvNeXt", "DenseNet", "EfficientNetV2", "MobileNetV3", "NASNet", "ResNet", "VGG"}
    assert [name for name in BACKBONES if not name.startswith(tuple(stems))] == []


def test_there_is_a_range_for_every_backbone() -> None:
    assert sorted(INPUT_SCALINGS) == sorted(BACKBONES)


@pytest.mark.parametrize("backbone", [name if name in QUICK else pytest.param(name, marks=LONG) for name in FAMILIES])
def test_double_scaling_reduces_the_contrast_to_a_255th(backbone: str) -> None:
    """Measured after preprocess_input and after the layers by which the backbone scales its input."""
    layers, (low, high) = INPUT_SCALINGS[backbone]
    built = make_backbone(backbone, SMALLEST.get(backbone, 32))
    inside = list(
        takewhile(
            lambda layer: isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization), built.layers[1:]
        )
    )
    assert [type(layer).__name__ for layer in inside] == layers
    pixels = np.repeat(np.array([0, 255], dtype=np.float32), 3).reshape(2, 1, 1, 3)
    ranges = {}
    for input_scaling in ("backbone", "double"):
        entry = keras.Input((1, 1, 3))
        scaled = preprocessing_layers(backbone, input_scaling, entry)
        for layer in inside:
            scaled = layer(scaled)
        dark, light = (
            np.asarray(keras.Model(entry, scaled)(pixels))[:, 0, 0, 0] if scaled is not entry else pixels[:, 0, 0, 0]
        )
        ranges[input_scaling] = (float(dark), float(light))
    assert ranges["backbone"] == pytest.approx((low, high), abs=1e-3)
    assert ranges["double"][0] == pytest.approx(low, abs=1e-3)
    assert ranges["double"][1] - ranges["double"][0] == pytest.approx((high - low) / 255, rel=2e-3)
    assert ranges["double"][1] - ranges["double"][0] < 0.005 * (high - low)


@pytest.mark.parametrize("backbone", [name if name in QUICK else pytest.param(name, marks=LONG) for name in FAMILIES])
def test_layers_are_those_of_a_backbone_with_imagenet_weights(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some backbones have another layer with weights="imagenet"; the download and its weights are left out here."""
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: "no file")
    monkeypatch.setattr(keras.Model, "load_weights", lambda *_, **__: None)
    size = SMALLEST.get(backbone, 32)
    options = {"input_shape": (size, size, 3)} if "NASNet" not in backbone else {}
    published = getattr(keras.applications, backbone)(include_top=False, weights="imagenet", **options)
    assert [layer_settings(layer) for layer in make_backbone(backbone, size).layers] == [
        layer_settings(layer) for layer in published.layers
    ]


def layer_settings(layer: keras.Layer) -> tuple[str, str]:
    """Class and settings of a layer, without the names of layers, which are numbered."""
    return type(layer).__name__, re.sub(r'"name": "[^"]*"', "", json.dumps(layer.get_config(), default=str))


@pytest.mark.parametrize("backbone", ["EfficientNetB0", "MobileNet", "VGG16"])
def test_unit_scaling_is_a_division_by_255(backbone: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    entry = keras.Input((8, 8, 3))
    model = keras.Model(entry, preprocessing_layers(backbone, "unit", entry))
    assert [layer.name for layer in model.layers[1:]] == ["rescaling"]
    np.testing.assert_allclose(model.predict_on_batch(pixels), pixels / 255, rtol=1e-6)


def small(project: Path, **changes: Any) -> dict[str, Any]:
    return settings_of(project, "multiclass_mobilenet", image_size=32, weights="random", **changes)


def moving_statistics(model: keras.Model) -> list[np.ndarray]:
    backbone = next(layer for layer in model.layers if layer.name.startswith("mobilenet"))
    return [
        np.asarray(statistic)
        for layer in backbone.layers
        if hasattr(layer, "moving_mean")
        for statistic in (layer.moving_mean, layer.moving_variance)
    ]


def one_step(model: keras.Model) -> None:
    random = np.random.default_rng(0)
    # Eagerly: building a graph of these layers takes longer than their one step.
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(random.uniform(0, 255, (8, 32, 32, 3)), np.eye(4)[random.integers(0, 4, 8)])


@pytest.mark.parametrize("reading", ["train", "inference"])
def test_backbone_batchnorm_moves_its_averages_only_when_it_trains(project: Path, reading: str) -> None:
    settings = small(project, backbone_batchnorm=reading, frozen_layers=0, input_scaling="backbone")
    model = build_network(settings, seed=1)
    before = moving_statistics(model)
    one_step(model)
    moved = [not np.array_equal(old, new) for old, new in zip(before, moving_statistics(model), strict=True)]
    assert len(moved) == 54
    assert all(moved) if reading == "train" else not any(moved)


def test_both_readings_of_batchnorm_train_as_many_parameters(project: Path) -> None:
    """The scales are trained in both, so the study's counts fit both."""
    train, inference = (
        parameter_counts(build_network(small(project, backbone_batchnorm=reading), seed=0))
        for reading in ("train", "inference")
    )
    assert train == inference


def test_frozen_batchnorm_keeps_its_averages(project: Path) -> None:
    model = build_network(small(project, frozen_layers=20), seed=1)
    before = moving_statistics(model)
    one_step(model)
    moved = [not np.array_equal(old, new) for old, new in zip(before, moving_statistics(model), strict=True)]
    frozen = [layer for layer in model.layers[-4].layers[:20] if hasattr(layer, "moving_mean")]
    assert len(frozen) == 6
    assert moved == [False] * 12 + [True] * 42


def test_the_plain_network_says_the_same(project: Path) -> None:
    settings = small(project, backbone_batchnorm="inference")
    training, plain = build_network(settings, seed=1), build_network(settings, seed=2, for_training=False)
    plain.set_weights(training.get_weights())
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
    np.testing.assert_array_equal(training.predict_on_batch(pixels), plain.predict_on_batch(pixels))


def test_a_saved_network_needs_only_keras(project: Path, tmp_path: Path) -> None:
    model = build_network(small(project, backbone_batchnorm="inference"), seed=1, for_training=False)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
    np.testing.assert_array_equal(model.predict_on_batch(pixels), again.predict_on_batch(pixels))


@pytest.mark.parametrize(
    "backbone",
    [
        "VGG16",
        pytest.param("ResNet50V2", marks=pytest.mark.slow),
        pytest.param("EfficientNetB0", marks=pytest.mark.slow),
        "MobileNetV3Small",
    ],
)
def test_other_backbones_are_built_and_saved(project: Path, tmp_path: Path, backbone: str) -> None:
    settings = small(project, backbone=backbone, frozen_layers=3, input_scaling="backbone")
    model = build_network(settings, seed=0, for_training=False)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    out = again.predict_on_batch(np.full((2, 32, 32, 3), 127.0))
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", FAMILIES)
@pytest.mark.long
def test_every_family_of_backbones_is_loaded_after_it_was_saved(project: Path, tmp_path: Path, backbone: str) -> None:
    settings = settings_of(project, "binary_inception_v3", backbone=backbone, weights="random", frozen_layers=0)
    settings |= {"image_size": SMALLEST.get(backbone, 32), "backbone_batchnorm": "inference"}
    check_saved(settings, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("module", "name"), load.BACKBONE_LAYERS)
def test_layers_of_backbones_are_loaded(tmp_path: Path, module: str, name: str) -> None:
    """Including every layer of a backbone that is not in keras.layers."""
    kind = vars(importlib.import_module(module))[name]
    entry = keras.Input((4,))
    values = {"LayerScale": {"init_values": 0.5, "projection_dim": 4}, "CustomScaleLayer": {"scale": 0.25}}[name]
    scaled = kind(**values)([entry, entry] if name == "CustomScaleLayer" else entry)
    keras.Model(entry, scaled).save(tmp_path / "model.keras")
    numbers = np.arange(8, dtype=np.float32).reshape(2, 4)
    wanted = numbers * {"LayerScale": 0.5, "CustomScaleLayer": 1.25}[name]
    np.testing.assert_array_equal(load_network(tmp_path / "model.keras")(numbers), wanted)


def test_a_network_is_saved_and_loaded_before_it_is_trained(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small(project, backbone="VGG16", frozen_layers=0)
    check_saved(settings, tmp_path)
    monkeypatch.setattr(load, "PARTS", ("keras.initializers",))
    with pytest.raises(
        UserError, match=r"^backbone: VGG16: .*could not be evaluated after the training: holds keras.layers"
    ):
        check_saved(settings, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_network_loaded_with_other_weights_is_refused(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_another_number(path: Path) -> keras.Model:
        model = load_network(path)
        weights = model.get_weights()
        weights[-1][0] += 1
        model.set_weights(weights)
        return model

    monkeypatch.setattr("cxrflow.stages.check_network.load_network", with_another_number)
    with pytest.raises(UserError, match="its weights are different after saving and loading"):
        check_saved(small(project, backbone="VGG16", frozen_layers=0), tmp_path)


def test_a_head_larger_than_memory_is_refused_before_it_is_built(project: Path) -> None:
    settings = small(project)
    parameters = network_parameters(settings, 4)
    refuse_too_large(settings, 8 * parameters)
    with pytest.raises(UserError) as caught:
        refuse_too_large(settings, 8 * parameters - 1)
    settings["head"] = head_of("flatten", {"dense": 2_000_000_000}, {"dense": 128})
    with pytest.raises(UserError, match=r"head \[flatten, {dense: 2000000000}, {dense: 128}\] .*machine has 16.0 GB;"):
        refuse_too_large(settings, 16 * 10**9)
    (message,) = caught.value.messages
    head = "[flatten, {dense: 512}, {dropout: 0.5}, {dense: 128}, {dense: 32}]"
    assert message.startswith(f"head: MobileNet at image_size 32 with head {head} has about")
    assert message.endswith("choose fewer units, average_pooling or a smaller backbone")


def head_of(*layers: Any) -> list[Any]:
    """Write a head as in an experiment's settings."""
    read = TypeAdapter(Head).validate_python(list(layers))
    return [layer if isinstance(layer, str) else layer.model_dump() for layer in read]


TWO_CONVOLUTIONS = (
    {"conv": 256},
    {"conv": 256},
    "flatten",
    {"dropout": 0.25},
    {"dense": 256, "name": "dense_feature"},
    {"dropout": 0.25},
)


def test_the_published_counts_of_a_vgg16_with_two_convolutions(project: Path) -> None:
    """From the summaries of the second study: task 1 (dense_feature of 256) and task 2 (512)."""
    settings = settings_of(
        project, "binary_inception_v3", backbone="VGG16", frozen_layers=19, head=head_of(*TWO_CONVOLUTIONS)
    )
    described = describe_network(settings)
    layers = {one["name"]: (one["kind"], one["output_shape"], one["parameters"]) for one in described["layers"]}
    assert layers == {
        "conv_1": ("conv", [7, 7, 256], 1_179_904),
        "conv_2": ("conv", [7, 7, 256], 590_080),
        "flatten": ("flatten", [12_544], 0),
        "dropout": ("dropout", [12_544], 0),
        "dense_feature": ("dense", [256], 3_211_520),
        "dropout_2": ("dropout", [256], 0),
        "output": ("dense", [1], 257),
    }
    blocks = {one["block"]: (one["name"], one["parameters"]) for one in described["blocks"]}
    assert blocks == {
        "backbone": ("vgg16", 14_714_688),
        "head": ("head", 1_769_984),
        "last_hidden": ("dense_feature", 3_211_520),
        "output": ("output", 257),
    }
    counts = {"total": 19_696_449, "trainable": 4_981_761, "non_trainable": 14_714_688}
    assert described["parameters"] == counts
    assert network_parameters(settings, 2) == 19_696_449
    second = head_of(*TWO_CONVOLUTIONS[:4], {"dense": 512}, {"dropout": 0.25})
    of_four = {**settings_of(project, "multiclass_mobilenet", backbone="VGG16"), "head": second}
    assert network_parameters(of_four, 4) == 22_909_764


HEADS = {
    "valid": ({"conv": 4, "padding": "valid"}, {"conv": 5, "kernel": 2, "padding": "valid"}, "flatten", {"dense": 3}),
    "max": ({"conv": 4, "kernel": 5}, "max_pooling", {"dense": 3}, {"dense": 2}),
    "no Dense": ({"dropout": 0.5}, "average_pooling", {"dropout": 0.25}),
    "one Dense": ("average_pooling", {"dense": 7, "name": "map"}, {"dropout": 0.1}, {"dropout": 0.1}),
}


@pytest.mark.parametrize(
    ("head", "features"),
    [
        pytest.param(HEADS["valid"], "last_hidden", id="valid"),
        pytest.param(HEADS["max"], "last_hidden", id="max", marks=pytest.mark.slow),
        pytest.param(HEADS["no Dense"], "head", id="no Dense"),
        pytest.param(HEADS["one Dense"], "map", id="one Dense", marks=pytest.mark.slow),
    ],
)
def test_a_head_of_layers(project: Path, tmp_path: Path, head: tuple[Any, ...], features: str) -> None:
    """Built, counted beforehand, saved and loaded; its features are found by their place, not by a name."""
    settings = small(project, head=head_of(*head)) | {"image_size": 128}
    described = describe_network(settings)
    assert described["parameters"]["total"] == network_parameters(settings, 4)
    assert sum(one["parameters"] for one in described["blocks"]) == described["parameters"]["total"]
    check_saved(settings, tmp_path)
    model = build_network(settings, seed=0, for_training=False)
    model.save(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 128, 128, 3))
    found = []
    for network in (model, load_network(tmp_path / "model.keras")):
        layer, output = feature_layer(network)
        assert layer.name == features
        found.append(keras.Model(network.input, output).predict_on_batch(pixels))
    np.testing.assert_array_equal(*found)
    by_hand = found[0] @ model.get_layer("output").kernel.numpy() + model.get_layer("output").bias.numpy()
    np.testing.assert_allclose(keras.ops.softmax(by_hand), model.predict_on_batch(pixels), rtol=1e-5)


def test_layers_are_as_the_head_says(project: Path) -> None:
    head = head_of(
        {"conv": 4, "l2": 0.01, "activation": "tanh"}, "flatten", {"dense": 8}, {"dense": 3, "l2": 0.1, "name": "map"}
    )
    model = build_network(small(project, head=head, head_initialisation="he_normal"), seed=0)
    conv, _, dense = model.get_layer("head").layers
    last = model.get_layer("map")
    assert (conv.name, conv.filters, conv.kernel_size, conv.padding) == ("conv_1", 4, (3, 3), "same")
    assert [layer.activation.__name__ for layer in (conv, dense, last)] == ["tanh", "relu", "relu"]
    assert [type(layer.kernel_initializer).__name__ for layer in (conv, dense, last)] == ["HeNormal"] * 3
    assert dense.kernel_regularizer is None
    assert [float(layer.kernel_regularizer.l2) for layer in (conv, last)] == pytest.approx([0.01, 0.1])
    penalty = 0.01 * np.square(conv.kernel.numpy()).sum() + 0.1 * np.square(last.kernel.numpy()).sum()
    assert float(sum(model.losses)) == pytest.approx(float(penalty), rel=1e-5)


def test_a_kernel_larger_than_its_input_is_refused(project: Path) -> None:
    head = head_of({"conv": 4, "padding": "valid"}, {"conv": 4, "padding": "valid"}, "flatten")
    with pytest.raises(UserError, match="head: conv_2: kernel 3 is larger than its input, 2 x 2; use padding: same"):
        build_network(small(project, head=head) | {"image_size": 128}, seed=0)


INITIAL_WEIGHTS = {
    "average": "39968090829d052185e00f3adaeade7b",
    "flatten": "25900579053ee905a02e0d4ed4972738",
    "double": "9a26e6d3d2230813c005a8dcac60942e",
}


@pytest.mark.parametrize("network", INITIAL_WEIGHTS)
def test_initial_weights_are_those_of_the_first_version(network: str) -> None:
    """The hashes were taken from the code that had pooling, dense_units, dropout and last_hidden_units as keys."""
    settings = {
        **{"backbone": "MobileNet", "image_size": 32, "frozen_layers": 80, "classes": ["a", "b", "c"]},
        **{"head_initialisation": "glorot_uniform", "batchnorm_momentum": 0.9, "precision": "float32"},
        **{"input_scaling": "backbone", "backbone_batchnorm": "train", "loss": "categorical_crossentropy"},
        "head": head_of("flatten", {"dense": 16}, {"dropout": 0.0}, {"dense": 12}, {"dense": 8}),
    }
    if network == "average":
        settings["head"] = head_of("average_pooling", {"dense": 16}, {"dropout": 0.3}, {"dense": 8})
    if network == "double":
        settings |= {"input_scaling": "double", "backbone_batchnorm": "inference", "loss": "binary_crossentropy"}
    model = build_network(settings, seed=7)
    digest = hashlib.blake2b(digest_size=16)
    for variable in model.variables:  # the seeds of dropout are among them
        values = np.ascontiguousarray(variable.numpy())
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(values.data)
    assert digest.hexdigest() == INITIAL_WEIGHTS[network]
    assert [layer.name for layer in model.layers[-3:]] == ["head", "last_hidden", "output"]
    dense = ["dense_1", "dropout"] if network == "average" else ["dense_1", "dropout", "dense_2"]
    assert [layer.name for layer in model.get_layer("head").layers][1:] == dense


def test_same_seed_same_weights(project: Path) -> None:
    first, second, other = (build_network(small(project), seed).get_weights() for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_batchnorm_momentum(project: Path) -> None:
    def momenta(**changes: Any) -> set[float]:
        model = build_network(small(project, **changes), seed=0)
        layers = model._flatten_layers()
        return {layer.momentum for layer in layers if isinstance(layer, keras.layers.BatchNormalization)}

    assert momenta() == {0.99}
    assert momenta(batchnorm_momentum=0.8) == {0.8}
    assert momenta(batchnorm_momentum=0.8, backbone_batchnorm="inference") == {0.8}


def test_batchnorm_momentum_weighs_what_was_before(project: Path) -> None:
    """The moving mean m, 0 at first, becomes momentum * m + (1 - momentum) * mean of the batch."""
    model = build_network(small(project, batchnorm_momentum=0.75, frozen_layers=0), seed=0)
    layer = next(one for one in model._flatten_layers() if isinstance(one, keras.layers.BatchNormalization))
    first, second = np.random.default_rng(0).normal(3, 1, (2, 4, 5, 5, layer.moving_mean.shape[0])).astype(np.float32)
    for batch in (first, second):
        layer(batch, training=True)
    means = [batch.mean(axis=(0, 1, 2)) for batch in (first, second)]
    np.testing.assert_allclose(np.asarray(layer.moving_mean), 0.75 * 0.25 * means[0] + 0.25 * means[1], rtol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_applies_to_computation_only(project: Path, precision: str) -> None:
    """Weights, pixels and probabilities are float32 for any precision."""
    settings = small(project, precision=precision, input_scaling="backbone")
    model = build_network(settings, seed=0)
    kinds = {layer.name: layer.compute_dtype for layer in model.layers}
    scaling, backbone, head, last_hidden, output = list(kinds)[1:]
    assert (head, last_hidden, output) == ("head", "last_hidden", "output")
    assert {kinds[name] for name in (backbone, head, last_hidden)} == {precision}
    assert {kinds[name] for name in (scaling, output)} == {"float32"}
    inner = {layer.compute_dtype for name in (backbone, head) for layer in model.get_layer(name).layers}
    assert inner == {precision}
    assert {str(variable.dtype) for variable in model.weights} == {"float32"}
    assert model.output.dtype == "float32"


def test_errors_of_networks(project: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="frozen_layers: 87 is more than the 86 layers of MobileNet"):
        build_network(small(project, frozen_layers=87), seed=0)
    with pytest.raises(UserError, match=r"InceptionV3 at image_size 32: .*75"):
        build_network(small(project, backbone="InceptionV3"), seed=0)
    (tmp_path / "MobileNet.weights.h5").write_bytes(b"not HDF5")
    with pytest.raises(UserError, match="not weights of MobileNet without top"):
        build_network(small(project), seed=0, weights=tmp_path / "MobileNet.weights.h5")


def test_weights_are_loaded_into_the_backbone(project: Path, study_weights: Path) -> None:
    file = find_weights(str(study_weights), "MobileNet")
    assert file is not None
    peer = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(64, 64, 3))
    peer.load_weights(file)
    model = build_network(small(project) | {"image_size": 64}, seed=0, weights=file)
    backbone = next(layer for layer in model.layers if layer.name.startswith("mobilenet"))
    for ours, theirs in zip(backbone.get_weights(), peer.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_of_another_network_are_reported(project: Path, study_weights: Path) -> None:
    file = find_weights(str(study_weights), "InceptionV3")
    with pytest.raises(UserError, match="not weights of MobileNet without top"):
        build_network(small(project), seed=0, weights=file)


@pytest.mark.parametrize("source", ["imagenet", "random"])
def test_sources_without_a_file(source: str) -> None:
    assert find_weights(source, "MobileNet") is None


def test_a_folder_of_weights(tmp_path: Path) -> None:
    for name in ("mobilenet_1_0.weights.h5", "mobilenet_v2_x.h5", "inception_v3.h5", "notes.txt"):
        (tmp_path / name).write_text("")
    assert find_weights(str(tmp_path), "MobileNet") == tmp_path / "mobilenet_1_0.weights.h5"
    assert find_weights(str(tmp_path), "MobileNetV2") == tmp_path / "mobilenet_v2_x.h5"
    assert find_weights(str(tmp_path / "inception_v3.h5"), "VGG16") == tmp_path / "inception_v3.h5"
    with pytest.raises(UserError, match=r"no file for VGG16 .*found: inception_v3\.h5"):
        find_weights(str(tmp_path), "VGG16")
    (tmp_path / "MobileNet.h5").write_text("")
    with pytest.raises(UserError, match="several files for MobileNet"):
        find_weights(str(tmp_path), "MobileNet")
    with pytest.raises(UserError, match="no such file or folder"):
        find_weights(str(tmp_path / "nowhere"), "MobileNet")
    with pytest.raises(UserError, match=r"must end in \.weights\.h5"):
        find_weights(str(tmp_path / "notes.txt"), "MobileNet")


@pytest.mark.parametrize("backbone", ["MobileNet", "ResNet50", "EfficientNetB0"])
def test_the_first_layer_shows_how_much_contrast_a_scaling_leaves(backbone: str) -> None:
    """`double` leaves 1/255 of it; `unit` half of it where the backbone takes -1 to 1, and 1/255 where it takes 0 to 255."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1), dtype=np.uint8).repeat(3, axis=3)
    built = make_backbone(backbone, 32)
    own, unit, double = (first_layer_spread(built, backbone, one, pixels) for one in ("backbone", "unit", "double"))
    assert double / own == pytest.approx(1 / 255, rel=0.02)
    assert unit / own == pytest.approx(0.5 if backbone == "MobileNet" else 1 / 255, rel=0.02)
