"""List every image of a data set with its contents' hash, its size and mode, and what is known of it.

The data set is a folder that holds train/<class>/ and test/<class>/, or <class>/ alone, or files that a list gives a class.
With --image-list, a CSV says which files make it up (column `path`; `label` and `split` with the layout `listed`; `sha256` or
else `git_blob_sha1`, where given, is checked; source, patient, sex, age, view and licence are taken over); without, it is what
lies in the class folders. Headers are read first, and what they show to be wrong is told at once; then each image is decoded
once, so that a damaged one is told now, before any training.
"""

import warnings
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from cxrflow.download.contents import git_blob_sha1_of_file
from cxrflow.images.decode import read_header, read_image
from cxrflow.images.fingerprint import folder_stamps, list_stamps, write_seen
from cxrflow.images.folder import SUFFIXES, class_folders
from cxrflow.images.listing import EXPECTED, KNOWN_OF_IMAGE, LAYOUTS, Patients, list_images, other_files
from cxrflow.images.look import LOOKS, looks_of
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, one_line
from cxrflow.stage.files import sha256_of_file, write_table
from cxrflow.stage.tables import read_csv_as_text

FAULTY = ("missing", "unreadable", "changed")
TOLD = {
    "missing": "missing",
    "unreadable": "unreadable: {}",
    "changed": "its contents are not those of the image list ({} differs)",
}


def index_images(
    root: Path,
    classes: list[str],
    image_list: pd.DataFrame | None = None,
    workers: int = 1,
    layout: str = "train_test",
    patients: Patients | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Index the images of some classes.

    Args:
        root: the data set's folder.
        classes: the classes to look at; others are left alone.
        image_list: table with a column `path` (relative to `root`), or None for what lies in the class folders.
        workers: threads that read and decode.
        layout: one of `cxrflow.images.listing.LAYOUTS`.
        patients: how it is known which images show the same patient.

    Returns:
        The index, one row an image sorted by its id, and a message for each image that is missing, unreadable or
        differs from the list. Column `status` is ok, missing, unreadable or changed (used all the same), `fault` why
        an image is unreadable, `conversions` how its pixels are made 8 bits of grey or RGB, where they are not,
        `brightness`, `contrast` and `colour` how it looks (0 to 255, see `cxrflow.images.look`).

    Raises:
        Fault: the folder, or a class folder in it, does not exist or holds no image; the list is wrong.
    """
    listed = list_images(root, classes, layout, image_list, patients)
    rows = listed.to_dict("records")
    # What libraries warn of is odd but no fault; what would make a picture another is checked here.
    with ThreadPoolExecutor(workers) as pool, warnings.catch_warnings(action="ignore"):
        rows = list(pool.map(lambda row: row | _look_at_header(root / row["image"], row["fault"]), rows))
        for message in fault_messages(root, pd.DataFrame(rows), FAULTY):
            print(f"fault: {one_line(message)}", flush=True)
        rows = list(pool.map(lambda row: row | _look_at_contents(root / row["image"], row), rows))
    index = pd.DataFrame(rows).drop(columns=EXPECTED)
    for column in ("bytes", "width", "height"):
        index[column] = index[column].astype("Int64")
    for column in LOOKS:
        index[column] = index[column].astype("Float64")
    for column in ("sha256", "mode", "format", "conversions", "fault", "listed_subset", *KNOWN_OF_IMAGE):
        index[column] = index[column].astype("string")
    return index, fault_messages(root, index, FAULTY)


def fault_messages(root: Path, index: pd.DataFrame, statuses: Collection[str]) -> list[str]:
    """A message for each image of some statuses, in the order of the index."""
    rows = index.loc[index["status"].isin(list(statuses)), ["image", "status", "fault"]]
    return [f"{root / image}: {TOLD[status].format(fault)}" for image, status, fault in rows.itertuples(index=False)]


def _look_at_header(path: Path, fault: str) -> dict[str, object]:
    """What an image file is by its header; `fault` is what is already known to be wrong with it."""
    names = ("bytes", "sha256", "width", "height", "mode", "format", "conversions", *LOOKS)
    found: dict[str, object] = dict.fromkeys(names)
    if fault:
        return {**found, "status": "unreadable"}
    try:
        path.lstat()  # a link is there, wherever it leads
        header = asdict(read_header(path))
        return {**found, **header, "bytes": path.stat().st_size, "status": "ok", "fault": None}
    except (FileNotFoundError, NotADirectoryError):
        return {**found, "status": "missing", "fault": None}
    except OSError as error:
        return {**found, "status": "unreadable", "fault": error.strerror}
    except Fault as wrong:
        return {**found, "status": "unreadable", "fault": one_line(str(wrong))}


def _look_at_contents(path: Path, row: dict[str, object]) -> dict[str, object]:
    """What an image file with a sound header is by its contents."""
    if row["status"] != "ok":
        return {}
    found: dict[str, object] = {"sha256": sha256_of_file(path)}
    try:
        rgb, conversions = read_image(path)
    except Fault as fault:
        return {**found, "status": "unreadable", "fault": one_line(str(fault))}
    other = _differing_hash(path, row, found["sha256"])
    changed = {"status": "changed", "fault": other} if other else {}
    return {**found, **looks_of(rgb), "conversions": "; ".join(conversions), **changed}


def _differing_hash(path: Path, row: dict[str, object], sha256: object) -> str:
    """The hash by which a file is not the listed one; an empty text where it is, or none is known."""
    if row["expected_sha256"]:
        return "" if row["expected_sha256"] == sha256 else "SHA-256"
    blob = row["expected_git_blob_sha1"]
    return "" if not blob or blob == git_blob_sha1_of_file(path) else "git blob SHA-1"


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--classes", nargs="+", required=True, help="classes to index")
    parser.add_argument("--layout", choices=LAYOUTS, default="train_test", help="how images lie below the folder")
    parser.add_argument("--patients-column", help="column of the list that names patients (default: `patient`)")
    parser.add_argument("--patients-pattern", help="regular expression whose group in a file name is the patient")
    parser.add_argument("--image-list", type=Path, help="CSV that says which files make up the data set")
    parser.add_argument("--missing-images", choices=("error", "warn"), default="error")
    parser.add_argument("--on-bad-image", choices=("error", "skip"), default="error")
    parser.add_argument("--workers", type=int, default=1, help="threads that read and decode")
    parser.add_argument("--images", type=Path, required=True, help="index to write (Parquet)")
    parser.add_argument("--fingerprint", default="", help="of the files, to be kept with what is seen of them")
    parser.add_argument("--seen", type=Path, help="where to note what is seen of the files (JSON)")
    args = parser.parse_args()
    stamps = (
        list_stamps(args.root, args.image_list)
        if args.layout == "listed"
        else folder_stamps(args.root, [folder for *_, folder in class_folders(args.classes, args.layout)])
    )
    image_list = read_csv_as_text(args.image_list, "image_list") if args.image_list else None
    patients = Patients(args.patients_column, args.patients_pattern)
    index, faults = index_images(args.root, args.classes, image_list, args.workers, args.layout, patients)
    borne = {
        *(FAULTY if args.missing_images == "warn" else ()),
        *(["unreadable"] if args.on_bad_image == "skip" else ()),
    }
    stopping = fault_messages(args.root, index, set(FAULTY) - borne)
    if stopping:
        bad_alone = set(index["status"]) - borne <= {"ok", "unreadable"}
        way = "on_bad_image: skip" if bad_alone else "missing_images: warn"
        raise Fault([*stopping, f"mend these images, or leave them out with `{way}` (every report then says so)"])
    for fault in faults:
        print(f"warning: {one_line(fault)}")
    write_table(args.images, index)
    if args.seen:
        hashes = dict(zip(index["image"], index["sha256"].fillna(""), strict=True))
        write_seen(args.seen, args.root, args.fingerprint, stamps, hashes)
    if args.image_list is None and (others := other_files(args.root, args.classes, args.layout)):
        few = ", ".join(others[:5]) + (" …" if len(others) > 5 else "")
        print(f"note: {len(others)} other files are left alone ({one_line(few)}); images are {', '.join(SUFFIXES)}")
    unknown = int(index["patient"].isna().sum())
    print(f"patients: {index['patient'].nunique()} known" + (f"; {unknown} images without one" if unknown else ""))
    counts = index["status"].value_counts()
    print(f"{len(index)} images: {', '.join(f'{count} {status}' for status, count in counts.items())}")


if __name__ == "__main__":
    run_stage(main)
