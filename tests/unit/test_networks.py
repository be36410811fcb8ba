"""Networks: architecture against the study's tables, preprocessing against Keras' own, batch normalisation held still."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from cxrflow.check_network import describe_network, parameter_counts
from cxrflow.config.backbones import BACKBONES
from cxrflow.config.read import read_config, read_yaml
from cxrflow.config.settings import experiment_settings
from cxrflow.describe_networks import backbone_parameters
from cxrflow.networks.backbones import backbone_module
from cxrflow.networks.build import build_network
from cxrflow.networks.preprocessing import preprocessing_layers
from cxrflow.networks.weights import find_weights
from cxrflow.stage.faults import Fault

EXPERIMENTS = ("binary_inception_v3", "multiclass_inception_v3", "multiclass_mobilenet")


def settings_of(project: Path, experiment: str, **changes: Any) -> dict[str, Any]:
    config = read_config({**read_yaml(project / "config.yaml"), "images": "x"})
    return {**experiment_settings(config, experiment), **changes}


@pytest.fixture(scope="module")
def described(project: Path) -> dict[str, dict[str, Any]]:
    """The study's three networks, built at full size."""
    return {name: describe_network(settings_of(project, name)) for name in EXPERIMENTS}


@pytest.fixture(scope="module")
def claims(project: Path) -> pd.DataFrame:
    """The study's statements about architecture, by id."""
    table = pd.read_csv(project / "workflow/resources/claims.csv", dtype="string").set_index("id")
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
    told = claims.loc[f"{prefix}_{count.replace('non_trainable', 'frozen')}_params", "value"]
    assert described[PREFIXES[prefix]]["parameters"][count] == int(told)


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
@pytest.mark.parametrize("input_scaling", ["imagenet", "study"])
def test_preprocessing_is_the_backbones_own(backbone: str, input_scaling: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    entry = keras.Input((8, 8, 3))
    model = keras.Model(entry, preprocessing_layers(backbone, input_scaling, entry))
    scaled = pixels / 255 if input_scaling == "study" else pixels
    wanted = backbone_module(backbone).preprocess_input(scaled.copy())
    np.testing.assert_allclose(model.predict_on_batch(pixels), wanted, atol=2e-4, rtol=1e-5)


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
    # Eagerly: to make a graph of so many layers takes longer than their one step.
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(random.uniform(0, 255, (8, 32, 32, 3)), np.eye(4)[random.integers(0, 4, 8)])


@pytest.mark.parametrize("reading", ["train", "inference"])
def test_backbone_batchnorm_moves_its_averages_only_when_it_trains(project: Path, reading: str) -> None:
    settings = small(project, backbone_batchnorm=reading, frozen_layers=0, input_scaling="imagenet")
    model = build_network(settings, seed=1)
    before = moving_statistics(model)
    one_step(model)
    moved = [not np.array_equal(old, new) for old, new in zip(before, moving_statistics(model), strict=True)]
    assert len(moved) == 54
    assert all(moved) if reading == "train" else not any(moved)


def test_both_readings_of_batchnorm_train_as_many_parameters(project: Path) -> None:
    """The scales train in both: the study's counts hold for both, and cannot tell them apart."""
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


def test_a_saved_network_needs_nothing_of_ours(project: Path, tmp_path: Path) -> None:
    model = build_network(small(project, backbone_batchnorm="inference"), seed=1, for_training=False)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
    np.testing.assert_array_equal(model.predict_on_batch(pixels), again.predict_on_batch(pixels))


@pytest.mark.parametrize("backbone", ["VGG16", "ResNet50V2", "EfficientNetB0", "MobileNetV3Small"])
def test_other_backbones_are_built_and_saved(project: Path, tmp_path: Path, backbone: str) -> None:
    settings = small(project, backbone=backbone, frozen_layers=3, input_scaling="imagenet")
    model = build_network(settings, seed=0, for_training=False)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    out = again.predict_on_batch(np.full((2, 32, 32, 3), 127.0))
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=1e-5)


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
def test_precision_is_that_of_what_is_computed(project: Path, precision: str) -> None:
    """Weights, pixels and probabilities are float32 in any."""
    settings = small(project, precision=precision, input_scaling="imagenet")
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


def test_faults_of_networks(project: Path, tmp_path: Path) -> None:
    with pytest.raises(Fault, match="frozen_layers: 87 is more than the 86 layers of MobileNet"):
        build_network(small(project, frozen_layers=87), seed=0)
    with pytest.raises(Fault, match=r"InceptionV3 at image_size 32: .*75"):
        build_network(small(project, backbone="InceptionV3"), seed=0)
    (tmp_path / "MobileNet.weights.h5").write_bytes(b"not HDF5")
    with pytest.raises(Fault, match="not weights of MobileNet without top"):
        build_network(small(project), seed=0, weights=tmp_path / "MobileNet.weights.h5")


def test_weights_reach_the_backbone(project: Path, study_weights: Path) -> None:
    file = find_weights(str(study_weights), "MobileNet")
    assert file is not None
    peer = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(64, 64, 3))
    peer.load_weights(file)
    model = build_network(small(project) | {"image_size": 64}, seed=0, weights=file)
    backbone = next(layer for layer in model.layers if layer.name.startswith("mobilenet"))
    for ours, theirs in zip(backbone.get_weights(), peer.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_of_another_network_are_told(project: Path, study_weights: Path) -> None:
    file = find_weights(str(study_weights), "InceptionV3")
    with pytest.raises(Fault, match="not weights of MobileNet without top"):
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
    with pytest.raises(Fault, match=r"no file for VGG16 .*found: inception_v3\.h5"):
        find_weights(str(tmp_path), "VGG16")
    (tmp_path / "MobileNet.h5").write_text("")
    with pytest.raises(Fault, match="more than one file for MobileNet"):
        find_weights(str(tmp_path), "MobileNet")
    with pytest.raises(Fault, match="no such file or folder"):
        find_weights(str(tmp_path / "nowhere"), "MobileNet")
    with pytest.raises(Fault, match=r"must end in \.weights\.h5"):
        find_weights(str(tmp_path / "notes.txt"), "MobileNet")
