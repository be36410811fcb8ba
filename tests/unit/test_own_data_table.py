"""Each line of the table "What you may have" in docs/reference/image_folders.md: messages of new_study and the first stages."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from cxrflow.io.errors import UserError
from cxrflow.io.files import canonical_json, sha256_of_file
from cxrflow.run.image_survey import survey_images
from cxrflow.run.new_study import study_text
from cxrflow.stages import index_images, split_images
from cxrflow.study.read import read_config
from cxrflow.study.settings import settings_of_rule
from documents import in_code, rows, section
from made_data_sets import doubts_about
from made_images import TWELVE_BITS, dicom_bytes
from PIL import Image

TABLE = {
    row[0]: (row[1], in_code(row[2]))
    for row in rows(section("docs/reference/image_folders.md", "What you may have"))[1:]
}
CLASSES = ("covid", "normal")


def picture(number: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(noise).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return file.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def folders(**numbers: int) -> Callable[[Path], None]:
    """Write a number of images of each class into each of some folders; `_` is the folder itself."""

    def build(root: Path) -> None:
        for place, folder in enumerate(numbers):
            for name in CLASSES:
                for number in range(numbers[folder]):
                    where = root / ("" if folder == "_" else folder) / name / f"{number}.png"
                    write(where, picture(1000 * place + 100 * CLASSES.index(name) + number))

    return build


def listing(
    header: str = "path,label",
    row: Callable[[str, str, int], str] = lambda path, label, number: f"{path},{label}",
    encoding: str = "utf-8",
    more: str = "",
) -> Callable[[Path], Path]:
    """Write eight files of each class and their list; `row` makes a line from a path, a label and a number."""

    def build(root: Path) -> Path:
        lines = [header]
        for letter, label in zip("an", CLASSES, strict=True):
            for number in range(8):
                write(root / f"{letter}_{number}.png", picture(100 * ord(letter) + number))
                lines.append(row(f"{letter}_{number}.png", label, number))
        text = "\n".join(lines) + "\n" + more
        return write(root.parent / "list.csv", text.encode(encoding))

    return build


def flat_subsets(root: Path) -> None:
    for number, name in enumerate(("train/1", "train/2", "test/1")):
        write(root / f"{name}.png", picture(number))


def subsets_in_classes(root: Path) -> None:
    for place, name in enumerate(CLASSES):
        for number in range(8):
            write(root / name / ("test" if number < 2 else "train") / f"{number}.png", picture(10 * place + number))


def other_letters(root: Path) -> None:
    for place, name in enumerate(("Entzündung (viral) [2] & mehr", "健康")):
        for number in range(8):
            write(root / name / f"{number}.png", picture(10 * place + number))


def other_case(root: Path) -> None:
    folders(_=8)(root)
    write(root / "Covid/1.png", picture(1))


def workbook(root: Path) -> Path:
    return write(root.parent / "list.csv", b"PK\x03\x04\x14\x00")


def upper_case(root: Path) -> Path:
    def row(path: str, label: str, number: int) -> str:
        return f"{path},{label},{sha256_of_file(root / path).upper()}"

    return listing("path,label,sha256", row)(root)


def volumes(root: Path) -> Path:
    write(root / "ct.nii.gz", b"\x1f\x8b\x08")
    return listing(more="ct.nii.gz,covid\n")(root)


def another_format(root: Path) -> None:
    folders(_=8)(root)
    write(root / "covid/0.png", picture(3, "WEBP"))


def dicom(root: Path) -> Path:
    values = np.tile(TWELVE_BITS, (3, 3))
    write(root / "IM0001", dicom_bytes(values))
    return listing(more="IM0001,covid\n")(root)


def copies(root: Path) -> None:
    folders(_=8)(root)
    write(root / "covid/0@2x.png", picture(99))


def by_patient(number: int) -> int:
    return number // 2


CASES: dict[str, Callable[[Path], Path | None]] = {
    "`train/<class>/` and `test/<class>/`": folders(train=8, test=2),
    "`Train/`, `Valid/` and `Test/`, in any case and spelling": folders(Train=8, Valid=3, Test=2),
    "`train/` and `valid/` only": folders(train=8, valid=3),
    "`train/` only": folders(train=8),
    "two folders of one subset, `val/` and `valid/`": folders(train=8, val=2, valid=2, test=2),
    "`train/` and `test/` without class folders": flat_subsets,
    "`<class>/` only": folders(_=8),
    "subset folders within class folders": subsets_in_classes,
    "class names of any alphabet, with blanks, brackets and `&`": other_letters,
    "class names that differ by case only": other_case,
    "a CSV with `path` and `label`": listing(),
    "a CSV with `path`, `label` and `split`": listing(
        "path,label,split", lambda path, label, n: f"{path},{label},{('test', 'Val')[n] if n < 2 else 'train'}"
    ),
    "a CSV with `filename` and `finding`": listing("filename,finding"),
    "a CSV with semicolons or tabs": listing("path;label;note", lambda path, label, n: f"{path};{label};1,5"),
    "a CSV that is not UTF-8 (Latin-1, Windows-1252, UTF-16)": listing(
        "path,label,note", lambda path, label, n: f"{path},{label},Köln", "cp1252"
    ),
    "a CSV with a comma at the end of each line, or a column of row numbers": listing(
        "path,label,", lambda path, label, n: f"{path},{label},"
    ),
    "a workbook named .csv": workbook,
    "a column `PatientID`, `patient_id`, `subject`": listing(
        "path,label,PatientID", lambda path, label, n: f"{path},{label},{by_patient(n)}"
    ),
    "a column `license`, `gender`, `View Position`": listing(
        "path,label,license,gender", lambda path, label, n: f"{path},{label},CC0,F"
    ),
    "two columns that may each name patients": listing(
        "path,label,PatientID,subject", lambda path, label, n: f"{path},{label},{n},{by_patient(n)}"
    ),
    "patients `007`, `7` and `1.0`": listing(
        "path,label,patient", lambda path, label, n: f"{path},{label},{('007', '7', '1.0')[n] if n < 3 else ''}"
    ),
    "empty labels": listing(row=lambda path, label, n: f"{path},{'' if path == 'a_0.png' else label}"),
    "labels `covid` and `Covid`": listing(
        row=lambda path, label, n: f"{path},{'Covid' if path == 'a_0.png' else label}"
    ),
    "labels of several findings with a bar between them": listing(
        row=lambda path, label, n: f"{path},{'covid|tb' if path == 'a_0.png' else label}"
    ),
    "paths without an ending, or in another case": listing(
        row=lambda path, label, n: f"{ {'a_0.png': 'a_0', 'a_1.png': 'A_1.PNG'}.get(path, path) },{label}"
    ),
    "paths of volumes, `.nii.gz`": volumes,
    "SHA-256 in upper case": upper_case,
    "PNG, JPEG, TIFF, WebP, BMP and DICOM, regardless of the suffix": another_format,
    "DICOM without an ending, in a CSV": dicom,
    "one patient in two classes": listing(
        "path,label,patient", lambda path, label, n: f"{path},{label},{'p' if n == 0 else ''}"
    ),
    "a view that only one subset or class has": listing(
        "path,label,split,view",
        lambda path, label, n: (
            f"{path},{label},{('test', 'test', 'val')[n] if n < 3 else 'train'},{'L' if n < 2 else 'PA'}"
        ),
    ),
    "copies of one picture, `a.png` and `a@2x.png`": copies,
}


def test_own_data_table_has_a_case_for_each_line() -> None:
    assert list(TABLE) == list(CASES)


def run_stage(main: Callable[[], None], monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["stage", *map(str, words)])
    main()


@pytest.mark.parametrize("case", CASES)
def test_own_data_table(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, index_file, split_file = tmp_path / "images", tmp_path / "images.parquet", tmp_path / "split.csv"
    image_list = CASES[case](root)
    lines: list[str] = []
    try:
        survey = survey_images(root, image_list)
        lines += survey.lines()
        text = study_text("mine", str(root), str(image_list) if image_list else None, survey)
        config = read_config({"name": "mine", **yaml.safe_load(text)})
        flags = ["--image-list", image_list] if image_list else []
        classes = config.tasks["mine"].classes
        # As a run that stops at missing and bad images: `cxrflow init` writes settings that let it continue.
        stopping = {"missing_images": "error", "on_bad_image": "error"}
        settings = canonical_json({**settings_of_rule(config, "index_images"), **stopping})
        words = ("--root", root, "--classes", *classes, "--settings", settings, *flags, "--images", index_file)
        run_stage(index_images.main, monkeypatch, *words)
        settings = canonical_json(settings_of_rule(config, "split_images"))
        words = ("--images", index_file, "--classes", *classes, "--settings", settings, "--split", split_file)
        run_stage(split_images.main, monkeypatch, *words)
        lines += doubts_about(pd.read_parquet(index_file))
        outcome = "used"
    except UserError as error:
        lines += error.messages
        outcome = "reported"
    expected, words_of_output = TABLE[case]
    output = "\n".join([*lines, capsys.readouterr().out])
    assert expected.split()[0].strip(":,") == outcome, output
    assert words_of_output in output
    if outcome == "used":
        subsets = pd.read_csv(split_file, dtype=str, keep_default_na=False).groupby("subset")["class"].nunique()
        assert subsets.to_dict() == {"training": 2, "validation": 2, "test": 2}
