"""Metrics of predictions."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

# Keras clips probabilities at this before it takes their logarithm, so that one sure error costs 16.1, not infinity.
EPSILON = 1e-7


def prediction_table(images: pd.DataFrame, probabilities: NDArray[Any], classes: list[str]) -> pd.DataFrame:
    """Columns image, class, predicted and p_<class> for each class.

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


def metrics_of(predictions: pd.DataFrame, classes: list[str], positive: str | None) -> dict[str, Any]:
    """Loss, accuracy and confusion matrix of a prediction table.

    Args:
        predictions: see `prediction_table`.
        classes: in the order of the network's outputs.
        positive: the class that sensitivity and specificity are about, or None.

    Returns:
        A JSON value. `loss` is the mean cross-entropy, natural logarithm, as Keras computes it. Rows of
        `confusion_matrix` are the truth, columns the prediction. Rates without a denominator are None.
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
        "loss": float(-np.log(np.clip(of_truth, EPSILON, 1 - EPSILON)).mean()),
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


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
