"""List every image of a data set with its contents' hash, its size and mode, and what is known of it.

The data set is a folder that holds train/<class>/ and test/<class>/. With --image-list, a CSV says which files make it up
(column `path`; `sha256` or else `git_blob_sha1`, where given, is checked; source, patient, sex, age, view and licence are
taken over); without, it is what lies in the class folders. Headers are read first, and what they show to be wrong is told at
once; then each image is decoded once, so that a damaged one is told now, before any training.
"""

import warnings
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path, PurePosixPath

import pandas as pd

from cxrflow.config.suggest import did_you_mean
from cxrflow.download.contents import git_blob_sha1_of_file
from cxrflow.images import SUBSET_FOLDERS
from cxrflow.images.decode import read_header, read_image
from cxrflow.images.fingerprint import file_stamps, write_seen
from cxrflow.images.folder import SUFFIXES, folder_contents, name_fault
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, one_line, raise_all
from cxrflow.stage.files import sha256_of_file, write_table

KNOWN_OF_IMAGE = ("source", "patient", "sex", "age", "view", "licence")
EXPECTED = ["expected_sha256", "expected_git_blob_sha1"]
FAULTY = ("missing", "unreadable", "changed")
TOLD = {
    "missing": "missing",
    "unreadable": "unreadable: {}",
    "changed": "its contents are not those of the image list ({} differs)",
}


def index_images(
    root: Path, classes: list[str], image_list: pd.DataFrame | None = None, workers: int = 1
) -> tuple[pd.DataFrame, list[str]]:
    """Index the images of some classes.

    Args:
        root: folder that holds train/<class>/ and test/<class>/.
        classes: the class folders to look at; others are left alone.
        image_list: table with a column `path` (relative to `root`), or None for what lies in the folders.
        workers: threads that read and decode.

    Returns:
        The index, one row an image sorted by its id, and a message for each image that is missing, unreadable or
        differs from the list. Column `status` is ok, missing, unreadable or changed (used all the same), `fault` why
        an image is unreadable, `conversions` how its pixels are made 8 bits of grey or RGB, where they are not.

    Raises:
        Fault: the folder, or a class folder in it, does not exist or holds no image.
    """
    _check_folders(root, classes, image_list)
    listed = _found_images(root, classes) if image_list is None else _listed_images(image_list, classes)
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
    for column in ("sha256", "mode", "format", "conversions", "fault", *KNOWN_OF_IMAGE):
        index[column] = index[column].astype("string")
    return index, fault_messages(root, index, FAULTY)


def fault_messages(root: Path, index: pd.DataFrame, statuses: Collection[str]) -> list[str]:
    """A message for each image of some statuses, in the order of the index."""
    rows = index.loc[index["status"].isin(list(statuses)), ["image", "status", "fault"]]
    return [f"{root / image}: {TOLD[status].format(fault)}" for image, status, fault in rows.itertuples(index=False)]


def _check_folders(root: Path, classes: list[str], image_list: pd.DataFrame | None) -> None:
    if not root.is_dir():
        raise Fault(f"{root}: no such folder; `images` names the folder that holds train/<class>/ and test/<class>/")
    faults = []
    for subset in SUBSET_FOLDERS:
        there = (
            sorted(folder.name for folder in (root / subset).iterdir() if folder.is_dir())
            if (root / subset).is_dir()
            else []
        )
        for name in classes:
            if name not in there:
                faults.append(
                    f"{root / subset / name}: no such class folder{did_you_mean(name, there)} "
                    f"(found in {subset}/: {', '.join(there) or 'nothing'})"
                )
            elif image_list is None and not _is_image_there(root / subset / name):
                faults.append(f"{root / subset / name}: holds no image ({', '.join(SUFFIXES)})")
    raise_all(faults)


def _is_image_there(folder: Path) -> bool:
    contents = folder_contents(folder)
    return bool(contents.images or contents.faults)


def other_files(root: Path, classes: Iterable[str]) -> list[str]:
    """Ids of the files in the class folders that are not taken for images, by their names."""
    return sorted(
        other.relative_to(root).as_posix()
        for subset in SUBSET_FOLDERS
        for name in classes
        for other in folder_contents(root / subset / name).others
    )


def _found_images(root: Path, classes: Iterable[str]) -> pd.DataFrame:
    rows = []
    for subset in SUBSET_FOLDERS:
        for name in classes:
            contents = folder_contents(root / subset / name)
            found = dict.fromkeys(contents.images, "") | contents.faults
            for path, fault in found.items():
                image = path.relative_to(root).as_posix()
                rows.append({**_named(image, fault), "subset_folder": subset, "class": name})
    return _listing(pd.DataFrame(rows))


def _named(image: str, fault: str = "") -> dict[str, str]:
    """An image's id and what is wrong with it; a name that no table can hold is escaped, and wrong."""
    wrong = name_fault(image)
    return {"image": one_line(image) if wrong else image, "fault": fault or wrong}


def _listed_images(image_list: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    if "path" not in image_list:
        raise Fault(f"image list: no column `path`; it has {', '.join(image_list.columns)}")
    faults, rows = [], []
    for row in image_list.to_dict("records"):
        image = str(row["path"])
        parts = PurePosixPath(image).parts
        if len(parts) < 3 or parts[0] not in SUBSET_FOLDERS or ".." in parts:
            faults.append(f"image list: {image!r}: must be train/<class>/<file> or test/<class>/<file>")
        elif parts[1] in classes:
            rows.append(row | _named(image) | {"subset_folder": parts[0], "class": parts[1]})
    if not faults and not rows:
        faults.append(
            f"image list: names no image of the classes {', '.join(classes)}; for images of your own set `image_list: null`"
        )
    faults += [f"image list: {image}: named twice" for image in _repeated(row["image"] for row in rows)]
    raise_all(faults)
    return _listing(pd.DataFrame(rows))


def _repeated(names: Iterable[str]) -> list[str]:
    series = pd.Series(list(names), dtype="string")
    return sorted(series[series.duplicated()].unique())


def _listing(rows: pd.DataFrame) -> pd.DataFrame:
    rows["folder"] = rows["subset_folder"] + "/" + rows["class"]
    for column in EXPECTED:
        known = column.removeprefix("expected_")
        rows[column] = rows[known].fillna("") if known in rows else ""
    for column in KNOWN_OF_IMAGE:
        rows[column] = rows[column].replace("", None) if column in rows else None
    columns = ["image", "folder", "subset_folder", "class", *KNOWN_OF_IMAGE, *EXPECTED, "fault"]
    return rows[columns].sort_values("image", ignore_index=True)


def _look_at_header(path: Path, fault: str) -> dict[str, object]:
    """What an image file is by its header; `fault` is what is already known to be wrong with it."""
    found: dict[str, object] = dict.fromkeys(("bytes", "sha256", "width", "height", "mode", "format", "conversions"))
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
        _, conversions = read_image(path)
    except Fault as fault:
        return {**found, "status": "unreadable", "fault": one_line(str(fault))}
    other = _differing_hash(path, row, found["sha256"])
    changed = {"status": "changed", "fault": other} if other else {}
    return {**found, "conversions": "; ".join(conversions), **changed}


def _differing_hash(path: Path, row: dict[str, object], sha256: object) -> str:
    """The hash by which a file is not the listed one; an empty text where it is, or none is known."""
    if row["expected_sha256"]:
        return "" if row["expected_sha256"] == sha256 else "SHA-256"
    blob = row["expected_git_blob_sha1"]
    return "" if not blob or blob == git_blob_sha1_of_file(path) else "git blob SHA-1"


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds train/<class>/ and test/<class>/")
    parser.add_argument("--classes", nargs="+", required=True, help="class folders to index")
    parser.add_argument("--image-list", type=Path, help="CSV that says which files make up the data set")
    parser.add_argument("--missing-images", choices=("error", "warn"), default="error")
    parser.add_argument("--on-bad-image", choices=("error", "skip"), default="error")
    parser.add_argument("--workers", type=int, default=1, help="threads that read and decode")
    parser.add_argument("--images", type=Path, required=True, help="index to write (Parquet)")
    parser.add_argument("--fingerprint", default="", help="of the files, to be kept with what is seen of them")
    parser.add_argument("--seen", type=Path, help="where to note what is seen of the files (JSON)")
    args = parser.parse_args()
    stamps = file_stamps(args.root, [f"{subset}/{name}" for subset in SUBSET_FOLDERS for name in args.classes])
    image_list = pd.read_csv(args.image_list, dtype="string") if args.image_list else None
    index, faults = index_images(args.root, args.classes, image_list, args.workers)
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
        write_seen(
            args.seen,
            args.root,
            args.fingerprint,
            stamps,
            dict(zip(index["image"], index["sha256"].fillna(""), strict=True)),
        )
    if args.image_list is None and (others := other_files(args.root, args.classes)):
        few = ", ".join(others[:5]) + (" …" if len(others) > 5 else "")
        print(f"note: {len(others)} other files are left alone ({one_line(few)}); images are {', '.join(SUFFIXES)}")
    counts = index["status"].value_counts()
    print(f"{len(index)} images: {', '.join(f'{count} {status}' for status, count in counts.items())}")


if __name__ == "__main__":
    run_stage(main)
