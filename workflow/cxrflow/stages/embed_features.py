"""Map features to two dimensions with t-SNE, and measure how well the classes separate.

t-SNE: L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 9 (2008); scikit-learn's implementation. The
separation is measured in the full feature space, since distances in a t-SNE map mean little.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from cxrflow.evaluation.separation import separation_of, why_not_judged
from cxrflow.io.command import add_settings, run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.files import write_json, write_table
from cxrflow.study.models import EmbeddingSettings

LEAST, MOST = 1e-6, 1e6
"""Features are rescaled unless their largest distance from their mean is in this range."""


def embed_features(features: NDArray[np.float32], settings: Mapping[str, Any]) -> NDArray[np.float32]:
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


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--features", type=Path, required=True, help="features (.npz)")
    add_settings(parser, EmbeddingSettings)
    parser.add_argument("--embedding", type=Path, required=True, help="coordinates to write (CSV)")
    parser.add_argument("--separation", type=Path, required=True, help="how well classes separate, to write (JSON)")
    args = parser.parse_args()
    with np.load(args.features, allow_pickle=False) as stored:
        table = pd.DataFrame({"image": stored["images"], "class": stored["classes"], "subset": stored["subsets"]})
        features, training = stored["features"], str(stored["training"])
    classes = table["class"].to_numpy(dtype=str)
    no_map = why_not_judged(features, classes)
    table[["x", "y"]] = np.nan if no_map else embed_features(features, args.settings.tsne.model_dump())
    # The separation is measured on images of the training folder if there are any, also when test images are mapped too.
    in_training_folder = table["subset"].isin(["training", "validation"]).to_numpy()
    of = "training_folder" if in_training_folder.any() else "test_folder"
    chosen = in_training_folder if in_training_folder.any() else np.ones(len(table), dtype=bool)
    separation = separation_of(features[chosen], classes[chosen])
    write_table(args.embedding, table)
    write_json(args.separation, {"of": of, "no_map": no_map, **separation, "training": training})
    if no_map:
        print(f"warning: no t-SNE map: {no_map}")
    if separation["not_judged"]:
        print(f"warning: how the classes separate is not judged: {separation['not_judged']}")
    else:
        print(f"same class among 5 neighbours: {separation['same_class_share']:.0%}")


if __name__ == "__main__":
    run_stage(main)
