"""What audits read, and what they report."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.images.grouping import groups_of
from cxrflow.images.listing import SPLIT_WORDS
from cxrflow.io.words import joined, some_of

LEVEL = 0.05
"""Chance of a false alarm that all audits together may have; each corrects for the number of its tests."""
MOST_NAMED = 6
"""Patients or pictures that a finding names; the details name all."""


@dataclass(frozen=True)
class Finding:
    """One problem that an audit found."""

    text: str
    """What was found, in one or two sentences."""
    effect: str
    """What it does to the scores, in one sentence."""
    images: list[str] = field(default_factory=list)
    """Ids of the images concerned, sorted; empty if it concerns all."""
    task: str | None = None
    """The task that it concerns; None: the whole data set."""
    certainty: Literal["certain", "suspected"] = "certain"
    is_headline: bool = False
    """Whether the first page of the report states it."""


@dataclass(frozen=True)
class Audited:
    """What an audit found."""

    findings: list[Finding]
    details: dict[str, Any] = field(default_factory=dict)
    """Tables for the report, as a JSON value."""


@dataclass(frozen=True)
class DataSet:
    """A data set as the networks get it."""

    index: pd.DataFrame
    """The usable images: the columns of `cxrflow.images.index.index_images`."""
    splits: Mapping[str, pd.DataFrame]
    """Task to its split: image, class, subset (training, validation or test), patient (empty if unknown)."""
    classes: Mapping[str, list[str]]
    """Task to its classes, in the order of the networks' outputs."""
    pixels: Mapping[str, NDArray[np.uint8]]
    """Image id to the pixels that reach the networks, shape (size, size, 3)."""

    def images_of(self, task: str) -> pd.DataFrame:
        """The images of a task: image, class, subset, `group`, and the other columns of the index.

        Images of one patient, or with the same bytes or pixels, have the same group.
        """
        split = self.splits[task][["image", "class", "subset"]]
        rows = split.merge(self.index.drop(columns="class"), on="image", validate="one_to_one")
        return rows.assign(group=groups_of(rows))


def merge_tasks(findings: Iterable[Finding]) -> list[Finding]:
    """State each finding once, and begin its text with the tasks that it concerns.

    Findings of several tasks that are the same otherwise become one, without a task.
    """
    tasks: dict[tuple[str, str, tuple[str, ...]], list[Finding]] = {}
    for one in findings:
        tasks.setdefault((one.text, one.effect, tuple(one.images)), []).append(one)
    merged = []
    for first, *others in tasks.values():
        names = [one.task for one in (first, *others) if one.task is not None]
        before = f"Task{'s' if len(names) > 1 else ''} {joined(names)}: " if names else ""
        text = before + first.text if before else first.text[:1].upper() + first.text[1:]
        merged.append(replace(first, text=text, task=first.task if not others else None))
    return merged


def share_of_test_images(rows: pd.DataFrame, images: Iterable[str]) -> str:
    """Count test images by class: `3 of the 9 a and 1 of the 8 b test images`.

    Args:
        rows: images of a task: image, class, subset.
        images: ids of at least one of its test images.
    """
    test = rows[rows["subset"] == "test"]
    sizes = test["class"].value_counts()
    found = test.loc[test["image"].isin(list(images)), "class"].value_counts(sort=False)
    shares = [
        f"{found[name]:,} of the {sizes[name]:,} {name}" for name in dict.fromkeys(test["class"]) if name in found
    ]
    return f"{joined(shares)} test image{'' if len(shares) == 1 and sizes[found.index[0]] == 1 else 's'}"


def with_several(rows: pd.DataFrame, by: str, column: str) -> pd.DataFrame:
    """The rows of those `by` (patients or pictures) that have several values in a column."""
    return rows[rows.groupby(by)[column].transform("nunique") > 1]


def tested_and_others(rows: pd.DataFrame, by: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of those `by` that have a test image, and those of the others."""
    is_tested = (rows["subset"] == "test").groupby(rows[by]).transform("any").astype(bool)
    return rows[is_tested], rows[~is_tested]


def by_subset(rows: pd.DataFrame) -> str:
    """Name the images of each subset: `training (a.png) and test (b.png, c.png and 3 more)`."""
    return _named(rows, "subset", SPLIT_WORDS)


def by_class(rows: pd.DataFrame) -> str:
    """Name the images of each class, in alphabetical order, as `by_subset`."""
    return _named(rows, "class", sorted(set(rows["class"])))


def _named(rows: pd.DataFrame, column: str, order: Iterable[str]) -> str:
    parts = {value: sorted(rows.loc[rows[column] == value, "image"]) for value in order}
    return joined(f"{value} ({some_of(images, 4)})" for value, images in parts.items() if images)
