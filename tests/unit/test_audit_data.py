"""The description of a data set, its audits, and what they do to a run."""

import dataclasses
import json

import numpy as np
import pandas as pd
from cxrflow.audits.description import describe_data, usable_images
from cxrflow.audits.duplicates import duplicate_images
from cxrflow.audits.findings import DataSet
from cxrflow.audits.registry import AUDITS
from cxrflow.report.audits import TITLES
from cxrflow.stages.audit_data import audit_data, pop_predictions
from cxrflow.stages.check_audits import failures
from cxrflow.study.images import Audits
from cxrflow.study.models import AuditSettings
from made_data_sets import data_set


def an_index() -> pd.DataFrame:
    rows = [
        # image, class, status, sha256, width, height, mode, format, patient
        ("train/a/1.png", "a", "ok", "11", 224, 224, "RGB", "PNG", "p1"),
        ("train/a/2.png", "a", "changed", "22", 300, 200, "L", "PNG", "p2"),
        ("train/b/3.jpg", "b", "missing", None, None, None, None, None, "p1"),
        ("test/a/4.jpg", "a", "ok", "11", 100, 400, "L", "JPEG", "p1"),
        ("test/b/5.png", "b", "unreadable", "55", None, None, None, None, None),
    ]
    columns = ["image", "class", "status", "sha256", "width", "height", "mode", "format", "patient"]
    index = pd.DataFrame(rows, columns=columns)
    index["subset_folder"] = index["image"].str.split("/").str[0]
    index["folder"] = index["subset_folder"] + "/" + index["class"]
    index["pixels_blake2"] = None
    index["conversions"] = ["", "palette; alpha channel dropped", None, "palette", None]
    index["problem"] = [None, None, None, None, "empty (0 bytes)"]
    return index.assign(licence=["CC0", None, None, None, None], source=None, view=None)


def test_counts_are_of_images_that_are_used() -> None:
    audit = describe_data(an_index())
    assert (audit["images"], audit["listed"]) == (3, 5)
    assert audit["missing"] == ["train/b/3.jpg"]
    assert audit["unreadable"] == ["test/b/5.png"]
    assert audit["changed"] == ["train/a/2.png"]
    assert audit["faults"] == {"test/b/5.png": "empty (0 bytes)"}
    assert audit["conversions"] == {"alpha channel dropped": 1, "palette": 2}
    assert audit["per_folder"] == {"test/a": 1, "train/a": 2}
    assert audit["modes"] == {"a": {"L": 2, "RGB": 1}}
    assert audit["width"] == [100, 300] and audit["height"] == [200, 400]
    assert audit["file_kinds"] == {"JPEG 100x400 L": 1, "PNG 224x224 RGB": 1, "PNG 300x200 L": 1}
    assert audit["licences"] == {"CC0": 1, "not given": 2}


def test_groups_of_duplicates() -> None:
    index = usable_images(an_index())
    assert duplicate_images(index)["same_bytes"] == [["test/a/4.jpg", "train/a/1.png"]]
    assert duplicate_images(index)["same_but_for_case"] == []
    index.loc[1, ["sha256", "class", "image"]] = ["11", "b", "TRAIN/A/1.PNG"]
    groups = duplicate_images(index)
    assert groups["same_bytes"] == [["TRAIN/A/1.PNG", "test/a/4.jpg", "train/a/1.png"]]
    assert groups["same_but_for_case"] == [["TRAIN/A/1.PNG", "train/a/1.png"]]


def test_the_same_pixels_are_reported_in_addition_to_the_same_bytes() -> None:
    """Files with the same bytes are not reported a second time for their pixels."""
    index = an_index()
    index["pixels_blake2"] = ["p", None, None, "p", None]
    groups = duplicate_images(usable_images(index))
    assert groups["same_pixels"] == [] and groups["same_bytes"] != []
    index.loc[1, ["pixels_blake2", "class"]] = ["p", "b"]
    groups = duplicate_images(usable_images(index))
    assert groups["same_pixels"] == [["test/a/4.jpg", "train/a/1.png", "train/a/2.png"]]


def test_copies_at_another_resolution_are_found() -> None:
    index = an_index()
    index.loc[3, "image"] = "train/a/1@2x.png"
    assert duplicate_images(usable_images(index))["copies_by_name"] == [["train/a/1.png", "train/a/1@2x.png"]]


def test_patients_known_and_unknown() -> None:
    description = describe_data(an_index())
    assert (description["patients_known"], description["patients"], description["without_patient"]) == (True, 2, 0)
    description = describe_data(an_index().assign(patient=None))
    assert (description["patients_known"], description["patients"], description["without_patient"]) == (False, 0, 3)


def test_a_validation_folder_is_counted_as_such() -> None:
    index = an_index()
    index.loc[3, ["image", "subset_folder", "folder"]] = ["Valid/a/4.jpg", "validation", "train/a"]
    assert describe_data(index)["per_folder"] == {"train/a": 2, "validation/a": 1}


def some_images(seed: int = 0) -> DataSet:
    """Thirty noisy images of two classes; those of class b have a bright corner."""
    random = np.random.default_rng(seed)
    rows = pd.DataFrame(
        [
            (f"{name}/{n}.png", name, "test" if n > 9 else "validation" if n > 7 else "training", f"{name}{n}")
            for name in "ab"
            for n in range(15)
        ],
        columns=["image", "class", "subset", "patient"],
    )
    data = data_set(rows.assign(sha256=[f"{place:064x}" for place in range(len(rows))], bytes=1000, format="PNG"))
    pixels = {image: random.integers(0, 200, (32, 32, 3), dtype=np.uint8) for image in rows["image"]}
    for image in rows.loc[rows["class"] == "b", "image"]:
        pixels[image][:6, :6] = 255
    return dataclasses.replace(data, pixels=pixels)


def test_audits_are_those_that_are_asked_for() -> None:
    audits = audit_data(some_images(), ["patients", "duplicates"])
    assert list(audits) == ["patients", "duplicates"] and audits["duplicates"]["findings"] == []


def test_every_audit_has_its_switch_and_its_title() -> None:
    assert [*AUDITS, "method"] == list(Audits.model_fields) == list(TITLES)


def test_a_corner_mark_is_found_and_predictions_become_a_table() -> None:
    data = some_images()
    audits = audit_data(data, list(AUDITS))
    (finding,) = audits["rivals"]["findings"]
    assert not finding["is_headline"] and finding["task"] == "one"
    table = pop_predictions(audits, data)
    assert list(table) == ["task", "rival", "image", "class", "predicted"]
    border = table[table["rival"] == "border"]
    assert len(border) == 10 and (border["predicted"] == border["class"]).all()
    assert "predicted" not in json.dumps(audits)


def test_without_rivals_the_table_is_empty() -> None:
    data = some_images()
    assert list(pop_predictions(audit_data(data, ["patients"]), data)) == [
        "task",
        "rival",
        "image",
        "class",
        "predicted",
    ]


def test_audit_finding_of_an_audit_that_fails_names_the_images() -> None:
    finding = {"text": "1 patient is in training and test.", "effect": "", "images": ["a/1.png", "b/2.png"]}
    audit = {"audits": {"patients": {"findings": [finding]}, "rivals": {"findings": [finding]}}}
    assert failures(audit, AuditSettings()) == []
    (message,) = failures(audit, AuditSettings.model_validate({"audits": {"patients": "fail"}}))
    assert message == (
        "audits.patients: 1 patient is in training and test. Images: a/1.png, b/2.png. Move or remove images, change the "
        "key `split`, or set `audits: {patients: warn}` to train anyway"
    )
