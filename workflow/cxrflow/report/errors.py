"""The error gallery: wrongly predicted test images, those first of which the networks are most certain."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cxrflow.report.inputs import Inputs

MOST_SHOWN = 50
"""Images of an experiment in the gallery."""
FLAGGING = ("patients", "duplicates", "look_alikes")
"""Audits whose findings are shown beside an image."""


def error_galleries(inputs: Inputs) -> list[dict[str, Any]]:
    """One gallery for each experiment.

    Returns:
        `experiment`, `seeds`, `images` (test images), `predictions` (over all seeds), `wrong_predictions`, `wrong_images` (with
        at least one seed), `not_audited` (audits of `FLAGGING` that the run did not make), `credits` of the pictures, and
        `rows`: the first `MOST_SHOWN` rows of `wrong_images` with `patient`, `flags` and `heat`.
    """
    made = inputs.audit["audits"]
    return [
        {
            "experiment": name,
            "not_audited": [one.replace("_", "-") for one in FLAGGING if one not in made],
            "credits": _credits(inputs, name),
            **_gallery(inputs, name),
        }
        for name in inputs.trainings
    ]


def _gallery(inputs: Inputs, name: str) -> dict[str, Any]:
    tables = {training.seed: training.predictions for training in inputs.trainings[name]}
    task = inputs.experiments[name]["task"]
    split = inputs.splits[task].set_index("image")
    subsets = {str(image): str(subset) for image, subset in split["subset"].items()}
    wrong = wrong_images(tables)
    for row in wrong[:MOST_SHOWN]:
        row["patient"] = str(split.loc[row["image"]].get("patient", ""))
        row["flags"] = list(flags_of(row["image"], inputs.audit["audits"], task, subsets))
        row["heat"] = _heat_of(inputs, name, row)
    images = len(next(iter(tables.values())))
    return {
        "seeds": list(tables),
        "images": images,
        "predictions": images * len(tables),
        "wrong_predictions": sum(row["wrong_in"] for row in wrong),
        "wrong_images": len(wrong),
        "rows": wrong[:MOST_SHOWN],
    }


def wrong_images(tables: Mapping[int, pd.DataFrame]) -> list[dict[str, Any]]:
    """Find the images that are predicted wrong with at least one seed.

    They are ordered by `confidence`, the mean over all seeds of the largest probability of a wrong class, the highest first,
    then by their ids.

    Args:
        tables: seed to its predictions: class, predicted and p_CLASS by image. All have the same images.

    Returns:
        For each image `image`, `class`, `confidence`, `wrong_in` (the number of seeds) and `by_seed`: `seed`, `predicted`,
        `probability` of the predicted class and `is_wrong`.
    """
    first = next(iter(tables.values()))
    truth = first["class"]
    predicted = {seed: table.loc[truth.index, "predicted"] for seed, table in tables.items()}
    wrong_in = sum((one != truth).astype(int) for one in predicted.values())
    classes = [name.removeprefix("p_") for name in first.columns if name.startswith("p_")]
    probabilities = {
        seed: table.loc[truth.index, [f"p_{one}" for one in classes]].to_numpy(np.float64)
        for seed, table in tables.items()
    }
    is_true = truth.to_numpy()[:, None] == np.array(classes)
    confidence = np.mean([np.where(is_true, 0, one).max(axis=1) for one in probabilities.values()], axis=0)
    rows = [
        {
            "image": image,
            "class": truth[image],
            "confidence": float(confidence[place]),
            "wrong_in": int(wrong_in[image]),
            "by_seed": [
                {
                    "seed": seed,
                    "predicted": predicted[seed][image],
                    "probability": float(probabilities[seed][place, classes.index(predicted[seed][image])]),
                    "is_wrong": predicted[seed][image] != truth[image],
                }
                for seed in tables
            ],
        }
        for place, image in enumerate(truth.index)
        if wrong_in[image]
    ]
    return sorted(rows, key=lambda row: (-row["confidence"], row["image"]))


def flags_of(image: str, audits: Mapping[str, Any], task: str, subsets: Mapping[str, str]) -> Iterator[str]:
    """What the audits know of a test image: its patient is also in training, it is a duplicate, it looks like another image.

    Args:
        image: image id.
        audits: `audits` of data_audit.json.
        task: the task whose test image it is.
        subsets: the subset of each image of the task; others are not named.
    """
    details = {name: audits[name]["details"] for name in FLAGGING if name in audits}
    of_patients = details.get("patients", {}).get("tasks", {}).get(task, {})
    if image in of_patients.get("test_images_of_known_patients", []):
        yield "its patient also has images in training or validation"
    for key, words in (("same_bytes", "same bytes as"), ("same_pixels", "same pixels as")):
        for group in details.get("duplicates", {}).get(key, []):
            others = [one for one in group if one != image and one in subsets]
            if image in group and others:
                yield f"{words} {', '.join(f'{one} ({subsets[one]})' for one in others)}"
    for pair in details.get("look_alikes", {}).get("pairs_found", []):
        both = {pair["image"], pair["other"]}
        if image in both and len(both) == 2:
            (other,) = both - {image}
            if other in subsets:
                sure = "shows the same picture as" if pair["certainty"] == "certain" else "may show the same picture as"
                how = f"{pair['transformation']}, correlation {pair['correlation']:.2f}"
                yield f"{sure} {other} ({subsets[other]}; {how})"


def _heat_of(inputs: Inputs, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The heat map of a wrong image: that of the first explained seed that is wrong, or the reason why there is none."""
    explanations = inputs.explanations.get(name, {})
    wrong = [one["seed"] for one in row["by_seed"] if one["is_wrong"] and one["seed"] in explanations]
    for seed in wrong:
        maps = explanations[seed].heat_maps
        if maps is not None and row["image"] in maps["errors"]:
            return {"seed": seed, "picture": maps["errors"][row["image"]], "reason": None}
    if not explanations:
        reason = "not explained"
    elif not wrong:
        reason = f"right with seed {', '.join(map(str, explanations))}, which is explained"
    elif all(explanations[seed].heat_maps is None for seed in wrong):
        reason = "no images are shown"
    else:
        reason = "not among the explained errors"
    return {"seed": None, "picture": None, "reason": reason}


def _credits(inputs: Inputs, name: str) -> list[str]:
    maps = [one.heat_maps for one in inputs.explanations.get(name, {}).values()]
    return list(dict.fromkeys(one["credit"] for one in maps if one is not None and one["credit"]))
