"""Features of images: the output of a trained network's last hidden layer, without augmentation.

The images of the training folder are those that the network has mostly trained on: how well they separate says little of
images that it has never seen.
"""

from pathlib import Path

import keras
import numpy as np
import pandas as pd

from cxrflow.evaluation.predict import predict_in_batches
from cxrflow.images.pixels import open_pixels
from cxrflow.machine.own_device import set_up_own_device
from cxrflow.networks.device import CHOICES
from cxrflow.networks.load import load_network
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.files import whole_file

SUBSETS_OF = {
    "training_folder": ("training", "validation"),
    "test_folder": ("test",),
    "both": ("training", "validation", "test"),
}


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="trained network (.keras)")
    parser.add_argument("--split", type=Path, required=True, help="split of the task (CSV)")
    parser.add_argument("--pixels", type=Path, nargs="+", required=True, help="decoded pixels (.npy)")
    parser.add_argument("--feature-images", choices=sorted(SUBSETS_OF), required=True, help="which images")
    parser.add_argument("--features", type=Path, required=True, help="features to write (.npz)")
    parser.add_argument("--threads", type=int, required=True, help="TensorFlow's threads; results depend on them")
    parser.add_argument("--device", choices=CHOICES, default="auto", help="auto takes a GPU where there is one")
    parser.add_argument(
        "--trainings-per-gpu", type=int, default=1, help="processes that may share a GPU (default: %(default)s)"
    )
    args = parser.parse_args()
    set_up_own_device(args.device, args.threads, args.trainings_per_gpu, lambda line: print(line, flush=True))
    split = pd.read_csv(args.split, dtype=str, keep_default_na=False)
    rows = split[split["subset"].isin(SUBSETS_OF[args.feature_images])]
    model = load_network(args.model)
    hidden = keras.Model(model.input, model.get_layer("last_hidden").output)
    features = predict_in_batches(hidden, open_pixels(args.pixels), rows["image"].tolist())
    with whole_file(args.features) as part:
        np.savez_compressed(
            part,
            images=rows["image"].to_numpy(dtype=str),
            classes=rows["class"].to_numpy(dtype=str),
            subsets=rows["subset"].to_numpy(dtype=str),
            features=features.astype(np.float32),
        )
    print(f"{len(rows)} images, {features.shape[1]} features")


if __name__ == "__main__":
    run_stage(main)
