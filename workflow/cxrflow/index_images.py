"""List every image of a data set with its contents' hash, its size and mode, and what is known of it.

The data set is a folder that holds train/<class>/ and test/<class>/. With --image-list, a CSV says which files make it up
(column `path`; `sha256` or else `git_blob_sha1`, where given, is checked; source, patient, sex, age, view and licence are
taken over); without, it is what lies in the class folders. Each image is decoded once, so that a damaged one is told now,
before any training.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pandas as pd

from cxrflow.config.suggest import did_you_mean
from cxrflow.download.contents import git_blob_sha1_of_file
from cxrflow.images import SUBSET_FOLDERS
from cxrflow.images.decode import SUFFIXES, header_and_fault
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, raise_all
from cxrflow.stage.files import sha256_of_file, write_table

KNOWN_OF_IMAGE = ("source", "patient", "sex", "age", "view", "licence")
EXPECTED = ["expected_sha256", "expected_git_blob_sha1"]


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
        differs from the list. Column `status` is ok, missing, unreadable or changed (used all the same).

    Raises:
        Fault: the folder, or a class folder in it, does not exist or holds no image.
    """
    _check_folders(root, classes, image_list)
    listed = _found_images(root, classes) if image_list is None else _listed_images(image_list, classes)
    with ThreadPoolExecutor(workers) as pool:
        looked = list(pool.map(lambda row: _look_at(root, *row), listed[["image", *EXPECTED]].itertuples(index=False)))
    faults = [fault for _, fault in looked if fault]
    index = pd.concat([listed.drop(columns=EXPECTED), pd.DataFrame([found for found, _ in looked])], axis=1)
    for column in ("bytes", "width", "height"):
        index[column] = index[column].astype("Int64")
    for column in ("sha256", "mode", "format", *KNOWN_OF_IMAGE):
        index[column] = index[column].astype("string")
    return index, faults


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
            elif image_list is None and not _image_files(root / subset / name):
                faults.append(f"{root / subset / name}: holds no image ({', '.join(SUFFIXES)})")
    raise_all(faults)


def _image_files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and not file.is_dir()]


def count_other_files(root: Path, classes: Iterable[str]) -> int:
    """Number of files in the class folders that are not taken for images, by their names."""
    files = (file for subset in SUBSET_FOLDERS for name in classes for file in (root / subset / name).rglob("*"))
    return sum(file.is_file() and file.suffix.lower() not in SUFFIXES for file in files)


def _found_images(root: Path, classes: Iterable[str]) -> pd.DataFrame:
    rows = [
        {"image": file.relative_to(root).as_posix(), "subset_folder": subset, "class": name}
        for subset in SUBSET_FOLDERS
        for name in classes
        for file in _image_files(root / subset / name)
    ]
    return _listing(pd.DataFrame(rows))


def _listed_images(image_list: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    if "path" not in image_list:
        raise Fault(f"image list: no column `path`; it has {', '.join(image_list.columns)}")
    faults, rows = [], []
    for row in image_list.to_dict("records"):
        parts = PurePosixPath(row["path"]).parts
        if len(parts) < 3 or parts[0] not in SUBSET_FOLDERS or ".." in parts:
            faults.append(f"image list: {row['path']!r}: must be train/<class>/<file> or test/<class>/<file>")
        elif parts[1] in classes:
            rows.append({**row, "image": row["path"], "subset_folder": parts[0], "class": parts[1]})
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
    columns = ["image", "folder", "subset_folder", "class", *KNOWN_OF_IMAGE, *EXPECTED]
    return rows[columns].sort_values("image", ignore_index=True)


def _look_at(
    root: Path, image: str, expected_sha256: str, expected_git_blob_sha1: str
) -> tuple[dict[str, object], str]:
    """What an image file is, and what is wrong with it (an empty text when nothing is)."""
    path = root / image
    found: dict[str, object] = dict.fromkeys(("status", "bytes", "sha256", "width", "height", "mode", "format"))
    try:
        found["bytes"] = path.stat().st_size
        found["sha256"] = sha256_of_file(path)
    except FileNotFoundError:
        return {**found, "status": "missing"}, f"{path}: missing"
    except OSError as error:
        return {**found, "status": "unreadable"}, f"{path}: unreadable: {error.strerror}"
    header, fault = header_and_fault(path)
    found |= header
    if fault:
        return {**found, "status": "unreadable"}, f"{path}: unreadable: {fault}"
    if expected_sha256 and found["sha256"] != expected_sha256:
        return {**found, "status": "changed"}, f"{path}: its contents are not those of the image list (SHA-256 differs)"
    if not expected_sha256 and expected_git_blob_sha1 and git_blob_sha1_of_file(path) != expected_git_blob_sha1:
        told = "its contents are not those of the image list (git blob SHA-1 differs)"
        return {**found, "status": "changed"}, f"{path}: {told}"
    return {**found, "status": "ok"}, ""


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds train/<class>/ and test/<class>/")
    parser.add_argument("--classes", nargs="+", required=True, help="class folders to index")
    parser.add_argument("--image-list", type=Path, help="CSV that says which files make up the data set")
    parser.add_argument("--missing-images", choices=("error", "warn"), default="error")
    parser.add_argument("--workers", type=int, default=1, help="threads that read and decode")
    parser.add_argument("--images", type=Path, required=True, help="index to write (Parquet)")
    args = parser.parse_args()
    image_list = pd.read_csv(args.image_list, dtype="string") if args.image_list else None
    index, faults = index_images(args.root, args.classes, image_list, args.workers)
    if faults and args.missing_images == "error":
        raise Fault(
            [*faults, "mend these images, or leave them out with `missing_images: warn` (every report then says so)"]
        )
    for fault in faults:
        print(f"warning: {fault}")
    write_table(args.images, index)
    if args.image_list is None and (others := count_other_files(args.root, args.classes)):
        print(f"note: {others} other files in the class folders are left alone; images are {', '.join(SUFFIXES)}")
    counts = index["status"].value_counts()
    print(f"{len(index)} images: {', '.join(f'{count} {status}' for status, count in counts.items())}")


if __name__ == "__main__":
    run_stage(main)
