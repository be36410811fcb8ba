"""The separation of classes by features that know nothing of disease, to compare with that of a network's features."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrflow.evaluation.separation import separation_of

RANDOM_UNITS = 256
RANDOM_DRAWS = 5


def random_features(thumbnails: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Compute the outputs of an untrained layer: ReLU of random projections, without a bias.

    Source: Y. Cho and L. K. Saul, "Kernel methods for deep learning", NIPS (2009).

    Args:
        thumbnails: shape (n, pixels).
        seed: of the weights, which are drawn from a normal distribution.

    Returns:
        Shape (n, 256).
    """
    centred = thumbnails - thumbnails.mean(axis=0)
    weights = np.random.default_rng(seed).normal(size=(thumbnails.shape[1], RANDOM_UNITS))
    return np.maximum(centred @ weights, 0)


def rivals_of(
    thumbnails: NDArray[np.float64], files: NDArray[np.float64], classes: NDArray[np.str_], k: int = 5
) -> dict[str, Any]:
    """Compute the separation of the classes by raw pixels, by properties of the files and by random features.

    Args:
        thumbnails: shape (n, 256), grey levels of 16 x 16 pixels.
        files: shape (n, properties), see `cxrflow.audits.rival_features.file_features`.
        classes: the class of each image.
        k: number of neighbours.

    Returns:
        A JSON value: for `pixels`, `file` and `random` a `description`, and the values of `separation_of` without `units`; the
        numbers of `random` are means of five draws.
    """
    draws = [random_features(thumbnails, seed) for seed in range(RANDOM_DRAWS)]
    return {
        "pixels": _mean_separation("16 × 16 grey thumbnails", [thumbnails], classes, k),
        "file": _mean_separation("properties of the files", [files], classes, k),
        "random": _mean_separation(
            f"{RANDOM_UNITS} random features of the thumbnails (an untrained layer, mean of {RANDOM_DRAWS} draws)",
            draws,
            classes,
            k,
        ),
    }


def _mean_separation(
    description: str, draws: Sequence[NDArray[np.float64]], classes: NDArray[np.str_], k: int
) -> dict[str, Any]:
    found = [separation_of(features, classes, k) for features in draws]
    reasons = [one["not_judged"] for one in found if one["not_judged"]]
    return {
        "description": description,
        "images": found[0]["images"],
        "k": found[0]["k"],
        "not_judged": reasons[0] if reasons else None,
        **{
            key: _mean([one[key] for one in found])
            for key in ("same_class_share", "silhouette", "mostly_other_neighbours")
        },
        "pairs": _means([one["pairs"] for one in found]),
        "neighbour_shares": {
            name: _means([one["neighbour_shares"][name] for one in found]) for name in found[0]["neighbour_shares"]
        },
    }


def _means(found: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    return {name: _mean([one[name] for one in found]) for name in found[0]}


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean, or None if any value is None."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None
