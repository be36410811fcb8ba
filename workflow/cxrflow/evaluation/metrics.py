"""Metrics of predictions, and the figures that an accuracy is compared with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from cxrflow.statistics.metrics import LEAST_PROBABILITY

EARLIER_LEAST_PROBABILITY = 1e-7
"""`least_probability` of results that do not record it: losses were clipped to 16.1, as Keras does for probabilities."""


def prediction_table(images: pd.DataFrame, probabilities: NDArray[Any], classes: list[str]) -> pd.DataFrame:
    """Make a table of predictions: columns image, class, predicted, and p_<class> for each class.

    Args:
        images: columns image and class.
        probabilities: shape (n, classes), in the order of `classes`.
        classes: in the order of the network's outputs.
    """
    table = images[["image", "class"]].reset_index(drop=True)
    table["predicted"] = [classes[place] for place in probabilities.argmax(axis=1)]
    for place, name in enumerate(classes):
        table[f"p_{name}"] = probabilities[:, place]
    return table


def read_predictions(file: Path) -> pd.DataFrame:
    """Read a table of `prediction_table`, with the image as index."""
    texts = dict.fromkeys(("image", "class", "predicted"), str)
    # Only empty cells are missing values; a class may be named NA.
    return pd.read_csv(file, dtype=texts, keep_default_na=False, na_values=[""]).set_index("image")


def metrics_of(
    predictions: pd.DataFrame, classes: list[str], positive: str | None, least_probability: float = LEAST_PROBABILITY
) -> dict[str, Any]:
    """Compute the loss, the accuracy, the figures of `beside_accuracy` and the confusion matrix of predictions.

    Args:
        predictions: a table of `prediction_table`.
        classes: in the order of the network's outputs.
        positive: the positive class of sensitivity and specificity, or None.
        least_probability: smaller ones count as this one in the loss, and those above 1 minus it as that.

    Returns:
        A JSON value. `loss` is the mean cross-entropy (natural logarithm), as Keras computes it from logits. Rows of
        `confusion_matrix` are true classes, columns predicted ones. A rate with the denominator 0 is None.
    """
    truth, predicted = predictions["class"], predictions["predicted"]
    matrix = confusion_matrix(truth, predicted, labels=classes)
    of_truth = np.array([row[f"p_{row['class']}"] for row in predictions.to_dict("records")])
    correct = int(np.trace(matrix))
    metrics: dict[str, Any] = {
        "subset": "test",
        "images": len(predictions),
        "correct": correct,
        "accuracy": correct / len(predictions),
        **beside_accuracy(matrix.tolist(), classes),
        "loss": float(-np.log(np.clip(of_truth, least_probability, 1 - least_probability)).mean()),
        "least_probability": least_probability,
        "classes": list(classes),
        "confusion_matrix": matrix.tolist(),
        "per_class": {
            name: {
                "images": int(matrix[place].sum()),
                "sensitivity": _share(matrix[place, place], matrix[place].sum()),
                "precision": _share(matrix[place, place], matrix[:, place].sum()),
            }
            for place, name in enumerate(classes)
        },
        "positive": positive,
        "sensitivity": None,
        "specificity": None,
    }
    if positive is not None:
        place = classes.index(positive)
        others = np.delete(np.delete(matrix, place, axis=0), place, axis=1)
        metrics["sensitivity"] = metrics["per_class"][positive]["sensitivity"]
        not_positive = len(predictions) - matrix[place].sum()
        metrics["specificity"] = _share(others.sum(), not_positive)
    return metrics


def beside_accuracy(confusion_matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> dict[str, Any]:
    """Compute what to compare an accuracy with: balanced accuracy, and the accuracy of always predicting the largest class.

    Args:
        confusion_matrix: rows are true classes, columns predicted ones; at least one image.
        classes: in the order of rows and columns.

    Returns:
        A JSON value: `balanced_accuracy`, the mean sensitivity of the classes that have images, and `majority`, with `class`
        (the largest class, or the first of several), `images` (their number) and `accuracy` (of always predicting it).
    """
    images = [sum(row) for row in confusion_matrix]
    sensitivities = [
        row[place] / of for place, (row, of) in enumerate(zip(confusion_matrix, images, strict=True)) if of
    ]
    largest = images.index(max(images))
    return {
        "balanced_accuracy": sum(sensitivities) / len(sensitivities),
        "majority": {
            "class": classes[largest],
            "images": images[largest],
            "accuracy": images[largest] / sum(images),
        },
    }


def only_prediction(confusion_matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> str | None:
    """The class that a network predicts for the images of all classes; None if it predicts several classes."""
    predicted = [name for name, column in zip(classes, zip(*confusion_matrix, strict=True), strict=True) if any(column)]
    several = sum(any(row) for row in confusion_matrix) > 1
    return predicted[0] if several and len(predicted) == 1 else None


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
