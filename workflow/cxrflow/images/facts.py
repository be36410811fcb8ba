"""The facts of an image file: what its header and its contents say, how it looks, and why it cannot be used."""

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cxrflow.images.decode import read_header, read_image
from cxrflow.io.errors import UserError, one_line
from cxrflow.io.files import sha256_of_file, stamp_of
from cxrflow.io.hashes import git_blob_sha1_of_file

STAMP = ["image", "bytes", "modified", "changed", "inode"]
OF_DICOM = {"dicom_patient": "patient", "dicom_sex": "sex", "dicom_age": "age", "dicom_view": "view"}
"""Fact from a DICOM header to the column of the index that it fills if the image list leaves it empty."""
LOOKS = {"brightness": "of 255", "contrast": "of 255", "colour": "of 255", "flatness": "%"}
"""Name to unit, see `looks_of`."""
PIXELS_HASH = "pixels_blake2"
"""Hash of all pixels. It takes half as long as decoding, so it is computed only for images that look the same."""
OF_CONTENTS = ["width", "height", "mode", "format", "jpeg_quantisation", "conversions"]
OF_CONTENTS += [*OF_DICOM, *LOOKS, "sample_blake2", PIXELS_HASH]
TYPES = {
    "image": "string",
    "bytes": "Int64",
    "modified": "Int64",  # ns
    "changed": "Int64",  # ns
    "inode": "Int64",
    "sha256": "string",
    "git_blob_sha1": "string",
    "width": "Int64",
    "height": "Int64",
    "mode": "string",
    "format": "string",
    "jpeg_quantisation": "Float64",
    "conversions": "string",
    **dict.fromkeys(OF_DICOM, "string"),
    **dict.fromkeys(LOOKS, "Float64"),
    "sample_blake2": "string",
    PIXELS_HASH: "string",
}
"""Column to type: image id, stamp (size, times and inode), hashes, header, and look of an image."""
FACTS = {**{name: kind for name, kind in TYPES.items() if name != "image"}, "status": "string", "problem": "string"}
"""Column to type. `status` is ok, missing or unreadable, `problem` says why; `conversions` says how pixels were converted."""

SIDE = 64  # `looks_of` samples SIDE x SIDE pixels, which costs almost nothing compared with decoding


def header_facts(path: Path, problem: str) -> dict[str, Any]:
    """Read the facts in an image file's header.

    Args:
        path: image file.
        problem: a problem that is already known, or an empty text.
    """
    facts: dict[str, Any] = dict.fromkeys(FACTS)
    if problem:
        return {**facts, "status": "unreadable", "problem": problem}
    # Taken before the file is read, so that a change during reading is noticed at the next index.
    stamp = dict(zip(STAMP[1:], stamp_of(path), strict=True))
    try:
        path.lstat()  # a broken link is unreadable, not missing
        header = vars(read_header(path))
    except (FileNotFoundError, NotADirectoryError):
        return {**facts, "status": "missing"}
    except OSError as error:
        return {**facts, "status": "unreadable", "problem": error.strerror}
    except UserError as error:
        return {**facts, "status": "unreadable", "problem": one_line(str(error))}
    return {**facts, **header, **stamp, "status": "ok"}


def hashes_of(path: str, with_git_blob_sha1: bool) -> tuple[str | None, str | None]:
    """Compute SHA-256 and, on request, git blob SHA-1 of a file; None for files that cannot be read."""
    try:
        return sha256_of_file(path), git_blob_sha1_of_file(Path(path)) if with_git_blob_sha1 else None
    except OSError:  # `header_facts` reports it
        return None, None


def contents_facts(
    path: Path, facts: Mapping[str, Any], with_git_blob_sha1: bool
) -> tuple[dict[str, Any], Image.Image | None]:
    """Add the facts of an image's contents to those of its header.

    Args:
        path: image file.
        facts: from `header_facts`, with the status ok.
        with_git_blob_sha1: whether to compute this hash as well.

    Returns:
        All facts, and the image as RGB, or None if it cannot be decoded.
    """
    found = {**facts, "sha256": sha256_of_file(path)}
    if with_git_blob_sha1:
        found["git_blob_sha1"] = git_blob_sha1_of_file(path)
    try:
        rgb, conversions = read_image(path)
    except UserError as error:
        return {**found, "status": "unreadable", "problem": one_line(str(error))}, None
    return {**found, **looks_of(rgb), "conversions": "; ".join(conversions)}, rgb


def pixels_hash_of_file(path: Path) -> str:
    """Hash all pixels of an image file that has been decoded before.

    Raises:
        UserError: it can no longer be decoded.
    """
    try:
        rgb, _ = read_image(path)
    except UserError as error:
        raise UserError(
            f"{path}: has changed during the run, {one_line(str(error))}; run the same command again"
        ) from None
    return _hash(rgb.size, rgb.tobytes())


def looks_of(rgb: Image.Image) -> dict[str, Any]:
    """Describe how an RGB image looks, in four numbers with two digits: properties that a network may use as shortcuts.

    They are measured on SIDE x SIDE pixels on a regular grid: brightness (mean), contrast (standard deviation), colour (mean
    difference between a pixel's largest and smallest channel, 0 for grey) and flatness (share of pixels with the same
    colour as the pixel on their right, which is small for photographs and large for screenshots and documents).
    `sample_blake2` is a hash of these pixels and of the size: identical images have the same hash, others hardly ever.
    """
    sample = np.asarray(rgb.resize((SIDE, SIDE), Image.Resampling.NEAREST))
    values = sample.astype(np.int64)
    grey = values.mean(axis=2)
    spread = values.max(axis=2) - values.min(axis=2)
    flat = (values[:, 1:] == values[:, :-1]).all(axis=2)
    numbers = (float(grey.mean()), float(grey.std()), float(spread.mean()), 100 * float(flat.mean()))
    looks = {name: round(number, 2) for name, number in zip(LOOKS, numbers, strict=True)}
    return {**looks, "sample_blake2": _hash(rgb.size, sample.tobytes())}


def _hash(size: tuple[int, int], pixels: bytes) -> str:
    return blake2b(b"%d %d " % size + pixels, digest_size=16).hexdigest()
