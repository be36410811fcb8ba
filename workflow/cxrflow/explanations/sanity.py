"""Check that heat maps depend on what the network has learnt.

Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018: a heat map that stays the same when the weights are random
shows the image, not the network.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from cxrflow.explanations.grad_cam import SplitNetwork, coarse_heat, enlarged, feature_maps, is_constant
from cxrflow.phantoms.texture import random_stream

DRAWS = 3
"""Of random weights."""
SSIM_SIGMA = 1.5
SSIM_RADIUS = 5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def rank_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Spearman's correlation of the values of two heat maps that are not constant, -1 to 1."""
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def structural_similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Structural similarity (SSIM) of two heat maps of at least 11 x 11 pixels, -1 to 1; 1 for equal ones.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004: Gaussian windows of 11 x 11
    pixels with a standard deviation of 1.5, values between 0 and 1.
    """

    def local_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = gaussian_filter(values, SSIM_SIGMA, radius=SSIM_RADIUS)
        return mean[SSIM_RADIUS:-SSIM_RADIUS, SSIM_RADIUS:-SSIM_RADIUS]

    x, y = one.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = local_mean(x), local_mean(y)
    variances = local_mean(x * x) - mean_x**2 + local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (variances + SSIM_C2)
    return float((luminance * structure).mean())


@contextmanager
def replaced_weights(holder: Any, weights: list[NDArray[Any]]) -> Iterator[None]:
    """Give a model or layer other weights within this block."""
    before = holder.get_weights()
    holder.set_weights(weights)
    try:
        yield
    finally:
        holder.set_weights(before)


def randomised_heat(
    model: keras.Model, network: SplitNetwork, pictures: NDArray[np.uint8], classes: list[int], seed: int
) -> dict[str, NDArray[np.float32]]:
    """Compute heat maps with random weights, several times.

    The weights are drawn as before a training, by the initialisers of the layers, but not with the random numbers of a training
    with this seed, whose last layers may have changed little. Batch normalisation has its initial statistics, and so has a
    Normalization layer of the backbone.

    Args:
        model: the whole network; its weights are the same afterwards.
        network: the same network, from `split_network`.
        pictures: uint8 (n, size, size, 3).
        classes: for each picture, the place of the class to explain.
        seed: seed of the random weights. The state of Keras' random numbers changes.

    Returns:
        `output_layer` (only its weights are random) and `all_layers`: float32 (DRAWS, n, size, size), as from `grad_cam`.
    """
    maps = feature_maps(network, pictures)
    heats: dict[str, list[NDArray[np.float32]]] = {"output_layer": [], "all_layers": []}
    for draw in range(DRAWS):
        keras.utils.set_random_seed(int(random_stream("random weights", seed, draw).integers(2**32)))
        fresh = keras.models.clone_model(model)
        with replaced_weights(network.output, fresh.layers[-1].get_weights()):
            heats["output_layer"].append(coarse_heat(network, maps, classes))
        with replaced_weights(model, fresh.get_weights()):
            heats["all_layers"].append(coarse_heat(network, feature_maps(network, pictures), classes))
    size = pictures.shape[1]
    return {name: np.stack([enlarged(one, size) for one in draws]) for name, draws in heats.items()}


def mean_similarity(heat: NDArray[np.float32], others: NDArray[np.float32]) -> dict[str, Any]:
    """Compare a heat map with several others.

    Args:
        heat: (size, size).
        others: (n, size, size).

    Returns:
        A JSON value: `maps`, the number of others that are not constant; `spearman` and `ssim`, the means over these, None if
        there are none or if the heat map itself is constant.
    """
    varied = [other for other in others if not is_constant(other)]
    if not varied or is_constant(heat):
        return {"maps": len(varied), "spearman": None, "ssim": None}
    return {
        "maps": len(varied),
        "spearman": float(np.mean([rank_correlation(heat, other) for other in varied])),
        "ssim": float(np.mean([structural_similarity(heat, other) for other in varied])),
    }
