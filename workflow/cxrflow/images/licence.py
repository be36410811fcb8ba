"""Recognise licences that allow anyone to redistribute and adapt an image, as a report does."""

import argparse
import re

import pandas as pd

_NUMBER = r"(?: ?\d\.\d)?(?: (?:international|unported|universal))?"
_FREE = re.compile(
    rf"cc ?(?:0|zero){_NUMBER}"
    rf"|cc by(?: sa)?{_NUMBER}"
    rf"|creative commons (?:zero|attribution(?: share ?alike)?){_NUMBER}"
    rf"|public domain(?: mark)?{_NUMBER}"
    r"|(?:https?://)?(?:www\.)?creativecommons\.org"
    r"/(?:licenses/by(?: sa)?|publicdomain/(?:zero|mark))/\d\.\d(?:/(?:deed\.\w+)?)?"
)


def allows_showing(licence: str | None) -> bool:
    """Whether a licence allows anyone to redistribute and adapt an image: CC0, CC BY, CC BY-SA, public domain.

    Licences with NC or ND do not, and neither do unknown or missing ones. Names may have any usual form, such as
    `CC-BY-SA 4.0` or `https://creativecommons.org/licenses/by-sa/4.0/`.
    """
    return bool(licence) and _FREE.fullmatch(re.sub(r"[\s_-]+", " ", str(licence).strip().lower())) is not None


def add_showing(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a plot that say whose pictures it may show: `--embed-images` and `--phantoms`."""
    parser.add_argument(
        "--embed-images",
        choices=("licence", "all"),
        required=True,
        help="licence: only images whose licence allows redistribution; all: regardless of licence",
    )
    parser.add_argument("--phantoms", action="store_true", help="the images are phantoms, which have no licence")


def shows_by_licence(args: argparse.Namespace) -> bool:
    """Whether a plot may show only images whose licence allows it, by the arguments of `add_showing`."""
    return bool(args.embed_images == "licence" and not args.phantoms)


def may_be_shown(licences: pd.Series, by_licence: bool) -> pd.Series:
    """Whether each image may be in a plot, bool: if `by_licence`, only if its licence allows anyone to redistribute it."""
    return licences.fillna("").map(allows_showing).astype(bool) | (not by_licence)


def sources_and_licences(shown: pd.DataFrame) -> str:
    """List the sources and licences of images: `RSNA (CC0); source not given (CC BY 4.0)`.

    Args:
        shown: rows with the columns source and licence.
    """
    known = shown[["source", "licence"]].fillna("").drop_duplicates().sort_values(["source", "licence"])
    return "; ".join(
        f"{source or 'source not given'} ({licence or 'licence not given'})" for source, licence in known.values
    )
