"""The audit of an index."""

import pandas as pd
from cxrflow.audit_data import audit_data, doubts


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
    index["conversions"] = ["", "palette; alpha channel dropped", None, "palette", None]
    index["fault"] = [None, None, None, None, "empty (0 bytes)"]
    return index.assign(licence=["CC0", None, None, None, None], source=None)


def test_counts_are_of_images_that_are_used() -> None:
    audit = audit_data(an_index())
    assert (audit["images"], audit["listed"]) == (3, 5)
    assert audit["missing"] == ["train/b/3.jpg"]
    assert audit["unreadable"] == ["test/b/5.png"]
    assert audit["changed"] == ["train/a/2.png"]
    assert audit["faults"] == {"test/b/5.png": "empty (0 bytes)"}
    assert audit["conversions"] == {"alpha channel dropped": 1, "palette": 2}
    assert audit["per_folder"] == {"test/a": 1, "train/a": 2}
    assert audit["modes"] == {"a": {"L": 2, "RGB": 1}}
    assert audit["width"] == [100, 300] and audit["height"] == [200, 400]
    assert audit["share_png_224_rgb"] == 0.3333
    assert audit["licences"] == {"CC0": 1, "not given": 2}


def test_doubtful_things() -> None:
    audit = audit_data(an_index())
    assert audit["same_bytes"] == [["test/a/4.jpg", "train/a/1.png"]] == audit["same_bytes_in_train_and_test"]
    assert audit["same_bytes_in_several_classes"] == [] == audit["same_but_for_case"]
    assert doubts(audit) == [
        "in train/ and in test/, byte for byte: the test is easier than it looks: test/a/4.jpg, train/a/1.png"
    ]
    assert audit["patients_in_train_and_test"] == {"p1": ["test/a/4.jpg", "train/a/1.png"]}
    assert audit["patients_known"]


def test_same_bytes_in_several_classes_and_names_that_differ_by_case() -> None:
    index = an_index()
    index.loc[1, ["sha256", "class", "image"]] = ["11", "b", "TRAIN/A/1.PNG"]
    audit = audit_data(index)
    assert audit["same_bytes_in_several_classes"] == [["TRAIN/A/1.PNG", "test/a/4.jpg", "train/a/1.png"]]
    assert audit["same_but_for_case"] == [["TRAIN/A/1.PNG", "train/a/1.png"]]


def test_patients_unknown() -> None:
    audit = audit_data(an_index().assign(patient=None))
    assert audit["patients_in_train_and_test"] == {} and not audit["patients_known"]
