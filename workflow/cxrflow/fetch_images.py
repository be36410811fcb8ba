"""Fetch the images of an image list into a folder, each checked against its hash and length.

What is there and right is not fetched again, so that a fetch that was stopped goes on where it was. A file is asked of one
source after the other; its hash decides, not where it is from.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from cxrflow.download.contents import Contents
from cxrflow.download.fetch import NotFetched, Wanted, addresses, fetch_files
from cxrflow.download.transfer import Limits, whole_number
from cxrflow.machine.findings import some_of
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, one_line, raise_all
from cxrflow.stage.files import sha256_of_file, write_table
from cxrflow.stage.tables import read_csv_as_text

# The one file of the study's list whose length is not known has a little more than 4 MB.
LARGEST_IMAGE = 64_000_000


def wanted_images(image_list: pd.DataFrame, sources: list[str]) -> list[Wanted]:
    """The files of an image list, with where each may be had.

    Args:
        image_list: columns `path`, and `sha256` or `git_blob_sha1` or both; `bytes` where known. All text.
        sources: addresses with {path}, {sha256} or {git_blob_sha1} in them.

    Raises:
        Fault: a column is missing, a file has no hash or a length that is no number, or is listed twice.
    """
    if "path" not in image_list:
        raise Fault(f"image list: no column `path`; it has {', '.join(image_list.columns)}")
    rows = _texts(image_list, ["path", "bytes", "sha256", "git_blob_sha1"])
    faults = [f"image list: {path}: named twice" for path in sorted(set(rows["path"][rows["path"].duplicated()]))]
    wanted = []
    for path, length, sha256, git_blob_sha1 in rows.itertuples(index=False):
        if not (sha256 or git_blob_sha1):
            faults.append(
                f"image list: {path}: neither `sha256` nor `git_blob_sha1`; a file without a hash is not fetched"
            )
        elif length and whole_number(length) is None:
            faults.append(f"image list: {path}: bytes: {length!r} is not a whole number")
        else:
            contents = Contents(whole_number(length), sha256, git_blob_sha1)
            where = addresses(sources, path=path, sha256=sha256, git_blob_sha1=git_blob_sha1)
            wanted.append(Wanted(path, contents, where))
    raise_all(faults)
    return wanted


def _texts(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Some columns as text, empty where there is nothing, also where there is no such column."""
    return table.reindex(columns=columns).astype("string").fillna("")


def licences(image_list: pd.DataFrame) -> str:
    """One line on whose the images are and under which licences, as far as the list tells."""
    rows = _texts(image_list, ["source", "licence"])
    by_source = {
        str(source) or "source not given": ", ".join(
            f"{licence or 'not given in the list'} ({count})"
            for licence, count in of_source["licence"].value_counts().items()
        )
        for source, of_source in rows.groupby("source")
    }
    return "licences, with the number of images: " + "; ".join(
        f"{source}: {text}" for source, text in by_source.items()
    )


def faults_of(not_fetched: list[NotFetched], missing_images: str) -> list[str]:
    """The messages of a fetch that cannot be left as it is; none where all is well.

    With `missing_images` "warn", files that no source has are no fault; those that might be had another time always are.
    """
    nowhere = [one for one in not_fetched if one.nobody_has_it]
    failed = [one for one in not_fetched if not one.nobody_has_it]
    faults = [f"{one.path}: no source has it: {one.why}" for one in nowhere if missing_images == "error"]
    by_reason: dict[str, list[str]] = {}
    for one in failed:
        by_reason.setdefault(one.why, []).append(one.path)
    faults += [
        f"{len(paths)} of the images not fetched, {some_of(paths, 3)}: {why}" for why, paths in by_reason.items()
    ]
    if failed:
        faults.append(
            "start again, and what is there stays; or get the files elsewhere and name their folder as `images` (DATA=FOLDER)"
        )
    elif faults:
        faults.append(
            "name a source that has them (`image_sources`), get them elsewhere and name their folder as `images` "
            "(DATA=FOLDER), or leave them out with `missing_images: warn` (every report then says so)"
        )
    return faults


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--image-list", type=Path, required=True, help="CSV of the files: path, bytes, hashes")
    parser.add_argument(
        "--sources",
        nargs="+",
        required=True,
        help="addresses with {path}, {sha256} or {git_blob_sha1} in them, in order",
    )
    parser.add_argument("--missing-images", choices=("error", "warn"), default="error")
    parser.add_argument("--limits", type=Limits.read, default=Limits(), help="timeouts, tries and the like as JSON")
    parser.add_argument("--workers", type=int, default=4, help="files under way at once")
    parser.add_argument("--folder", type=Path, required=True, help="where the images go")
    parser.add_argument("--record", type=Path, required=True, help="what is there and what is not, to write (CSV)")
    args = parser.parse_args()
    image_list = read_csv_as_text(args.image_list, "image_list")
    wanted = wanted_images(image_list, args.sources)
    limits = replace(args.limits, largest_bytes=min(args.limits.largest_bytes, LARGEST_IMAGE))
    not_fetched = fetch_files(wanted, args.folder, limits, args.workers, one_line(licences(image_list)))
    raise_all(faults_of(not_fetched, args.missing_images))
    why = {one.path: one.why for one in not_fetched}
    for path, reason in why.items():
        print(one_line(f"warning: {path}: no source has it: {reason}"))
    there = [one.path for one in wanted if one.path not in why]
    rows = [{"image": path, "sha256": sha256_of_file(args.folder / path), "missing": ""} for path in there]
    rows += [{"image": path, "sha256": "", "missing": reason} for path, reason in why.items()]
    write_table(args.record, pd.DataFrame(rows).sort_values("image"))
    print(f"{args.folder}: {len(there)} of {len(wanted)} images, all as listed")


if __name__ == "__main__":
    run_stage(main)
