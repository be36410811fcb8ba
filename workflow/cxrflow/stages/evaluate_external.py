"""Predict the images of an external test with a trained network."""

from pathlib import Path

import cxrflow.networks.start_keras  # noqa: F401  # isort: skip
import numpy as np
import pandas as pd

from cxrflow.evaluation.metrics import prediction_table
from cxrflow.evaluation.predict import (
    BATCH,
    logit_network,
    network_parser,
    predict_in_batches,
    probabilities_from_logits,
    set_up_device_of,
)
from cxrflow.images.external import read_external
from cxrflow.images.store import decoding_hash, pixels_of_file
from cxrflow.io.command import run_stage
from cxrflow.io.files import read_json, write_table
from cxrflow.io.words import counted
from cxrflow.networks.load import load_network


def main() -> None:
    parser = network_parser(__doc__, of_run=False)
    parser.add_argument("--external", type=Path, required=True, help="folder or CSV of the external test")
    parser.add_argument("--external-images", type=Path, required=True, help="index of its images (Parquet)")
    parser.add_argument("--store", type=Path, help="folder of decoded images to use and update")
    parser.add_argument("--predictions", type=Path, required=True, help="probabilities of its images, to write (CSV)")
    args = parser.parse_args()
    set_up_device_of(args)
    training = read_json(args.training)
    classes, size, resampling = training["classes"], training["settings"]["image_size"], training["resampling"]
    index = pd.read_parquet(args.external_images)
    rows = index[index["class"].isin(classes) & index["status"].isin(["ok", "changed"])].reset_index(drop=True)
    network, root = logit_network(load_network(args.model)), read_external(args.external).root
    decoding = decoding_hash() if args.store else ""
    logits = []
    for start in range(0, len(rows), BATCH):
        some = list(rows.loc[start : start + BATCH - 1, ["image", "sha256"]].itertuples(index=False, name=None))
        pixels = {
            image: pixels_of_file(root / image, sha256, size, resampling, args.store, decoding)[0]
            for image, sha256 in some
        }
        logits.append(predict_in_batches(network, pixels, list(pixels)))
    table = prediction_table(rows, probabilities_from_logits(np.concatenate(logits)), classes)
    if rows["patient"].notna().any():
        table.insert(2, "patient", rows["patient"].fillna(""))
    write_table(args.predictions, table)
    right = int((table["class"] == table["predicted"]).sum())
    print(f"external test: {right} of {counted(len(table), 'image')} right")


if __name__ == "__main__":
    run_stage(main)
