"""Measures of the data: how many images, of what kind."""

from cxrflow.claims.judge import judge_equal
from cxrflow.claims.model import CANNOT_BE_TOLD, DIFFERS, EXACT, Claim, Finding, UndecidedError
from cxrflow.claims.registry import measure
from cxrflow.claims.runs import Runs
from cxrflow.claims.words import shown


@measure("data", numeric=True)
def tested_images(claim: Claim, runs: Runs) -> Finding:
    """Number of test images, in each run of each experiment."""
    found = {run.name: [run.metrics["images"]] for name in runs.present(claim) for run in runs.of(name)}
    return judge_equal(claim, found, EXACT, "counted in the runs", runs)


@measure("data")
def all_png_224_rgb(claim: Claim, runs: Runs) -> Finding:
    """Every file is a PNG of 224x224 pixels with three channels."""
    runs.present(claim)
    audit = runs.audit
    share = audit["share_png_224_rgb"]
    if share is None:
        raise UndecidedError(CANNOT_BE_TOLD, "there are no images")
    formats = sorted({name for counts in audit["formats"].values() for name in counts})
    found = (
        f"{' and '.join(formats)}, {audit['width'][0]} to {audit['width'][1]} px wide, "
        f"{audit['height'][0]} to {audit['height'][1]} px high"
    )
    if share == 1:
        return Finding(EXACT, found, None, "so the files are")
    return Finding(DIFFERS, found, None, f"the share of such files is {shown(share)}")
