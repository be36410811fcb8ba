"""How well classes separate in feature space, whatever a two-dimensional picture of it shows."""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from cxrflow.stage.faults import Fault


def separation_of(features: NDArray[Any], classes: NDArray[np.str_], k: int = 5) -> dict[str, Any]:
    """Neighbours and silhouette, by Euclidean distance on standardised features.

    Args:
        features: shape (n, units).
        classes: the class of each row.
        k: number of neighbours, the point itself not among them.

    Returns:
        A JSON value: `images`, `k`, `neighbour_shares` (class to the mean share of each class among its images'
        neighbours), `same_class_share` (over all images), `silhouette` (-1 to 1, None where all features are the same),
        `mostly_other_neighbours` (images with more than half of their neighbours in other classes), `pairs` (for each
        pair of classes, the same-class share among these two alone).

    Raises:
        Fault: fewer than k + 1 images, in all or in a pair of classes.
    """
    names = sorted(set(classes.tolist()))
    points = StandardScaler().fit_transform(features.astype(np.float64))
    neighbours = classes[_neighbours(points, k)]
    same = neighbours == classes[:, None]
    varied = bool(np.ptp(points, axis=0).any())
    return {
        "images": len(classes),
        "k": k,
        "neighbour_shares": {
            name: {other: float((neighbours[classes == name] == other).mean()) for other in names} for name in names
        },
        "same_class_share": float(same.mean()),
        "silhouette": float(silhouette_score(points, classes)) if varied else None,
        "mostly_other_neighbours": int((same.mean(axis=1) < 0.5).sum()),
        "pairs": {
            f"{first}|{second}": _share_among(features[chosen], classes[chosen], k)
            for first, second in combinations(names, 2)
            for chosen in [np.isin(classes, [first, second])]
        },
    }


def _share_among(features: NDArray[Any], classes: NDArray[np.str_], k: int) -> float:
    points = StandardScaler().fit_transform(features.astype(np.float64))
    return float((classes[_neighbours(points, k)] == classes[:, None]).mean())


def _neighbours(points: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Rows of the k nearest other points, shape (n, k)."""
    if len(points) <= k:
        raise Fault(f"features: {len(points)} images are too few for {k} neighbours; at least {k + 1} are needed")
    # kneighbors() without points leaves each point out of its own neighbours, also where others lie on top of it.
    return NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)
