"""Say what a data set is: counts, colour modes, sizes, sources, licences, and what is doubtful about it.

Reads the index alone. Same bytes under two names and patients on both sides of train and test are listed, since both make a
test easier than it looks.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.files import write_json


def audit_data(index: pd.DataFrame) -> dict[str, Any]:
    """Audit an index of images.

    Returns:
        A JSON value: `images` (used) and `listed`, `missing`, `unreadable` and `changed` image ids, `per_folder`, `modes`
        and `formats` by class, `width` and `height` ranges in pixels, `share_png_224_rgb` (0 to 1), `same_bytes` groups of
        ids, `patients_known`, `patients_in_train_and_test`, `licences`, `sources`.
    """
    used = index[index["status"].isin(["ok", "changed"])]
    as_told = (used["format"] == "PNG") & (used["width"] == 224) & (used["height"] == 224) & (used["mode"] == "RGB")
    return {
        "images": len(used),
        "listed": len(index),
        **{
            status: index.loc[index["status"] == status, "image"].tolist()
            for status in ("missing", "unreadable", "changed")
        },
        "per_folder": _counts(used["folder"]),
        "modes": {str(name): _counts(rows["mode"]) for name, rows in used.groupby("class")},
        "formats": {str(name): _counts(rows["format"]) for name, rows in used.groupby("class")},
        "width": [int(used["width"].min()), int(used["width"].max())],
        "height": [int(used["height"].min()), int(used["height"].max())],
        "share_png_224_rgb": round(float(as_told.mean()), 4),
        "same_bytes": [sorted(rows["image"]) for _, rows in used.groupby("sha256") if len(rows) > 1],
        "patients_known": bool(used["patient"].notna().any()),
        "patients_in_train_and_test": _patients_on_both_sides(used),
        "licences": _counts(used["licence"].fillna("not given")),
        "sources": _counts(used["source"].fillna("not given")),
    }


def _counts(values: "pd.Series[Any]") -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().sort_index().items()}


def _patients_on_both_sides(used: pd.DataFrame) -> dict[str, list[str]]:
    known = used[used["patient"].notna()]
    return {
        str(patient): sorted(rows["image"])
        for patient, rows in known.groupby("patient")
        if rows["subset_folder"].nunique() > 1
    }


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="index of the images (Parquet)")
    parser.add_argument("--audit", type=Path, required=True, help="audit to write (JSON)")
    args = parser.parse_args()
    audit = audit_data(pd.read_parquet(args.images))
    write_json(args.audit, audit)
    shared = len(audit["patients_in_train_and_test"])
    patients = f"patients in train and test: {shared}" if audit["patients_known"] else "patients are not known"
    print(f"{audit['images']} of {audit['listed']} images; {patients}")


if __name__ == "__main__":
    run_stage(main)
