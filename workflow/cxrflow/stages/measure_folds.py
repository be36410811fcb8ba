"""Pool the predictions of a cross-validation, and compute all metrics with intervals that respect folds and patients."""

from pathlib import Path

from cxrflow.evaluation.folds import measure_folds, pooled_predictions, read_folds
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.files import write_json, write_table
from cxrflow.io.words import counted


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the trainings: FOLD/seed_REPEAT/")
    parser.add_argument("--splits", type=Path, required=True, help="folder of the splits: FOLD.csv")
    parser.add_argument("--experiment", required=True, help="name of the experiment")
    parser.add_argument("--task", required=True, help="name of its task")
    parser.add_argument("--folds", type=int, required=True, help="number of folds")
    parser.add_argument("--repeats", type=int, required=True, help="number of repeats")
    parser.add_argument("--evaluation", type=Path, required=True, help="everything that is measured, to write (JSON)")
    parser.add_argument("--table", type=Path, required=True, help="pooled predictions, to write (CSV)")
    args = parser.parse_args()
    classes, folds = read_folds(args.runs, args.splits, args.experiment, args.task, args.folds, args.repeats)
    results = measure_folds(folds, args.task, classes)
    write_json(args.evaluation, results)
    write_table(args.table, pooled_predictions(folds))
    accuracy, mean = results["pooled"][0]["metrics"][0], results["mean"]
    print(
        f"{counted(args.repeats, 'repeat')} of {args.folds} folds; {accuracy['right']} of {accuracy['counts']} right in the "
        f"first one (95 % interval {accuracy['low']:.0%} to {accuracy['high']:.0%}); mean of all folds {mean['value']:.1%}"
    )


if __name__ == "__main__":
    run_stage(main)
