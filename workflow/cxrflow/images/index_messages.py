"""Messages on an index of images: unusable files, listed files that are probably misspelt, and doubtful patients."""

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

import pandas as pd

from cxrflow.images.dicom_patient import PLACEHOLDER, PREFIX
from cxrflow.images.folder import SUFFIXES
from cxrflow.io.words import some_of
from cxrflow.study.names import same_name

WITH_PROBLEM = ("missing", "unreadable", "changed")
PROBLEMS = {
    "missing": "missing",
    "unreadable": "unreadable: {}",
    "changed": "its contents differ from the image list ({})",
}
VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")


def problem_messages(root: Path, index: pd.DataFrame, statuses: Collection[str]) -> list[str]:
    """Write a message for each image with one of these statuses, in the order of the index."""
    rows = index.loc[index["status"].isin(list(statuses)), ["image", "status", "problem"]]
    return [
        f"{root / image}: {PROBLEMS[status].format(problem)}" for image, status, problem in rows.itertuples(index=False)
    ]


def list_messages(root: Path, index: pd.DataFrame, statuses: Collection[str]) -> list[str]:
    """Write the messages of `problem_messages` for listed images, and one message each on misspelt paths and on volumes."""
    unusable = index[index["status"].isin(list(statuses))]
    missing = set(unusable.loc[unusable["status"] == "missing", "image"])
    volumes = {image for image in unusable.loc[unusable["status"] != "changed", "image"] if is_volume(image)}
    nearest = nearest_files(root, sorted(missing | volumes)) if missing | volumes else {}
    others = sorted(volumes - set(nearest))
    messages = problem_messages(root, unusable[~unusable["image"].isin([*nearest, *others])], statuses)
    if nearest:
        examples = some_of((f"{image} -> {file}" for image, file in nearest.items()), 3)
        subject = "1 path does" if len(nearest) == 1 else f"{len(nearest)} paths do"
        messages.append(f"image list: {subject} not exist, but nearly match a file ({examples}); correct these paths")
    if others:
        subject = "1 path is a volume" if len(others) == 1 else f"{len(others)} paths are volumes"
        messages.append(
            f"image list: {subject}, not a single picture ({some_of(others, 3)}); "
            "remove such rows, or save a picture as PNG"
        )
    return messages


def nearest_files(root: Path, images: Iterable[str]) -> dict[str, str]:
    """Find the files that missing images probably refer to.

    Such a file has the same name apart from its suffix, case or Unicode form. It is in the same folder or, if it is the only
    one with this name, anywhere below the root.

    Args:
        root: folder of the images.
        images: missing paths, relative to the root.

    Returns:
        Missing path to file, for those that have one.
    """
    files: dict[str, list[str]] = {}
    for parent, _, names in os.walk(root):
        for name in names:
            if name.lower().endswith(SUFFIXES):
                path = Path(parent, name).relative_to(root).as_posix()
                files.setdefault(_stem(name), []).append(path)
    nearest = {}
    for image in images:
        candidates = files.get(_stem(image.rpartition("/")[2]), [])
        same_folder = [path for path in candidates if path.rpartition("/")[0] == image.rpartition("/")[0]]
        if same_folder or len(candidates) == 1:
            nearest[image] = (same_folder or candidates)[0]
    return nearest


def is_volume(image: str) -> bool:
    """Whether a file name is that of a volume of many slices."""
    return image.lower().endswith(VOLUMES)


def _stem(name: str) -> str:
    endings = "|".join(re.escape(ending) for ending in (*VOLUMES, *SUFFIXES))
    return re.sub(rf"({endings})$", "", same_name(name).casefold())


def dicom_patient_messages(index: pd.DataFrame) -> list[str]:
    """Report how many patients are known only from DICOM headers; warn if all their images have the same patient."""
    images = index.loc[index["patient"].str.startswith(PREFIX).fillna(False), "patient"]
    if images.empty:
        return []
    patients = images.nunique()
    lines = [f"patients: {patients} of {len(images)} images are from DICOM headers (PatientID, hashed)"]
    if patients == 1 and len(images) > 1:
        lines.append(
            f"warning: {len(images)} DICOM files have the same PatientID; if it is a placeholder, set "
            "`patients: {pattern: '(.+)'}` to treat each file as a different patient"
        )
    return lines


def placeholder_messages(index: pd.DataFrame) -> list[str]:
    """Warn of patient names that look like placeholders for unknown patients and that several images share."""
    images = index["patient"].value_counts()
    return [
        f"warning: {count} images have the patient {patient!r} and count as images of one patient; "
        "leave the cell empty if the patient is not known"
        for patient, count in images.items()
        if count > 1 and PLACEHOLDER.fullmatch(str(patient))
    ]
