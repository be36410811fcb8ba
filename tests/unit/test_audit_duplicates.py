"""The audit of duplicates: the same picture in several subsets or classes, and names that suggest copies."""

import pandas as pd
from cxrflow.audits.duplicates import audit_duplicates
from cxrflow.audits.findings import Audited
from hypothesis import given
from hypothesis import strategies as st
from made_data_sets import data_set


def audit_of(*rows: tuple[str, str, str, str, str | None]) -> Audited:
    """Audit rows of image, class, subset, hash of the bytes, hash of the pixels."""
    return audit_duplicates(
        data_set(pd.DataFrame(rows, columns=["image", "class", "subset", "sha256", "pixels_blake2"]))
    )


def test_the_same_bytes_in_training_and_test() -> None:
    audited = audit_of(
        ("1.png", "a", "training", "x", None),
        ("2.png", "a", "test", "x", None),
        ("3.png", "a", "test", "y", None),
        ("4.png", "b", "test", "z", None),
    )
    (found,) = audited.findings
    assert found.text == (
        "Task one: 1 picture is in several subsets with the same bytes: training (1.png) and test (2.png)."
    )
    assert "the pictures of 1 of the 2 a test images" in found.effect
    assert (found.images, found.is_headline, found.task) == (["1.png", "2.png"], True, "one")
    assert audited.details["tasks"]["one"] == {
        "in_several_subsets": [["1.png", "2.png"]],
        "in_several_classes": [],
        "test_images_seen_before": ["2.png"],
    }
    assert audited.details["same_bytes"] == [["1.png", "2.png"]]


def test_the_same_pixels_in_other_bytes_in_training_and_validation() -> None:
    audited = audit_of(("1.png", "a", "training", "x", "p"), ("2.bmp", "a", "validation", "y", "p"))
    (found,) = audited.findings
    assert "with the same pixels in other bytes: training (1.png) and validation (2.bmp)" in found.text
    assert not found.is_headline and "1 of the 1 validation images" in found.effect


def test_the_same_picture_in_several_classes() -> None:
    audited = audit_of(("1.png", "a", "test", "x", None), ("2.png", "b", "test", "x", None))
    (found,) = audited.findings
    assert found.text == "Task one: 1 picture is in several classes with the same bytes: a (1.png) and b (2.png)."
    assert found.effect == "One of the labels of each must be wrong: 2 images in all."


def test_copies_within_a_subset_and_a_class_are_no_finding() -> None:
    audited = audit_of(("1.png", "a", "test", "x", None), ("2.png", "a", "test", "x", None))
    assert audited.findings == [] and audited.details["same_bytes"] == [["1.png", "2.png"]]


def test_names_that_suggest_copies() -> None:
    audited = audit_of(
        ("a.png", "a", "training", "1", None),
        ("A.png", "a", "training", "2", None),
        ("b.png", "a", "training", "3", None),
        ("b@2x.png", "a", "test", "4", None),
    )
    by_case, by_name = audited.findings
    assert by_case.text == "1 group of files with names that differ only in case: A.png, a.png."
    assert by_name.text == "1 group of files named like one picture at several resolutions: b.png, b@2x.png."
    assert by_name.certainty == "suspected" and by_name.images == ["b.png", "b@2x.png"] and by_name.task is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(["training", "validation", "test"]),
            st.sampled_from("xyz"),
            st.sampled_from(["p", "q", None]),
        ),
        max_size=8,
    )
)
def test_any_data_set_can_be_audited(rows: list[tuple[str, str, str, str | None]]) -> None:
    """No finding without a copy; each leak into the test is one that the details name."""
    audited = audit_of(*((f"{n}.png", *row) for n, row in enumerate(rows)))
    assert any(one.is_headline for one in audited.findings) == bool(
        audited.details["tasks"]["one"]["test_images_seen_before"]
    )
    if len({row[2] for row in rows}) == len(rows) and all(row[3] is None for row in rows):
        assert audited.findings == []
