"""Layouts of images: class folders with and without train/ and test/, or a list; patients; stratified splits."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cxrflow.claims.results import TrainingResults
from cxrflow.images.fingerprint import fingerprint, stamps_of
from cxrflow.images.grouping import groups_of
from cxrflow.images.listing import list_images
from cxrflow.io.errors import UserError
from cxrflow.io.tables import read_csv_as_text
from cxrflow.stages.split_images import (
    check_split,
    shared_patients,
    split_as_listed,
    split_by_table,
    split_like_keras,
    split_stratified,
)
from cxrflow.study.names import subset_named
from cxrflow.study.read import read_config
from hypothesis import given, settings
from hypothesis import strategies as st
from made_images import index_images
from study_config import study_config

CLASSES = ["covid", "normal"]


@pytest.fixture
def one_folder(tmp_path: Path, draw: Callable[..., None]) -> Path:
    """Only <class>/, with ten pictures each, two per patient."""
    for place, (name, number) in enumerate(product(CLASSES, range(10))):
        draw(tmp_path / "xrays" / name / f"{name[0]}{number // 2}_{number}.png", place)
    return tmp_path / "xrays"


# ---- layouts ----------------------------------------------------------------------------------------------------------


def test_one_folder_of_class_folders(one_folder: Path) -> None:
    index, errors = index_images(one_folder, CLASSES, layout="classes")
    assert errors == [] and len(index) == 20
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
    """The list gives the classes, regardless of folders."""
    listed = pd.DataFrame(
        {
            "path": ["covid/c0_0.png", "covid/c0_1.png", "normal/n1_2.png"],
            "label": ["normal", "covid", "other"],
            "split": ["training", "test", ""],
            "patient": ["7", "8", ""],
        }
    )
    index = list_images(one_folder, CLASSES, "listed", listed)
    columns = ["image", "class", "folder", "subset_folder", "listed_subset", "patient"]
    assert index[columns].to_numpy().tolist() == [
        ["covid/c0_0.png", "normal", "normal", "train", "training", "7"],
        ["covid/c0_1.png", "covid", "covid", "test", "test", "8"],
    ]


def test_an_external_test_set_may_be_a_link(one_folder: Path, tmp_path: Path) -> None:
    (one_folder / "normal").rename(tmp_path / "another hospital")
    (one_folder / "external").symlink_to(tmp_path / "another hospital")
    paths = [f"covid/c{number // 2}_{number}.png" for number in range(4)] + ["external/n0_0.png", "external/n0_1.png"]
    labels, words = ["covid", "normal"] * 3, ["training"] * 2 + ["validation"] * 2 + ["test"] * 2
    listed = pd.DataFrame({"path": paths, "label": labels, "split": words})
    index, errors = index_images(one_folder, CLASSES, listed, layout="listed")
    assert errors == []
    assert split_as_listed(index, CLASSES)[["image", "class", "subset"]].values.tolist() == [
        list(row) for row in zip(paths, labels, words, strict=True)
    ]


def test_all_errors_of_a_list(one_folder: Path) -> None:
    listed = pd.DataFrame(
        {
            "path": ["../a.png", "/etc/passwd", "covid/c0_0.png", "covid/c0_0.png", "covid/c0_1.png", "a\0.png"],
            "label": ["covid", "covid", "covid", "covid", "covid", "covid"],
            "split": ["", "", "", "", "tset", ""],
        }
    )
    with pytest.raises(UserError) as caught:
        list_images(one_folder, CLASSES, "listed", listed)
    assert caught.value.messages == [
        "image list: '../a.png': must be a file below the folder of the images",
        "image list: '/etc/passwd': must be a file below the folder of the images",
        "image list: covid/c0_1.png: split 'tset' is not allowed; did you mean 'test'?; "
        "allowed: training, validation, test",
        "image list: 'a\\x00.png': must be a file below the folder of the images",
        "image list: covid/c0_0.png: listed twice",
    ]
    with pytest.raises(UserError, match="no column `label`; did you mean 'labels'"):
        list_images(one_folder, CLASSES, "listed", pd.DataFrame({"path": ["a"], "labels": ["b"]}))
    with pytest.raises(UserError, match=r"label 'nromal' is not a class \(1 image, b\); did you mean 'normal'"):
        list_images(one_folder, CLASSES, "listed", pd.DataFrame({"path": ["a", "b"], "label": ["covid", "nromal"]}))


def test_the_fingerprint_of_a_list(one_folder: Path, tmp_path: Path) -> None:

    def of_list() -> str:
        return fingerprint(one_folder, stamps_of(one_folder, CLASSES, "listed", image_list))

    image_list = tmp_path / "list.csv"
    image_list.write_text("path,label\ncovid/c0_0.png,covid\ncovid/gone.png,covid\n")
    before = of_list()
    assert of_list() == before
    (one_folder / "covid/c1_2.png").unlink()  # not in the list
    assert of_list() == before
    (one_folder / "covid/gone.png").write_bytes(b"x")
    assert of_list() != before


@pytest.mark.parametrize(
    ("content", "reported"),
    [
        (b"", "empty; the first line must name the columns"),
        (b"path,label\na\n", "line 2 has 1 cells, the header 2"),
        (b"path,path\n", "column `path` occurs twice"),
        (b",\na,b\n", "empty; the first line must name the columns"),
        (b"PK\x03\x04\x00", "an Excel workbook, not a CSV; save the sheet as CSV in UTF-8"),
        (b"path\n\xff\x81\n", "not UTF-8 text; save it as CSV in UTF-8"),
        (b'path\n"a\n', "not a CSV: unexpected end of data"),
    ],
)
def test_files_that_are_not_tables(tmp_path: Path, content: bytes, reported: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_csv_as_text(tmp_path / "x.csv", "image_list")
    assert caught.value.messages[0].startswith(f"image_list: {tmp_path / 'x.csv'}: ") and reported in str(caught.value)


def test_cells_of_a_table_are_as_written(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes('\ufeffpath, n \r\n007,NA\r\n\r\n"a,b", x\r\n'.encode())
    table = read_csv_as_text(tmp_path / "x.csv", "split")
    assert table.to_dict("list") == {"path": ["007", "a,b"], "n": ["NA", "x"]}


# ---- patients ---------------------------------------------------------------------------------------------------------


def test_patients_by_a_pattern(one_folder: Path, draw: Callable[..., None]) -> None:
    """It is searched in the file name, not in the folder; an image without a match has an unknown patient."""
    draw(one_folder / "covid/0_unnamed.png", 99)
    index, _ = index_images(one_folder, CLASSES, layout="classes", patient_pattern=r"^([a-z]\d)_")
    known = dict(zip(index["image"], index["patient"].fillna("-"), strict=True))
    assert known["covid/c3_7.png"] == "c3" and known["normal/n0_1.png"] == "n0"
    assert known["covid/0_unnamed.png"] == "-"
    assert index["patient"].nunique() == 10
    with pytest.raises(
        UserError, match=r"patients\.pattern: '\^X\(y\)' does not match any file name, such as '0_unnamed.png'"
    ):
        index_images(one_folder, CLASSES, layout="classes", patient_pattern="^X(y)")


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


# ---- the stratified split ---------------------------------------------------------------------------------------------------


def made_index(patients_of: list[list[int]], subset_folder: str = "") -> pd.DataFrame:
    """Make an index of classes whose images show the numbered patients; 0 is an unknown patient."""
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


@settings(max_examples=settings().max_examples // 2)
@given(
    sizes=st.lists(st.integers(3, 150), min_size=2, max_size=3),
    test=st.floats(0.1, 0.4),
    validation=st.floats(0.1, 0.4),
    seed=st.integers(0, 99),
)
def test_shares_of_a_stratified_split(sizes: list[int], test: float, validation: float, seed: int) -> None:
    """Each class has the same shares, to half an image and a tenth of the smallest share."""
    split = split_of(made_index([[0] * size for size in sizes]), test, validation, seed)
    shares = {"test": test, "validation": (1 - test) * validation, "training": (1 - test) * (1 - validation)}
    leeway = 0.1 * min(shares.values())
    for place, size in enumerate(sizes):
        counts = split[split.index.str.startswith(f"c{place}/")].value_counts()
        for subset in ("test", "validation"):
            assert abs(counts.get(subset, 0) - shares[subset] * size) <= leeway * size + 0.5


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


def moved(before: "pd.Series[Any]", after: "pd.Series[Any]") -> list[tuple[str, str, str]]:
    """List images that are in both splits and change subset, each with both subsets."""
    both = before.index.intersection(after.index)
    return [(image, before[image], after[image]) for image in both if before[image] != after[image]]


@settings(max_examples=settings().max_examples // 2)
@given(number=st.integers(5, 80), test=st.floats(0.1, 0.5), seed=st.integers(0, 99))
def test_one_more_image_moves_at_most_one_at_each_cut(number: int, test: float, seed: int) -> None:
    """In the other direction, the same holds for one image fewer."""
    fewer, more = made_index([[0] * number, [0] * 9]), made_index([[0] * (number + 1), [0] * 9])
    changes = moved(split_of(fewer, test, seed=seed), split_of(more, test, seed=seed))
    assert all(image.startswith("c0/") and "training" in (one, other) for image, one, other in changes)
    for subset in ("test", "validation"):
        assert sum(subset in change for change in changes) <= 1


@settings(max_examples=settings().max_examples // 3)
@given(
    patients_of=patients,
    place=st.floats(0, 1, exclude_max=True),
    test=st.floats(0.1, 0.5),
    seed=st.integers(0, 99),
)
def test_a_relabelled_image_moves_at_most_one_group_at_each_cut(
    patients_of: list[list[int]], place: float, test: float, seed: int
) -> None:
    """At most one in each of its two classes, apart from other images of its patient, which follow the majority."""
    index = made_index(patients_of)
    # An image of an unknown patient: with a known one the other classes' images of that patient would move their class, too.
    row = int(place * len(index))
    index.loc[row, "patient"] = None
    before = split_of(index, test, seed=seed)
    old, new = index.loc[row, "class"], "c0" if index.loc[row, "class"] != "c0" else "c1"
    index.loc[row, "class"] = new
    changes = moved(before, split_of(index, test, seed=seed))
    groups = groups_of(index).set_axis(index["image"])
    for subset in ("test", "validation"):
        crossing = {
            groups[image] for image, one, other in changes if subset in (one, other) and image != index["image"][row]
        }
        assert len(crossing) <= 2
    own = {old, new}
    shown = index.set_index("image")
    assert {shown.loc[image, "class"] for image, *_ in changes if groups[image].startswith("image ")} <= own


def test_a_relabelled_test_image_seldom_moves_another() -> None:
    """Of two classes of 400 images: most relabelled test images leave all other images where they are."""
    index = made_index([[0] * 400, [0] * 400])
    before = split_of(index, 0.2, 0.2)
    numbers = []
    for image in before.index[(before == "test") & before.index.str.startswith("c0/")][:40]:
        relabelled = index.assign(**{"class": index["class"].mask(index["image"] == image, "c1")})
        numbers.append(len([change for change in moved(before, split_of(relabelled, 0.2, 0.2)) if change[0] != image]))
    assert max(numbers) <= 2 and sum(number == 0 for number in numbers) > len(numbers) / 2


def test_another_seed_is_another_split() -> None:
    index = made_index([[0] * 30, [0] * 30])
    assert split_of(index).equals(split_of(index)) and not split_of(index).equals(split_of(index, seed=1))


def test_equal_bytes_stay_together() -> None:
    index = made_index([[0] * 40, [0] * 40])
    index["sha256"] = [str(number // 2) for number in range(len(index))]
    split = split_of(index)
    assert (split.groupby([image[:4] + str(int(image[3:6]) // 2) for image in split.index]).nunique() == 1).all()


def test_a_missing_image_moves_no_other() -> None:
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


def test_a_patient_in_train_and_in_test_stays_in_both_and_is_reported() -> None:
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
    with pytest.raises(UserError, match=r"1 images have no `split` \(c0/001.png\)"):
        split_as_listed(index, ["c0"])


# ---- the config -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        (
            {"layout": "classes"},
            "split: keras needs train/ and test/ (layout: train_test); allowed here: stratified, or a CSV",
        ),
        ({"layout": "classes", "split": "listed"}, "split: listed needs `layout: listed`"),
        ({"layout": "listed", "split": "stratified"}, "image_list: missing; with `layout: listed` it is a CSV"),
        (
            {"split": "folder/statified"},
            "split: 'statified' is not allowed; allowed: keras, stratified, listed, or a CSV; did",
        ),
        ({"patients": {"column": "a"}}, "patients.column: there is no image list with this column"),
        ({"patients": {"pattern": "a"}}, "patients: pattern: 'a' must have one group in (), the patient; it has 0"),
        ({"patients": {"pattern": "("}}, "patients: pattern: '(' is not a regular expression"),
        ({"patients": {}}, "patients: must have either column or pattern"),
        (
            {"patients": 3},
            "patients: 3 is not allowed; allowed: empty, {column: NAME} or {pattern: REGULAR_EXPRESSION}",
        ),
    ],
)
def test_errors_of_layout_and_patients(project: Path, changes: dict[str, Any], reported: str) -> None:
    raw = {**study_config(), "images": "xrays", "image_list": None, **changes}
    with pytest.raises(UserError) as caught:
        read_config(raw)
    assert any(message.startswith(reported) for message in caught.value.messages), caught.value.messages


# ---- folders of subsets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "subset"),
    [
        *((name, "train") for name in ("train", "Train", "TRAINING", "train_set", "Training images")),
        *((name, "validation") for name in ("valid", "Val", "VALIDATION", "dev", "val-split", "validation data")),
        *((name, "test") for name in ("test", "Test", "TESTING", "test set", "testset")),
        *((name, None) for name in ("covid", "trained", "tester", "contest", "validated", "train2", "", "set", "eval")),
    ],
)
def test_names_of_subsets(name: str, subset: str | None) -> None:
    assert subset_named(name) == subset


def three_folders(root: Path, draw: Callable[..., None], names: dict[str, int], classes: list[str] = CLASSES) -> Path:
    """Draw a number of pictures of each class in each of some folders."""
    for seed, (folder, name) in enumerate(product(names, classes)):
        for number in range(names[folder]):
            draw(root / folder / name / f"{number}.png", 100 * seed + number)
    return root


@pytest.mark.parametrize(
    "names", [("Train", "Valid", "Test"), ("training", "val", "Testing"), ("train", "dev", "test")]
)
def test_a_validation_folder_is_the_validation_subset(
    tmp_path: Path, draw: Callable[..., None], names: tuple[str, str, str]
) -> None:
    """With both split rules. Ids are the unchanged paths, and pixels are where they would be without such a folder."""
    root = three_folders(tmp_path, draw, dict(zip(names, (6, 3, 2), strict=True)))
    index, errors = index_images(root, CLASSES)
    assert errors == [] and len(index) == 22
    assert set(index["image"]) == {
        f"{folder}/{name}/{number}.png"
        for folder, count in zip(names, (6, 3, 2), strict=True)
        for name in CLASSES
        for number in range(count)
    }
    assert index["subset_folder"].value_counts().to_dict() == {"train": 12, "validation": 6, "test": 4}
    assert set(index["folder"]) == {f"{part}/{name}" for part in ("train", "test") for name in CLASSES}
    for split in (split_like_keras(index, CLASSES, 0.2), split_stratified(index, CLASSES, 0.2, 0.2, 0)):
        of_folder = split["image"].str.partition("/")[0]
        assert dict(zip(of_folder, split["subset"], strict=True)) == dict(
            zip(names, ("training", "validation", "test"), strict=True)
        )
    stamps = stamps_of(root, CLASSES, "train_test")
    assert set(stamps) == set(index["image"])


def test_without_a_test_folder_test_images_are_taken_from_train(tmp_path: Path, draw: Callable[..., None]) -> None:
    root = three_folders(tmp_path, draw, {"train": 10, "valid": 3})
    index, _ = index_images(root, CLASSES)
    split = split_stratified(index, CLASSES, 0.2, 0.3, 0)
    counts = pd.crosstab(split["image"].str.partition("/")[0], split["subset"]).to_dict("index")
    assert counts == {
        "train": {"test": 4, "training": 16, "validation": 0},
        "valid": {"test": 0, "training": 0, "validation": 6},
    }
    with pytest.raises(UserError, match="class covid has no test image"):
        check_split(split_like_keras(index, CLASSES, 0.2), CLASSES)


def test_ambiguous_folders_are_reported(tmp_path: Path, draw: Callable[..., None]) -> None:
    root = three_folders(tmp_path, draw, {"train": 2, "Training": 2, "val": 1, "valid": 1, "test": 1})
    with pytest.raises(UserError) as caught:
        list_images(root, CLASSES)
    assert caught.value.messages == [
        f"{root}: Training/ and train/ all have a name of the train subset; "
        "move their images into one of them, or rename the others",
        f"{root}: val/ and valid/ all have a name of the validation subset; "
        "move their images into one of them, or rename the others",
    ]


def test_a_folder_named_like_a_subset_without_classes_is_ignored(image_folder: Path) -> None:
    """A plain train/ and test/ layout stays one, even with other folders next to it."""
    before = list_images(image_folder, CLASSES)
    for name in ("dev/scripts", "val/covid", "Testing"):
        (image_folder / name).mkdir(parents=True)
    pd.testing.assert_frame_equal(list_images(image_folder, CLASSES), before)
    (image_folder / "Valid/covid").mkdir(parents=True)
    (image_folder / "train/covid/covid_0.png").rename(image_folder / "Valid/covid/0.png")
    with pytest.raises(UserError, match=r"Valid/normal: no such class folder .*found in Valid/: covid"):
        list_images(image_folder, CLASSES)


def test_lists_and_splits_accept_the_same_words(tmp_path: Path) -> None:
    listed = pd.DataFrame({"path": ["Train/covid/a.png", "valid/covid/b.png", "TEST/normal/c.png"]})
    for folder in ("Train/covid", "Train/normal", "valid/covid", "valid/normal", "TEST/covid", "TEST/normal"):
        (tmp_path / folder).mkdir(parents=True)
    index = list_images(tmp_path, CLASSES, "train_test", listed)
    assert index[["image", "subset_folder"]].to_numpy().tolist() == [
        ["TEST/normal/c.png", "test"],
        ["Train/covid/a.png", "train"],
        ["valid/covid/b.png", "validation"],
    ]
    words = pd.DataFrame(
        {"path": list("abc"), "label": ["covid", "covid", "normal"], "split": ["Train", "val", "Testing"]}
    )
    index = list_images(tmp_path, CLASSES, "listed", words)
    assert index["listed_subset"].tolist() == ["training", "validation", "test"]
    table = pd.DataFrame({"image": list("abc"), "subset": ["TRAIN", "dev", "test"]})
    split = split_by_table(index.assign(status="ok"), CLASSES, table).set_index("image")["subset"]
    assert split.to_dict() == {"a": "training", "b": "validation", "c": "test"}


@pytest.mark.parametrize("name", ["train", "Valid", "validation", "TEST", "testing", "dev"])
def test_a_class_must_not_be_named_like_a_subset(project: Path, name: str) -> None:
    raw = {**study_config(), "images": "xrays", "image_list": None}
    with pytest.raises(UserError, match=f"tasks.mine.classes.1: '{name}': the name of a .* subset, not of a class"):
        read_config({**raw, "tasks": {**raw["tasks"], "mine": {"classes": ["covid", name]}}})


# ---- names of classes -------------------------------------------------------------------------------------------------

ODD_CLASSES = ["Lungenentzündung", "健康", "Viral (RSV) [2020] & more", "R+D 50%", "a, b: c?"]


def test_classes_of_any_letters_are_accepted(project: Path, tmp_path: Path, draw: Callable[..., None]) -> None:
    raw = {**study_config(), "images": "xrays", "image_list": None}
    config = read_config({**raw, "tasks": {**raw["tasks"], "mine": {"classes": ODD_CLASSES, "positive": "健康"}}})
    folders = config.folders_of(ODD_CLASSES)
    assert folders[:3] == ["train/Lungenentzündung", "train/健康", "train/Viral (RSV) [2020] & more"]
    assert folders[3:5] == ["train/R+D 50%25", "train/a, b%3A c%3F"] and len(set(folders)) == 10
    root = three_folders(tmp_path, draw, {"train": 1, "test": 1}, ODD_CLASSES)
    index, errors = index_images(root, ODD_CLASSES)
    assert errors == [] and set(index["class"]) == set(ODD_CLASSES) and set(index["folder"]) == set(folders)


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("{x}", "must not contain { }; allowed: letters of any alphabet"),
        ("a|b", "must not contain |; allowed: letters of any alphabet"),
        (" a", "must not be empty, start with a dash, a dot or a space"),
        ("a\u202eb", "must not contain unprintable characters"),
        ("a\tb", "a line break or another control character"),
        ("健" * 70, "more than 200 bytes long"),
        ("a/b", "the name of a class folder must not contain /; a label of `layout: listed` may"),
    ],
)
def test_names_that_no_class_may_have(project: Path, name: str, reported: str) -> None:
    raw = {**study_config(), "images": "xrays", "image_list": None}
    with pytest.raises(UserError) as caught:
        read_config({**raw, "tasks": {**raw["tasks"], "mine": {"classes": ["covid", name]}}})
    assert [reported in message for message in caught.value.messages] == [True]


def test_names_in_two_unicode_forms_are_one(project: Path, tmp_path: Path, draw: Callable[..., None]) -> None:
    """A folder name from macOS (NFD) matches a class typed on a keyboard (NFC), and so do labels."""
    composed, decomposed = "gesund\u00e4", "gesunda\u0308"
    root = three_folders(tmp_path, draw, {"train": 1, "test": 1}, ["covid", decomposed])
    index, errors = index_images(root, ["covid", composed])
    assert errors == [] and set(index["class"]) == {"covid", composed}
    assert f"train/{decomposed}/0.png" in set(index["image"])
    assert set(stamps_of(root, ["covid", composed], "train_test")) == set(index["image"])
    listed = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["covid", decomposed]})
    assert list_images(root, ["covid", composed], "listed", listed)["class"].tolist() == ["covid", composed]
    raw = {**study_config(), "images": "xrays", "image_list": None}
    with pytest.raises(UserError, match="repeated; give each once"):
        read_config({**raw, "tasks": {**raw["tasks"], "mine": {"classes": [composed, decomposed]}}})


def test_a_class_named_na_is_not_a_missing_value(tmp_path: Path) -> None:
    """Nor is one named None, in the predictions for claims."""
    table = pd.DataFrame(
        {"image": ["1", "2"], "class": ["NA", "None"], "predicted": ["None", "NA"], "p_NA": [0.4, 0.6]}
    )
    table.to_csv(tmp_path / "predictions.csv", index=False)
    read = TrainingResults("mine", 0, tmp_path).predictions
    assert read["class"].tolist() == ["NA", "None"] and read["predicted"].tolist() == ["None", "NA"]
    assert read.index.tolist() == ["1", "2"] and read["p_NA"].dtype == float
