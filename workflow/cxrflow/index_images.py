"""List every image of a data set with its contents' hash, its size and mode, and what is known of it.

The data set is a folder that holds train/<class>/ and test/<class>/, or <class>/ alone, or files that a list gives a class.
With --image-list, a CSV says which files make it up (column `path`; `label` and `split` with the layout `listed`; `sha256` or
else `git_blob_sha1`, where given, is checked; source, patient, sex, age, view and licence are taken over); without, it is what
lies in the class folders. Headers are read first, and what they show to be wrong is told at once; then each image is decoded
once, so that a damaged one is told now, before any training, and with --store its pixels are kept. With --known, a file that
has not changed since an earlier index is not read again.
"""

import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.images.decode import RESAMPLING
from cxrflow.images.facts import FACTS, contents_facts, hashes_of, header_facts
from cxrflow.images.fingerprint import stamp_of, stamps_of, write_seen
from cxrflow.images.folder import SUFFIXES
from cxrflow.images.known import OF_CONTENTS, STAMP, TYPES, read_known, write_known
from cxrflow.images.listing import EXPECTED, KNOWN_OF_IMAGE, LAYOUTS, Patients, list_images, other_files
from cxrflow.images.store import Store, decoding_hash, keep_sizes
from cxrflow.stage.code_hash import code_hash
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, one_line
from cxrflow.stage.files import write_table
from cxrflow.stage.tables import read_csv_as_text

AT_ONCE = 2000  # rows that are mappings at a time: as columns they take a tenth of the memory
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
    known: Path | None = None,
    store: Store | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Index the images of some classes.

    Args:
        root: the data set's folder.
        classes: the classes to look at; others are left alone.
        image_list: table with a column `path` (relative to `root`), or None for what lies in the class folders.
        workers: threads that read and decode.
        layout: one of `cxrflow.images.listing.LAYOUTS`.
        patients: how it is known which images show the same patient.
        known: what earlier indexes found, to take from and to add to (Parquet).
        store: where to keep the pixels of the images that are decoded.

    Returns:
        The index, one row an image sorted by its id, and a message for each image that is missing, unreadable or
        differs from the list. Column `status` is ok, missing, unreadable or changed (used all the same), `fault` why
        an image is unreadable, `conversions` how its pixels are made 8 bits of grey or RGB, where they are not,
        `brightness`, `contrast` and `colour` how it looks (0 to 255, see `cxrflow.images.look`).

    Raises:
        Fault: the folder, or a class folder in it, does not exist or holds no image; the list is wrong.
    """
    rows = list_images(root, classes, layout, image_list, patients)
    decoding = decoding_hash()
    found_by = f"{code_hash('cxrflow.images.facts')} {decoding}"
    known_here, known_anywhere = read_known(known, root, found_by)
    rows = _with_known(root, rows, known_here)

    def look_at_header(row: Mapping[str, Any]) -> dict[str, Any]:
        return header_facts(root / row["image"], row["fault"])

    def look_at_contents(row: Mapping[str, Any]) -> dict[str, Any]:
        path = root / row["image"]
        facts, rgb = contents_facts(path, {name: row[name] for name in FACTS}, _needs_git_blob_sha1(row))
        if store and rgb:
            keep_sizes(store, facts["sha256"], rgb, decoding)
        return facts

    # What libraries warn of is odd but no fault; what would make a picture another is checked here.
    with ThreadPoolExecutor(workers) as pool, warnings.catch_warnings(action="ignore"):
        rows = _with_known_contents(root, rows, known_anywhere, pool)
        taken, fresh = rows[rows["status"].notna()], rows[rows["status"].isna()]
        del rows  # the tables of a hundred thousand images take 30 MB each
        fresh = _looked_at(fresh, look_at_header, pool)
        for message in fault_messages(root, fresh, FAULTY):
            print(f"fault: {one_line(message)}", flush=True)
        sound = fresh["status"] == "ok"
        index = pd.concat([taken, fresh[~sound], _looked_at(fresh[sound], look_at_contents, pool)]).sort_index()
    del taken, fresh
    if known:
        write_known(known, root, found_by, index.loc[index["status"] == "ok", list(TYPES)], known_here)
    differing = _differing_hashes(index)
    changed = (index["status"] == "ok") & (differing != "")
    index.loc[changed, "status"], index.loc[changed, "fault"] = "changed", differing[changed]
    for column in ("listed_subset", *KNOWN_OF_IMAGE):
        index[column] = index[column].astype("string")
    index = index.drop(columns=[*EXPECTED, "modified", "git_blob_sha1"])
    return index, fault_messages(root, index, FAULTY)


def _with_known(root: Path, listed: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """The listed images with what is known of them; without a status where that is nothing, or not enough."""
    stamps = pd.DataFrame([stamp_of(path) for path in _paths(root, listed)], columns=STAMP[1:], dtype="Int64")
    rows = listed.astype({"image": "string"}).join(stamps).merge(known, on=STAMP, how="left")
    enough = rows["sha256"].notna() & (rows["fault"] == "")
    enough &= rows["git_blob_sha1"].notna() | ~_needs_git_blob_sha1(rows)
    return rows.assign(status=pd.Series("ok", rows.index, "string").where(enough), fault=rows["fault"].mask(enough))


def _paths(root: Path, rows: pd.DataFrame) -> Iterator[str]:
    return (os.path.join(root, image) for image in rows["image"])  # noqa: PTH118 - as Paths, a tenth of the time of an index


def _with_known_contents(root: Path, rows: pd.DataFrame, known: pd.DataFrame, pool: ThreadPoolExecutor) -> pd.DataFrame:
    """The same for images that were touched, moved or renamed: what is known of contents, by their hash alone.

    Only files as long as a known one are read for that; of those that turn out to be new, the header is read afterwards.
    """
    alike = rows[rows["status"].isna() & (rows["fault"] == "") & rows["bytes"].isin(known["bytes"])]
    if alike.empty:
        return rows
    parts = []
    for start in range(0, len(alike), AT_ONCE):
        some = alike.iloc[start : start + AT_ONCE]
        hashes = list(pool.map(hashes_of, _paths(root, some), _needs_git_blob_sha1(some)))
        parts.append(pd.DataFrame(hashes, some.index, ["sha256", "git_blob_sha1"], "string"))
    contents = known.drop_duplicates("sha256").set_index("sha256")[OF_CONTENTS]
    facts = pd.concat(parts).join(contents, on="sha256", how="inner").assign(status="ok", fault=None)
    rows.loc[facts.index, list(facts)] = facts
    return rows


def _needs_git_blob_sha1(rows: Any) -> Any:
    """Whether the list knows an image, or each of a table of images, by this hash alone."""
    return (rows["expected_sha256"] == "") & (rows["expected_git_blob_sha1"] != "")


def _looked_at(
    rows: pd.DataFrame, look: Callable[[Mapping[str, Any]], dict[str, Any]], pool: ThreadPoolExecutor
) -> pd.DataFrame:
    """Rows with the facts that a look at each gives."""
    parts = []
    for start in range(0, max(len(rows), 1), AT_ONCE):
        some = rows.iloc[start : start + AT_ONCE]
        found = list(pool.map(look, some.to_dict("records")))
        facts = pd.DataFrame(found, some.index, list(FACTS)).astype(FACTS)
        parts.append(some.drop(columns=list(FACTS)).join(facts))
    return pd.concat(parts)


def _differing_hashes(index: pd.DataFrame) -> "pd.Series[str]":
    """The hash by which each image is not the listed one; an empty text where it is, or none is known."""
    by_sha256 = (index["expected_sha256"] != "") & (index["expected_sha256"] != index["sha256"])
    by_blob = _needs_git_blob_sha1(index) & (index["expected_git_blob_sha1"] != index["git_blob_sha1"])
    differing = pd.Series("", index.index, "string")
    return differing.mask(by_sha256.fillna(True), "SHA-256").mask(by_blob.fillna(True), "git blob SHA-1")


def fault_messages(root: Path, index: pd.DataFrame, statuses: Collection[str]) -> list[str]:
    """A message for each image of some statuses, in the order of the index."""
    rows = index.loc[index["status"].isin(list(statuses)), ["image", "status", "fault"]]
    return [f"{root / image}: {TOLD[status].format(fault)}" for image, status, fault in rows.itertuples(index=False)]


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
    parser.add_argument("--known", type=Path, help="what earlier indexes found, to take from and add to (Parquet)")
    parser.add_argument("--store", type=Path, help="folder of decoded images, by their contents, to add to")
    parser.add_argument("--sizes", type=int, nargs="+", default=[], help="for the store: heights and widths in pixels")
    parser.add_argument("--resampling", choices=sorted(RESAMPLING), default="nearest", help="for the store")
    args = parser.parse_args()
    stamps = stamps_of(args.root, args.classes, args.layout, args.image_list)
    image_list = read_csv_as_text(args.image_list, "image_list") if args.image_list else None
    patients = Patients(args.patients_column, args.patients_pattern)
    store = Store(args.store, args.sizes, args.resampling) if args.store else None
    index, faults = index_images(
        args.root, args.classes, image_list, args.workers, args.layout, patients, args.known, store
    )
    borne = {
        *(FAULTY if args.missing_images == "warn" else ()),
        *(["unreadable"] if args.on_bad_image == "skip" else ()),
    }
    stopping = fault_messages(args.root, index, set(FAULTY) - borne)
    if stopping:
        bad_alone = set(index["status"]) - borne <= {"ok", "unreadable"}
        way = "on_bad_image: skip" if bad_alone else "missing_images: warn"
        raise Fault([*stopping, f"mend these images, or leave them out with `{way}` (every report then says so)"])
    if set(index["status"]) <= {"missing", "unreadable"}:
        raise Fault([*faults, "no image can be used"])
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
