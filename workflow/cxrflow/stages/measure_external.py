"""Compute all metrics of an experiment on an external test, and the drops from the test images of the study to it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.evaluation.external import measure_external, shared_in_words
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import one_line
from cxrflow.io.files import read_json, write_json, write_table
from cxrflow.stages.measure_results import metrics_table


def _drops(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of `drop_rows` for the table, with their seeds; metrics are `drop_accuracy` and so on."""
    by_seed = [(one["seed"], one["rows"]) for one in results["drops"]]
    by_seed += [("ensemble", results["drops_of_ensemble"] or []), ("mean", results["drops_over_seeds"] or [])]
    yield from ({"seed": seed, **row, "metric": f"drop_{row['metric']}"} for seed, rows in by_seed for row in rows)


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the experiment's trainings: seed_SEED/")
    parser.add_argument("--seeds", type=int, nargs="+", required=True, help="seeds of the trainings")
    parser.add_argument("--split", type=Path, required=True, help="split of the task (CSV), named after it")
    parser.add_argument("--images", type=Path, required=True, help="index of the images (Parquet)")
    parser.add_argument("--external-images", type=Path, required=True, help="index of the external test (Parquet)")
    parser.add_argument("--internal", type=Path, required=True, help="what is measured on the test images (JSON)")
    parser.add_argument("--evaluation", type=Path, required=True, help="everything that is measured, to write (JSON)")
    parser.add_argument("--table", type=Path, required=True, help="metrics, drops and intervals, to write (CSV)")
    args = parser.parse_args()
    split = pd.read_csv(args.split, dtype=str, keep_default_na=False)
    images, external = map(pd.read_parquet, (args.images, args.external_images))
    results = measure_external(
        args.runs, args.seeds, args.split.stem, split, images, external, read_json(args.internal)
    )
    write_json(args.evaluation, results)
    table = metrics_table(results)
    write_table(args.table, pd.concat([table, pd.DataFrame(list(_drops(results)), columns=table.columns)]))
    if shared := results["left_out"]["shared"]:
        print(one_line(f"warning: external test: {shared_in_words(shared)}; left out"))
    place = [run["seed"] for run in results["runs"]].index(results["median_seed"])
    accuracy, drop = results["runs"][place]["metrics"][0], results["drops"][place]["rows"][0]
    print(
        f"external test, seed {results['median_seed']}: {accuracy['right']} of {accuracy['counts']} right; "
        f"drop of the accuracy {drop['value']:+.1%} (95 % interval {drop['low']:+.1%} to {drop['high']:+.1%})"
    )


if __name__ == "__main__":
    run_stage(main)
