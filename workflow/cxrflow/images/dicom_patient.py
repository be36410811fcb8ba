"""Read patient data from a DICOM header: hashed id, sex, age in years, and view. Missing and empty tags mean unknown."""

import re
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # its import takes a third of a second, which data sets without DICOM do not need
    from pydicom import Dataset

PREFIX = "dicom-"
"""Prefix of hashed ids, so that none equals a patient in an image list."""

PLACEHOLDER = re.compile(
    r"[*#?._ -]*|x{2,}|anon|anonymous|anonymi[sz]ed|de-?identified|unknown|none|null|n/?a|no ?id|removed|not (available|known)",
    re.IGNORECASE,
)
"""Values that de-identification writes instead of a PatientID."""

YEARS_OF = {"Y": 1, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def patient_tags(dataset: "Dataset") -> tuple[str | None, str | None, str | None, str | None]:
    """Read hashed PatientID, sex (M, F or O), age in years, and ViewPosition; None for each that is unknown."""
    sex = _text(dataset, "PatientSex").upper()
    return (
        hashed_id(_text(dataset, "PatientID"), _text(dataset, "IssuerOfPatientID")),
        sex if sex in ("M", "F", "O") else None,
        age_as_text(_text(dataset, "PatientAge")),
        _text(dataset, "ViewPosition").upper() or None,
    )


def hashed_id(patient_id: str, issuer: str) -> str | None:
    """Hash a PatientID with its issuer: the same id from two issuers means two patients. None for a placeholder."""
    if PLACEHOLDER.fullmatch(patient_id):
        return None
    return PREFIX + blake2b(f"{issuer}\0{patient_id}".encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def age_as_text(age: str) -> str | None:
    """Convert an age string (value representation AS: 054Y, 006M, 012W, 003D) to years with two digits."""
    found = re.fullmatch(r"(\d{1,3})([YMWD])", age.upper())
    return f"{round(int(found[1]) * YEARS_OF[found[2]], 2):g}" if found else None


def _text(dataset: "Dataset", keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip("\0 ")
