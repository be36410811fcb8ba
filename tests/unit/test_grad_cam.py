"""Grad-CAM: an independent computation on flat networks, known answers, and every kind of backbone."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from cxrflow.explanations.grad_cam import coarse_heat, enlarged, feature_maps, grad_cam, is_constant, split_network
from cxrflow.io.errors import UserError
from cxrflow.networks.build import build_network
from cxrflow.networks.load import load_network

DENSE = {"kind": "dense", "dense": 5, "l2": 0, "activation": "relu", "name": None}
CONV = {"kind": "conv", "conv": 4, "kernel": 3, "padding": "same", "l2": 0, "activation": "relu", "name": None}


def network_of(backbone: str, size: int, **changes: Any) -> keras.Model:
    settings = {
        **{"backbone": backbone, "image_size": size, "frozen_layers": 3, "classes": ["a", "b", "c"]},
        **{"head_initialisation": "glorot_uniform", "batchnorm_momentum": None, "precision": "float32"},
        **{"input_scaling": "backbone", "backbone_batchnorm": "train", "loss": "categorical_crossentropy"},
        "head": ["average_pooling", DENSE],
    }
    return build_network({**settings, **changes}, seed=1, for_training=False)


def pictures_of(size: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def layers_in_order(model: keras.Model) -> list[Any]:
    """All layers of a chain of nested models, without the nesting."""
    return [part for layer in model.layers for part in (layer.layers if isinstance(layer, keras.Model) else [layer])]


def grad_cam_of_peer(model: keras.Model, pictures: np.ndarray, classes: list[int]) -> np.ndarray:
    """Grad-CAM as in the paper, by running the network in one piece and taking gradients of the whole."""
    backbone = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    place = model.layers.index(backbone)
    heats = []
    for picture, chosen in zip(pictures, classes, strict=True):
        x = tf.constant(picture[None], tf.float32)
        with tf.GradientTape() as tape:
            if backbone.name == "vgg16":  # expects BGR; Keras flips outside of its list of layers
                x = tf.reverse(x, axis=[-1])
            for layer in model.layers[1:place]:
                x = layer(x)
            maps = backbone(x, training=False)
            x = maps
            for layer in layers_in_order(model)[len(layers_in_order(model)) - tail_of(model, place) : -1]:
                x = x if isinstance(layer, keras.layers.InputLayer) else layer(x, training=False)
            last = model.layers[-1]
            scores = tf.linalg.matmul(x, last.kernel) + last.bias
            one = scores[0, chosen] if last.units > 1 else scores[0, 0] * (1 if chosen else -1)
        gradients = tape.gradient(one, maps)[0].numpy()
        heat = np.zeros(maps.shape[1:3])
        for channel in range(maps.shape[-1]):
            heat += gradients[..., channel].mean() * maps[0, ..., channel].numpy()
        heat = np.where(heat > 0, heat, 0)
        heats.append(heat / heat.max() if heat.max() > 0 else heat)
    return np.stack(heats)


def tail_of(model: keras.Model, place: int) -> int:
    """Number of layers after the backbone, without the nesting."""
    return sum(len(layer.layers) if isinstance(layer, keras.Model) else 1 for layer in model.layers[place + 1 :])


BACKBONES = {
    "MobileNet": (64, "conv_pw_13_relu", (2, 2)),
    "MobileNetV2": (64, "out_relu", (2, 2)),
    "ResNet50V2": (64, "post_relu", (2, 2)),
    "DenseNet121": (64, "relu", (2, 2)),
    "EfficientNetB0": (64, "top_activation", (2, 2)),
    "InceptionV3": (128, "mixed10", (2, 2)),
    "VGG16": (64, "block5_pool", (2, 2)),
    "ConvNeXtTiny": (64, "layer_normalization", (2, 2)),
}


QUICK = ("MobileNet", "VGG16")


@pytest.mark.parametrize(
    "backbone", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES]
)
def test_heat_is_that_of_an_independent_computation(backbone: str, tmp_path: Path) -> None:
    """In the network as it is loaded from its file, with softmax."""
    size, layer, map_shape = BACKBONES[backbone]
    head = ["flatten", DENSE] if backbone == "MobileNet" else ["average_pooling", DENSE]
    network_of(backbone, size, head=head).save(tmp_path / "model.keras")
    model = load_network(tmp_path / "model.keras")
    network = split_network(model)
    assert (network.layer.removesuffix("_1"), network.map) == (layer, map_shape) or backbone == "ConvNeXtTiny"
    pictures = pictures_of(size)
    heat = coarse_heat(network, feature_maps(network, pictures), [0, 2])
    np.testing.assert_allclose(heat, grad_cam_of_peer(model, pictures, [0, 2]), atol=2e-4)
    whole = grad_cam(network, pictures, [0, 2])
    assert whole.shape == (2, size, size) and whole.dtype == np.float32
    assert whole.min() >= 0 and whole.max() <= 1


@pytest.mark.parametrize("changes", [{"input_scaling": "double"}, {"head": [CONV, "max_pooling", DENSE]}])
def test_a_sigmoid_explains_both_classes(changes: dict[str, Any]) -> None:
    """With tiny inputs, and with convolutions in the head; the classes have opposite scores."""
    model = network_of("MobileNet", 64, loss="binary_crossentropy", classes=["a", "b"], **changes)
    network, pictures = split_network(model), pictures_of(64, 3)
    heats = [coarse_heat(network, feature_maps(network, pictures), [place] * 3) for place in (0, 1)]
    for place in (0, 1):
        np.testing.assert_allclose(heats[place], grad_cam_of_peer(model, pictures, [place] * 3), atol=2e-4)
    assert (np.minimum(*heats) == 0).all()
    assert max(heat.max() for heat in heats) == 1


def test_without_a_nested_backbone_the_heat_is_the_same() -> None:
    """The same layers, not nested: the last map is found among all layers."""
    nested = network_of("MobileNet", 64)
    pixels = x = keras.Input((64, 64, 3))
    for layer in layers_in_order(nested):
        x = x if isinstance(layer, keras.layers.InputLayer) else type(layer).from_config(layer.get_config())(x)
    flat, pictures = keras.Model(pixels, x), pictures_of(64)
    flat.set_weights(nested.get_weights())
    assert not any(isinstance(layer, keras.Model) for layer in flat.layers)
    assert split_network(flat).layer == "conv_pw_13_relu"
    found = [grad_cam(split_network(model), pictures, [1, 2]) for model in (nested, flat)]
    np.testing.assert_allclose(*found, atol=1e-5)


def test_the_last_map_of_more_than_one_position_is_before_any_branches() -> None:
    inside = keras.Input((4, 4, 2))
    joined = keras.layers.Conv2D(3, 1, name="joined")(inside)
    branches = [keras.layers.Conv2D(2, 2, name="branch")(joined), keras.layers.MaxPooling2D(2, 1)(joined)]
    reduced = [keras.layers.AveragePooling2D(3)(one) for one in branches]
    pixels = keras.Input((4, 4, 2))
    backbone = keras.Model(inside, keras.layers.Concatenate()(reduced))
    model = keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(backbone(pixels))))
    network = split_network(model)
    assert (network.layer, network.map) == ("joined", (4, 4))
    pictures = np.random.default_rng(0).random((2, 4, 4, 2), dtype=np.float32)
    hidden = network.rest(network.features(pictures), training=False)
    np.testing.assert_allclose(keras.ops.softmax(hidden @ network.output.kernel), model(pictures), atol=1e-6)


@pytest.mark.slow
def test_the_last_map_of_an_inception_network_for_small_images() -> None:
    """InceptionV3 reduces small images to 1 x 1; the map before the branches of its last reduction is used."""
    model = network_of("InceptionV3", 96)
    network, pictures = split_network(model), pictures_of(96)
    assert (network.layer, network.map) == ("mixed7", (4, 4))
    maps = feature_maps(network, pictures)
    hidden = network.rest(maps, training=False)
    by_parts = keras.ops.softmax(hidden @ network.output.kernel + network.output.bias)
    np.testing.assert_allclose(by_parts, model.predict_on_batch(pictures.astype(np.float32)), atol=1e-5)


def corner_network(activation: str = "sigmoid") -> keras.Model:
    """Its output grows with the brightness of the 4 x 4 pixels at the top left, and depends on nothing else."""
    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Cropping2D(((0, 12), (0, 12)))(x)
    x = keras.layers.ZeroPadding2D(((0, 12), (0, 12)), name="corner")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    output = keras.layers.Dense(1 if activation == "sigmoid" else 2, activation=activation)
    model = keras.Model(pixels, output(x))
    kernel = np.full((3, 1), 100.0) if activation == "sigmoid" else np.array([[-50.0, 50.0]] * 3)
    output.set_weights([kernel, np.full(kernel.shape[1], -4.0)])
    return model


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_a_decision_by_the_corner(activation: str) -> None:
    network = split_network(corner_network(activation))
    heat = grad_cam(network, np.full((1, 16, 16, 3), 200, np.uint8), [1])[0]
    assert network.layer == "corner"
    assert (heat[:4, :4] == 1).all() and heat.sum() == 16


def test_no_evidence_gives_no_heat_instead_of_a_division_by_zero() -> None:
    network = split_network(corner_network())
    heat = grad_cam(network, np.full((2, 16, 16, 3), 200, np.uint8), [0, 1])
    assert is_constant(heat[0]) and (heat[0] == 0).all()
    assert not is_constant(heat[1])
    black = grad_cam(network, np.zeros((1, 16, 16, 3), np.uint8), [1])
    assert is_constant(black[0])


def test_numbers_that_are_not_finite_give_no_heat() -> None:
    network = split_network(corner_network())
    maps = np.ones((2, 16, 16, 3), np.float32)
    maps[0, 3, 3, 0] = np.nan
    heat = coarse_heat(network, maps, [1, 1])
    assert (heat[0] == 0).all() and (heat[1] == 1).all()


def test_a_confident_network_still_has_heat() -> None:
    """The gradient of a probability of 1.0 is 0; the heat is that of the score before the sigmoid."""
    model = corner_network()
    picture = np.full((1, 16, 16, 3), 255, np.uint8)
    model.layers[-1].set_weights([np.full((3, 1), 1e4), np.zeros(1)])
    assert model.predict_on_batch(picture.astype(np.float32))[0, 0] == 1.0
    assert grad_cam(split_network(model), picture, [1])[0, 0, 0] == 1


@pytest.mark.parametrize("size", [16, 37])
def test_enlarging_is_that_of_tensorflow(size: int) -> None:
    coarse = np.random.default_rng(1).random((2, 7, 5), dtype=np.float32)
    peer = tf.image.resize(coarse[..., None], (size, size))[..., 0].numpy()
    np.testing.assert_allclose(enlarged(coarse, size), peer, atol=1e-5)


def test_networks_that_cannot_be_explained() -> None:
    pixels = keras.Input((8, 8, 3))
    with pytest.raises(UserError, match=r"last layer is Dense.*conv is Conv2D, activation linear"):
        split_network(keras.Model(pixels, keras.layers.Conv2D(1, 1, name="conv")(pixels)))
    vector = keras.Input((4,))
    with pytest.raises(UserError, match=r"no layer of .* has an output of more than one position"):
        split_network(keras.Model(vector, keras.layers.Dense(2)(keras.layers.Dense(3)(vector))))
