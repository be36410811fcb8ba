"""Describe a data set: counts, colour modes, sizes, sources, licences, and images that cannot be used."""

from typing import Any

import pandas as pd


def describe_data(index: pd.DataFrame) -> dict[str, Any]:
    """Describe an index of images.

    Args:
        index: the columns of `cxrflow.images.index.index_images`.

    Returns:
        A JSON value: `images` and `listed` (numbers of used and of listed images); `missing`, `unreadable` and `changed`
        image ids; `faults` (image id to why it is unreadable); `per_folder`; `modes` and `formats` by class; `conversions`
        (conversion of pixels to number of images); `width` and `height` ranges in pixels; `file_kinds` (format, width, height
        and colour mode, such as `PNG 224x224 RGB`, to number of images); `patients_known`, `patients` (number),
        `without_patient` (number of images); `licences`; `sources`.
    """
    used = usable_images(index)
    unreadable = index[index["status"] == "unreadable"]
    return {
        "images": len(used),
        "listed": len(index),
        **{
            status: index.loc[index["status"] == status, "image"].tolist()
            for status in ("missing", "unreadable", "changed")
        },
        "faults": dict(zip(unreadable["image"], unreadable["problem"], strict=True)),
        "per_folder": _counts(_folders(used)),
        "modes": {str(name): _counts(rows["mode"]) for name, rows in used.groupby("class")},
        "formats": {str(name): _counts(rows["format"]) for name, rows in used.groupby("class")},
        "conversions": _counts(used["conversions"].str.split("; ").explode().replace("", None).dropna()),
        "width": [int(used["width"].min()), int(used["width"].max())],
        "height": [int(used["height"].min()), int(used["height"].max())],
        "file_kinds": _counts(_file_kinds(used)),
        "patients_known": bool(used["patient"].notna().any()),
        "patients": int(used["patient"].nunique()),
        "without_patient": int(used["patient"].isna().sum()),
        "licences": _counts(used["licence"].fillna("not given")),
        "sources": _counts(used["source"].fillna("not given")),
    }


def usable_images(index: pd.DataFrame) -> pd.DataFrame:
    """The images of an index that are used."""
    return index[index["status"].isin(["ok", "changed"])]


def _counts(values: "pd.Series[Any]") -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().sort_index().items()}


def _folders(used: pd.DataFrame) -> "pd.Series[str]":
    """Folder of each image: that of its pixels, except for validation images, whose pixels are stored with those of train/."""
    has_subset = used["folder"].str.contains("/", regex=False)
    return used["class"].where(~has_subset, used["subset_folder"] + "/" + used["class"])


def _file_kinds(used: pd.DataFrame) -> "pd.Series[str]":
    """Format, size and colour mode of each image, such as `PNG 224x224 RGB`."""
    size = used["width"].astype(int).astype(str) + "x" + used["height"].astype(int).astype(str)
    return used["format"] + " " + size + " " + used["mode"]
