"""Group images of the same patient or picture, and order the groups for a reproducible split."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def groups_of(rows: pd.DataFrame) -> "pd.Series[str]":
    """Name the group of each image: images of the same patient, or with the same bytes or pixels, share a group.

    Args:
        rows: columns image, patient, sha256 and, if known, pixels_blake2; all but the first may be empty. An image of an
            unknown patient shares its group only with images of the same bytes or pixels.
    """
    own = "image " + rows["image"].astype("string")
    group = ("patient " + rows["patient"].astype("string")).fillna(own)
    picture = pictures_of(rows).fillna(own)
    while True:
        # Take the smallest name among images of the same picture, then within each group, until nothing changes.
        same_picture = group.groupby(picture).transform("min")
        joined = same_picture.groupby(group).transform("min")
        if joined.equals(group):
            return group
        group = joined


def main_classes(rows: pd.DataFrame) -> pd.DataFrame:
    """List the groups of images: columns group, class (the most frequent one of its images), images (their number).

    Args:
        rows: columns group and class, one row for each image.
    """
    sizes = rows.groupby(["group", "class"]).size().reset_index(name="images")
    # If two classes are equally frequent, the first one: sorting is stable.
    main = sizes.sort_values(["images", "class"], ascending=[False, True], kind="stable").drop_duplicates("group")
    return main[["group", "class"]].assign(images=main["group"].map(rows["group"].value_counts()))


def pictures_of(rows: pd.DataFrame) -> "pd.Series[str]":
    """Hash the picture of each image: its pixels if their hash is known, otherwise its bytes.

    Args:
        rows: columns sha256 and, for images that look like another one, pixels_blake2; both may be empty.
    """
    bytes_hash = rows["sha256"].astype("string")
    return rows["pixels_blake2"].astype("string").fillna(bytes_hash) if "pixels_blake2" in rows else bytes_hash


def patient_numbers(split: pd.DataFrame, images: Sequence[str]) -> NDArray[np.int64]:
    """Number the patients of images, shape (n,). An image of an unknown patient is a patient of its own.

    Args:
        split: the column image and, if patients are known, the column patient, empty where it is not known.
        images: image ids.
    """
    patient_of = dict(zip(split["image"], split["patient"], strict=True)) if "patient" in split else {}
    names = [f"patient {patient_of[one]}" if patient_of.get(one) else f"image {one}" for one in images]
    return np.unique(names, return_inverse=True)[1]


def known_patients(split: pd.DataFrame, images: Sequence[str]) -> NDArray[np.int64] | None:
    """Number the patients of images, shape (n,), as `patient_numbers` does; None if the patient of no image is known."""
    is_known = "patient" in split and bool((split.loc[split["image"].isin(images), "patient"] != "").any())
    return patient_numbers(split, images) if is_known else None


def place_of(group: str, seed: int) -> str:
    """Hash a group's name and the seed to hexadecimal digits, which order the groups."""
    return blake2b(f"{seed}\0{group}".encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
