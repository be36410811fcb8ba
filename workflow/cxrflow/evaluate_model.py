"""Predict the test images with a trained network, and measure how good that is."""

import json
from pathlib import Path

import pandas as pd

from cxrflow.evaluation.metrics import metrics_of, prediction_table
from cxrflow.evaluation.predict import class_probabilities, predict_in_batches
from cxrflow.images.pixels import open_pixels
from cxrflow.machine.own_device import set_up_own_device
from cxrflow.networks.device import CHOICES
from cxrflow.networks.load import load_network
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.files import read_json, write_json, write_table


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="trained network (.keras)")
    parser.add_argument("--training", type=Path, required=True, help="what went into it (JSON)")
    parser.add_argument("--split", type=Path, required=True, help="split of the task (CSV)")
    parser.add_argument("--pixels", type=Path, nargs="+", required=True, help="decoded pixels (.npy)")
    parser.add_argument("--positive", type=json.loads, default=None, help="positive class as JSON, or null")
    parser.add_argument("--predictions", type=Path, required=True, help="probabilities by image, to write (CSV)")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics to write (JSON)")
    parser.add_argument("--threads", type=int, required=True, help="TensorFlow's threads; results depend on them")
    parser.add_argument("--device", choices=CHOICES, default="auto", help="auto takes a GPU where there is one")
    parser.add_argument(
        "--trainings-per-gpu", type=int, default=1, help="processes that may share a GPU (default: %(default)s)"
    )
    args = parser.parse_args()
    set_up_own_device(args.device, args.threads, args.trainings_per_gpu, lambda line: print(line, flush=True))
    training = read_json(args.training)
    split = pd.read_csv(args.split, dtype=str, keep_default_na=False)
    test = split[split["subset"] == "test"]
    model = load_network(args.model)
    output = predict_in_batches(model, open_pixels(args.pixels), test["image"].tolist())
    predictions = prediction_table(test, class_probabilities(output), training["classes"])
    metrics = metrics_of(predictions, training["classes"], args.positive)
    metrics["selected_epoch"] = training["selected_epoch"]["epoch"]
    write_table(args.predictions, predictions)
    write_json(args.metrics, metrics)
    print(f"test: {metrics['correct']} of {metrics['images']} right, loss {metrics['loss']:.4f}")


if __name__ == "__main__":
    run_stage(main)
