"""Make the scorecard again from published results, and compare it with the published one.

Reads a folder that `publish_results` made. The exit status is 1 where a file is not the published one, or a row differs.
"""

from pathlib import Path

import pandas as pd

from cxrflow.claims.headline import headline
from cxrflow.published.folder import changed_files
from cxrflow.published.judged import scorecard_again
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import raise_all


def differing_rows(published: pd.DataFrame, again: pd.DataFrame) -> list[str]:
    """One message for each cell in which two scorecards differ."""
    if published["id"].tolist() != again["id"].tolist():
        return ["the claims are not those of the published scorecard"]
    old, new = published.set_index("id"), again.set_index("id")
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
    published = pd.read_csv(args.folder / "scorecard.csv", dtype=str, keep_default_na=False)
    again = scorecard_again(args.folder, args.claims)
    raise_all(differing_rows(published, again))
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in headline(again)["verdicts"].items() if count)
    print(f"{args.folder}: {len(again)} statements, judged again, have the same verdicts; of the results: {verdicts}")


if __name__ == "__main__":
    run_stage(main)
