"""Compute all metrics of an experiment's predictions, with intervals, over seeds and beside baselines."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.evaluation.experiments import measure_experiment, read_experiment
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.files import write_json, write_table
from cxrflow.io.words import counted

COLUMNS = ("metric", "class", "value", "low", "high", "method", "counts", "right", "of", "by_chance", "reason")


def metrics_table(results: Mapping[str, Any]) -> pd.DataFrame:
    """The metrics of `measure_experiment` as one table, with the columns seed and COLUMNS.

    `seed` is a number, `ensemble`, or `mean` for the mean over seeds.
    """
    return pd.DataFrame(list(_rows(results)), columns=["seed", *COLUMNS])


def _rows(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for run in results["runs"]:
        yield from ({"seed": run["seed"], **row} for row in run["metrics"])
    for row in results["ensemble"] or []:
        yield {"seed": "ensemble", **row}
    for row in results["seeds"] if len(results["runs"]) > 1 else []:
        yield {"seed": "mean", **row, "value": row["mean"], **(row["interval"] or {})}


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the experiment's trainings: seed_SEED/")
    parser.add_argument("--seeds", type=int, nargs="+", required=True, help="seeds of the trainings")
    parser.add_argument("--split", type=Path, required=True, help="split of the task (CSV), named after it")
    parser.add_argument("--evaluation", type=Path, required=True, help="everything that is measured, to write (JSON)")
    parser.add_argument("--table", type=Path, required=True, help="metrics and intervals, to write (CSV)")
    args = parser.parse_args()
    split = pd.read_csv(args.split, dtype=str, keep_default_na=False)
    results = measure_experiment(read_experiment(args.runs, args.seeds, args.split.stem, split), split)
    write_json(args.evaluation, results)
    write_table(args.table, metrics_table(results))
    accuracy = results["runs"][[run["seed"] for run in results["runs"]].index(results["median_seed"])]["metrics"][0]
    print(
        f"{counted(len(args.seeds), 'seed')}; the median run, seed {results['median_seed']}, has {accuracy['right']} of "
        f"{accuracy['counts']} right (95 % interval {accuracy['low']:.0%} to {accuracy['high']:.0%})"
    )


if __name__ == "__main__":
    run_stage(main)
