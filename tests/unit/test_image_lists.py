"""Real-world image lists: names of columns, encodings, labels, paths that nearly match a file, patients."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cxrflow.audits.description import describe_data
from cxrflow.audits.duplicates import duplicate_images
from cxrflow.images.columns import read_image_list
from cxrflow.images.index_messages import nearest_files, placeholder_messages
from cxrflow.images.labels import label_errors, other_labels
from cxrflow.io.errors import UserError
from cxrflow.io.files import sha256_of_file, write_table
from cxrflow.run.images import find_images
from cxrflow.stages.split_images import split_stratified
from cxrflow.study.read import read_config
from made_images import index_images
from PIL import Image
from study_config import study_config

CLASSES = ["covid", "normal"]


@pytest.fixture
def files(tmp_path: Path, draw: Callable[..., None]) -> Path:
    """Six files, c0.png to c2.png and n0.png to n2.png."""
    for number, name in enumerate(("c0", "c1", "c2", "n0", "n1", "n2")):
        draw(tmp_path / f"xrays/{name}.png", number)
    return tmp_path / "xrays"


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "list.csv").write_bytes(text.encode(encoding))
    return folder / "list.csv"


def run_index(files: Path, image_list: Path, classes: list[str] = CLASSES, **settings: str) -> Any:
    command = [sys.executable, "-m", "cxrflow.stages.index_images", "--root", str(files)]
    command += ["--settings", json.dumps({"layout": "listed", **settings})]
    command += ["--classes", *classes, "--image-list", str(image_list), "--images", str(files.parent / "index.parquet")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# ---- columns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["patient", "patientid", "patient_id", "Patient ID", "PatientID", "subject", "Subject_ID"]
)
def test_a_column_of_patients_is_found(tmp_path: Path, name: str) -> None:
    table = read_image_list(written(tmp_path, f"path,label,{name}\na.png,covid,007\n"))
    assert table.header == ["path", "label", "patient"] and table.rows == [["a.png", "covid", "007"]]
    said = [f"image_list: {tmp_path / 'list.csv'}: column `{name}` is used as `patient`"]
    assert table.remarks == (said if name != "patient" else [])


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("license", "licence"),
        ("gender", "sex"),
        ("Patient Gender", "sex"),
        ("Patient Age", "age"),
        ("projection", "view"),
        ("View Position", "view"),
        ("SHA-256", "sha256"),
        ("Path", "path"),
        ("LABEL", "label"),
    ],
)
def test_similar_columns_are_found(tmp_path: Path, name: str, word: str) -> None:
    table = read_image_list(written(tmp_path, f"{name}\nx\n"), needed=())
    assert table.header == [word] and len(table.remarks) == 1


def test_the_config_takes_precedence(tmp_path: Path) -> None:
    image_list = written(tmp_path, "path,patient,PatientID,subject\na,1,2,3\n")
    assert read_image_list(image_list).rows == [["a", "1", "2", "3"]]
    table = read_image_list(image_list, columns={"patient": "subject"})
    assert dict(zip(table.header, table.rows[0], strict=True)) == {"path": "a", "patient": "3", "PatientID": "2"}
    assert table.remarks == []


def test_two_columns_that_may_name_patients_are_not_used(tmp_path: Path) -> None:
    table = read_image_list(written(tmp_path, "path,PatientID,subject\na,2,3\n"))
    assert "patient" not in table.header
    assert "PatientID and subject may all name patients, so none is used; choose one" in table.remarks[0]


def test_a_run_reports_the_column_and_keeps_patients_together(files: Path, tmp_path: Path) -> None:
    rows = [
        f"{name}.png,{'covid' if name < 'd' else 'normal'},{name[1]}\n" for name in ("c0", "c1", "c2", "n0", "n1", "n2")
    ]
    run = run_index(files, written(tmp_path, "path,label,patientid\n" + "".join(rows)))
    assert run.returncode == 0, run.stderr
    assert "column `patientid` is used as `patient`" in run.stdout and "patients: 3 known" in run.stdout


# ---- tables -----------------------------------------------------------------------------------------------------------

METADATA = "patientid;filename;finding;location;\n7;c0.png;covid;Köln;\n8;n0.png;normal;Zürich, Höngg;\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_public_table_is_read(tmp_path: Path, encoding: str, separator: str) -> None:
    """With other column names, a separator at the end of each line, any usual encoding and separator; the log says so."""
    text = METADATA.replace(", Höngg", "" if separator == "," else ", Höngg").replace(";", separator)
    image_list = written(tmp_path, text, encoding)
    table = read_image_list(image_list, columns={"path": "filename", "label": "finding"}, needed=("path", "label"))
    assert table.as_frame()[["path", "label", "patient"]].to_numpy().tolist() == [
        ["c0.png", "covid", "7"],
        ["n0.png", "normal", "8"],
    ]
    assert table.as_frame()["location"][0] == "Köln"
    reported = "\n".join(table.remarks)
    assert (
        "columns without a name are ignored (column 5)" in reported and "`patientid` is used as `patient`" in reported
    )
    assert ("cells are separated by" in reported) == (separator != ",")
    assert ("not UTF-8; read as" in reported) == (encoding not in ("utf-8", "utf-8-sig"))


def test_all_errors_are_reported_together(tmp_path: Path) -> None:
    image_list = written(tmp_path, "filename;finding;x;x;\na;b;1;2;\na;b\n", "cp1252")
    with pytest.raises(UserError) as caught:
        read_image_list(image_list, columns={"patient": "subjct"}, needed=("path", "label"))
    reported = [message.removeprefix(f"image_list: {image_list}: ") for message in caught.value.messages]
    it_has = "it has filename, finding, x, x"
    assert reported == [
        "column `x` occurs twice",
        "line 3 has 2 cells, the header 5; a cell that contains semicolons must be in quotes",
        f"no column `subjct` for patient; {it_has}",
        f"no column `path`; to use `filename`: `columns: {{path: filename}}`; {it_has}",
        f"no column `label`; to use `finding`: `columns: {{label: finding}}`; {it_has}",
    ]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("path\na;b.png\n", [["a;b.png"]]),  # a separator that is not in the header does not split lines
        ('path,note; more\na,"x, y"\n', [["a", "x, y"]]),
        ("path;note\na;1,5\nb;2,5\n", [["a", "1,5"], ["b", "2,5"]]),
        (",path\n0,a\n1,b\n", [["a"], ["b"]]),  # an index, as pandas writes it
        ("path,note\na,\nb,x,\n", [["a", ""], ["b", "x"]]),
        ('path|note\n"a|b"|c\n', [["a|b", "c"]]),
    ],
)
def test_ambiguous_separators(tmp_path: Path, text: str, rows: list[list[str]]) -> None:
    assert read_image_list(written(tmp_path, text)).rows == rows


# ---- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "count", "reported"),
    [
        ("", 2, "no label (2 images, x0.png, x1.png); add labels, or remove these rows"),
        (" ", 1, "no label (1 image, x0.png); add labels, or remove these rows"),
        (
            "Covid",
            30,
            "label 'Covid' is not a class (30 images, x0.png, x1.png, x2.png and 27 more); did you mean 'covid'?",
        ),
        ("no_finding", 1, "label 'no_finding' is not a class (1 image, x0.png); did you mean 'No Finding'?"),
        ("covd", 1, "label 'covd' is not a class (1 image, x0.png); did you mean 'covid'?"),
        ("cvoid", 2, "label 'cvoid' is not a class (2 images, x0.png, x1.png); did you mean 'covid'?"),
        ("covidd", 2, "label 'covidd' is not a class (2 images, x0.png, x1.png); did you mean 'covid'?"),
        ("covld", 3, None),  # too frequent for a misspelling: a class
        ("abnormal", 1, None),
        ("grade_b", 1, None),
        ("stage 2", 1, None),
        ("pneumonia", 1, None),
    ],
)
def test_labels_that_are_not_classes(label: str, count: int, reported: str | None) -> None:
    classes = ["covid", "normal", "No Finding", "grade_a", "stage 1"]
    labelled = [(f"{name}{number}.png", name) for name in classes for number in range(20)]
    errors = label_errors([*labelled, *((f"x{number}.png", label) for number in range(count))], classes)
    assert errors == ([f"image list: {reported}"] if reported else [])


def test_they_end_a_run_and_other_labels_are_counted(files: Path, tmp_path: Path) -> None:
    rows = ["c0.png,covid", "c1.png,Covid", "c2.png,", "n0.png,normal", "n1.png,other", "n2.png,other"]
    run = run_index(files, written(tmp_path, "\n".join(["path,label", *rows])))
    reported = [line.partition("image list: ")[2] for line in run.stderr.splitlines()]
    assert run.returncode == 1 and reported == [
        "label 'Covid' is not a class (1 image, c1.png); did you mean 'covid'?",
        "no label (1 image, c2.png); add labels, or remove these rows",
    ]
    run = run_index(files, written(tmp_path, "\n".join(["path,label", rows[0], *rows[3:]])))
    assert run.returncode == 0 and "note: 2 images with other labels are ignored: other 2" in run.stdout
    assert other_labels(["a", "b", "b"], ["a"]) == {"b": 2}


def test_the_doctor_reports_them_too(project: Path, files: Path, tmp_path: Path) -> None:
    image_list = written(tmp_path, "Path;finding\nc0.png;Covid\nn0.png;normal\n")
    raw = {**study_config(), "images": str(files), "layout": "listed", "split": "stratified"}
    raw |= {"image_list": str(image_list), "columns": {"label": "finding"}, "only": "binary_inception_v3"}
    (finding,) = find_images(read_config(raw)).checks
    assert (finding.level, "did you mean 'covid'?" in finding.text) == ("error", True)


# ---- files ------------------------------------------------------------------------------------------------------------


def test_paths_that_nearly_match_a_file_are_reported_in_one_message(files: Path, tmp_path: Path) -> None:
    (files / "v.nii.gz").write_bytes(b"\x1f\x8b")
    listed = {"c0": "covid", "C1.PNG": "covid", "other/c2.png": "covid", "n0.nii.gz": "normal", "v.nii.gz": "normal"}
    listed |= {"gone.png": "normal", "n1.png": "normal"}
    run = run_index(files, written(tmp_path, "\n".join(["path,label", *map(",".join, listed.items())])))
    reported = [line.removeprefix("error: ") for line in run.stderr.splitlines()]
    assert run.returncode == 1 and reported[:-1] == [
        f"{files}/gone.png: missing",
        "image list: 4 paths do not exist, but nearly match a file "
        "(C1.PNG -> c1.png, c0 -> c0.png, n0.nii.gz -> n0.png and 1 more); correct these paths",
        "image list: 1 path is a volume, not a single picture (v.nii.gz); remove such rows, or save a picture as PNG",
    ]
    run = run_index(files, tmp_path / "list.csv", missing_images="warn")
    assert run.returncode == 0 and "warning: image list: 4 paths do not exist" in run.stdout


def test_the_nearest_file_must_be_unambiguous(files: Path, draw: Callable[..., None]) -> None:
    """It is in the same folder, or the only one elsewhere; if there are several, none is suggested."""
    draw(files / "a/x.png", 1)
    draw(files / "b/x.png", 2)
    draw(files / "b/e\u0301.png", 3)
    listed = ["c0", "b/x.jpg", "c/x.png", "nothing.png", "\u00e9.png"]
    assert nearest_files(files, listed) == {"c0": "c0.png", "b/x.jpg": "b/x.png", "\u00e9.png": "b/e\u0301.png"}


def test_the_contents_of_an_image_decide_its_format(files: Path) -> None:
    """A WebP file named .png, a copy named @2x, a name without a suffix."""
    picture = Image.open(files / "c0.png")
    picture.save(files / "webp.png", format="WEBP", lossless=True)
    picture.resize((80, 60)).save(files / "c0@2x.png")
    (files / "n3").write_bytes((files / "n0.png").read_bytes())
    table = pd.DataFrame({"path": ["webp.png", "c0.png", "c0@2x.png", "n3"], "label": ["covid"] * 3 + ["normal"]})
    index, errors = index_images(files, CLASSES, table, layout="listed")
    assert errors == [] and index.set_index("image")["format"].to_dict() == {
        "c0.png": "PNG",
        "c0@2x.png": "PNG",
        "n3": "PNG",
        "webp.png": "WEBP",
    }
    assert duplicate_images(index)["copies_by_name"] == [["c0.png", "c0@2x.png"]]


def test_a_hash_in_upper_case_is_that_hash(files: Path) -> None:
    hashes = [sha256_of_file(files / name).upper() for name in ("c0.png", "n0.png")]
    table = pd.DataFrame({"path": ["c0.png", "n0.png"], "label": CLASSES, "sha256": hashes})
    index, errors = index_images(files, CLASSES, table, layout="listed")
    assert errors == [] and set(index["status"]) == {"ok"}


# ---- patients ---------------------------------------------------------------------------------------------------------


def test_patients_7_and_007_are_two(files: Path, tmp_path: Path) -> None:
    """1.0, NA and null are also ordinary names: in the index, in the split when it is read back, and in the audit."""
    patients = ["007", "7", "1.0", "1", "NA", "null"]
    rows = [
        f"{name}.png,{name[0]},{patient}"
        for name, patient in zip(("c0", "c1", "c2", "n0", "n1", "n2"), patients, strict=True)
    ]
    table = read_image_list(written(tmp_path, "\n".join(["path,label,patient", *rows]))).as_frame()
    index, _ = index_images(files, ["c", "n"], table, layout="listed")
    write_table(tmp_path / "index.parquet", index)
    index = pd.read_parquet(tmp_path / "index.parquet")
    assert set(index["patient"]) == set(patients)
    assert describe_data(index)["patients"] == 6
    write_table(tmp_path / "split.csv", split_stratified(index, ["c", "n"], 0.3, 0.4, 0))
    split = pd.read_csv(tmp_path / "split.csv", dtype=str, keep_default_na=False)  # as every stage reads it
    assert set(split["patient"]) == set(patients)
    stages = Path(__file__).resolve().parents[2] / "workflow/cxrflow"
    reads = [
        line for file in stages.rglob("*.py") for line in file.read_text().splitlines() if "read_csv(args.split" in line
    ]
    assert len(reads) > 3 and all("dtype=str, keep_default_na=False" in line for line in reads)


def test_a_patient_named_unknown_is_reported() -> None:
    index = pd.DataFrame({"patient": ["unknown", "unknown", "N/A", "7", "7", None]}, dtype="string")
    assert placeholder_messages(index) == [
        "warning: 2 images have the patient 'unknown' and count as images of one patient; "
        "leave the cell empty if the patient is not known"
    ]
