"""The audit of patients: those in several subsets or classes, and those who are unknown."""

from pathlib import Path

import pandas as pd
import pytest
from cxrflow.audits.findings import DataSet
from cxrflow.audits.patients import audit_patients
from cxrflow.images.index import index_images
from cxrflow.images.listing import list_images
from cxrflow.io.files import write_table
from cxrflow.io.tables import read_csv_as_text
from cxrflow.stages.split_images import shared_patients, split_like_keras, split_stratified
from hypothesis import given
from hypothesis import strategies as st
from made_data_sets import data_set, study_data_set

SUBSETS = ("training", "validation", "test")


def some_patients(*rows: tuple[str, str, str, str | None]) -> DataSet:
    """A data set of rows of image, class, subset and patient."""
    return data_set(pd.DataFrame(rows, columns=["image", "class", "subset", "patient"]))


def test_a_patient_in_training_and_test() -> None:
    audited = audit_patients(
        some_patients(
            ("1.png", "a", "training", "p1"),
            ("2.png", "a", "test", "p1"),
            ("3.png", "a", "test", "p2"),
            ("4.png", "b", "test", "p3"),
        )
    )
    (found,) = audited.findings
    assert found.text == "Task one: 1 patient has images in several subsets: p1 in training (1.png) and test (2.png)."
    assert "the patients of 1 of the 2 a test images" in found.effect
    assert (found.images, found.task, found.is_headline) == (["1.png", "2.png"], "one", True)
    details = audited.details["tasks"]["one"]
    assert details["test_images_of_known_patients"] == ["2.png"]
    assert details["in_several_subsets"] == {"p1": {"test": ["2.png"], "training": ["1.png"]}}
    assert (details["patients"], details["images_of_unknown_patients"]) == (3, 0)


def test_a_patient_in_training_and_validation_does_not_affect_the_test() -> None:
    audited = audit_patients(
        some_patients(
            ("1.png", "a", "training", "p1"), ("2.png", "a", "validation", "p1"), ("3.png", "b", "test", "p2")
        )
    )
    (found,) = audited.findings
    assert not found.is_headline and "1 of the 1 validation images" in found.effect
    assert audited.details["tasks"]["one"]["test_images_of_known_patients"] == []


def test_a_patient_in_several_classes() -> None:
    audited = audit_patients(some_patients(("1.png", "a", "test", "p1"), ("2.png", "b", "test", "p1")))
    (found,) = audited.findings
    assert found.text == "Task one: 1 patient has images in several classes: p1 in a (1.png) and b (2.png)."
    assert found.effect.startswith("One of the 2 labels may be wrong") and found.certainty == "suspected"


def test_unknown_patients_are_counted_and_are_not_one_patient() -> None:
    rows = [("1.png", "a", "training", None), ("2.png", "b", "test", ""), ("3.png", "a", "test", "p")]
    audited = audit_patients(some_patients(*rows))
    assert [one.text for one in audited.findings] == ["Task one: the patients of 2 of 3 images are unknown."]
    assert audited.details["tasks"]["one"]["images_of_unknown_patients"] == 2
    audited = audit_patients(some_patients(*rows[:2]))
    assert [one.text for one in audited.findings] == ["Task one: the patients of all 2 images are unknown."]


def test_the_same_finding_in_two_tasks_is_one() -> None:
    rows = pd.DataFrame(
        [
            ("1.png", "a", "training", "p"),
            ("2.png", "a", "test", "p"),
            ("3.png", "b", "test", "q"),
            ("4.png", "c", "test", "r"),
        ],
        columns=["image", "class", "subset", "patient"],
    )
    audited = audit_patients(data_set(rows, {"x": ["a", "b"], "y": ["a", "b", "c"]}))
    (found,) = audited.findings
    assert found.text.startswith("Tasks x and y: 1 patient ") and found.task is None


def test_patients_in_a_long_list_are_counted() -> None:
    rows = [(f"{n}{subset}", "a", subset, f"p{n:02}") for n in range(20) for subset in ("training", "test")]
    (found,) = audit_patients(some_patients(*rows)).findings
    assert "20 patients have images" in found.text and found.text.endswith("and 14 more.")
    assert len(found.images) == 40 and len(found.text) < 1000


ids = ["007", "7", "7.0", "1.0", "1", "1e3", "1000", "NA", "nan", "None", "true", "0x10", "é", "P 1", "p 1"]


@pytest.mark.parametrize("split", ["keras", "stratified"])
def test_patients_are_texts_from_the_list_to_the_split(image_folder: Path, tmp_path: Path, split: str) -> None:
    """`007`, `7` and `7.0` stay three patients in the index, in its Parquet file, in the split, and in its CSV."""
    images = sorted(path.relative_to(image_folder).as_posix() for path in image_folder.rglob("*.png"))
    patients = dict(zip(images, [*ids, *ids], strict=False))
    table = pd.DataFrame({"path": list(patients), "patient": list(patients.values())})
    table.to_csv(tmp_path / "list.csv", index=False)
    listed = list_images(image_folder, ["covid", "normal"], image_list=read_csv_as_text(tmp_path / "list.csv", "list"))
    write_table(tmp_path / "index.parquet", index_images(image_folder, listed)[0])
    index = pd.read_parquet(tmp_path / "index.parquet")
    assert dict(zip(index["image"], index["patient"], strict=True)) == patients
    classes = ["covid", "normal"]
    found = split_like_keras(index, classes, 0.3) if split == "keras" else split_stratified(index, classes, 0.2, 0.3, 0)
    write_table(tmp_path / "split.csv", found)
    found = pd.read_csv(tmp_path / "split.csv", dtype=str, keep_default_na=False)
    assert dict(zip(found["image"], found["patient"], strict=True)) == patients
    audited = audit_patients(DataSet(index, {"one": found}, {"one": classes}, {}))
    expected = shared_patients(found)
    assert audited.details["tasks"]["one"]["patients"] == len(set(patients.values())) == 15
    assert set(audited.details["tasks"]["one"]["in_several_subsets"]) == set(expected)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(SUBSETS), st.sampled_from(["1", "01", "1.0", ""])), max_size=9
    )
)
def test_properties_of_the_audit(rows: list[tuple[str, str, str]]) -> None:
    """Each test image of a patient with images elsewhere is counted once, whatever the data set is."""
    audited = audit_patients(some_patients(*((f"{n}.png", *row) for n, row in enumerate(rows))))
    details = audited.details["tasks"]["one"]
    elsewhere = {patient for _, subset, patient in rows if subset != "test" and patient}
    expected = [f"{n}.png" for n, row in enumerate(rows) if row[1] == "test" and row[2] in elsewhere]
    assert details["test_images_of_known_patients"] == expected
    assert any(one.is_headline for one in audited.findings) == bool(expected)
    assert details["images_of_unknown_patients"] == sum(row[2] == "" for row in rows)


def test_audit_finding_of_the_studys_patients(project: Path) -> None:
    audited = audit_patients(study_data_set(project))
    headline, other = audited.findings
    assert "cohen-13" in headline.text and headline.is_headline and headline.task is None
    assert "3 of the 9 covid test images" in headline.effect
    assert headline.images[0].startswith("test/covid/nejmoa2001191_f") and len(headline.images) == 4
    assert "kermany-person1865" in other.text and other.task == "multiclass" and not other.is_headline
    shared = {task: list(one["in_several_subsets"]) for task, one in audited.details["tasks"].items()}
    assert shared == {"binary": ["cohen-13"], "multiclass": ["cohen-13", "kermany-person1865"]}
