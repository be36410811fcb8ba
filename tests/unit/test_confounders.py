"""The audit of confounders: ages, tables, associations, classes that a variable determines, and what gives no alarm."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.audits.confounders import audit_confounders, one_sided_views
from cxrflow.audits.demographics import age_in_years, unreadable_ages
from cxrflow.audits.findings import Audited, DataSet
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from made_data_sets import data_set, study_data_set

SUBSETS = ("training", "validation", "test")


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("54", (54, 54)),
        ("54.0", (54, 54)),
        (" 54 years ", (54, 54)),
        ("1-5", (1, 5)),
        ("1–5", (1, 5)),
        ("1 to 5", (1, 5)),
        ("1-5 years old", (1, 5)),
        ("054Y", (54, 54)),
        ("006M", (0.5, 0.5)),
        ("6 to 12 months", (0.5, 1)),
        (">89", (89, 89)),
        (">= 90", (90, 90)),
        ("90+", (90, 90)),
        ("<1", (0, 1)),
        ("<=1 y", (0, 1)),
        ("0", (0, 0)),
    ],
)
def test_ages(text: str, years: tuple[float, float]) -> None:
    assert age_in_years(text) == pytest.approx(years)


@pytest.mark.parametrize(
    "text", ["", "unknown", "adult", "-5", "5-1", "411", "54Z", "5-", "1-5-9", "<1-5", "nan", "²", "1e1", "NaN", "inf"]
)
def test_texts_that_are_not_ages(text: str) -> None:
    assert age_in_years(text) is None


@given(st.text())
def test_any_text_is_an_age_or_not(text: str) -> None:
    age = age_in_years(text)
    assert age is None or 0 <= age[0] <= age[1] <= 130


def test_unreadable_ages_are_counted() -> None:
    ages = pd.Series(["54", "adult", "", None, "unknown", "adult", "411"], dtype="string")
    assert unreadable_ages(ages) == {"411": 1, "adult": 2}


def of_class(name: str, patients: int, **columns: Any) -> pd.DataFrame:
    """One image per patient, every third in each subset. A column is a list, or one value for all images."""
    numbers = range(patients)
    rows = pd.DataFrame({"image": [f"{name}/{n:03}.png" for n in numbers], "class": name})
    rows["subset"] = [SUBSETS[n % 3] for n in numbers]
    rows["patient"] = [f"{name}{n}" for n in numbers]
    return rows.assign(**columns)


def audit_of(*parts: pd.DataFrame) -> Audited:
    audited = audit_confounders(data_set(pd.concat(parts, ignore_index=True)))
    json.dumps(audited.details, allow_nan=False)
    return audited


def test_a_class_that_the_source_determines() -> None:
    (found,) = audit_of(of_class("a", 10, source="s"), of_class("b", 12, source=["t", "u"] * 6)).findings
    assert found.text == "Task one: all 10 a images come from s and all 12 b images from t, u."
    assert found.effect == "No result on these images can tell a from the source of the images."
    assert found.is_headline and found.certainty == "certain"


def test_one_of_three_classes_that_the_source_determines() -> None:
    common = (of_class("b", 12, source=["t", "u"] * 6), of_class("c", 12, source=["u", "t"] * 6))
    (found,) = audit_of(of_class("a", 10, source=["s"] * 8 + [None] * 2), *common).findings
    assert found.text == "Task one: all a images of known source (8 of 10) come from s and all 24 others from t, u."
    assert "can tell a from" in found.effect
    (found,) = audit_of(
        of_class("a", 10, source="x"), of_class("b", 10, source="y"), of_class("c", 10, source="z")
    ).findings
    assert found.text.endswith("all 10 a images come from x, all 10 b images from y and all 10 c images from z.")
    assert "can tell the classes from" in found.effect


def test_few_patients_determine_nothing() -> None:
    (found,) = audit_of(of_class("a", 4, source="s"), of_class("b", 30, source="t")).findings
    assert not found.is_headline and "the source differs between classes" in found.text
    assert audit_of(of_class("a", 1, source="s"), of_class("b", 9, source="t")).findings == []


def test_a_source_for_each_image_determines_nothing() -> None:
    parts = [of_class(name, 20, source=[f"{name}{n}" for n in range(20)]) for name in "ab"]
    assert audit_of(*parts).findings == []


def test_many_images_of_one_patient_are_one() -> None:
    """Two patients with 20 images each, of two sources: by chance."""
    parts = [of_class(name, 20, source=name, patient=name, age=age) for name, age in (("a", "3"), ("b", "70"))]
    assert audit_of(*parts).findings == []


def test_a_class_that_the_age_determines() -> None:
    adults = [str(age) for age in range(20, 30)]
    (found,) = audit_of(of_class("a", 12, age=[*adults, "", "adult"]), of_class("b", 12, age="1-5")).findings
    assert found.text == (
        "Task one: a patients are 20 to 29 years old (mean 24.5, known for 10 of 12 images), all others 1 to 5."
    )
    assert found.effect == "No result on these images can tell a from age." and found.is_headline
    (found,) = audit_of(
        of_class("a", 12, age="1-5"), of_class("b", 10, age=adults), of_class("c", 10, age=adults)
    ).findings
    assert found.text == "Task one: a patients are 1 to 5 years old, all others 20 to 29 (mean 24.5)."


def test_ages_that_overlap_in_one_patient() -> None:
    young = [str(age) for age in [*range(1, 50), 70]]
    (found,) = audit_of(
        of_class("a", 50, age=young), of_class("b", 50, age=[str(60 + n % 30) for n in range(50)])
    ).findings
    assert found.is_headline and "a patients are 1 to 70 years old (mean" in found.text


def test_ages_known_for_few_images_are_no_headline() -> None:
    """Known for 8 of 20 images of a class, which is less than half."""
    (found,) = audit_of(of_class("a", 20, age=["70"] * 8 + [""] * 12), of_class("b", 20, age="1-5")).findings
    assert not found.is_headline and "known for 28 of 40 images): mean 70.0 years for a, 3.0 for others." in found.text


def test_a_variable_that_is_known_for_one_class_only() -> None:
    (found,) = audit_of(of_class("a", 10, sex=["M", "f"] * 5), of_class("b", 10, sex="unknown")).findings
    assert found.text == "Task one: sex is known only for a (10 of 10 images)."
    assert found.effect == "Whether the scores depend on sex cannot be checked." and not found.is_headline


def test_other_associations() -> None:
    parts = (
        of_class("a", 20, mode="RGB", sex=["M"] * 18 + ["F"] * 2),
        of_class("b", 20, sex=["male"] * 4 + ["F"] * 16),
    )
    audited = audit_of(*parts)
    sex, mode = audited.findings
    assert "the sex differs between classes" in sex.text and sex.certainty == "suspected" and not sex.is_headline
    assert "M for 18 of 20 a and 4 of 20 other images." in sex.text and "known for 40 of 40 images" in sex.text
    assert "RGB for 20 of 20 a and 0 of 20 other images." in mode.text and "does not see" in mode.effect
    found = audited.details["tasks"]["one"]["associations"]
    assert found["mode"]["value"] == pytest.approx(1) and found["mode"]["p"] == 0.001
    assert found["mode"]["p_holm"] == 0.002 and found["source"]["p"] is None
    assert found["sex"] | {"value": None, "p": None, "p_holm": None} == {
        **{"measure": "cramers_v", "class": None, "value": None, "p": None, "p_holm": None},
        **{"images": 40, "known_images": 40, "groups": 40, "known_groups": 40},
    }


def test_width_and_height_are_one_finding() -> None:
    sizes = [*range(100, 120)]
    (found,) = audit_of(of_class("a", 20, width=sizes, height=sizes), of_class("b", 20, width=300, height=200)).findings
    assert "of the files differs between classes (AUC 0.00 for a" in found.text and "resizing" in found.effect


def test_tables_by_class_and_subset() -> None:
    audited = audit_of(
        of_class("a", 6, age=["54", "1-5", "54Y", ">89", "", "?"], sex="F"), of_class("b", 3, colour=2.0)
    )
    tables = audited.details["tasks"]["one"]["tables"]
    assert tables["age"]["a"]["training"] == {
        **{"images": 2, "known": 2, "ranges": 0, "mean": 71.5, "sd": pytest.approx(24.749), "min": 54, "max": 89}
    }
    assert tables["age"]["a"]["validation"]["max"] == 5 and tables["age"]["a"]["validation"]["mean"] == 3
    assert tables["age"]["a"]["all"]["ranges"] == 1
    assert tables["age"]["b"]["test"] == {
        **{"images": 1, "known": 0, "ranges": 0, "mean": None, "sd": None, "min": None, "max": None}
    }
    assert tables["sex"]["a"]["all"] == {"F": 6, "unknown": 0} and tables["sex"]["b"]["test"] == {"unknown": 1}
    assert tables["colour"]["b"]["all"] == {"coloured": 3, "unknown": 0}


def test_one_sided_views() -> None:
    """A view of only one class or subset is reported if that is hardly by chance, and if views are known elsewhere."""
    rows = pd.concat([of_class("a", 20, view="PA"), of_class("b", 20, view="pa")], ignore_index=True)
    assert one_sided_views(rows, "class") == [] == one_sided_views(rows, "subset")
    lateral = rows.assign(view=rows["view"].mask(rows["subset"].eq("test") & rows["class"].eq("b"), "L"))
    ((view, only, images),) = one_sided_views(lateral, "subset")
    assert (view, only, len(images)) == ("L", "test", 6)
    of_one_patient = lateral.assign(group=lateral["patient"].where(lateral["view"] != "L", "p"))
    assert one_sided_views(of_one_patient, "subset", "group") == []
    few = rows.assign(view=rows["view"].mask(rows["image"] == "a/000.png", "L"))
    assert one_sided_views(few, "class") == []
    assert one_sided_views(rows.assign(view=rows["view"].where(rows["class"] == "a", None)), "class") == []


def test_a_view_of_one_class_is_a_finding_with_its_images() -> None:
    (found,) = audit_of(of_class("a", 20, view=["AP"] * 8 + ["PA"] * 12), of_class("b", 20, view="PA")).findings
    assert found.text == "Task one: some views occur in one place only: AP only in class a (8 images)."
    assert len(found.images) == 8 and found.certainty == "suspected"


def test_the_same_statement_about_two_tasks_is_one_finding() -> None:
    rows = pd.concat([of_class("a", 10, sex="M"), of_class("b", 10), of_class("c", 10)], ignore_index=True)
    (found,) = audit_confounders(data_set(rows, {"x": ["a", "b"], "y": ["a", "b", "c"]})).findings
    assert found.text == "Tasks x and y: sex is known only for a (10 of 10 images)." and found.task is None


@pytest.mark.parametrize(
    "rows",
    [
        of_class("a", 10, source="s", age="54", sex="M", view="PA"),
        of_class("a", 1, age="54"),
        pd.concat([of_class("a", 1, age="1", source="s"), of_class("b", 1, age="80", source="t")]),
        pd.concat([of_class("a", 10), of_class("b", 10)]),
        pd.concat([of_class("a", 10, age="54", sex="M", source="s"), of_class("b", 10, age="54", sex="M", source="s")]),
        pd.concat([of_class(name, 10, patient="p", age=age, source=name) for name, age in (("a", "1"), ("b", "80"))]),
        pd.concat([of_class("a", 10), of_class("b", 10)]).assign(subset="training"),
        of_class("a", 0),
    ],
    ids=["one class", "one image", "two images", "nothing known", "constant", "one patient", "no test", "empty"],
)
def test_degenerate_data_sets_give_no_alarm(rows: pd.DataFrame) -> None:
    audited = audit_of(rows)
    assert audited.findings == []


@hypothesis_settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(SUBSETS),
            st.sampled_from(["p", "q", "r", None]),
            st.sampled_from(["s", "t", None]),
            st.sampled_from(["54", "1-5", "x", None]),
            st.sampled_from(["PA", "l", None]),
        ),
        max_size=12,
    )
)
def test_any_small_data_set_can_be_audited(rows: list[tuple[str | None, ...]]) -> None:
    """The tables count each image once, and nothing is a headline with so few patients of each class."""
    table = pd.DataFrame(rows, columns=["class", "subset", "patient", "source", "age", "view"])
    audited = audit_of(table.assign(image=[f"{n}.png" for n in range(len(table))]))
    for task in audited.details["tasks"].values():
        counts = task["tables"]["source"].values()
        assert sum(sum(subsets["all"].values()) for subsets in counts) == len(rows)
        assert sum(one["all"]["images"] for one in task["tables"]["age"].values()) == len(rows)


def clean_data_set(seed: int) -> DataSet:
    """Patients with one to three images each, whose variables do not depend on their class; some are unknown."""
    random = np.random.default_rng(seed)
    of_image = np.repeat(np.arange(40), random.integers(1, 4, 40))

    def drawn(values: list[Any], unknown: float = 0.3) -> Any:
        chosen = np.array(values, dtype=object)[random.integers(0, len(values), 40)]
        return np.where(random.random(40) < unknown, None, chosen)[of_image]

    rows = pd.DataFrame({"image": [f"{n:03}.png" for n in range(len(of_image))], "class": drawn(["a", "b"], 0)})
    rows["subset"], rows["patient"] = drawn([*SUBSETS], 0), [f"p{n}" for n in of_image]
    known = {"source": drawn(["s", "t", "u"]), "sex": drawn(["M", "F"]), "age": drawn([str(n) for n in range(20, 80)])}
    files = {"mode": drawn(["L", "RGB"], 0), "colour": drawn([0.0, 1.0], 0), "width": drawn([*range(300, 900)], 0)}
    return data_set(rows.assign(**known, **files, view=drawn(["PA", "PA", "PA", "AP", "L"])))


@pytest.mark.slow
def test_data_without_associations_seldom_give_an_alarm() -> None:
    """At most 5 % of data sets, as far as 60 samples can tell."""
    alarms = sum(bool(audit_confounders(clean_data_set(seed)).findings) for seed in range(60))
    assert alarms <= 3 + 2 * np.sqrt(60 * 0.05 * 0.95)


def test_audit_finding_of_the_studys_confounders(project: Path) -> None:
    findings = audit_confounders(study_data_set(project)).findings
    headlines = [one for one in findings if one.is_headline]
    assert [one.text for one in headlines] == [
        "Task binary: all 69 covid images come from covid-chestxray-dataset and all 79 normal images from kermany-2018.",
        "Tasks binary and multiclass: covid patients are 12 to 78 years old (mean 54.9, known for 53 of 69 images), "
        "all others 1 to 5.",
        "Task multiclass: all 69 covid images come from covid-chestxray-dataset and all 237 others from kermany-2018.",
    ]
    assert headlines[0].effect == "No result on these images can tell covid from the source of the images."
    assert headlines[1].effect == "No result on these images can tell covid from age."
    assert [one.text for one in findings if not one.is_headline] == [
        "Tasks binary and multiclass: sex is known only for covid (60 of 69 images).",
        "Tasks binary and multiclass: view is known only for covid (69 of 69 images).",
    ]
