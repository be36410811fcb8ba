"""Make the scorecard again from published results, and compare it with the published one.

Reads a folder that `publish_results` made. The exit status is 1 where a file is not the published one, or a row differs.
"""

from pathlib import Path

import pandas as pd

from cxrflow.claims.headline import headline
from cxrflow.claims.load import load_claims
from cxrflow.claims.runs import Runs
from cxrflow.claims.score import score
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, raise_all
from cxrflow.stage.files import read_json, sha256_of_file


def changed_files(folder: Path) -> list[str]:
    """One message for each file of SHA256SUMS that is missing or another."""
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        raise Fault(f"{sums} is missing; cxrflow.publish_results writes it")
    listed = [line.split("  ", 1) for line in sums.read_text(encoding="utf-8").splitlines()]
    messages = []
    for digest, name in listed:
        if not (folder / name).is_file():
            messages.append(f"{folder / name} is missing")
        elif sha256_of_file(folder / name) != digest:
            messages.append(f"{folder / name} is not the published file: its SHA-256 is another")
    return messages


def scorecard_again(folder: Path, claims: Path) -> pd.DataFrame:
    """The scorecard of published results, by the claims and the rules of today."""
    config = read_json(folder / "config.json")
    runs = Runs(
        folder=folder / "runs",
        selected=config["selected"],
        settings=config["settings"],
        networks=read_json(folder / "networks.json"),
        audit=read_json(folder / "data_audit.json"),
    )
    return score(load_claims(claims), runs)


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
