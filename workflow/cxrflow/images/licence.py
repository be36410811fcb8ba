"""Licences of images: which of them allow an image to be passed on, changed, by anyone, in a report."""

import re

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
    """Whether a licence allows an image to be redistributed and adapted by anyone: CC0, CC BY, CC BY-SA, public domain.

    Those with NC or ND do not, nor does one that is not known here, nor none. Names are read as people write them,
    `CC-BY-SA 4.0` or `https://creativecommons.org/licenses/by-sa/4.0/`.
    """
    return bool(licence) and _FREE.fullmatch(re.sub(r"[\s_-]+", " ", str(licence).strip().lower())) is not None
