"""Patients with images in several subsets, which make a score better than it is for new patients, or in several classes.

Patients are texts: `007` and `7` are two patients.
"""

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
from cxrflow.io.words import counted, some_of


def audit_patients(data: DataSet) -> Audited:
    """Find patients with images in several subsets or classes of a task.

    Returns:
        Details, task to: `patients` (number), `images`, `images_of_unknown_patients` (numbers), `in_several_subsets` (patient
        to subset to image ids), `in_several_classes` (patient to class to image ids), and `test_images_of_known_patients`
        (ids of the test images whose patient has images in training or validation, too).
    """
    findings: list[Finding] = []
    details: dict[str, Any] = {}
    for task in data.splits:
        rows = data.images_of(task)
        known = rows[has_value(rows["patient"])].assign(patient=lambda found: found["patient"].astype(str))
        shared = with_several(known, "patient", "subset")
        mixed = with_several(known, "patient", "class")
        seen = shared.loc[shared["subset"] == "test", "image"]
        unknown = len(rows) - len(known)
        findings += _subset_findings(task, rows, shared)
        findings += _class_findings(task, mixed)
        findings += _unknown_findings(task, unknown, len(rows))
        details[task] = {
            "patients": int(known["patient"].nunique()),
            "images": len(rows),
            "images_of_unknown_patients": unknown,
            "in_several_subsets": _images_by(shared, "subset"),
            "in_several_classes": _images_by(mixed, "class"),
            "test_images_of_known_patients": sorted(seen),
        }
    return Audited(merge_tasks(findings), {"tasks": details})


def has_value(column: "pd.Series[Any]") -> "pd.Series[bool]":
    """Whether each text is known: neither missing nor empty."""
    return column.notna() & column.ne("").fillna(False).astype(bool)


def _images_by(rows: pd.DataFrame, column: str) -> dict[str, dict[str, list[str]]]:
    return {
        str(patient): {str(value): sorted(part["image"]) for value, part in images.groupby(column)}
        for patient, images in rows.groupby("patient")
    }


def _subset_findings(task: str, rows: pd.DataFrame, shared: pd.DataFrame) -> list[Finding]:
    """One finding about patients who are in the test and elsewhere, and one about those in training and validation only."""
    tested, others = tested_and_others(shared, "patient")
    findings = []
    if len(tested):
        share = share_of_test_images(rows, tested.loc[tested["subset"] == "test", "image"])
        effect = (
            f"The network may know the patients of {share} from training or validation, so the score may be higher than for "
            "new patients."
        )
        findings.append(_about(task, tested, effect, is_headline=True))
    if len(others):
        images, of = (int((one["subset"] == "validation").sum()) for one in (others, rows))
        effect = (
            f"The network knows the patients of {images} of the {of} validation images from training, so validation may be "
            "easier than with new patients; the test is not affected."
        )
        findings.append(_about(task, others, effect, is_headline=False))
    return findings


def _about(task: str, shared: pd.DataFrame, effect: str, is_headline: bool) -> Finding:
    places = [f"{patient} in {by_subset(images)}" for patient, images in shared.groupby("patient")]
    text = f"{counted(len(places), 'patient has', 'patients have')} images in several subsets: "
    text += f"{some_of(places, MOST_NAMED, '; ')}."
    return Finding(text, effect, sorted(shared["image"]), task, is_headline=is_headline)


def _class_findings(task: str, mixed: pd.DataFrame) -> list[Finding]:
    if mixed.empty:
        return []
    places = [f"{patient} in {by_class(images)}" for patient, images in mixed.groupby("patient")]
    text = f"{counted(len(places), 'patient has', 'patients have')} images in several classes: "
    return [
        Finding(
            f"{text}{some_of(places, MOST_NAMED, '; ')}.",
            f"One of the {counted(len(mixed), 'label')} may be wrong, unless a patient's disease changed between images.",
            sorted(mixed["image"]),
            task,
            certainty="suspected",
        )
    ]


def _unknown_findings(task: str, unknown: int, images: int) -> list[Finding]:
    if not unknown:
        return []
    count = f"all {counted(images, 'image')}" if unknown == images else f"{unknown:,} of {counted(images, 'image')}"
    return [
        Finding(
            f"the patients of {count} are unknown.",
            "If a patient has several images, the test may be easier than it should be; this cannot be checked.",
            task=task,
            certainty="suspected",
        )
    ]
