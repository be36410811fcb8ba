"""Rebuild the scorecard from published results and compare it with the published one.

The folder was written by `cxrflow publish`. The exit status is 1 if a file is not the published one, or a row differs.
"""

from pathlib import Path

import pandas as pd

from cxrflow.claims.load import load_claims
from cxrflow.claims.results import Results
from cxrflow.claims.scorecard import headline, score, verdicts_in_words
from cxrflow.claims.seals import read_seals
from cxrflow.evaluation.consistency import inconsistencies
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import raise_all
from cxrflow.io.files import read_json
from cxrflow.publication.folder import SEALS, changed_files
from cxrflow.report.inputs import read_text_table
from cxrflow.study.earlier import read_published_audit, read_published_config


def published_results(folder: Path) -> Results:
    """Read published results, as claims are judged by them."""
    config = read_published_config(folder)
    return Results(
        folder=folder / "runs",
        selected=config["selected"],
        settings=config["settings"],
        networks=read_json(folder / "networks.json"),
        audit=read_published_audit(folder),
        splits=folder / "split",
        seals=read_seals(folder / SEALS) if (folder / SEALS).is_file() else None,
    )


def score_published(folder: Path, claims: Path) -> pd.DataFrame:
    """The scorecard of published results, made from their files by the rules of this version."""
    return score(load_claims(claims), published_results(folder))


def differing_cells(published: pd.DataFrame, recomputed: pd.DataFrame) -> list[str]:
    """One message for each cell in which two scorecards differ."""
    if published["id"].tolist() != recomputed["id"].tolist():
        return ["the claims are not those of the published scorecard"]
    old, new = published.set_index("id"), recomputed.set_index("id")
    return [
        f"{claim}: {column} was {old.loc[claim, column]!r}, is {new.loc[claim, column]!r}"
        for claim in old.index
        for column in old.columns
        if old.loc[claim, column] != new.loc[claim, column]
    ]


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of published results")
    parser.add_argument("--claims", type=Path, required=True, help="claims (CSV)")
    args = parser.parse_args()
    raise_all(changed_files(args.folder))
    config = read_published_config(args.folder)
    raise_all(inconsistencies(args.folder / "runs", args.folder / "split", config["settings"], config["selected"]))
    recomputed = score_published(args.folder, args.claims)
    raise_all(differing_cells(read_text_table(args.folder / "scorecard.csv"), recomputed))
    verdicts = verdicts_in_words(headline(recomputed))
    print(f"{args.folder}: {len(recomputed)} statements have the published verdicts; of the results: {verdicts}")


if __name__ == "__main__":
    run_stage(main)
