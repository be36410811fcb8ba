"""Map features to two dimensions with t-SNE, and measure how far the map can be trusted.

t-SNE: L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 9 (2008); scikit-learn's implementation.
Trustworthiness and continuity: J. Venna and S. Kaski, "Neighborhood preservation in nonlinear projection methods: an
experimental study", ICANN (2001).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE, trustworthiness
from sklearn.neighbors import NearestNeighbors

from cxrflow.io.errors import UserError

LEAST, MOST = 1e-6, 1e6
"""Features are rescaled unless their largest distance from their mean is in this range."""
MOST_MAPPED_AGAIN = 2000
"""Of more images, no further maps are made, which would take minutes each, and the quality is that of a random sample."""
OTHER_SEEDS = 3
FACTORS = (0.25, 0.5, 2, 4)
"""Other perplexities, as multiples of the configured one."""
LEAST_PERPLEXITY = 2


def tsne_map(features: NDArray[np.float32], settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Compute the t-SNE map of features.

    Args:
        features: shape (n, units), finite and not all the same: otherwise scikit-learn's t-SNE may crash the process.
        settings: perplexity, initialisation (pca or random), learning_rate (a number or "auto"), seed. A single feature has no
            second principal component, so its map starts at random.

    Returns:
        Coordinates, shape (n, 2).

    Raises:
        UserError: the perplexity is not below the number of images.
    """
    if settings["perplexity"] >= len(features):
        raise UserError(
            f"tsne.perplexity: {settings['perplexity']} is not below the number of images, {len(features)}; "
            "set a smaller perplexity, or use more images (feature_images)"
        )
    tsne = TSNE(
        perplexity=settings["perplexity"],
        init=settings["initialisation"] if features.shape[1] > 1 else "random",
        learning_rate=settings["learning_rate"],
        random_state=settings["seed"],
    )
    return tsne.fit_transform(_within_range(features))


def _within_range(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features whose squares fit into 32-bit floats: very large or small ones are centred and scaled by a power of two.

    The t-SNE map does not depend on the scale of the features.
    """
    values = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    largest = np.abs(values).max()
    if LEAST <= largest <= MOST:
        return features
    return np.ldexp(values, -np.frexp(largest)[1]).astype(np.float32)


def map_quality(
    features: NDArray[np.float32], found: NDArray[np.float32], settings: Mapping[str, Any], k: int = 5
) -> dict[str, Any]:
    """Measure how well a t-SNE map keeps neighbours, and how much it depends on its seed and perplexity.

    Distances are Euclidean, between the features as t-SNE gets them.

    Args:
        features: shape (n, units).
        found: coordinates from `tsne_map`, shape (n, 2).
        settings: those of the map.
        k: number of neighbours.

    Returns:
        A JSON value: `k`; `images` on which the quality is measured, at most 2,000; `trustworthiness` and `continuity`, see
        `neighbours_kept`; `other_seeds`, see `stability`; `perplexities`: for the configured perplexity and, as far as they
        are between 2 and the number of images, a quarter, half, two and four times of it: `perplexity`, `trustworthiness`
        and `continuity`; `left_out`: what of these is None, and why, or None.
    """
    count = len(features)
    quality: dict[str, Any] = {"k": k, "images": min(count, MOST_MAPPED_AGAIN)}
    quality |= dict.fromkeys(("trustworthiness", "continuity", "other_seeds", "perplexities", "left_out"))
    if count <= 2 * k:
        return {**quality, "left_out": f"all numbers, since {count} images are too few for {k} neighbours"}
    if count > MOST_MAPPED_AGAIN:
        sample = np.random.default_rng(settings["seed"]).choice(count, MOST_MAPPED_AGAIN, replace=False)
        reason = f"other seeds and perplexities, since {count:,} images are more than {MOST_MAPPED_AGAIN:,}"
        return {**quality, **neighbours_kept(features[sample], found[sample], k), "left_out": reason}
    kept = neighbours_kept(features, found, k)
    configured = settings["perplexity"]
    perplexities = sorted({configured, *(factor * configured for factor in FACTORS)})
    sweep = [
        {
            "perplexity": perplexity,
            **(
                kept
                if perplexity == configured
                else neighbours_kept(features, tsne_map(features, {**settings, "perplexity": perplexity}), k)
            ),
        }
        for perplexity in perplexities
        if perplexity == configured or LEAST_PERPLEXITY <= perplexity < count
    ]
    return {**quality, **kept, "other_seeds": stability(features, found, settings, k), "perplexities": sweep}


def neighbours_kept(features: NDArray[Any], found: NDArray[Any], k: int) -> dict[str, float]:
    """Compute trustworthiness and continuity of a map, 0 to 1: 1 if all neighbours are kept, about 0.5 for a random map.

    Trustworthiness falls with images that are neighbours in the map only, continuity with those that are neighbours in the
    features only, the more the farther apart they are in the other space. Of images at the same distance, scikit-learn
    takes the first.

    Args:
        features: shape (n, units).
        found: coordinates, shape (n, 2).
        k: number of neighbours, below n / 2.
    """
    values = _within_range(features)
    return {
        "trustworthiness": float(trustworthiness(values, found, n_neighbors=k)),
        "continuity": float(trustworthiness(found, values, n_neighbors=k)),
    }


def stability(
    features: NDArray[np.float32], found: NDArray[np.float32], settings: Mapping[str, Any], k: int
) -> dict[str, Any]:
    """Compare a map with those of other seeds, which start at random: starting at principal components, all are the same.

    Returns:
        A JSON value: `seeds`, the other ones; `mean` and `least` share of the k nearest neighbours in the map that are also
        among the k nearest in the map of another seed; `chance`, this share for maps that have nothing in common.
    """
    seeds = [settings["seed"] + 1 + number for number in range(OTHER_SEEDS)]
    shares = [
        shared_neighbours(found, tsne_map(features, {**settings, "initialisation": "random", "seed": seed}), k)
        for seed in seeds
    ]
    return {
        "seeds": seeds,
        "mean": float(np.mean(shares)),
        "least": min(shares),
        "chance": k / (len(found) - 1),
    }


def shared_neighbours(one: NDArray[Any], other: NDArray[Any], k: int) -> float:
    """Compute the share of the k nearest neighbours of each point that are the same in two maps of shape (n, 2)."""
    near = [NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False) for points in (one, other)]
    same = [len(set(first) & set(second)) for first, second in zip(*(rows.tolist() for rows in near), strict=True)]
    return float(np.mean(same) / k)
