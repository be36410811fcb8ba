"""Lay features out in two dimensions with t-SNE, and measure how well the classes separate before that.

t-SNE: L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 9 (2008); scikit-learn's implementation. The
numbers in the separation file come from the full feature space: distances in a t-SNE picture mean little.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from cxrflow.evaluation.separation import separation_of
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import write_json, write_table


def embed_features(features: NDArray[np.float32], settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """t-SNE of features.

    Args:
        features: shape (n, units).
        settings: perplexity, initialisation (pca or random), learning_rate (a number or "auto"), seed.

    Returns:
        Coordinates, shape (n, 2).

    Raises:
        Fault: the perplexity is not below the number of images.
    """
    if settings["perplexity"] >= len(features):
        raise Fault(
            f"tsne.perplexity: {settings['perplexity']} is not below the number of images, {len(features)}; "
            "take a smaller perplexity or more images (feature_images)"
        )
    tsne = TSNE(
        perplexity=settings["perplexity"],
        init=settings["initialisation"],
        learning_rate=settings["learning_rate"],
        random_state=settings["seed"],
    )
    return tsne.fit_transform(features)


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--features", type=Path, required=True, help="features (.npz)")
    parser.add_argument("--tsne", type=json.loads, required=True, help="settings of t-SNE, as JSON")
    parser.add_argument("--embedding", type=Path, required=True, help="coordinates to write (CSV)")
    parser.add_argument("--separation", type=Path, required=True, help="how well classes separate, to write (JSON)")
    args = parser.parse_args()
    with np.load(args.features, allow_pickle=False) as stored:
        table = pd.DataFrame({"image": stored["images"], "class": stored["classes"], "subset": stored["subsets"]})
        features = stored["features"]
    table[["x", "y"]] = embed_features(features, args.tsne)
    # The study's images of t-SNE are those of the training folder; where they are there, the numbers are about them.
    in_training_folder = table["subset"].isin(["training", "validation"]).to_numpy()
    of = "training_folder" if in_training_folder.any() else "test_folder"
    chosen = in_training_folder if in_training_folder.any() else np.ones(len(table), dtype=bool)
    separation = separation_of(features[chosen], table.loc[chosen, "class"].to_numpy(dtype=str))
    write_table(args.embedding, table)
    write_json(args.separation, {"of": of, **separation})
    print(f"same class among 5 neighbours: {separation['same_class_share']:.0%}")


if __name__ == "__main__":
    run_stage(main)
