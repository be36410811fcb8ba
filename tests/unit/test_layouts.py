"""Images as people lay them out: class folders with and without train/ and test/, or a list; patients; made splits."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cxrflow.config.read import read_config, read_yaml
from cxrflow.images.fingerprint import fingerprint, stamps_of
from cxrflow.images.grouping import groups_of
from cxrflow.images.listing import Patients, list_images
from cxrflow.index_images import index_images
from cxrflow.split_images import shared_patients, split_as_listed, split_stratified
from cxrflow.stage.faults import Fault
from cxrflow.stage.tables import read_csv_as_text
from hypothesis import given
from hypothesis import strategies as st

CLASSES = ["covid", "normal"]


@pytest.fixture
def one_folder(tmp_path: Path, draw: Callable[..., None]) -> Path:
    """<class>/ alone, ten pictures each, two of each patient."""
    for place, (name, number) in enumerate(product(CLASSES, range(10))):
        draw(tmp_path / "xrays" / name / f"{name[0]}{number // 2}_{number}.png", place)
    return tmp_path / "xrays"


# ---- layouts ----------------------------------------------------------------------------------------------------------


def test_one_folder_of_class_folders(one_folder: Path) -> None:
    index, faults = index_images(one_folder, CLASSES, layout="classes")
    assert faults == [] and len(index) == 20
    assert index["image"][0] == "covid/c0_0.png"
    assert set(index["folder"]) == set(CLASSES) and set(index["subset_folder"]) == {""}
    assert index["patient"].isna().all()


def test_one_folder_and_a_list(one_folder: Path) -> None:
    listed = pd.DataFrame({"path": ["covid/c0_0.png", "normal/n0_0.png", "other/x.png"], "patient": ["p", "", "q"]})
    index = list_images(one_folder, CLASSES, "classes", listed)
    assert index[["image", "folder"]].to_numpy().tolist() == [
        ["covid/c0_0.png", "covid"],
        ["normal/n0_0.png", "normal"],
    ]
    assert index["patient"].fillna("-").tolist() == ["p", "-"]


def test_a_list_with_labels(one_folder: Path) -> None:
    """Classes are those of the list, wherever the files lie."""
    listed = pd.DataFrame(
        {
            "path": ["covid/c0_0.png", "covid/c0_1.png", "normal/n1_2.png"],
            "label": ["normal", "covid", "other"],
            "split": ["training", "test", ""],
            "subject": ["7", "8", ""],
        }
    )
    index = list_images(one_folder, CLASSES, "listed", listed, Patients(column="subject"))
    columns = ["image", "class", "folder", "subset_folder", "listed_subset", "patient"]
    assert index[columns].to_numpy().tolist() == [
        ["covid/c0_0.png", "normal", "normal", "train", "training", "7"],
        ["covid/c0_1.png", "covid", "covid", "test", "test", "8"],
    ]


def test_all_faults_of_a_list(one_folder: Path) -> None:
    listed = pd.DataFrame(
        {
            "path": ["../a.png", "/etc/passwd", "covid/c0_0.png", "covid/c0_0.png", "covid/c0_1.png", "a\0.png"],
            "label": ["covid", "covid", "covid", "covid", "covid", "covid"],
            "split": ["", "", "", "", "testing", ""],
        }
    )
    with pytest.raises(Fault) as caught:
        list_images(one_folder, CLASSES, "listed", listed)
    assert caught.value.messages == [
        "image list: '../a.png': must be a file below the folder `images`",
        "image list: '/etc/passwd': must be a file below the folder `images`",
        "image list: covid/c0_1.png: split 'testing' is not allowed; did you mean 'test'?; "
        "allowed: training, validation, test",
        "image list: 'a\\x00.png': must be a file below the folder `images`",
        "image list: covid/c0_0.png: named twice",
    ]
    with pytest.raises(Fault, match="no column `label`; did you mean 'labels'"):
        list_images(one_folder, CLASSES, "listed", pd.DataFrame({"path": ["a"], "labels": ["b"]}))
    with pytest.raises(Fault, match="no image of class normal; did you mean 'nromal'"):
        list_images(one_folder, CLASSES, "listed", pd.DataFrame({"path": ["a", "b"], "label": ["covid", "nromal"]}))
    with pytest.raises(Fault, match="no column `subjct`; did you mean 'subject'"):
        table = pd.DataFrame({"path": ["a"], "label": ["covid"], "subject": ["1"]})
        list_images(one_folder, CLASSES, "listed", table, Patients(column="subjct"))


def test_a_list_is_looked_at_from_outside(one_folder: Path, tmp_path: Path) -> None:

    def of_list() -> str:
        return fingerprint(one_folder, stamps_of(one_folder, CLASSES, "listed", image_list))

    image_list = tmp_path / "list.csv"
    image_list.write_text("path,label\ncovid/c0_0.png,covid\ncovid/gone.png,covid\n")
    before = of_list()
    assert of_list() == before
    (one_folder / "covid/c1_2.png").unlink()  # not of the list
    assert of_list() == before
    (one_folder / "covid/gone.png").write_bytes(b"x")
    assert of_list() != before


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty; its first line names the columns"),
        (b"path,label\na\n", "line 2 has 1 cells, the header 2"),
        (b"path,path\n", "column `path` is there twice"),
        (b"path,\na,b\n", "column 2 has no name"),
        (b"path\n\xff\xfe\n", "not UTF-8 text; save it as CSV in UTF-8"),
        (b'path\n"a\n', "not a CSV: unexpected end of data"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(Fault) as caught:
        read_csv_as_text(tmp_path / "x.csv", "image_list")
    assert caught.value.messages[0].startswith(f"image_list: {tmp_path / 'x.csv'}: ") and told in str(caught.value)


def test_cells_of_a_table_are_as_written(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes('\ufeffpath, n \r\n007,NA\r\n\r\n"a,b", x\r\n'.encode())
    table = read_csv_as_text(tmp_path / "x.csv", "split")
    assert table.to_dict("list") == {"path": ["007", "a,b"], "n": ["NA", "x"]}


# ---- patients ---------------------------------------------------------------------------------------------------------


def test_patients_by_a_pattern(one_folder: Path, draw: Callable[..., None]) -> None:
    """Of the file's name, not of its folder's; an image that it does not fit is of an unknown patient."""
    draw(one_folder / "covid/0_unnamed.png", 99)
    index, _ = index_images(one_folder, CLASSES, layout="classes", patients=Patients(pattern=r"^([a-z]\d)_"))
    known = dict(zip(index["image"], index["patient"].fillna("-"), strict=True))
    assert known["covid/c3_7.png"] == "c3" and known["normal/n0_1.png"] == "n0"
    assert known["covid/0_unnamed.png"] == "-"
    assert index["patient"].nunique() == 10
    with pytest.raises(Fault, match=r"patients\.pattern: '\^X\(y\)' is found in no file name, such as '0_unnamed.png'"):
        index_images(one_folder, CLASSES, layout="classes", patients=Patients(pattern="^X(y)"))


def test_groups_are_patients_and_equal_bytes() -> None:
    rows = pd.DataFrame(
        {
            "image": list("abcdefg"),
            "patient": ["p", "p", "q", None, None, None, "r"],
            "sha256": ["1", "2", "2", "2", "3", None, None],
        }
    )
    groups = groups_of(rows)
    assert [sorted(rows.loc[groups == name, "image"]) for name in groups.unique()] == [
        list("abcd"),
        ["e"],
        ["f"],
        ["g"],
    ]


# ---- the made split ---------------------------------------------------------------------------------------------------


def made_index(patients_of: list[list[int]], subset_folder: str = "") -> pd.DataFrame:
    """An index of classes whose images show the numbered patients; 0 is an unknown one."""
    rows = [
        {
            "image": f"c{place}/{number:03}.png",
            "class": f"c{place}",
            "patient": f"p{patient}" if patient else None,
            "sha256": f"{place}-{number}",
            "subset_folder": subset_folder,
            "status": "ok",
        }
        for place, patients in enumerate(patients_of)
        for number, patient in enumerate(patients)
    ]
    return pd.DataFrame(rows)


def split_of(index: pd.DataFrame, test: float = 0.2, validation: float = 0.25, seed: int = 0) -> "pd.Series[Any]":
    classes = sorted(index["class"].unique())
    return split_stratified(index, classes, test, validation, seed).set_index("image")["subset"]


def test_shares_of_a_made_split() -> None:
    split = split_of(made_index([[0] * 50, [0] * 20]))
    counts = split.groupby([split.index.str[:2], split]).size()
    assert counts.to_dict() == {
        ("c0", "test"): 10,
        ("c0", "training"): 30,
        ("c0", "validation"): 10,
        ("c1", "test"): 4,
        ("c1", "training"): 12,
        ("c1", "validation"): 4,
    }


patients = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=60), min_size=2, max_size=3)


@given(patients_of=patients, test=st.floats(0.05, 0.6), validation=st.floats(0.05, 0.6), seed=st.integers(0, 99))
def test_no_patient_is_in_two_subsets(patients_of: list[list[int]], test: float, validation: float, seed: int) -> None:
    index = made_index(patients_of)
    split = split_stratified(index, sorted(index["class"].unique()), test, validation, seed)
    assert len(split) == len(index) and shared_patients(split) == {}
    # Rows in another order give the same split.
    again = split_stratified(
        index.sample(frac=1, random_state=seed), sorted(index["class"].unique()), test, validation, seed
    )
    pd.testing.assert_frame_equal(split, again)


@given(number=st.integers(5, 80), test=st.floats(0.1, 0.5), seed=st.integers(0, 99))
def test_one_more_image_moves_no_more_than_one_at_each_cut(number: int, test: float, seed: int) -> None:
    fewer, more = made_index([[0] * number, [0] * 9]), made_index([[0] * (number + 1), [0] * 9])
    before, after = split_of(fewer, test, seed=seed), split_of(more, test, seed=seed)
    moved = [image for image in before.index if before[image] != after[image]]
    assert len(moved) <= 2 and all(image.startswith("c0/") for image in moved)


def test_another_seed_is_another_split() -> None:
    index = made_index([[0] * 30, [0] * 30])
    assert split_of(index).equals(split_of(index)) and not split_of(index).equals(split_of(index, seed=1))


def test_equal_bytes_stay_together() -> None:
    index = made_index([[0] * 40, [0] * 40])
    index["sha256"] = [str(number // 2) for number in range(len(index))]
    split = split_of(index)
    assert (split.groupby([image[:4] + str(int(image[3:6]) // 2) for image in split.index]).nunique() == 1).all()


def test_an_image_that_is_missing_moves_no_other() -> None:
    index = made_index([[0] * 30, [0] * 30])
    whole = split_of(index)
    index.loc[3, "status"] = "missing"
    without = split_of(index)
    assert without.equals(whole.drop(index["image"][3]))


def test_the_test_folder_stays_the_test_set() -> None:
    index = pd.concat([made_index([[0] * 20, [0] * 20], "train"), made_index([[0] * 5, [0] * 5], "test")])
    index["image"] = index["subset_folder"] + "/" + index["image"]
    split = split_of(index.reset_index(drop=True))
    assert set(split[split == "test"].index) == set(index.loc[index["subset_folder"] == "test", "image"])
    assert (split == "validation").sum() == 10  # a quarter of train/


def test_a_patient_in_train_and_in_test_stays_in_both_and_is_told() -> None:
    index = pd.concat([made_index([[0] * 20, [0] * 20], "train"), made_index([[0] * 5, [0] * 5], "test")])
    index = index.assign(image=index["subset_folder"] + "/" + index["image"]).reset_index(drop=True)
    index.loc[[0, 1, len(index) - 1], "patient"] = "p1"
    split = split_stratified(index, ["c0", "c1"], 0.2, 0.25, 0)
    subsets = shared_patients(split)["p1"]
    assert subsets in (["training", "test"], ["validation", "test"])


def test_a_listed_split() -> None:
    index = made_index([[0, 0, 0]]).assign(listed_subset=["test", "training", "validation"])
    assert split_as_listed(index, ["c0"])["subset"].tolist() == ["training", "validation", "test"]
    index.loc[1, "listed_subset"] = None
    with pytest.raises(Fault, match=r"1 images have no `split` \(c0/001.png\)"):
        split_as_listed(index, ["c0"])


# ---- the config -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"layout": "classes"},
            "split: keras needs train/ and test/ (layout: train_test); allowed here: stratified, or a CSV",
        ),
        ({"layout": "classes", "split": "listed"}, "split: listed is the column `split` of an image list"),
        ({"layout": "listed", "split": "stratified"}, "image_list: missing; with `layout: listed` it is a CSV"),
        ({"layout": "classes", "split": "stratified", "image_list": "study"}, "image_list: the study's files lie in"),
        ({"patients": {"column": "a"}}, "patients.column: there is no image list of your own with this column"),
        ({"patients": {"pattern": "a"}}, "patients: pattern: 'a' must have one group in (), the patient; it has 0"),
        ({"patients": {"pattern": "("}}, "patients: pattern: '(' is no regular expression"),
        ({"patients": {}}, "patients: must have either column or pattern"),
        (
            {"patients": 3},
            "patients: 3 is not allowed; allowed: empty, {column: NAME} or {pattern: REGULAR_EXPRESSION}",
        ),
    ],
)
def test_faults_of_layout_and_patients(project: Path, changes: dict[str, Any], told: str) -> None:
    raw = {**read_yaml(project / "config.yaml"), "images": "xrays", "image_list": None, **changes}
    with pytest.raises(Fault) as caught:
        read_config(raw)
    assert any(message.startswith(told) for message in caught.value.messages), caught.value.messages
