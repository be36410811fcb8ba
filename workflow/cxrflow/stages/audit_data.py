"""Audit the images of a run: describe them, and report what makes results look better than they are.

The audits are those of `cxrflow.audits.registry`. A problem does not end this stage; the report states it, and `check_audits`
ends a run if the config key `audits` says so.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.audits.description import describe_data, usable_images
from cxrflow.audits.findings import DataSet
from cxrflow.audits.registry import AUDITS, names_of_audits
from cxrflow.images.pixels import open_pixels
from cxrflow.io.command import add_settings, run_stage, stage_parser
from cxrflow.io.errors import one_line
from cxrflow.io.files import write_json, write_table
from cxrflow.io.tables import read_csv_as_text
from cxrflow.io.words import counted
from cxrflow.study.models import AuditSettings


def audit_data(data: DataSet, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Run audits.

    Args:
        data: the images of a run.
        names: the audits, keys of `cxrflow.audits.registry.AUDITS`.

    Returns:
        A JSON value: audit to its `findings` (fields of `cxrflow.audits.findings.Finding`) and `details`.
    """
    return {name: asdict(AUDITS[name](data)) for name in names}


def read_data_set(
    index: pd.DataFrame, splits: Sequence[Path], classes: Mapping[str, list[str]], arrays: Sequence[Path]
) -> DataSet:
    """Read the images of a run as its networks get them.

    Args:
        index: index of the images.
        splits: splits (CSV), named after their tasks.
        classes: task to its classes, in the order of the networks' outputs.
        arrays: decoded pixels, see `cxrflow.images.pixels.open_pixels`.
    """
    tables = {path.stem: read_csv_as_text(path, "--splits").astype(object) for path in splits}
    return DataSet(usable_images(index), tables, classes, open_pixels([*arrays]))


def pop_predictions(audits: Mapping[str, Any], data: DataSet) -> pd.DataFrame:
    """Take the predictions of the trivial rivals, which are many, out of the audits.

    Returns:
        Columns task, rival, image, class and predicted; one row for each rival and test image.
    """
    tasks = audits["rivals"]["details"] if "rivals" in audits else {}
    rows = [
        (task, rival["name"], image, predicted)
        for task, of_task in tasks.items()
        for rival in of_task["rivals"]
        for image, predicted in rival["own_split"].pop("predicted", {}).items()
    ]
    table = pd.DataFrame(rows, columns=["task", "rival", "image", "predicted"])
    class_of = {
        (task, image): name
        for task, split in data.splits.items()
        for image, name in zip(split["image"], split["class"], strict=True)
    }
    table.insert(3, "class", [class_of[pair] for pair in zip(table["task"], table["image"], strict=True)])
    return table


def doubts(description: Mapping[str, Any], audits: Mapping[str, Any]) -> list[str]:
    """List what audits found, and images that may be shown turned, one line each."""
    found = [f"{name}: {one['text']}" for name, of_audit in audits.items() for one in of_audit["findings"]]
    turned = description["conversions"].get("EXIF orientation not applied")
    return found + ([f"{turned} images are used as stored; their EXIF orientation is not applied"] if turned else [])


def data_set_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the files of `read_data_set`."""
    parser = stage_parser(description)
    parser.add_argument("--images", type=Path, required=True, help="index of the images (Parquet)")
    parser.add_argument("--splits", type=Path, nargs="+", required=True, help="splits (CSV), named after their tasks")
    parser.add_argument(
        "--classes", type=json.loads, required=True, help="JSON: task to its classes, in the order of outputs"
    )
    parser.add_argument(
        "--pixels", type=Path, nargs="+", required=True, help="decoded pixels of all class folders (.npy)"
    )
    return parser


def main() -> None:
    parser = data_set_parser(__doc__)
    add_settings(parser, AuditSettings)
    parser.add_argument("--audit", type=Path, required=True, help="audit to write (JSON)")
    parser.add_argument("--rivals", type=Path, required=True, help="predictions of the rivals to write (CSV)")
    args = parser.parse_args()
    index = pd.read_parquet(args.images)
    data = read_data_set(index, args.splits, args.classes, args.pixels)
    audits = audit_data(data, names_of_audits(args.settings.audits.model_dump()))
    description = describe_data(index)
    write_table(args.rivals, pop_predictions(audits, data))
    write_json(args.audit, {**description, "audits": audits})
    for doubt in doubts(description, audits):
        print(f"warning: {one_line(doubt)}")
    patients = counted(description["patients"], "patient") if description["patients_known"] else "patients unknown"
    if description["patients_known"] and description["without_patient"]:
        patients += f"; {counted(description['without_patient'], 'image')} of unknown patients"
    print(f"{description['images']} of {description['listed']} images; {patients}")


if __name__ == "__main__":
    run_stage(main)
