"""Write published results as a table in Markdown: by statement of the study, or by training if there are no claims.

The folder was written by `cxrflow publish`. With --document, the table is written between the comment lines

    <!-- results of FOLDER -->
    <!-- end of results -->

of a Markdown file, so that no number there is copied by hand.
"""

from collections.abc import Mapping
from pathlib import Path

from cxrflow.claims.results import TrainingResults
from cxrflow.claims.scorecard import headline, verdicts_in_words
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json, write_text
from cxrflow.io.words import counted
from cxrflow.publication.folder import RIVALS
from cxrflow.report.audits import beside_rivals
from cxrflow.report.inputs import read_text_table
from cxrflow.study.earlier import in_current_form

KINDS = {"outcome": "Outcomes", "curve": "Curves", "comparison": "Comparisons", "features": "Features"}
END = "<!-- end of results -->"


def results_table(folder: Path) -> str:
    """The table of a folder and the remarks on its run: by statement if there is a scorecard, else by training."""
    lines = statements_table(folder) if (folder / "scorecard.csv").is_file() else trainings_table(folder)
    lines += ["", *(f"* {remark}" for remark in remarks_of(folder))]
    return "\n".join([*lines, *accuracies_table(folder), *rivals_tables(folder)]) + "\n"


def statements_table(folder: Path) -> list[str]:
    """The number of statements about results by verdict, and a table with one row per statement."""
    scorecard = read_text_table(folder / "scorecard.csv")
    counts = headline(scorecard)
    lines = [f"Of {counts['results']} statements about results: **{verdicts_in_words(counts)}**.", ""]
    lines += ["| statement | the study | this run | verdict |", "|---|---|---|---|"]
    for kind, words in KINDS.items():
        rows = scorecard[scorecard["kind"] == kind]
        lines += [f"| **{words}** | | | |"] if len(rows) else []
        lines += [
            f"| {_cell(row['statement'])} | {_cell(row['study_value'])} | {_cell(row['this_run'])} | {row['verdict']} |"
            for row in rows.to_dict("records")
        ]
    return lines


def trainings_table(folder: Path) -> list[str]:
    """A table with one row per training: the settings in which the experiments differ, and the main results."""
    trainings = [training for of_experiment in trainings_of(folder).values() for training in of_experiment]
    settings = [in_current_form(training.record["settings"]) for training in trainings]
    keys = [key for key in settings[0] if len({str(one[key]) for one in settings}) > 1]
    heads = [*(f"`{key}`" for key in keys), "seed", "epoch", "validation accuracy", "test images right", "test loss"]
    lines = [f"| experiment | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for training, own in zip(trainings, settings, strict=True):
        epoch, metrics = training.record["selected_epoch"]["epoch"], training.metrics
        cells = [
            training.experiment,
            *(str(own[key]) for key in keys),
            str(training.seed),
            str(epoch),
            f"{training.history.curve('val_accuracy')[epoch - 1]:.3f}",
            f"{metrics['correct']} of {metrics['images']}",
            f"{metrics['loss']:.3f}",
        ]
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return lines


def trainings_of(folder: Path) -> dict[str, list[TrainingResults]]:
    """Experiment to its trainings, one for each seed."""
    selected = read_json(folder / "config.json")["selected"]
    return {
        name: [TrainingResults(name, seed, folder / "runs" / name / f"seed_{seed}") for seed in seeds]
        for name, seeds in selected.items()
    }


def accuracies_table(folder: Path) -> list[str]:
    """A table of accuracies with intervals and baselines; no line for results of versions that did not measure these."""
    files = {name: folder / f"evaluation/{name}.json" for name in trainings_of(folder)}
    if not all(file.is_file() for file in files.values()):
        return []
    heads = [
        "experiment",
        "test images",
        "accuracy, 95 % interval",
        "range of the seeds",
        "balanced accuracy",
        "baselines",
    ]
    lines = ["", "Accuracies, of several seeds the mean, with intervals for other patients (and other seeds)", ""]
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, file in files.items():
        measured = read_json(file)
        accuracy, balanced = measured["seeds"][:2]
        seeds = len(measured["runs"])
        several = seeds > 1
        interval = accuracy["interval"] if several else measured["runs"][0]["metrics"][0]
        cells = [
            f"**{name}** ({counted(seeds, 'seed')})",
            measured["counts"],
            f"{100 * accuracy['mean']:.1f} %" + (f" ({_interval(interval)})" if interval else ""),
            f"{100 * accuracy['least']:.0f} to {100 * accuracy['most']:.0f} %" if several else "–",
            f"{100 * balanced['mean']:.1f} %",
            "; ".join(f"{base['description']} {100 * base['accuracy']:.0f} %" for base in measured["baselines"]),
        ]
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return lines


def rivals_tables(folder: Path) -> list[str]:
    """A table of networks and trivial rivals for each task; no line for results that were published without audits."""
    if not (folder / RIVALS).is_file():
        return []
    predictions, trainings = read_text_table(folder / RIVALS), trainings_of(folder)
    experiments = read_json(folder / "config.json")["settings"]["experiments"]
    lines = []
    for task, of_task in read_json(folder / "data_audit.json")["audits"]["rivals"]["details"].items():
        own = {name: of_network for name, of_network in trainings.items() if experiments[name]["task"] == task}
        split = read_text_table(folder / "split" / f"{task}.csv")
        networks = beside_rivals(own, predictions[predictions["task"] == task], split)
        lines += ["", f"Task {task}: networks and trivial rivals, which see too little to recognise disease", ""]
        lines += [
            "| classifier | test images right | 95 % interval | cross-validation | 95 % interval |",
            "|---|---|---|---|---|",
        ]
        for one in networks:
            seeds = f" ({counted(one['seeds'], 'seed')}, mean)" if one["seeds"] > 1 else ""
            lines.append(
                f"| **{one['experiment']}**{seeds} | {one['correct']:g} of {one['images']} | {_interval(one)} | – | – |"
            )
        for rival in of_task["rivals"]:
            unseen = "" if rival["reaches_network"] else " (the network does not see this)"
            tested, crossed = rival["own_split"], rival["cross_validation"]
            cells = [f"{rival['description']}{unseen}"]
            cells += (
                [f"{tested['correct']} of {tested['images']}", _interval(tested)]
                if tested["reason"] is None
                else ["–", "–"]
            )
            cells += [f"{crossed['accuracy']:.3f}", _interval(crossed)] if crossed["reason"] is None else ["–", "–"]
            lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return lines


def _interval(found: Mapping[str, float]) -> str:
    return f"{100 * found['low']:.0f} to {100 * found['high']:.0f} %"


def remarks_of(folder: Path) -> list[str]:
    """How the run deviates from the study, by its config and its audit."""
    remarks = list(read_json(folder / "config.json")["settings"]["remarks"])
    audit = read_json(folder / "data_audit.json")
    if audit["missing"]:
        remarks.append(f"Missing of the {audit['listed']} images: {', '.join(audit['missing'])}.")
    return remarks


def with_table(document: str, folder: Path, name: str) -> str:
    """Write the table of a folder between its two comment lines in a Markdown text.

    Raises:
        UserError: the lines are missing.
    """
    begin = f"<!-- results of {folder.as_posix()} -->"
    if begin not in document or END not in document.partition(begin)[2]:
        raise UserError(f"{name}: needs the lines {begin} and {END}, between which the table is written")
    before, _, rest = document.partition(begin)
    return f"{before}{begin}\n{results_table(folder)}{END}{rest.partition(END)[2]}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "–"


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of published results")
    parser.add_argument("--document", type=Path, help="Markdown file to write the table into (default: print it)")
    args = parser.parse_args()
    if args.document is None:
        print(results_table(args.folder), end="")
    else:
        text = args.document.read_text(encoding="utf-8")
        write_text(args.document, with_table(text, args.folder, str(args.document)))


if __name__ == "__main__":
    run_stage(main)
