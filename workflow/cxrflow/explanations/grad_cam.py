"""Grad-CAM heat maps: the evidence for a class at the last feature map of a network.

Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based localization", ICCV 2017. The
gradients are those of TensorFlow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrflow.io.errors import UserError

BATCH = 32
FLAT = 1e-6
"""A heat map whose values differ by less has no hottest place. Values are between 0 and 1."""


@dataclass(frozen=True)
class SplitNetwork:
    """A network in three parts, which share their weights with the whole."""

    features: keras.Model
    """From pixels to the feature maps, (batch, rows, columns, channels)."""
    rest: keras.Model
    """From the feature maps to the input of the output layer, (batch, units)."""
    output: keras.layers.Dense
    layer: str
    """Name of the layer whose output the feature maps are."""
    map: tuple[int, int]
    """Rows and columns of the feature maps."""


def split_network(model: keras.Model) -> SplitNetwork:
    """Split a network at its last feature map.

    This is the output of the last layer of the backbone whose output is a map of more than one position, and through which
    everything passes. It comes after activation, normalisation and pooling: `block5_pool` in VGG16, `mixed10` in InceptionV3.
    The backbone is the first nested model whose output has four dimensions. In a network without one, all layers are searched.

    Args:
        model: from `cxrflow.networks.load.load_network`, or any functional model that ends with a Dense layer with the
            activation sigmoid, softmax or linear.

    Raises:
        UserError: the last layer is another one, no layer has such an output, or Keras does not run on TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"Grad-CAM needs Keras on TensorFlow; it runs on {keras.backend.backend()}")
    output = model.layers[-1]
    activation = getattr(getattr(output, "activation", None), "__name__", None)
    if not isinstance(output, keras.layers.Dense) or activation not in ("sigmoid", "softmax", "linear"):
        raise UserError(
            f"Grad-CAM needs a network whose last layer is Dense, with the activation sigmoid, softmax or linear; "
            f"{output.name} is {type(output).__name__}, activation {activation}"
        )
    backbone = next((one for one in model.layers if isinstance(one, keras.Model) and _rank(one) == 4), None)
    if backbone is None:
        layer, features, rest = _split_graph(model, output.input)
    else:
        layer, features, rest = _split_graph(backbone, backbone.output)
        node = backbone._inbound_nodes[-1]
        features = keras.Model(model.input, features(node.input_tensors[0]))
        after = keras.Model(node.output_tensors[0], output.input)
        rest = after if rest is None else keras.Sequential([rest, after])
    features.jit_compile = False  # XLA is slower on a CPU, and compiles again for every size of a batch
    return SplitNetwork(features, rest, output, layer.name, tuple(layer.output.shape[1:3]))


def _split_graph(graph: keras.Model, end: Any) -> tuple[keras.Layer, keras.Model, keras.Model | None]:
    """Split a functional model at its last map; the second part is None if the map is the end itself."""
    for layer in reversed(graph.layers):
        if isinstance(layer, keras.Model) or _rank(layer) != 4 or layer.output.shape[1] * layer.output.shape[2] == 1:
            continue
        if layer.output is end:
            return layer, graph, None
        try:
            return layer, keras.Model(graph.input, layer.output), keras.Model(layer.output, end)
        except ValueError:  # the layer is in one of several branches
            continue
    raise UserError(f"Grad-CAM: no layer of {graph.name} has an output of more than one position")


def _rank(layer: keras.Layer) -> int:
    """Number of dimensions of a layer's output; 4 for maps, (batch, rows, columns, channels)."""
    return len(getattr(layer.output, "shape", ()))


def feature_maps(network: SplitNetwork, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the feature maps of pictures: (n, rows, columns, channels)."""
    parts = [network.features.predict_on_batch(part.astype(np.float32)) for part in _batches(pictures)]
    return np.concatenate(parts)


def coarse_heat(network: SplitNetwork, maps: NDArray[np.float32], classes: list[int]) -> NDArray[np.float32]:
    """Compute Grad-CAM at the resolution of the feature maps.

    The heat is ReLU(sum over channels of weight * map), where the weight of a channel is the mean gradient of the score. The
    score is the input of the softmax, as in the paper; for a sigmoid, its input for the second class and the negative input
    for the first. Batch normalisation uses its stored statistics.

    Args:
        network: from `split_network`.
        maps: from `feature_maps`.
        classes: for each image, the place of the class to explain.

    Returns:
        (n, rows, columns), the largest value of each image is 1; all 0 if no position is evidence for the class, or if the
        result is not finite.
    """
    import tensorflow as tf

    heats = []
    for part, places in zip(_batches(maps), _batches(np.asarray(classes)), strict=True):
        at = tf.constant(part)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(at)
            scores = _scores(network, network.rest(at, training=False))
            score = tf.reduce_sum(tf.gather(scores, places, axis=1, batch_dims=1))
        gradients = np.asarray(tape.gradient(score, at), np.float64)
        weights = gradients.mean(axis=(1, 2), keepdims=True)
        heats.append(np.maximum((weights * part).sum(axis=-1), 0))
    heat = np.concatenate(heats)
    heat[~np.isfinite(heat).all(axis=(1, 2))] = 0
    most = heat.max(axis=(1, 2), keepdims=True)
    return np.divide(heat, most, out=np.zeros_like(heat), where=most > 0).astype(np.float32)


def _scores(network: SplitNetwork, hidden: Any) -> Any:
    """Scores of all classes before the activation of the output layer, a tensor (n, classes)."""
    import tensorflow as tf

    scores = tf.matmul(hidden, network.output.kernel)
    if network.output.use_bias:
        scores += network.output.bias
    return tf.concat([-scores, scores], axis=1) if scores.shape[1] == 1 else scores


def enlarged(coarse: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Enlarge maps of shape (n, rows, columns) to (n, size, size) by bilinear interpolation; values stay between 0 and 1."""
    pictures = [Image.fromarray(one).resize((size, size), Image.Resampling.BILINEAR) for one in coarse]
    return np.stack([np.clip(np.asarray(one, np.float32), 0, 1) for one in pictures])


def grad_cam(network: SplitNetwork, pictures: NDArray[np.uint8], classes: list[int]) -> NDArray[np.float32]:
    """Compute Grad-CAM heat maps.

    Args:
        network: from `split_network`.
        pictures: uint8 (n, size, size, 3).
        classes: for each picture, the place of the class to explain.

    Returns:
        float32 (n, size, size), 0 to 1, see `coarse_heat`. The heat has no more detail than the feature maps.
    """
    return enlarged(coarse_heat(network, feature_maps(network, pictures), classes), pictures.shape[1])


def is_constant(heat: NDArray[np.float32]) -> bool:
    """Whether a heat map has the same value everywhere, mostly 0: it then points to no place."""
    return bool(np.ptp(heat) < FLAT)


def _batches(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(values), BATCH):
        yield values[start : start + BATCH]
