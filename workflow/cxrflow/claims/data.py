"""Measures of the data: the number of images, and the format, size and colour mode of the files."""

from typing import Annotated

from pydantic import Field

from cxrflow.claims.judge import judge_equal
from cxrflow.claims.model import DIFFERS, EXACT, UNDECIDED, Claim, Judgement, UndecidedError, in_words
from cxrflow.claims.registry import measure
from cxrflow.claims.results import Results


@measure("data", numeric=True)
def tested_images(claim: Claim, results: Results) -> Judgement:
    """Number of test images, in every training."""
    found = {one.name: [one.metrics["images"]] for name in results.present(claim) for one in results.of(name)}
    return judge_equal(claim, found, EXACT, "counted in the runs", results)


@measure("data")
def share_of_images(
    claim: Claim,
    results: Results,
    *,
    format: str | None = None,
    width: int | None = None,
    height: int | None = None,
    mode: str | None = None,
    least: Annotated[float, Field(ge=0, le=1)] = 1.0,
) -> Judgement:
    """The share of images whose files have this format, width and height in pixels, and colour mode is at least `least`.

    Format and mode are those of Pillow, such as PNG and RGB. Arguments that are not given match any value.
    """
    results.present(claim)
    audit = results.audit
    if not audit["images"]:
        raise UndecidedError(UNDECIDED, "there are no images")
    asked = [None if value is None else str(value) for value in (format, width, height, mode)]
    kinds = {_parts(kind): images for kind, images in audit["file_kinds"].items()}
    # Audits of earlier versions counted the files of one kind only.
    if sum(kinds.values()) < audit["images"] and tuple(asked) not in kinds:
        raise UndecidedError(UNDECIDED, "the audit did not count such files; run the workflow again")
    matching = [
        images
        for kind, images in kinds.items()
        if all(value in (None, own) for value, own in zip(asked, kind, strict=True))
    ]
    share = sum(matching) / audit["images"]
    formats = sorted({name for counts in audit["formats"].values() for name in counts})
    found = (
        f"{' and '.join(formats)}, {audit['width'][0]} to {audit['width'][1]} px wide, "
        f"{audit['height'][0]} to {audit['height'][1]} px high"
    )
    reason = "so the files are" if share == 1 else f"the share of such files is {in_words(round(share, 4))}"
    return Judgement(EXACT if share >= least else DIFFERS, found, None, reason)


def _parts(kind: str) -> tuple[str, ...]:
    """Format, width, height and colour mode of a kind of files, `PNG 224x224 RGB`."""
    file_format, size, mode = kind.split(" ")
    return file_format, *size.split("x"), mode
