"""Write what a study said and what came out, as a table in Markdown, from published results.

Reads a folder that `publish_results` made. With --document the table takes the place between the two comment lines

    <!-- results of FOLDER -->
    <!-- end of results -->

of a Markdown file, so that no number there is written by hand.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.claims.headline import headline
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import read_json, write_text

KINDS = {"outcome": "Outcomes", "curve": "Curves", "comparison": "Comparisons", "features": "Features"}
END = "<!-- end of results -->"


def results_table(folder: Path) -> str:
    """The table of a folder, then how its run deviates: by statements where it has a scorecard, otherwise by runs."""
    lines = statements_table(folder) if (folder / "scorecard.csv").is_file() else runs_table(folder)
    return "\n".join([*lines, "", *(f"* {remark}" for remark in remarks_of(folder))]) + "\n"


def statements_table(folder: Path) -> list[str]:
    """Lines: how many statements about results have which verdict, then one row a statement."""
    scorecard = pd.read_csv(folder / "scorecard.csv", dtype=str, keep_default_na=False)
    counts = headline(scorecard)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts["verdicts"].items() if count)
    lines = [f"Of {counts['results']} statements about results: **{told}**.", ""]
    lines += ["| statement | the study | this run | verdict |", "|---|---|---|---|"]
    for kind, words in KINDS.items():
        rows = scorecard[scorecard["kind"] == kind]
        lines += [f"| **{words}** | | | |"] if len(rows) else []
        lines += [
            f"| {_cell(row['statement'])} | {_cell(row['study_value'])} | {_cell(row['this_run'])} | {row['verdict']} |"
            for row in rows.to_dict("records")
        ]
    return lines


def runs_table(folder: Path) -> list[str]:
    """Lines: one row a run, with the settings in which the experiments differ, and what came out of it."""
    selected = read_json(folder / "config.json")["selected"]
    runs = [(name, seed) for name, seeds in selected.items() for seed in seeds]
    trained = {run: read_json(_run(folder, *run) / "training.json") for run in runs}
    keys = [key for key in next(iter(trained.values()))["settings"] if len(_values(trained.values(), key)) > 1]
    heads = [*(f"`{key}`" for key in keys), "seed", "epoch", "validation accuracy", "test images right", "test loss"]
    lines = [f"| experiment | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, seed in runs:
        training, metrics = trained[name, seed], read_json(_run(folder, name, seed) / "metrics.json")
        epoch = training["selected_epoch"]["epoch"]
        history = pd.read_csv(_run(folder, name, seed) / "history.csv").set_index("epoch")
        cells = [
            name,
            *(str(training["settings"][key]) for key in keys),
            str(seed),
            str(epoch),
            f"{history.loc[epoch, 'val_accuracy']:.3f}",
            f"{metrics['correct']} of {metrics['images']}",
            f"{metrics['loss']:.3f}",
        ]
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return lines


def _run(folder: Path, experiment: str, seed: int) -> Path:
    return folder / "runs" / experiment / f"seed_{seed}"


def _values(trained: Iterable[dict[str, Any]], key: str) -> set[str]:
    return {str(training["settings"][key]) for training in trained}


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
