"""Compare the accuracies of the experiments of each task, on the same test images."""

from pathlib import Path

import pandas as pd

from cxrflow.evaluation.experiments import compare_experiments, read_experiment
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.files import read_json, write_json
from cxrflow.io.words import counted


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument(
        "--experiments", type=Path, required=True, help="experiment to its task and the list of its seeds (JSON)"
    )
    parser.add_argument("--runs", type=Path, required=True, help="folder of the trainings: EXPERIMENT/seed_SEED/")
    parser.add_argument("--splits", type=Path, nargs="+", required=True, help="splits (CSV), named after their tasks")
    parser.add_argument("--comparisons", type=Path, required=True, help="comparisons to write (JSON)")
    args = parser.parse_args()
    splits = {path.stem: pd.read_csv(path, dtype=str, keep_default_na=False) for path in args.splits}
    experiments = {
        name: read_experiment(args.runs / name, one["seeds"], one["task"], splits[one["task"]])
        for name, one in read_json(args.experiments).items()
    }
    comparisons = compare_experiments(experiments, splits)
    write_json(args.comparisons, comparisons)
    print(f"{counted(len(comparisons), 'comparison')} of {counted(len(experiments), 'experiment')}")


if __name__ == "__main__":
    run_stage(main)
