"""Predict the test and the validation images with a trained network, and measure how good those of the test images are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cxrflow.networks.start_keras  # noqa: F401  # isort: skip
import pandas as pd

from cxrflow.evaluation.metrics import metrics_of, prediction_table
from cxrflow.evaluation.predict import (
    logit_network,
    network_parser,
    predict_in_batches,
    probabilities_from_logits,
    set_up_device_of,
)
from cxrflow.images.pixels import open_pixels
from cxrflow.io.command import run_stage
from cxrflow.io.files import read_json, sha256_of_file, write_json, write_table
from cxrflow.networks.load import load_network


def main() -> None:
    parser = network_parser(__doc__)
    parser.add_argument("--positive", type=json.loads, default=None, help="positive class as JSON, or null")
    parser.add_argument("--predictions", type=Path, required=True, help="probabilities of test images, to write (CSV)")
    parser.add_argument(
        "--validation-predictions", type=Path, required=True, help="the same for validation images, to write (CSV)"
    )
    parser.add_argument("--metrics", type=Path, required=True, help="metrics to write (JSON)")
    args = parser.parse_args()
    set_up_device_of(args)
    training = read_json(args.training)
    split = pd.read_csv(args.split, dtype=str, keep_default_na=False)
    network, pixels, classes = logit_network(load_network(args.model)), open_pixels(args.pixels), training["classes"]
    tables = {}
    for subset in ("test", "validation"):
        images = split[split["subset"] == subset]
        logits = predict_in_batches(network, pixels, images["image"].tolist())
        tables[subset] = prediction_table(images, probabilities_from_logits(logits), classes)
    metrics = metrics_of(tables["test"], classes, args.positive)
    write_table(args.predictions, tables["test"])
    write_table(args.validation_predictions, tables["validation"])
    metrics["selected_epoch"] = training["selected_epoch"]["epoch"]
    metrics |= {"training": training["identity"], "predictions_sha256": sha256_of_file(args.predictions)}
    write_json(args.metrics, metrics)
    print(f"test: {in_one_line(metrics)}")


def in_one_line(metrics: Mapping[str, Any]) -> str:
    """The main numbers of metrics.json, and the accuracy of always predicting the largest class."""
    majority = metrics["majority"]
    return (
        f"{metrics['correct']} of {metrics['images']} right (always predicting {majority['class']}: {majority['images']}), "
        f"balanced accuracy {metrics['balanced_accuracy']:.1%}, loss {metrics['loss']:.4f}"
    )


if __name__ == "__main__":
    run_stage(main)
