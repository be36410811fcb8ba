"""Evaluate trivial rivals: how far classifiers get that see too little to recognise disease."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from cxrflow.audits.findings import LEVEL, Audited, DataSet, Finding, merge_tasks
from cxrflow.audits.rival_features import (
    MOST_ITERATIONS,
    RIVALS,
    Features,
    Rival,
    file_features,
    picture_features,
)
from cxrflow.images.grouping import place_of
from cxrflow.io.words import counted
from cxrflow.statistics.intervals import clustered_wilson
from cxrflow.statistics.permutation import max_test_against_chance, permuted_labels

Labels = NDArray[np.str_]

FOLDS = 5
REPEATS = 5
PERMUTATIONS = 19
"""The fewest with which a p-value can be 0.05. Each one repeats the cross-validation of all rivals, which takes most time. The
first one in which any rival is as good as the best one is the last: no p-value can become 0.05 (Besag and Clifford, 1991)."""
MOST_CROSS_VALIDATED = 1000
MOST_TRAINED_ON = 5000
"""Of more images, whole groups are drawn, at least 5 of each class; the order of their hashes is the same in each run."""


@dataclass(frozen=True)
class Seen:
    """The images of a task, or some of them."""

    images: list[str]
    labels: Labels
    groups: Labels
    features: list[Features]
    """Of each rival, shape (images, features)."""

    def part(self, chosen: NDArray[Any]) -> "Seen":
        """Select images by position or by truth values."""
        images = np.array(self.images, object)[chosen].tolist()
        return Seen(images, self.labels[chosen], self.groups[chosen], [one[chosen] for one in self.features])

    @property
    def chance(self) -> float:
        """Share of the largest class, 0 to 1."""
        return _largest_share(self.labels)


def audit_rivals(data: DataSet) -> Audited:
    """Evaluate the rivals on each task, in cross-validation and on the run's own split.

    Cross-validation: all images of the task; up to 5 folds, stratified, with all images of a group (patient) in one fold; 5
    repetitions with other folds. Of more than 1000 images, whole groups are drawn. p-values are those of
    `max_test_against_chance` over all rivals, with one repetition for each of at most 19 permutations; since the observed
    accuracy is a mean of repetitions, which varies less, they are slightly conservative.

    Own split: trained on the run's training images (groups of up to 5000), evaluated on its test images.

    Returns:
        Findings: of each task in which a rival that reaches the network is significantly better than always predicting the
        largest class in cross-validation, or the rival of the file is. They state the best rival.

        Details: task to `images` (number of images of the task, of which those of `cross_validation` and `training_images`
        may be a part), and `rivals`: a list of name, description, reaches_network and

        * `cross_validation`: `reason` (why it was not possible, or None; if not None, there are no other keys), images,
          groups, folds, repeats, chance (share of the largest class), accuracy, low and high (95 % interval of
          `clustered_wilson`, of the images' shares of correct predictions), permutations, p_value, unconverged (number of fits
          of the repetitions that ended before convergence);
        * `own_split`: `reason`, training_images, images, groups, chance, correct, accuracy, low, high, unconverged, and
          `predicted` (test image to class).
    """
    details: dict[str, Any] = {}
    findings: list[Finding] = []
    for task in data.splits:
        details[task] = _evaluated(data, task)
        findings += _findings(task, details[task]["rivals"])
    return Audited(merge_tasks(findings), details)


def _evaluated(data: DataSet, task: str) -> dict[str, Any]:
    rows = data.images_of(task).sort_values("image", ignore_index=True)
    subset = rows["subset"].to_numpy(str)
    crossed = some_groups(rows, np.ones(len(rows), bool), MOST_CROSS_VALIDATED)
    trained = some_groups(rows, subset == "training", MOST_TRAINED_ON)
    used = rows[crossed | trained | (subset == "test")]
    seen = _seen(used, data)
    of_used = used.index.to_numpy()
    validated = _in_cross_validation(seen.part(crossed[of_used]))
    split = _own_split(seen.part(trained[of_used]), seen.part((subset == "test")[of_used]))
    rivals = [
        {
            "name": rival.name,
            "description": rival.description,
            "reaches_network": rival.reaches_network,
            "cross_validation": in_cross_validation,
            "own_split": in_own_split,
        }
        for rival, in_cross_validation, in_own_split in zip(RIVALS, validated, split, strict=True)
    ]
    return {"images": len(rows), "rivals": rivals}


def some_groups(rows: pd.DataFrame, allowed: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """Mark the allowed images of whole groups, at most `most` if there are more, but 5 groups of each class."""
    if allowed.sum() <= most:
        return allowed
    some = rows[allowed]
    places = some["group"].map({group: place_of(group, 0) for group in some["group"].unique()})
    order = some.assign(place=places).sort_values(["place", "image"])
    sizes = order.groupby("place", sort=True).size().cumsum()
    first_of_class = order.drop_duplicates(["class", "place"]).groupby("class").head(FOLDS)["place"]
    chosen = set(sizes.index[sizes <= most]) | set(first_of_class)
    return allowed & places.reindex(rows.index).isin(chosen).to_numpy()


def _seen(rows: pd.DataFrame, data: DataSet) -> Seen:
    of_pictures = iter(picture_features([rival for rival in RIVALS if rival.reaches_network], rows, data.pixels))
    features = [next(of_pictures) if rival.reaches_network else file_features(rows) for rival in RIVALS]
    return Seen(rows["image"].tolist(), rows["class"].to_numpy(str), rows["group"].to_numpy(str), features)


def _in_cross_validation(seen: Seen) -> list[dict[str, Any]]:
    """Cross-validate all rivals: `cross_validation` of each rival, see `audit_rivals`."""
    images = len(seen.images)
    groups_of_class = [len(set(seen.groups[seen.labels == name])) for name in sorted(set(seen.labels))]
    if len(groups_of_class) < 2 or (folds := min(FOLDS, *groups_of_class)) < 2:
        reason = (
            "the images are of a single class" if len(groups_of_class) < 2 else "a class has images of one group only"
        )
        return [{"reason": reason} for _ in seen.features]
    runs = [_cross_validated(seen, seen.labels, folds, seed) for seed in range(REPEATS)]
    correct = np.mean([predicted == seen.labels for predicted, _ in runs], axis=0)
    unconverged = np.sum([failed for _, failed in runs], axis=0)
    excess = correct.mean(axis=1) - seen.chance
    permuted = []
    for seed in range(PERMUTATIONS):
        labels = permuted_labels(seen.labels, seen.groups, seed)
        predicted, _ = _cross_validated(seen, labels, folds, seed)
        permuted.append(np.mean(predicted == labels, axis=1) - _largest_share(labels))
        if permuted[-1].max() >= excess.max():
            break
    p_values = max_test_against_chance(excess, np.reshape(permuted, (-1, len(excess))))
    found = []
    for of_rival, failed, p_value in zip(correct, unconverged, p_values, strict=True):
        low, high = clustered_wilson(of_rival, seen.groups)
        found.append(
            {
                "reason": None,
                "images": images,
                "groups": len(set(seen.groups)),
                "folds": folds,
                "repeats": REPEATS,
                "chance": seen.chance,
                "accuracy": float(of_rival.mean()),
                "low": low,
                "high": high,
                "permutations": len(permuted),
                "p_value": float(p_value),
                "unconverged": int(failed),
            }
        )
    return found


def _cross_validated(seen: Seen, labels: Labels, folds: int, seed: int) -> tuple[Labels, NDArray[np.int64]]:
    """Predict each image by each rival from the other folds.

    Returns:
        Predictions, shape (rivals, images), and the number of fits of each rival that ended before convergence.
    """
    predicted = np.empty((len(seen.features), len(labels)), labels.dtype)
    unconverged = np.zeros(len(seen.features), np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for training, test in splitter.split(labels, labels, seen.groups):
        for place, (rival, features) in enumerate(zip(RIVALS, seen.features, strict=True)):
            found = _predict(rival, features[training], labels[training], features[test])
            predicted[place, test], did_converge = found
            unconverged[place] += not did_converge
    return predicted, unconverged


def _predict(rival: Rival, training: Features, labels: Labels, test: Features) -> tuple[Labels, bool]:
    """Train a rival and predict other images; also return whether its training converged."""
    if len(set(labels)) == 1:  # a fold without the images of the other classes
        return np.repeat(labels[:1], len(test)), True
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model = rival.classifier().fit(training, labels)
    last = model[-1]
    converged = not isinstance(last, LogisticRegression) or int(last.n_iter_.max()) < MOST_ITERATIONS
    return model.predict(test), converged


def _own_split(training: Seen, test: Seen) -> list[dict[str, Any]]:
    """Evaluate all rivals on the run's own split: `own_split` of each rival, see `audit_rivals`."""
    if not training.images:
        reasons = "there are no training images"
    elif not test.images:
        reasons = "there are no test images"
    elif len(set(training.labels)) < 2:
        reasons = "the training images are of a single class"
    else:
        return list(_on_test_images(training, test))
    return [{"reason": reasons} for _ in training.features]


def _on_test_images(training: Seen, test: Seen) -> Iterator[dict[str, Any]]:
    for rival, of_training, of_test in zip(RIVALS, training.features, test.features, strict=True):
        predicted, converged = _predict(rival, of_training, training.labels, of_test)
        correct = predicted == test.labels
        low, high = clustered_wilson(correct, test.groups)
        yield {
            "reason": None,
            "training_images": len(training.images),
            "images": len(test.images),
            "groups": len(set(test.groups)),
            "chance": test.chance,
            "correct": int(correct.sum()),
            "accuracy": float(correct.mean()),
            "low": low,
            "high": high,
            "unconverged": int(not converged),
            "predicted": dict(zip(test.images, predicted.tolist(), strict=True)),
        }


def _largest_share(labels: Labels) -> float:
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def _findings(task: str, rivals: list[dict[str, Any]]) -> Iterator[Finding]:
    better = [
        one
        for one in rivals
        if one["cross_validation"]["reason"] is None
        and one["cross_validation"]["p_value"] <= LEVEL
        and one["cross_validation"]["accuracy"] > one["cross_validation"]["chance"]
    ]
    for reaches_network in (True, False):
        of_kind = [one for one in better if one["reaches_network"] == reaches_network]
        if not of_kind:
            continue
        best = max(of_kind, key=lambda one: one["cross_validation"]["accuracy"])
        found = best["cross_validation"]
        # Without known patients, each image is its own group.
        patients = f" of {counted(found['groups'], 'patient')}" if found["groups"] < found["images"] else ""
        text = (
            f"{best['description']} classifies {found['accuracy']:.2f} of the images correctly (95 % interval "
            f"{found['low']:.2f} to {found['high']:.2f}; {counted(found['images'], 'image')}{patients}, cross-validation); "
            f"always predicting the largest class: {found['chance']:.2f}."
        )
        if reaches_network:
            effect = (
                f"An accuracy of up to {found['accuracy']:.2f} in this task says nothing about disease: "
                "a classifier that sees too little to recognise disease reaches it."
            )
        else:
            text += " The network does not see the file's properties."
            effect = (
                "The files of the classes probably come from different sources, whose pixels may differ, too; "
                "the properties themselves change no score."
            )
        yield Finding(text, effect, task=task)
