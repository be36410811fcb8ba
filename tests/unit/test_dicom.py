"""DICOM: grey levels as dcmtk and pydicom show them, and patients from headers."""

import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.audits.description import describe_data
from cxrflow.images.decode import read_header, read_image
from cxrflow.images.dicom_patient import age_as_text, hashed_id
from cxrflow.images.index_messages import dicom_patient_messages
from cxrflow.io.errors import UserError
from cxrflow.run.image_survey import survey_images
from cxrflow.stages.split_images import split_stratified
from made_data_sets import doubts_about
from made_images import GREY, TWELVE_BITS, dicom_bytes, index_images, png_bytes, write
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_modality_lut, apply_presentation_lut, apply_voi_lut, pixel_array

KINDS = ("MONOCHROME1", "MONOCHROME2")
SHAPES = (None, "IDENTITY", "INVERSE")
FUNCTIONS = (None, "LINEAR", "SIGMOID")
NARROW = {"WindowCenter": 2000, "WindowWidth": 1001}


def table(kind: str, count: int, first: int, bits: int, packed: bool = False) -> dict[str, list[Dataset]]:
    """A Modality or VOI LUT Sequence: a parabola, so that no other order of steps gives the same."""
    lut = Dataset()
    lut.LUTDescriptor = [count % (1 << 16), first, bits]
    lut["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    entries = np.rint(np.linspace(0, 1, count) ** 2 * ((1 << bits) - 1))
    lut.LUTData = entries.astype(np.uint8 if packed else np.uint16).tobytes()
    lut["LUTData"].VR = "OW"
    if kind == "Modality":
        lut.ModalityLUTType = "US"
    return {f"{kind}LUTSequence": [lut]}


def shown(file: Path) -> NDArray[np.int64]:
    return np.asarray(read_image(file)[0])[..., 0].astype(np.int64)


# ---- what dcmtk shows ------------------------------------------------------------------------------------------------------

VOIS: dict[str, dict[str, Any]] = {
    "none": {},
    "narrow window": NARROW,
    "wide window": {"WindowCenter": 2048, "WindowWidth": 8192},
    "one step": {"WindowCenter": 1088, "WindowWidth": 1},
    "narrow sigmoid": {**NARROW, "VOILUTFunction": "SIGMOID"},
    "table of 8 bits": table("VOI", 4096, 0, 8),
    "packed table": table("VOI", 4096, 0, 8, packed=True),
    "table of 12 bits": table("VOI", 3000, 500, 12),
    "modality table": table("Modality", 4096, 0, 8),
    "modality table, 12 bits": table("Modality", 2048, 1024, 12),
    "modality table and window": {**table("Modality", 4096, 0, 12), **NARROW},
    "rescaled": {"RescaleSlope": 2, "RescaleIntercept": -1000, **NARROW},
}
# Written by `dcm2pnm +op` of dcmtk 3.6.7 from TWELVE_BITS as MONOCHROME2, with +Wi 1, +Wl 1 or +Wm: its diagonal's 16 values.
BY_DCMTK = {
    "none": [0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255],
    "narrow window": [0, 0, 0, 0, 0, 0, 33, 103, 172, 241, 255, 255, 255, 255, 255, 255],
    "wide window": [63, 72, 80, 89, 97, 106, 114, 123, 131, 139, 148, 156, 165, 173, 182, 190],
    "one step": [0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
    "narrow sigmoid": [0, 0, 0, 2, 6, 18, 47, 103, 170, 218, 241, 250, 253, 254, 254, 254],
    "table of 8 bits": [0, 1, 5, 10, 18, 28, 41, 55, 72, 91, 113, 136, 162, 190, 221, 253],
    "packed table": [0, 1, 5, 10, 18, 28, 41, 55, 72, 91, 113, 136, 162, 190, 221, 253],
    "table of 12 bits": [0, 0, 0, 2, 9, 21, 36, 56, 79, 108, 140, 176, 217, 255, 255, 255],
    "modality table": [0, 1, 5, 10, 18, 28, 41, 55, 72, 91, 113, 137, 163, 191, 222, 255],
    "modality table, 12 bits": [0, 0, 0, 0, 0, 6, 22, 47, 80, 123, 175, 235, 255, 255, 255, 255],
    "modality table and window": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 78, 175, 255, 255, 255, 255],
    "rescaled": [0, 0, 0, 0, 0, 56, 194, 255, 255, 255, 255, 255, 255, 255, 255, 255],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("voi", VOIS)
def test_dicom_is_shown_as_by_dcmtk(voi: str, shape: str | None, kind: str, tmp_path: Path) -> None:
    """The shape says what is white or, without one, MONOCHROME1; dcmtk does the same for each combination."""
    elements = {"PhotometricInterpretation": kind, "PresentationLUTShape": shape, **VOIS[voi]}
    found = np.diag(shown(write(tmp_path / "x.dcm", dicom_bytes(TWELVE_BITS, **elements))))
    by_dcmtk = np.array(BY_DCMTK[voi])
    inverted = shape == "INVERSE" or (shape is None and kind == "MONOCHROME1")
    # dcmtk cuts off where we round.
    np.testing.assert_allclose(found, 255 - by_dcmtk if inverted else by_dcmtk, atol=1)


@pytest.mark.skipif(shutil.which("dcm2pnm") is None, reason="dcmtk is not installed")
@pytest.mark.parametrize(("signed", "stored"), [*product((False, True), (8, 10, 12, 16))])
def test_dcmtk_shows_the_same(signed: bool, stored: int, tmp_path: Path) -> None:
    low, span = (-(1 << stored - 1) if signed else 0), 1 << stored
    ramp = np.rint(np.linspace(low, low + span - 1, 256)).astype(int).reshape(16, 16)
    values = ramp.astype(f"{'i' if signed else 'u'}{1 if stored == 8 else 2}")
    vois: list[tuple[str, dict[str, Any]]] = [("+Wm", {}), ("+Wl", table("VOI", span // 2, low + span // 4, 8))]
    for (centre, width), function in product(((0.4, 0.25), (0.5, 1.5)), FUNCTIONS):
        window = {"WindowCenter": low + round(span * centre), "WindowWidth": round(span * width) + 1}
        vois.append(("+Wi", {**window, "VOILUTFunction": function}))
    for (flag, voi), kind, shape in product(vois, KINDS, SHAPES):
        elements = {"PhotometricInterpretation": kind, "PresentationLUTShape": shape, **voi}
        file = write(tmp_path / "x.dcm", dicom_bytes(values, BitsStored=stored, HighBit=stored - 1, **elements))
        flags = [flag] if flag == "+Wm" else [flag, "1"]
        subprocess.run(["dcm2pnm", "--quiet", *flags, "+op", file, tmp_path / "x.pgm"], check=True)
        with Image.open(tmp_path / "x.pgm") as by_dcmtk:
            np.testing.assert_allclose(shown(file), np.asarray(by_dcmtk).astype(int), atol=1, err_msg=str(elements))


# ---- what pydicom shows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "shape"), [("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "INVERSE"), *product(KINDS, ["IDENTITY"])]
)
@pytest.mark.parametrize("voi", ["narrow window", "one step", "table of 12 bits", "modality table and window", "exact"])
def test_dicom_is_shown_as_by_pydicom(voi: str, shape: str, kind: str, tmp_path: Path) -> None:
    elements = {
        **VOIS,
        "modality table and window": {**table("Modality", 4096, 0, 16), "WindowCenter": 9000, "WindowWidth": 7000},
        "exact": {**NARROW, "VOILUTFunction": "LINEAR_EXACT"},
    }[voi]
    described = {"PhotometricInterpretation": kind, "PresentationLUTShape": shape, **elements}
    file = write(tmp_path / "x.dcm", dicom_bytes(TWELVE_BITS, **described))
    dataset = dcmread(file)
    values = apply_modality_lut(pixel_array(dataset), dataset)
    peer = apply_presentation_lut(apply_voi_lut(values, dataset).astype(float), dataset)
    assert peer.min() == 0  # so both ends of the range are in the picture, and its largest value stands for the range
    np.testing.assert_array_equal(shown(file), np.rint(peer * 255 / peer.max()))


# ---- errors and remarks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"PresentationLUTShape": "LIN OD"}, "Presentation LUT Shape 'LIN OD'; allowed: IDENTITY, INVERSE"),
        ({"PresentationLUTSequence": table("VOI", 256, 0, 8)["VOILUTSequence"]}, "a Presentation LUT Sequence"),
        (
            {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "NONSENSE"},
            "allowed: IDENTITY, INVERSE",
        ),
    ],
)
def test_other_presentations_are_refused_by_the_header(elements: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        read_header(write(tmp_path / "x.dcm", dicom_bytes(TWELVE_BITS, **elements)))


def test_a_table_shorter_than_it_declares_is_refused(tmp_path: Path) -> None:
    short = table("VOI", 4096, 0, 12)
    short["VOILUTSequence"][0].LUTData = bytes(200)
    with pytest.raises(UserError, match="a table of 100 entries, 4096 of 12 bits declared"):
        read_image(write(tmp_path / "x.dcm", dicom_bytes(TWELVE_BITS, **short)))


def test_a_shape_that_overrides_is_reported(tmp_path: Path) -> None:
    def conversions(**elements: str) -> list[str]:
        return read_image(write(tmp_path / "x.dcm", dicom_bytes(TWELVE_BITS, **elements)))[1][1:]

    assert conversions(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE") == [
        "negative turned positive"
    ]
    assert conversions(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="IDENTITY") == [
        "Presentation LUT Shape IDENTITY overrides MONOCHROME1"
    ]
    assert conversions(PresentationLUTShape="IDENTITY") == []


# ---- patients --------------------------------------------------------------------------------------------------------------

RAW = "MRN-00417"
PATIENTS = {
    "a/1.dcm": {"PatientID": RAW, "PatientAge": "054Y", "PatientSex": "F", "ViewPosition": "PA"},
    "a/2.dcm": {"PatientID": f"{RAW} ", "PatientAge": "006M"},
    "a/3.dcm": {"PatientID": RAW, "IssuerOfPatientID": "elsewhere", "PatientAge": "012W", "PatientSex": "UNKNOWN"},
    "b/4.dcm": {"PatientID": "", "PatientAge": "003D", "PatientSex": "", "ViewPosition": ""},
    "b/5.dcm": {"PatientID": "ANONYMOUS"},
    "b/6.dcm": {},
    "b/7.dcm": {"PatientID": "7"},
    "b/8.dcm": {"PatientID": "007"},
}


@pytest.fixture
def dicom_folder(tmp_path: Path) -> Path:
    """Two classes of DICOM files of different pixels, whose headers name patients or do not."""
    for number, (name, tags) in enumerate(PATIENTS.items()):
        write(tmp_path / "xrays" / name, dicom_bytes(np.roll(TWELVE_BITS, number), **tags))
    return tmp_path / "xrays"


def indexed(folder: Path, *more: Any, **keywords: Any) -> pd.DataFrame:
    return index_images(folder, ["a", "b"], *more, layout="classes", **keywords)[0].set_index("image")


def test_dicom_headers_name_patients(dicom_folder: Path) -> None:
    index = indexed(dicom_folder)
    patient = index["patient"]
    assert patient["a/1.dcm"] == patient["a/2.dcm"] == hashed_id(RAW, "")
    assert patient.dropna().nunique() == 4 and patient["a/3.dcm"] != patient["a/1.dcm"]
    assert index.index[patient.isna()].tolist() == ["b/4.dcm", "b/5.dcm", "b/6.dcm"]
    assert index["age"].dropna().to_dict() == {"a/1.dcm": "54", "a/2.dcm": "0.5", "a/3.dcm": "0.23", "b/4.dcm": "0.01"}
    assert index["sex"].dropna().to_dict() == {"a/1.dcm": "F"}
    assert index["view"].dropna().to_dict() == {"a/1.dcm": "PA"}
    assert dicom_patient_messages(index) == ["patients: 4 of 5 images are from DICOM headers (PatientID, hashed)"]


def test_a_patient_of_dicom_headers_is_in_one_subset(tmp_path: Path) -> None:
    for number in range(40):
        tags = {"PatientID": str(number // 4)}
        write(tmp_path / "ab"[number % 2] / f"{number}.dcm", dicom_bytes(np.roll(TWELVE_BITS, number), **tags))
    split = split_stratified(indexed(tmp_path).reset_index(), ["a", "b"], 0.2, 0.2, 0)
    assert set(split["subset"]) == {"training", "validation", "test"}
    assert split.groupby("patient")["subset"].nunique().to_dict() == dict.fromkeys(split["patient"].unique(), 1)


def test_a_list_overrides_dicom_headers(dicom_folder: Path) -> None:
    names = list(PATIENTS)
    listed = pd.DataFrame({"path": names, "patient": ["p1", "", *["p2"] * 6], "age": ["9", *[""] * 7], "view": ""})
    index = indexed(dicom_folder, listed)
    assert index["patient"].to_list() == ["p1", hashed_id(RAW, ""), *["p2"] * 6]
    assert index["age"].to_list()[:2] == ["9", "0.5"] and index["view"].iloc[0] == "PA"


def test_dicom_patients_are_known_without_reading_again(
    dicom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = tmp_path / "known.parquet"
    first = indexed(dicom_folder, cache=known)

    def not_read(path: Path, error: str) -> None:
        raise AssertionError(f"{path} is read")

    monkeypatch.setattr("cxrflow.images.index.header_facts", not_read)
    pd.testing.assert_frame_equal(indexed(dicom_folder, cache=known), first)
    copied = tmp_path / "copied"
    shutil.copytree(dicom_folder, copied)
    pd.testing.assert_frame_equal(indexed(copied, cache=known), first)  # by their contents


def test_no_table_holds_a_patient_id(dicom_folder: Path, tmp_path: Path) -> None:
    index = indexed(dicom_folder, cache=tmp_path / "known.parquet").reset_index()
    index.to_parquet(tmp_path / "images.parquet", compression=None)
    assert RAW not in str(describe_data(index)) and RAW not in str(doubts_about(index))
    for table in ("images.parquet", "known.parquet"):
        assert RAW not in pd.read_parquet(tmp_path / table).to_csv()


def test_one_patient_for_all_files_is_reported(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / "ab"[number % 2] / f"{number}.dcm", dicom_bytes(np.roll(TWELVE_BITS, number), PatientID="x1"))
    reported = dicom_patient_messages(indexed(tmp_path))
    assert reported[1].startswith("warning: 4 DICOM files have the same PatientID; if it is a placeholder")


def test_a_folder_of_other_formats_reports_nothing_on_dicom(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / "ab"[number % 2] / f"{number}.png", png_bytes(np.roll(GREY, number)))
    index = indexed(tmp_path)
    assert index["patient"].isna().all() and dicom_patient_messages(index) == []


def test_new_study_finds_dicom_patients(dicom_folder: Path) -> None:
    assert "patients: 4 in DICOM headers (PatientID)" in survey_images(dicom_folder).lines()


@pytest.mark.parametrize(
    ("age", "years"),
    [("054Y", "54"), ("000D", "0"), ("7Y", "7"), ("018m", "1.5"), ("052W", "1"), ("Y", None), ("54", None), ("", None)],
)
def test_age_strings_are_years(age: str, years: str | None) -> None:
    assert age_as_text(age) == years


@pytest.mark.parametrize("name", ["", " - ", "Anonymized", "ANON", "unknown", "N/A", "XXXX", "****", "de-identified"])
def test_placeholders_name_no_patient(name: str) -> None:
    assert hashed_id(name, "hospital") is None


def test_similar_ids_are_different_patients() -> None:
    ids = ["0", "000", "007", "7", "1.0", "1", "anon1", "x7", "X-ray 3"]
    assert len({hashed_id(name, "") for name in ids}) == len({hashed_id(name, "b") for name in ids}) == len(ids)
    assert hashed_id("a", "bc") != hashed_id("c", "ab") and all(
        name not in str(hashed_id(name, "")) for name in ["X-ray 3"]
    )
