"""Write what a study said and what came out, as a table in Markdown, from published results.

Reads a folder that `publish_results` made. With --document the table takes the place between the two comment lines

    <!-- results of FOLDER -->
    <!-- end of results -->

of a Markdown file, so that no number there is written by hand.
"""

from pathlib import Path

import pandas as pd

from cxrflow.claims.headline import headline
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import read_json, write_text

KINDS = {"outcome": "Outcomes", "curve": "Curves", "comparison": "Comparisons", "features": "Features"}
END = "<!-- end of results -->"


def results_table(folder: Path) -> str:
    """The table of a folder: one row a statement about a result, then how many have which verdict, then the remarks."""
    scorecard = pd.read_csv(folder / "scorecard.csv", dtype=str, keep_default_na=False)
    lines = ["| statement | the study | this run | verdict |", "|---|---|---|---|"]
    for kind, words in KINDS.items():
        rows = scorecard[scorecard["kind"] == kind]
        lines += [f"| **{words}** | | | |"] if len(rows) else []
        lines += [
            f"| {_cell(row['statement'])} | {_cell(row['study_value'])} | {_cell(row['this_run'])} | {row['verdict']} |"
            for row in rows.to_dict("records")
        ]
    counts = headline(scorecard)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts["verdicts"].items() if count)
    lines += ["", f"Of these {counts['results']} statements: {told}.", ""]
    return "\n".join([*lines, *(f"* {remark}" for remark in remarks_of(folder))]) + "\n"


def remarks_of(folder: Path) -> list[str]:
    """How the run deviates, as its config and its audit say."""
    remarks = list(read_json(folder / "config.json")["settings"]["remarks"])
    audit = read_json(folder / "data_audit.json")
    if audit["missing"]:
        remarks.append(f"Missing of the {audit['listed']} images: {', '.join(audit['missing'])}.")
    return remarks


def with_table(document: str, folder: Path, name: str) -> str:
    """A Markdown text with the table of a folder between its two comment lines.

    Raises:
        Fault: they are not there.
    """
    begin = f"<!-- results of {folder.as_posix()} -->"
    if begin not in document or END not in document.partition(begin)[2]:
        raise Fault(f"{name}: needs the lines {begin} and {END}, between which the table is written")
    before, _, rest = document.partition(begin)
    return f"{before}{begin}\n{results_table(folder)}{END}{rest.partition(END)[2]}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "–"


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of published results")
    parser.add_argument("--document", type=Path, help="Markdown file to write the table into; without, it is printed")
    args = parser.parse_args()
    if args.document is None:
        print(results_table(args.folder), end="")
    else:
        text = args.document.read_text(encoding="utf-8")
        write_text(args.document, with_table(text, args.folder, str(args.document)))


if __name__ == "__main__":
    run_stage(main)
