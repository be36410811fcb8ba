"""Download the images of an image list into a folder, and check each against its hash and length.

Existing files with the right hash are not downloaded, so an interrupted download can be continued. The sources are tried
in order; any source is accepted if the hash is right.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from cxrflow.images.columns import column_flags, read_image_list
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError, one_line, raise_all
from cxrflow.io.fetch import NotFetched, Wanted, addresses, fetch_files
from cxrflow.io.files import sha256_of_file, write_table
from cxrflow.io.hashes import Contents
from cxrflow.io.transfer import Limits, whole_number
from cxrflow.io.words import some_of

# Limit for files whose length is not in the list.
LARGEST_IMAGE = 64_000_000


def wanted_images(image_list: pd.DataFrame, sources: list[str]) -> list[Wanted]:
    """List the files of an image list, with their addresses.

    Args:
        image_list: columns `path`, and `sha256` or `git_blob_sha1` or both; `bytes` if known. All text.
        sources: addresses that contain {path}, {sha256} or {git_blob_sha1}.

    Raises:
        UserError: a column is missing, or a file has no hash, has an invalid length, or is listed twice.
    """
    if "path" not in image_list:
        raise UserError(f"image list: no column `path`; the columns are {', '.join(image_list.columns)}")
    rows = _texts(image_list, ["path", "bytes", "sha256", "git_blob_sha1"])
    hashes = ["sha256", "git_blob_sha1"]
    rows[hashes] = rows[hashes].apply(lambda column: column.str.lower())
    errors = [f"image list: {path}: listed twice" for path in sorted(set(rows["path"][rows["path"].duplicated()]))]
    wanted = []
    for path, length, sha256, git_blob_sha1 in rows.itertuples(index=False):
        if not (sha256 or git_blob_sha1):
            errors.append(
                f"image list: {path}: neither `sha256` nor `git_blob_sha1`; files without a hash are not downloaded"
            )
        elif length and whole_number(length) is None:
            errors.append(f"image list: {path}: bytes: {length!r} is not a whole number")
        else:
            contents = Contents(whole_number(length), sha256, git_blob_sha1)
            where = addresses(sources, path=path, sha256=sha256, git_blob_sha1=git_blob_sha1)
            wanted.append(Wanted(path, contents, where))
    raise_all(errors)
    return wanted


def _texts(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Select columns as text; missing values and columns are empty."""
    return table.reindex(columns=columns).astype("string").fillna("")


def licences(image_list: pd.DataFrame) -> str:
    """Describe the sources and licences of the images in one line."""
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


def download_errors(not_fetched: list[NotFetched], missing_images: str) -> list[str]:
    """List the errors of a download.

    With `missing_images` "warn", files that no source has are not errors; files that may be available later always are.
    """
    nowhere = [one for one in not_fetched if one.no_source_has_it]
    failed = [one for one in not_fetched if not one.no_source_has_it]
    errors = [f"{one.path}: no source has it: {one.why}" for one in nowhere if missing_images == "error"]
    by_reason: dict[str, list[str]] = {}
    for one in failed:
        by_reason.setdefault(one.why, []).append(one.path)
    errors += [
        f"{len(paths)} images were not downloaded, {some_of(paths, 3)}: {why}" for why, paths in by_reason.items()
    ]
    if failed:
        errors.append(
            "run again to download the rest; or get the files elsewhere and set their folder as `images` (DATA=FOLDER)"
        )
    elif errors:
        errors.append(
            "add a source that has them (`image_sources`), get them elsewhere and set their folder as `images` "
            "(DATA=FOLDER), or continue without them: `missing_images: warn` (every report will say so)"
        )
    return errors


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--image-list", type=Path, required=True, help="list of the files (CSV): path, bytes, hashes")
    parser.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="WORD=NAME",
        help="columns of the list with other names, such as path=filename",
    )
    parser.add_argument(
        "--sources",
        nargs="+",
        required=True,
        help="addresses that contain {path}, {sha256} or {git_blob_sha1}, in the order to try",
    )
    parser.add_argument(
        "--missing-images",
        choices=("error", "warn"),
        default="error",
        help="what to do if no source has an image (default: %(default)s)",
    )
    parser.add_argument("--limits", type=Limits.read, default=Limits(), help="timeouts and numbers of tries (JSON)")
    parser.add_argument("--workers", type=int, default=4, help="simultaneous downloads (default: %(default)s)")
    parser.add_argument("--folder", type=Path, required=True, help="folder to write the images into")
    parser.add_argument("--record", type=Path, required=True, help="downloaded and missing images to write (CSV)")
    args = parser.parse_args()
    table = read_image_list(args.image_list, columns=column_flags(args.columns))
    for remark in table.remarks:
        print(f"note: {one_line(remark)}")
    image_list = table.as_frame()
    wanted = wanted_images(image_list, args.sources)
    limits = replace(args.limits, largest_bytes=min(args.limits.largest_bytes, LARGEST_IMAGE))
    not_fetched = fetch_files(wanted, args.folder, limits, args.workers, one_line(licences(image_list)))
    raise_all(download_errors(not_fetched, args.missing_images))
    reason_of = {one.path: one.why for one in not_fetched}
    for path, reason in reason_of.items():
        print(one_line(f"warning: {path}: no source has it: {reason}"))
    present = [one.path for one in wanted if one.path not in reason_of]
    rows = [{"image": path, "sha256": sha256_of_file(args.folder / path), "missing": ""} for path in present]
    rows += [{"image": path, "sha256": "", "missing": reason} for path, reason in reason_of.items()]
    write_table(args.record, pd.DataFrame(rows).sort_values("image"))
    print(f"{args.folder}: {len(present)} of {len(wanted)} images, checked against the list")


if __name__ == "__main__":
    run_stage(main)
