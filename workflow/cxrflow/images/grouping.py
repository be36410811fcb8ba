"""Which images belong together, and in which order a made split takes them: by hashes, so that no image's place is chance."""

from hashlib import blake2b

import pandas as pd


def groups_of(rows: pd.DataFrame) -> "pd.Series[str]":
    """Name of the group of each image: those of one patient, and those of the same bytes, are one group.

    Args:
        rows: columns image, patient and sha256; the latter two may be empty. An image of an unknown patient is a group of
            its own, unless another has the same bytes.
    """
    own = "image " + rows["image"].astype("string")
    group = ("patient " + rows["patient"].astype("string")).fillna(own)
    while True:
        # The least name of all images of the same bytes, then of all images of a group, until nothing changes.
        same_bytes = group.groupby(rows["sha256"].fillna(own)).transform("min")
        joined = same_bytes.groupby(group).transform("min")
        if joined.equals(group):
            return group
        group = joined


def place_of(group: str, seed: int) -> str:
    """Where a group stands among all: hexadecimal digits that depend on its name and the seed alone."""
    return blake2b(f"{seed}\0{group}".encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
