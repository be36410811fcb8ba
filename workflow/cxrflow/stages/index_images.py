"""List every image of a data set with a hash of its contents, its size and mode, and its known properties.

The images are in train/<class>/ and test/<class>/ (and validation/<class>/), in <class>/, or in files that a list assigns to
classes. With --image-list, only the files in the CSV (column `path`) are used. Its other columns are `label` and `split` (with
the layout `listed`), hashes to check (`sha256` or `git_blob_sha1`), and source, patient, sex, age, view and licence. Patient
(as a hash), sex, age and view that are not known otherwise are read from DICOM headers.

All headers are read first, so their problems are reported early. Then each image is decoded once, so a damaged image is found
before any training.
"""

import argparse
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from cxrflow.images.columns import read_image_list
from cxrflow.images.decode import RESAMPLING
from cxrflow.images.fingerprint import Stamps, stamps_of, write_record
from cxrflow.images.folder import SUFFIXES
from cxrflow.images.index import index_images
from cxrflow.images.index_messages import (
    WITH_PROBLEM,
    dicom_patient_messages,
    list_messages,
    placeholder_messages,
    problem_messages,
)
from cxrflow.images.labels import other_labels
from cxrflow.images.listing import list_images, other_files
from cxrflow.images.store import Store
from cxrflow.io.command import add_settings, run_stage, stage_parser
from cxrflow.io.errors import UserError, one_line
from cxrflow.io.files import write_table
from cxrflow.io.words import some_of
from cxrflow.study.models import IndexSettings


def _read_list(file: Path, settings: IndexSettings, classes: Collection[str]) -> pd.DataFrame:
    """Read the image list, and print remarks on its columns and labels."""
    needed = ("path", "label") if settings.layout == "listed" else ("path",)
    table = read_image_list(file, columns=settings.columns_of_list(), needed=needed)
    for remark in table.remarks:
        print(f"note: {one_line(remark)}")
    image_list = table.as_frame()
    if settings.layout == "listed" and (others := other_labels(image_list["label"], classes)):
        examples = some_of((f"{label} {count}" for label, count in others.most_common()), 8)
        print(f"note: {others.total()} images with other labels are ignored: {one_line(examples)}")
    return image_list


def index_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser for a stage that indexes images: the classes, the index, and what earlier indexes have left."""
    parser = stage_parser(description)
    parser.add_argument("--classes", nargs="+", required=True, help="classes to index; others are ignored")
    add_settings(parser, IndexSettings)
    parser.add_argument("--workers", type=int, default=1, help="threads that read and decode (default: %(default)s)")
    parser.add_argument("--images", type=Path, required=True, help="index to write (Parquet)")
    parser.add_argument("--fingerprint", default="", help="fingerprint of the files, to store in the record")
    parser.add_argument("--record", type=Path, help="record of the files, for the next fingerprint, to write (JSON)")
    parser.add_argument("--cache", type=Path, help="results of earlier indexes, to use and update (Parquet)")
    parser.add_argument("--store", type=Path, help="folder of decoded images to update")
    parser.add_argument("--sizes", type=int, nargs="+", default=[], help="heights and widths in the store (pixels)")
    parser.add_argument(
        "--resampling",
        choices=sorted(RESAMPLING),
        default="nearest",
        help="resampling method of the store (default: %(default)s)",
    )
    return parser


def index_listed(args: argparse.Namespace, root: Path, listed: pd.DataFrame, is_list: bool) -> pd.DataFrame:
    """Index listed images, and print warnings of those that cannot be used.

    Args:
        args: of `index_parser`.
        root: folder of the images.
        listed: from `cxrflow.images.listing.list_images`.
        is_list: whether an image list names the files, so that they may be misspelt.

    Raises:
        UserError: images cannot be used, and the settings do not tolerate it, one message for each; or none can be used.
    """
    settings: IndexSettings = args.settings
    store = Store(args.store, args.sizes, args.resampling) if args.store else None
    index, messages = index_images(root, listed, args.workers, args.cache, store)
    tolerated = {
        *(WITH_PROBLEM if settings.missing_images == "warn" else ()),
        *(["unreadable"] if settings.on_bad_image == "skip" else ()),
    }
    messages_of = list_messages if is_list else problem_messages
    errors = messages_of(root, index, set(WITH_PROBLEM) - tolerated)
    if errors:
        only_unreadable = set(index["status"]) - tolerated <= {"ok", "unreadable"}
        way = "on_bad_image: skip" if only_unreadable else "missing_images: warn"
        raise UserError([*errors, f"fix these images, or continue with `{way}` (every report will say so)"])
    if set(index["status"]) <= {"missing", "unreadable"}:
        raise UserError([*messages, "no image can be used"])
    for message in messages_of(root, index, WITH_PROBLEM):
        print(f"warning: {one_line(message)}")
    return index


def write_index(args: argparse.Namespace, root: Path, index: pd.DataFrame, stamps: Stamps) -> None:
    """Write an index and the record of its files.

    Args:
        args: of `index_parser`.
        root: folder of the images.
        index: from `index_listed`.
        stamps: taken before the files were read.
    """
    write_table(args.images, index)
    if args.record:
        hashes = dict(zip(index["image"], index["sha256"].fillna(""), strict=True))
        write_record(args.record, root, args.fingerprint, stamps, hashes)


def print_counts(index: pd.DataFrame) -> None:
    """Print how many patients are known, and how many images can be used."""
    for line in [*dicom_patient_messages(index), *placeholder_messages(index)]:
        print(one_line(line))
    unknown = int(index["patient"].isna().sum())
    print(f"patients: {index['patient'].nunique()} known" + (f"; {unknown} images without one" if unknown else ""))
    counts = index["status"].value_counts()
    print(f"{len(index)} images: {', '.join(f'{count} {status}' for status, count in counts.items())}")


def main() -> None:
    parser = index_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the images")
    parser.add_argument("--image-list", type=Path, help="files of the data set (CSV)")
    args = parser.parse_args()
    settings: IndexSettings = args.settings
    stamps = stamps_of(args.root, args.classes, settings.layout, args.image_list, settings.columns_of_list())
    image_list = _read_list(args.image_list, settings, args.classes) if args.image_list else None
    pattern = settings.patients.pattern if settings.patients else None
    listed = list_images(args.root, args.classes, settings.layout, image_list, pattern)
    index = index_listed(args, args.root, listed, is_list=image_list is not None)
    write_index(args, args.root, index, stamps)
    if args.image_list is None and (others := other_files(args.root, args.classes, settings.layout)):
        few = ", ".join(others[:5]) + (" …" if len(others) > 5 else "")
        print(f"note: {len(others)} other files are ignored ({one_line(few)}); images are {', '.join(SUFFIXES)}")
    print_counts(index)


if __name__ == "__main__":
    run_stage(main)
