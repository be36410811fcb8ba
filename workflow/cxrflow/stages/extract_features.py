"""Compute features of images: the output of the last hidden layer of a trained network, or else of its pooling layer.

The images are not augmented. The network has trained on most images of the training folder: how well these separate says
little about new images.
"""

from pathlib import Path

import cxrflow.networks.start_keras  # noqa: F401  # isort: skip
import keras
import numpy as np
import pandas as pd

from cxrflow.evaluation.predict import network_parser, predict_in_batches, set_up_device_of
from cxrflow.images.pixels import open_pixels
from cxrflow.io.command import add_settings, run_stage
from cxrflow.io.files import read_json, whole_file
from cxrflow.networks.build import feature_layer
from cxrflow.networks.load import load_network
from cxrflow.study.models import FeatureSettings

SUBSETS_OF = {
    "training_folder": ("training", "validation"),
    "test_folder": ("test",),
    "both": ("training", "validation", "test"),
}


def main() -> None:
    parser = network_parser(__doc__)
    add_settings(parser, FeatureSettings)
    parser.add_argument("--features", type=Path, required=True, help="features to write (.npz)")
    args = parser.parse_args()
    set_up_device_of(args)
    split = pd.read_csv(args.split, dtype=str, keep_default_na=False)
    rows = split[split["subset"].isin(SUBSETS_OF[args.settings.feature_images])]
    model = load_network(args.model)
    until_features = keras.Model(model.input, feature_layer(model)[1])
    features = predict_in_batches(until_features, open_pixels(args.pixels), rows["image"].tolist())
    with whole_file(args.features) as part:
        np.savez_compressed(
            part,
            images=rows["image"].to_numpy(dtype=str),
            classes=rows["class"].to_numpy(dtype=str),
            subsets=rows["subset"].to_numpy(dtype=str),
            features=features.astype(np.float32),
            training=read_json(args.training)["identity"],
        )
    print(f"{len(rows)} images, {features.shape[1]} features")


if __name__ == "__main__":
    run_stage(main)
