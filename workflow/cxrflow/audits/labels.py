"""Images whose labels may be wrong: a classifier that was trained on the others is sure of another class (cleanlab)."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_self_confidence_for_each_label
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import sobel
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxrflow.audits.findings import MOST_NAMED, Audited, DataSet, Finding, merge_tasks, share_of_test_images
from cxrflow.audits.picture_measures import Pixels, grey_levels
from cxrflow.audits.rivals import some_groups
from cxrflow.io.words import counted, some_of

FOLDS = 5
REPEATS = 3
MOST = 5000
"""Of more images, whole groups are drawn."""
FEWEST_GROUPS = 5
"""Groups (patients) of a class that can be judged."""
PENALTY = 0.01
"""C of the logistic regression: strong, since there are more features than images in a small data set."""
SURE = 0.05
"""Probability of an image's own label below which it is suspected."""
TEMPERATURES = (0.7, 50.0)
"""Bounds of the temperature. A smaller one, which fits a small data set by chance, would make the classifier too sure."""
SIDE, CELLS, DIRECTIONS = 112, 7, 8
"""Of the gradients: side of the reduced image, cells along a side, and directions in a half circle."""

Numbers = NDArray[np.float64]
Labels = NDArray[np.str_]


@dataclass(frozen=True)
class Suspect:
    """An image whose label may be wrong."""

    image: str
    label: str
    likely: str
    """The class that the others suggest."""
    confidence: float
    """Probability of its own label, 0 to 1."""


def audit_labels(data: DataSet) -> Audited:
    """Find labels that contradict what a classifier learns from the other images.

    The classifier is a logistic regression on the directions of gradients in 7 x 7 parts of the image (Dalal and Triggs, 2005).
    Out-of-fold probabilities are means of 3 repetitions of a 5-fold cross-validation, stratified, with all images of a group
    (patient) in one fold. They are calibrated by one temperature, so that a classifier that learns nothing is not sure of
    anything. A label is suspected if cleanlab's confident learning says so (Northcutt et al., 2021; both of its ways to prune)
    and its probability is below 0.05. Classes with images of fewer than 5 groups are left out. benchmarks/labels.py measures
    how many wrong labels are found, and how many suspects are wrong.

    Returns:
        Findings: one for each task with suspected labels; none is certain.

        Details: `tasks`: task to `reason` (why it was not judged, or None), `images` (number of judged images), `left_out`
        (class to its number of images), `accuracy` (share of judged images whose label is the most probable class),
        `temperature`, and `suspects` (image, label, likely, confidence; the least confident first).
    """
    findings: list[Finding] = []
    details: dict[str, Any] = {}
    for task in data.splits:
        rows = data.images_of(task).sort_values("image", ignore_index=True)
        details[task], suspects = _judge(rows, data)
        if suspects:
            findings.append(_finding(task, rows, suspects))
    return Audited(merge_tasks(findings), {"tasks": details})


def _judge(rows: pd.DataFrame, data: DataSet) -> tuple[dict[str, Any], list[Suspect]]:
    groups = rows.groupby("class")["group"].nunique()
    judged = rows[rows["class"].isin(groups.index[groups >= FEWEST_GROUPS])]
    left_out = rows.loc[~rows["image"].isin(judged["image"]), "class"].value_counts().to_dict()
    nothing = {"images": 0, "left_out": left_out, "accuracy": None, "temperature": None, "suspects": []}
    if judged["class"].nunique() < 2:
        reason = f"not enough images: fewer than two classes have images of {FEWEST_GROUPS} patients"
        return {"reason": reason, **nothing}, []
    judged = judged[some_groups(judged, np.ones(len(judged), bool), MOST)]
    features = np.array([gradients(data.pixels[image]) for image in judged["image"]])
    labels = judged["class"].to_numpy(str)
    raw = out_of_fold_probabilities(features, labels, judged["group"].to_numpy(str))
    temperature, probabilities = calibrated(raw, labels)
    suspects = suspected(judged["image"].tolist(), labels, probabilities)
    found = {
        "reason": None,
        "images": len(judged),
        "left_out": left_out,
        "accuracy": float(np.mean(np.unique(labels)[probabilities.argmax(axis=1)] == labels)),
        "temperature": temperature,
        "suspects": [vars(one) for one in suspects],
    }
    return found, suspects


def gradients(pixels: Pixels) -> Numbers:
    """Describe an image by the directions of its gradients (a histogram of oriented gradients), shape (392,).

    Each is the logarithm of 1 + the sum of magnitudes of one direction in one cell.

    Args:
        pixels: uint8, shape (size, size, 3).
    """
    small = Image.fromarray(grey_levels(pixels)).resize((SIDE, SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, np.float64)
    down, across = sobel(grey, 0), sobel(grey, 1)
    direction = np.minimum((np.arctan2(down, across) % np.pi / np.pi * DIRECTIONS).astype(np.int64), DIRECTIONS - 1)
    cell = np.arange(SIDE) * CELLS // SIDE
    place = (cell[:, None] * CELLS + cell[None, :]) * DIRECTIONS + direction
    sums = np.bincount(place.ravel(), np.hypot(down, across).ravel(), CELLS * CELLS * DIRECTIONS)
    return np.log1p(sums)


def out_of_fold_probabilities(features: Numbers, labels: Labels, groups: Labels) -> Numbers:
    """Predict each image from the others, shape (images, classes); classes are sorted, rows sum to 1.

    Args:
        features: shape (images, features).
        labels: shape (images,).
        groups: shape (images,); images of a group are in one fold.
    """
    classes = np.unique(labels)
    total = np.zeros((len(labels), len(classes)))
    for seed in range(REPEATS):
        splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        for training, others in splitter.split(features, labels, groups):
            present = np.unique(labels[training])
            if len(present) == 1:
                total[others, classes.searchsorted(present)] += 1
                continue
            model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=500))
            with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
                predicted = model.fit(features[training], labels[training]).predict_proba(features[others])
            total[np.ix_(others, classes.searchsorted(present))] += predicted
    return total / REPEATS


def calibrated(probabilities: Numbers, labels: Labels) -> tuple[float, Numbers]:
    """Fit one temperature (Guo et al., 2017) by maximum likelihood.

    Args:
        probabilities: shape (images, classes); classes are sorted.
        labels: shape (images,).

    Returns:
        The temperature, within `TEMPERATURES`, and calibrated probabilities.
    """
    logits = np.log(np.clip(probabilities, 1e-6, 1))
    place = np.unique(labels, return_inverse=True)[1]

    def at(logarithm: float) -> Numbers:
        scaled = logits / np.exp(logarithm)
        shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        found: Numbers = shares / shares.sum(axis=1, keepdims=True)
        return found

    def loss(logarithm: float) -> float:
        return -float(np.log(at(logarithm)[np.arange(len(place)), place] + 1e-12).mean())

    best = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x
    return float(np.exp(best)), at(best)


def suspected(images: list[str], labels: Labels, probabilities: Numbers, sure: float = SURE) -> list[Suspect]:
    """List images whose labels may be wrong, the least confident first.

    Args:
        images: ids.
        labels: shape (images,).
        probabilities: calibrated and out of fold, shape (images, classes); classes are sorted.
        sure: probability of an image's own label below which it is suspected.
    """
    classes, place = np.unique(labels, return_inverse=True)
    is_issue = find_label_issues(place, probabilities, filter_by="both", n_jobs=1)
    own = get_self_confidence_for_each_label(place, probabilities)
    chosen = [number for number in np.argsort(own, kind="stable") if is_issue[number] and own[number] < sure]
    likely = classes[probabilities.argmax(axis=1)]
    return [Suspect(images[one], str(labels[one]), str(likely[one]), round(float(own[one]), 4)) for one in chosen]


def _finding(task: str, rows: pd.DataFrame, suspects: list[Suspect]) -> Finding:
    named = [f"{one.image} ({one.label}, looks like {one.likely})" for one in suspects]
    images = sorted(one.image for one in suspects)
    text = f"{counted(len(suspects), 'label')} may be wrong: {some_of(named, MOST_NAMED)}."
    is_tested = rows.loc[rows["subset"] == "test", "image"].isin(images).any()
    effect = (
        f"If they are, the score is wrong for {share_of_test_images(rows, images)}."
        if is_tested
        else "No test image is concerned; wrong labels make training harder."
    )
    return Finding(text, effect, images, task, "suspected")
