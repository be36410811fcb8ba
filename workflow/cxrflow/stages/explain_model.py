"""Explain a trained network: where it looks in test images, and how accurate it is on altered ones.

All errors and a random sample of the right predictions are explained by Grad-CAM for the predicted class. The heat maps are
checked by random weights, by deletion and insertion, and by the share of heat outside the lungs. Accuracy is measured with
parts of the images removed and with JPEG compression, noise, blur, brightness, shift and rotation. Needs Keras on TensorFlow.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cxrflow.networks.start_keras  # noqa: F401  # isort: skip
import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.evaluation.predict import class_probabilities, network_parser, predict_in_batches, set_up_device_of
from cxrflow.explanations.choice import Chosen, choose_images, sample_of, stream_of
from cxrflow.explanations.deletion import Predict, curves_of
from cxrflow.explanations.grad_cam import SplitNetwork, grad_cam, is_constant, split_network
from cxrflow.explanations.lungs import FIXED_BOXES, FIXED_IOU, border_mask, box_mask, read_boxes, share_inside
from cxrflow.explanations.robustness import accuracy_on_altered_images
from cxrflow.explanations.sanity import mean_similarity, randomised_heat
from cxrflow.explanations.summary import rounded, summary_of
from cxrflow.images.grouping import patient_numbers
from cxrflow.images.pixels import open_pixels
from cxrflow.io.command import add_settings, run_stage
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json, whole_file, write_json
from cxrflow.networks.load import load_network
from cxrflow.study.models import ExplanationSettings

LARGEST_DIFFERENCE = 0.01
"""Between a probability in predictions.csv and the same one computed here, perhaps on another device."""
Masks = Mapping[str, NDArray[np.bool_]]


def explain_images(
    model: keras.Model,
    pixels: Mapping[str, NDArray[np.uint8]],
    predictions: pd.DataFrame,
    classes: list[str],
    chosen: Chosen,
    lungs: Masks,
    seed: int,
) -> tuple[list[dict[str, Any]], NDArray[np.float32], SplitNetwork]:
    """Explain the chosen images.

    Args:
        model: the network.
        pixels: image id to its picture.
        predictions: table of `prediction_table`.
        classes: in the order of the network's outputs.
        chosen: from `choose_images`.
        lungs: image id to the mask of its lung boxes.
        seed: seed of random weights and random orders.

    Returns:
        A JSON value for each image; their heat maps (n, size, size); and the network in parts.
    """
    network, predict = split_network(model), predictor(model)
    rows = predictions.set_index("image").loc[chosen.images].to_dict("index")
    size = model.input.shape[1]
    if not rows:
        return [], np.zeros((0, size, size), np.float32), network
    pictures = np.stack([pixels[image] for image in chosen.images])
    places = [classes.index(row["predicted"]) for row in rows.values()]
    heats = grad_cam(network, pictures, places)
    with_random_weights = randomised_heat(model, network, pictures, places, seed)
    border, explained = border_mask(size), []
    for number, (image, row) in enumerate(rows.items()):
        heat, constant, inside = heats[number], is_constant(heats[number]), lungs[str(image)]
        random = stream_of(str(image), seed, "orders")
        curves = None if constant else curves_of(pictures[number], heat, network.map, places[number], predict, random)
        explained.append(
            {
                "image": str(image),
                "class": row["class"],
                "predicted": row["predicted"],
                "probability": round(float(row[f"p_{row['predicted']}"]), 4),
                "chosen_as": "error" if row["predicted"] != row["class"] else "sample",
                "heat_is_constant": constant,
                "heat_outside_lungs": rounded(share_inside(heat, ~inside)),
                "area_outside_lungs": rounded(float((~inside).mean())),
                "heat_in_border": rounded(share_inside(heat, border)),
                "random_weights": {
                    name: {key: rounded(value) for key, value in mean_similarity(heat, draws[:, number]).items()}
                    for name, draws in with_random_weights.items()
                },
                "curves": curves,
            }
        )
    return explained, heats, network


def predictor(model: keras.Model) -> Predict:
    """A function from pictures, uint8 (n, size, size, 3), to probabilities (n, classes)."""

    def predict(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        named = {str(place): picture for place, picture in enumerate(pictures)}
        return class_probabilities(predict_in_batches(model, named, list(named)))

    return predict


def refuse_other_predictions(predictions: pd.DataFrame, probabilities: NDArray[np.float64], classes: list[str]) -> None:
    """Raise a UserError if a table of predictions is not that of the network on these images."""
    names = [f"p_{name}" for name in classes]
    if absent := [name for name in ("image", "class", "predicted", *names) if name not in predictions]:
        raise UserError(f"--predictions: no column {', '.join(absent)}; give the predictions.csv of this network")
    difference = float(np.abs(predictions[names].to_numpy(np.float64) - probabilities).max())
    if difference > LARGEST_DIFFERENCE:
        raise UserError(
            f"--predictions: probabilities differ from those of the network by up to {difference:.3f}; give the "
            "predictions.csv that evaluate_model wrote for this network"
        )


def main() -> None:
    parser = network_parser(__doc__)
    parser.add_argument("--predictions", type=Path, required=True, help="predictions of the test images (CSV)")
    parser.add_argument(
        "--lungs", type=Path, help="lung boxes (CSV: image, left, top, right, bottom, as shares of the size)"
    )
    add_settings(parser, ExplanationSettings)
    parser.add_argument("--seed", type=int, default=0, help="seed of all random choices (default: %(default)s)")
    parser.add_argument("--explanations", type=Path, required=True, help="explanations to write (JSON)")
    parser.add_argument("--heat", type=Path, required=True, help="heat maps to write (.npz)")
    args = parser.parse_args()
    settings: ExplanationSettings = args.settings
    set_up_device_of(args)
    training = read_json(args.training)
    classes = training["classes"]
    split = pd.read_csv(args.split, dtype=str, keep_default_na=False)
    rows = split[split["subset"] == "test"]
    test: dict[str, str] = dict(zip(rows["image"], rows["class"], strict=True))
    predictions = pd.read_csv(
        args.predictions, keep_default_na=False, dtype={"image": str, "class": str, "predicted": str}
    )
    if sorted(predictions.get("image", [])) != sorted(test):
        raise UserError(
            "--predictions: the images are not the test images of --split; give the predictions.csv of this split"
        )
    model = load_network(args.model)
    model.jit_compile = False  # XLA is slower on a CPU, and compiles again for every size of a batch
    pixels = open_pixels(args.pixels)
    output = predict_in_batches(model, pixels, predictions["image"].tolist())
    refuse_other_predictions(predictions, class_probabilities(output), classes)

    boxes = read_boxes(args.lungs) if args.lungs else {}
    size = model.input.shape[1]
    lungs = {image: box_mask(boxes.get(image, FIXED_BOXES), size) for image in test}
    right = (predictions["class"] == predictions["predicted"]).tolist()
    chosen = choose_images(
        predictions["image"].tolist(), right, args.seed, settings.explained_right, settings.explained_errors
    )
    explained, heats, network = explain_images(model, pixels, predictions, classes, chosen, lungs, args.seed)
    altered = sample_of(list(test), settings.altered_images, args.seed, "altered")
    truth = {image: classes.index(test[image]) for image in altered}
    patients = dict(zip(test, patient_numbers(split, list(test)).tolist(), strict=True))
    groups = np.array([patients[image] for image in altered])
    tables = accuracy_on_altered_images(pixels, truth, lungs, predictor(model), args.seed, groups)
    summary = summary_of(explained, patients)
    record = {
        "training": training["identity"],
        "method": "Grad-CAM for the predicted class",
        "layer": network.layer,
        "map": list(network.map),
        "image_size": size,
        "classes": classes,
        "seed": args.seed,
        "chosen": {
            "test_images": len(predictions),
            "errors": chosen.errors_in_all,
            "errors_explained": chosen.errors,
            "right": chosen.correct_in_all,
            "right_explained": len(chosen.images) - chosen.errors,
        },
        "lungs": {
            "images_with_own_boxes": sum(image in boxes for image in test),
            "fixed_boxes": [list(box) for box in FIXED_BOXES],
            "fixed_boxes_iou_on_phantoms": FIXED_IOU,
        },
        "summary": summary,
        "images": explained,
        "altered": {"images": len(altered), "patients": len({*groups.tolist()})},
        **tables,
    }
    with whole_file(args.heat) as part:
        np.savez_compressed(
            part,
            images=np.array(chosen.images, dtype=str),
            heat=np.rint(255 * heats).astype(np.uint8),
            training=training["identity"],
        )
    write_json(args.explanations, record)
    print(
        f"{len(explained)} images explained, {summary['images_with_constant_heat']} without heat; "
        f"{len(altered)} images altered in {len(tables['occlusions']) + len(tables['corruptions'])} ways"
    )


if __name__ == "__main__":
    run_stage(main)
