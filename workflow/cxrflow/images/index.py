"""Index the images of a data set: contents, size, mode and look of each image, and its problems."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.images.facts import (
    FACTS,
    OF_CONTENTS,
    OF_DICOM,
    PIXELS_HASH,
    STAMP,
    TYPES,
    contents_facts,
    hashes_of,
    header_facts,
    pixels_hash_of_file,
)
from cxrflow.images.index_cache import read_cache, write_cache
from cxrflow.images.index_messages import WITH_PROBLEM, problem_messages
from cxrflow.images.listing import EXPECTED, KNOWN_OF_IMAGE
from cxrflow.images.store import Store, decoding_hash, keep_sizes, remove_abandoned_pixels
from cxrflow.io.code_hash import code_hash
from cxrflow.io.errors import one_line
from cxrflow.io.files import stamp_of

AT_ONCE = 2000  # rows that are held as mappings at a time: as columns they take a tenth of the memory


def index_images(
    root: Path, listed: pd.DataFrame, workers: int = 1, cache: Path | None = None, store: Store | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Read and decode each image of a data set.

    Args:
        root: folder of the images.
        listed: the images, from `cxrflow.images.listing.list_images`.
        workers: number of threads that read and decode.
        cache: results of earlier calls (Parquet); read, and updated.
        store: where to keep the pixels of the decoded images.

    Returns:
        The index, one row per image sorted by its id, and a message for each image that is missing, unreadable or
        different from the list. Its columns are those of `listed` (except the expected hashes), those of
        `cxrflow.images.facts.FACTS`, and `status`: ok, missing, unreadable or changed (different from the list, but used).
        `pixels_blake2` is given only for images that look like another one with different bytes.
    """
    if store:
        remove_abandoned_pixels(store.folder)
    decoding = decoding_hash()
    code = f"{code_hash('cxrflow.images.facts')} {decoding}"
    cached_here, cached_anywhere = read_cache(cache, root, code)
    rows = _with_cached(root, listed, cached_here)

    def read_header_of(row: Mapping[str, Any]) -> dict[str, Any]:
        return header_facts(root / row["image"], row["problem"])

    def read_contents_of(row: Mapping[str, Any]) -> dict[str, Any]:
        path = root / row["image"]
        facts, rgb = contents_facts(path, {name: row[name] for name in FACTS}, _needs_git_blob_sha1(row))
        if store and rgb:
            keep_sizes(store, facts["sha256"], rgb, decoding)
        return facts

    # Warnings of libraries report oddities; everything that changes a picture is checked here.
    with ThreadPoolExecutor(workers) as pool, warnings.catch_warnings(action="ignore"):
        rows = _with_cached_contents(root, rows, cached_anywhere, pool)
        done, fresh = rows[rows["status"].notna()], rows[rows["status"].isna()]
        del rows  # a table of 100,000 images takes 30 MB
        fresh = _with_facts(fresh, read_header_of, pool)
        for message in problem_messages(root, fresh, WITH_PROBLEM):
            print(f"problem: {one_line(message)}", flush=True)
        sound = fresh["status"] == "ok"
        index = pd.concat([done, fresh[~sound], _with_facts(fresh[sound], read_contents_of, pool)]).sort_index()
        index[PIXELS_HASH] = _pixels_hashes(root, index, pool)
    del done, fresh
    if cache:
        write_cache(cache, root, code, index.loc[index["status"] == "ok", list(TYPES)], cached_here)
    index[PIXELS_HASH] = index[PIXELS_HASH].where(_looks_like_another(index))  # the same with and without a cache
    differing = _differing_hashes(index)
    changed = (index["status"] == "ok") & (differing != "")
    index.loc[changed, "status"], index.loc[changed, "problem"] = "changed", differing[changed]
    for column in ("listed_subset", *KNOWN_OF_IMAGE):
        index[column] = index[column].astype("string")
    for found, column in OF_DICOM.items():
        index[column] = index[column].fillna(index[found])
    index = index.drop(columns=[*EXPECTED, *OF_DICOM, "modified", "changed", "inode", "git_blob_sha1"])
    return index, problem_messages(root, index, WITH_PROBLEM)


def _with_cached(root: Path, listed: pd.DataFrame, cached: pd.DataFrame) -> pd.DataFrame:
    """Join the cached facts of unchanged files; rows without `status` have none, or not enough."""
    stamps = pd.DataFrame([stamp_of(path) for path in _paths(root, listed)], columns=STAMP[1:], dtype="Int64")
    rows = listed.astype({"image": "string"}).join(stamps).merge(cached, on=STAMP, how="left")
    enough = rows["sha256"].notna() & (rows["problem"] == "")
    enough &= rows["git_blob_sha1"].notna() | ~_needs_git_blob_sha1(rows)
    return rows.assign(status=pd.Series("ok", rows.index, "string").where(enough), problem=rows["problem"].mask(enough))


def _paths(root: Path, rows: pd.DataFrame) -> Iterator[str]:
    return (os.path.join(root, image) for image in rows["image"])  # noqa: PTH118 - as Paths, a tenth of an index's time


def _with_cached_contents(
    root: Path, rows: pd.DataFrame, cached: pd.DataFrame, pool: ThreadPoolExecutor
) -> pd.DataFrame:
    """Add the cached facts of files that were touched, moved or renamed, which are found by their hash.

    Only files with the length of a cached one are read for this. If their contents are new, their header is read later.
    """
    alike = rows[rows["status"].isna() & (rows["problem"] == "") & rows["bytes"].isin(cached["bytes"])]
    if alike.empty:
        return rows
    parts = []
    for start in range(0, len(alike), AT_ONCE):
        some = alike.iloc[start : start + AT_ONCE]
        hashes = list(pool.map(hashes_of, _paths(root, some), _needs_git_blob_sha1(some)))
        parts.append(pd.DataFrame(hashes, some.index, ["sha256", "git_blob_sha1"], "string"))
    contents = cached.drop_duplicates("sha256").set_index("sha256")[OF_CONTENTS]
    facts = pd.concat(parts).join(contents, on="sha256", how="inner").assign(status="ok", problem=None)
    rows.loc[facts.index, list(facts)] = facts
    return rows


def _needs_git_blob_sha1(rows: Any) -> Any:
    """Whether the list gives only this hash for an image, or for each image of a table."""
    return (rows["expected_sha256"] == "") & (rows["expected_git_blob_sha1"] != "")


def _with_facts(
    rows: pd.DataFrame, read: Callable[[Mapping[str, Any]], dict[str, Any]], pool: ThreadPoolExecutor
) -> pd.DataFrame:
    """Replace the facts of each row by those that `read` returns."""
    parts = []
    for start in range(0, max(len(rows), 1), AT_ONCE):
        some = rows.iloc[start : start + AT_ONCE]
        found = list(pool.map(read, some.to_dict("records")))
        facts = pd.DataFrame(found, some.index, list(FACTS)).astype(FACTS)
        parts.append(some.drop(columns=list(FACTS)).join(facts))
    return pd.concat(parts)


def _looks_like_another(index: pd.DataFrame) -> "pd.Series[bool]":
    """Whether another image, with different bytes, has the same sampled pixels."""
    files = index.groupby("sample_blake2")["sha256"].transform("nunique")
    return (files > 1).fillna(False).astype(bool)


def _pixels_hashes(root: Path, index: pd.DataFrame, pool: ThreadPoolExecutor) -> "pd.Series[str]":
    """Hash all pixels of the images that look like another one; for other images, return a cached hash if there is one."""
    cached = index[PIXELS_HASH]
    unknown = index[_looks_like_another(index) & cached.isna()].drop_duplicates("sha256")
    hashes = pool.map(pixels_hash_of_file, map(Path, _paths(root, unknown)))
    found = dict(zip(unknown["sha256"], hashes, strict=True))
    return cached.fillna(index["sha256"].map(found).astype("string"))


def _differing_hashes(index: pd.DataFrame) -> "pd.Series[str]":
    """Name the hash in which each image differs from the list; empty if it does not differ or the list has no hash."""
    by_sha256 = (index["expected_sha256"] != "") & (index["expected_sha256"] != index["sha256"])
    by_blob = _needs_git_blob_sha1(index) & (index["expected_git_blob_sha1"] != index["git_blob_sha1"])
    differing = pd.Series("", index.index, "string")
    return differing.mask(by_sha256.fillna(True), "SHA-256").mask(by_blob.fillna(True), "git blob SHA-1")
