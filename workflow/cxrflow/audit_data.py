"""Say what a data set is: counts, colour modes, sizes, sources, licences, and what is doubtful about it.

Reads the index alone. Patients and bytes that are in train as well as in test are listed, since they make a test easier than
it looks; so are the same bytes in several classes, since a label of theirs may be wrong. None of this ends a run: what a data
set is worth is for the report to say.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import one_line
from cxrflow.stage.files import write_json


def audit_data(index: pd.DataFrame) -> dict[str, Any]:
    """Audit an index of images.

    Returns:
        A JSON value: `images` (used) and `listed`, `missing`, `unreadable` and `changed` image ids, `faults` (image id to
        why it is unreadable), `per_folder`, `modes` and `formats` by class, `conversions` (how pixels were converted, to
        the number of images), `width` and `height` ranges in pixels, `share_png_224_rgb` (0 to 1), groups of ids:
        `same_bytes`, `same_bytes_in_train_and_test`, `same_bytes_in_several_classes`, `same_but_for_case`;
        `patients_known`, `patients` (how many are), `without_patient` (images), `patients_in_train_and_test`, `licences`,
        `sources`.
    """
    used = index[index["status"].isin(["ok", "changed"])]
    unreadable = index[index["status"] == "unreadable"]
    same_bytes = [rows for _, rows in used.groupby("sha256") if len(rows) > 1]
    as_told = (used["format"] == "PNG") & (used["width"] == 224) & (used["height"] == 224) & (used["mode"] == "RGB")
    return {
        "images": len(used),
        "listed": len(index),
        **{
            status: index.loc[index["status"] == status, "image"].tolist()
            for status in ("missing", "unreadable", "changed")
        },
        "faults": dict(zip(unreadable["image"], unreadable["fault"], strict=True)),
        "per_folder": _counts(used["folder"]),
        "modes": {str(name): _counts(rows["mode"]) for name, rows in used.groupby("class")},
        "formats": {str(name): _counts(rows["format"]) for name, rows in used.groupby("class")},
        "conversions": _counts(used["conversions"].str.split("; ").explode().replace("", None).dropna()),
        "width": [int(used["width"].min()), int(used["width"].max())],
        "height": [int(used["height"].min()), int(used["height"].max())],
        "share_png_224_rgb": round(float(as_told.mean()), 4),
        "same_bytes": _ids(same_bytes),
        "same_bytes_in_train_and_test": _ids(rows for rows in same_bytes if rows["subset_folder"].nunique() > 1),
        "same_bytes_in_several_classes": _ids(rows for rows in same_bytes if rows["class"].nunique() > 1),
        "same_but_for_case": _ids(rows for _, rows in used.groupby(used["image"].str.casefold()) if len(rows) > 1),
        "patients_known": bool(used["patient"].notna().any()),
        "patients": int(used["patient"].nunique()),
        "without_patient": int(used["patient"].isna().sum()),
        "patients_in_train_and_test": _patients_on_both_sides(used),
        "licences": _counts(used["licence"].fillna("not given")),
        "sources": _counts(used["source"].fillna("not given")),
    }


def _ids(groups: Iterable[pd.DataFrame]) -> list[list[str]]:
    return [sorted(rows["image"]) for rows in groups]


def _counts(values: "pd.Series[Any]") -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().sort_index().items()}


def _patients_on_both_sides(used: pd.DataFrame) -> dict[str, list[str]]:
    known = used[used["patient"].notna()]
    return {
        str(patient): sorted(rows["image"])
        for patient, rows in known.groupby("patient")
        if rows["subset_folder"].nunique() > 1
    }


def doubts(audit: dict[str, Any]) -> list[str]:
    """What is doubtful about the files of a data set: one line each, with an example."""
    words_of = {
        "same_bytes_in_train_and_test": "in train/ and in test/, byte for byte: the test is easier than it looks",
        "same_bytes_in_several_classes": "in several classes, byte for byte: one of the labels may be wrong",
        "same_but_for_case": "names differ by case alone: on some systems they are one file",
    }
    told = [f"{words}: {_with_example(audit[key])}" for key, words in words_of.items() if audit[key]]
    turned = audit["conversions"].get("EXIF orientation not applied")
    return told + ([f"{turned} images are used as stored, not as their EXIF orientation turns them"] if turned else [])


def _with_example(groups: list[list[str]]) -> str:
    more = f" (the first of {len(groups)})" if len(groups) > 1 else ""
    return f"{', '.join(groups[0])}{more}"


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="index of the images (Parquet)")
    parser.add_argument("--audit", type=Path, required=True, help="audit to write (JSON)")
    args = parser.parse_args()
    audit = audit_data(pd.read_parquet(args.images))
    write_json(args.audit, audit)
    shared = len(audit["patients_in_train_and_test"])
    patients = "patients are not known"
    if audit["patients_known"]:
        patients = f"{audit['patients']} patients, {shared} of them in train and test"
        patients += f"; {audit['without_patient']} images of unknown patients" if audit["without_patient"] else ""
    for doubt in doubts(audit):
        print(f"warning: {one_line(doubt)}")
    print(f"{audit['images']} of {audit['listed']} images; {patients}")


if __name__ == "__main__":
    run_stage(main)
