"""Duplicate images: the same bytes, the same pixels in other bytes, and names that suggest copies."""

import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from cxrflow.audits.findings import (
    MOST_NAMED,
    Audited,
    DataSet,
    Finding,
    by_class,
    by_subset,
    merge_tasks,
    share_of_test_images,
    tested_and_others,
    with_several,
)
from cxrflow.images.grouping import pictures_of
from cxrflow.io.words import counted, some_of


def audit_duplicates(data: DataSet) -> Audited:
    """Find images that are in several subsets or classes of a task, and files whose names suggest copies.

    Returns:
        Details: the groups of `duplicate_images`, and `tasks`, task to: `in_several_subsets` and `in_several_classes` (groups
        of image ids with the same bytes or pixels) and `test_images_seen_before` (ids of the test images that are in training
        or validation, too).
    """
    groups = duplicate_images(data.index)
    findings: list[Finding] = []
    details: dict[str, Any] = {}
    for task in data.splits:
        rows = data.images_of(task)
        rows = rows.assign(picture=pictures_of(rows)).dropna(subset="picture")
        leaked, mixed = (with_several(rows, "picture", column) for column in ("subset", "class"))
        for same, named in _by_kind(leaked):
            findings += _leak_findings(task, rows, same, named)
        for same, named in _by_kind(mixed):
            findings += _class_findings(task, same, named)
        details[task] = {
            "in_several_subsets": _ids(part for _, part in leaked.groupby("picture")),
            "in_several_classes": _ids(part for _, part in mixed.groupby("picture")),
            "test_images_seen_before": sorted(leaked.loc[leaked["subset"] == "test", "image"]),
        }
    findings += _name_findings(groups["same_but_for_case"], groups["copies_by_name"])
    return Audited(merge_tasks(findings), {**groups, "tasks": details})


def _by_kind(rows: pd.DataFrame) -> list[tuple[pd.DataFrame, str]]:
    """Images with the same bytes, and those with the same pixels in other bytes, each with its words, if there are any."""
    is_bytes = rows.groupby("picture")["sha256"].transform("nunique") == 1
    kinds = [(rows[is_bytes], "the same bytes"), (rows[~is_bytes], "the same pixels in other bytes")]
    return [(part, named) for part, named in kinds if len(part)]


def _leak_findings(task: str, rows: pd.DataFrame, same: pd.DataFrame, named: str) -> list[Finding]:
    """One finding about pictures in the test and elsewhere, and one about those in training and validation only."""
    tested, others = tested_and_others(same, "picture")
    findings = []
    if len(tested):
        share = share_of_test_images(rows, tested.loc[tested["subset"] == "test", "image"])
        effect = f"Training or validation has the pictures of {share}, so the score is higher than for new images."
        findings.append(_leak(task, tested, named, effect, is_headline=True))
    if len(others):
        images, of = (int((one["subset"] == "validation").sum()) for one in (others, rows))
        effect = (
            f"Training has the pictures of {images} of the {of} validation images, so validation is easier than with new "
            "images; the test is not affected."
        )
        findings.append(_leak(task, others, named, effect, is_headline=False))
    return findings


def _leak(task: str, same: pd.DataFrame, named: str, effect: str, is_headline: bool) -> Finding:
    places = [by_subset(part) for _, part in same.groupby("picture")]
    text = f"{counted(len(places), 'picture is', 'pictures are')} in several subsets with {named}: "
    text += f"{some_of(places, MOST_NAMED, '; ')}."
    return Finding(text, effect, sorted(same["image"]), task, is_headline=is_headline)


def _class_findings(task: str, same: pd.DataFrame, named: str) -> list[Finding]:
    places = [by_class(images) for _, images in same.groupby("picture")]
    text = f"{counted(len(places), 'picture is', 'pictures are')} in several classes with {named}: "
    text += f"{some_of(places, MOST_NAMED, '; ')}."
    effect = f"One of the labels of each must be wrong: {counted(len(same), 'image')} in all."
    return [Finding(text, effect, sorted(same["image"]), task)]


def _name_findings(same_but_for_case: list[list[str]], copies_by_name: list[list[str]]) -> list[Finding]:
    findings = []
    if same_but_for_case:
        text = f"{counted(len(same_but_for_case), 'group')} of files with names that differ only in case: "
        effect = "Where file names ignore case, such as on Windows and macOS, a copy of the data set lacks images."
        findings.append(Finding(text + _listed(same_but_for_case), effect, _flat(same_but_for_case)))
    if copies_by_name:
        text = f"{counted(len(copies_by_name), 'group')} of files named like one picture at several resolutions: "
        effect = "If they are, and in several subsets, the test is easier than it should be."
        images = _flat(copies_by_name)
        findings.append(Finding(text + _listed(copies_by_name), effect, images, certainty="suspected"))
    return findings


def _listed(groups: list[list[str]]) -> str:
    return f"{some_of((some_of(group, 4) for group in groups), MOST_NAMED, '; ')}."


def _flat(groups: list[list[str]]) -> list[str]:
    return sorted(image for group in groups for image in group)


def duplicate_images(used: pd.DataFrame) -> dict[str, list[list[str]]]:
    """Groups of images that are duplicates of each other.

    Args:
        used: index of usable images: image, sha256, pixels_blake2.

    Returns:
        Sorted image ids of each group: `same_bytes`; `same_pixels` (files with other bytes, such as a PNG and a BMP of one
        picture); `same_but_for_case`, which some file systems take for one file; `copies_by_name`, such as `a.png` and
        `a@2x.png`.
    """
    same_bytes = [rows for _, rows in used.groupby("sha256") if len(rows) > 1]
    same_pixels = [rows for _, rows in used.groupby("pixels_blake2") if rows["sha256"].nunique() > 1]
    return {
        "same_bytes": _ids(same_bytes),
        "same_pixels": _ids(same_pixels),
        "same_but_for_case": _ids(rows for _, rows in used.groupby(used["image"].str.casefold()) if len(rows) > 1),
        "copies_by_name": _ids(rows for _, rows in used.groupby(used["image"].map(_first_copy)) if len(rows) > 1),
    }


def _ids(groups: Iterable[pd.DataFrame]) -> list[list[str]]:
    return [sorted(rows["image"]) for rows in groups]


def _first_copy(image: str) -> str:
    """The image that `a@2x.png` would be a copy of, at another resolution."""
    return re.sub(r"@\d(\.\d)?x(?=\.\w+$)", "", image)
