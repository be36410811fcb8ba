"""Deletion and insertion curves: whether a heat map points to the pixels that the network uses.

Petsiuk, Das and Saenko, "RISE: Randomized input sampling for explanation of black-box models", BMVC 2018. Deletion replaces the
hottest pixels first: the faster the probability of the class falls, the better. Insertion shows the hottest pixels first, on a
blurred image: the faster it rises, the better.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cxrflow.explanations.grad_cam import enlarged

STEPS = 8
RANDOM_MAPS = 1
BLUR = 0.05
"""Standard deviation of the blur of an empty insertion image, as a share of its size."""

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""From pictures, uint8 (n, size, size, 3), to the probabilities of all classes, (n, classes)."""


def curves_of(
    picture: NDArray[np.uint8],
    heat: NDArray[np.float32],
    map_shape: tuple[int, int],
    place: int,
    predict: Predict,
    random: np.random.Generator,
) -> dict[str, Any]:
    """Compute the deletion and the insertion curve of a heat map, and those of random heat maps.

    Deleted pixels get the mean colour of the image. The baseline consists of random values on the grid of the feature maps,
    enlarged like the heat: random single pixels would destroy the image far sooner than patches, which would make every heat
    map look bad. Pixels of equal heat come in random order.

    Args:
        picture: uint8 (size, size, 3).
        heat: float32 (size, size), not constant.
        map_shape: rows and columns of the feature maps.
        place: place of the explained class.
        predict: the network.
        random: source of random numbers.

    Returns:
        A JSON value. `shares`: shares of the pixels deleted or inserted, 0 to 1. `deletion` and `insertion`: `probabilities`
        of the class at these shares, `area` below this curve (0 to 1), and `random_areas` of the baseline.
    """
    size = len(picture)
    heats = [heat, *enlarged(random.random((RANDOM_MAPS, *map_shape), dtype=np.float32), size)]
    ranks = [_ranks(one, random) for one in heats]
    shares = np.linspace(0, 1, STEPS + 1)
    full = picture.astype(np.float32)
    mean = np.broadcast_to(full.mean(axis=(0, 1)), full.shape)
    blurred = gaussian_filter(full, (BLUR * size, BLUR * size, 0))
    curves: dict[str, Any] = {"shares": [round(float(share), 3) for share in shares]}
    for name, begin, end in (("deletion", full, mean), ("insertion", blurred, full)):
        found = _probabilities(begin, end, ranks, shares, predict)[..., place]
        areas = np.asarray(np.trapezoid(found, shares, axis=1))
        curves[name] = {
            "probabilities": [round(float(value), 4) for value in found[0]],
            "area": round(float(areas[0]), 4),
            "random_areas": [round(float(area), 4) for area in areas[1:]],
        }
    return curves


def _ranks(heat: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float64]:
    """Rank of each pixel, 0 for the hottest, as a share of all pixels."""
    order = np.lexsort((random.random(heat.size), -heat.ravel()))
    ranks = np.empty(heat.size)
    ranks[order] = np.arange(heat.size) / heat.size
    return ranks.reshape(heat.shape)


def _probabilities(
    begin: NDArray[np.float32],
    end: NDArray[np.float32],
    ranks: list[NDArray[np.float64]],
    shares: NDArray[np.float64],
    predict: Predict,
) -> NDArray[np.float64]:
    """Probabilities (orders, shares, classes) while pixels of `begin` become those of `end`.

    All orders have the same first and last picture, which are predicted once.
    """
    between = [np.where((rank < share)[..., None], end, begin) for rank in ranks for share in shares[1:-1]]
    found = predict(np.rint(np.stack([begin, end, *between])).astype(np.uint8))
    steps = found[2:].reshape(len(ranks), len(shares) - 2, -1)
    first, last = (np.broadcast_to(one, (len(ranks), 1, found.shape[1])) for one in found[:2])
    return np.concatenate([first, steps, last], axis=1)
