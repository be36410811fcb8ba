"""Write the report: one HTML page with what was run, how it differs from the study, and the results.

The page contains its pictures and its style sheet; reading it fetches nothing. It has no date, so that equal inputs give equal
bytes.
"""

import json
from pathlib import Path

from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.files import read_json, write_text
from cxrflow.io.words import counted
from cxrflow.report.inputs import read_inputs
from cxrflow.report.page import render_page


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="resolved config (JSON)")
    parser.add_argument("--selected", type=Path, required=True, help="experiment to the list of its seeds (JSON)")
    parser.add_argument(
        "--explained", type=Path, required=True, help="experiment to the list of the seeds that are explained (JSON)"
    )
    parser.add_argument("--runs", type=Path, required=True, help="folder of the trainings: EXPERIMENT/seed_SEED/")
    parser.add_argument("--plots", type=Path, required=True, help="folder of the plots: EXPERIMENT/seed_SEED/")
    parser.add_argument("--networks", type=Path, required=True, help="description of the built networks (JSON)")
    parser.add_argument("--audit", type=Path, required=True, help="audit of the data (JSON)")
    parser.add_argument("--rivals", type=Path, required=True, help="predictions of the trivial rivals (CSV)")
    parser.add_argument("--open-points", type=Path, help="what the study leaves open (CSV)")
    parser.add_argument("--splits", type=Path, nargs="+", required=True, help="splits (CSV), named after their tasks")
    parser.add_argument(
        "--evaluation", type=Path, required=True, help="folder of what is measured: EXPERIMENT.json, comparisons.json"
    )
    parser.add_argument(
        "--folds", type=Path, nargs="+", default=[], help="cross-validations (JSON), named after their experiments"
    )
    parser.add_argument(
        "--plans", type=Path, help="folder of the augmentation plans: TASK/seed_SEED/epochs_EPOCHS.parquet"
    )
    parser.add_argument(
        "--sheets", type=Path, nargs="+", default=[], help="augmentation sheets (JSON), next to their pictures"
    )
    parser.add_argument(
        "--external-results", type=Path, nargs="+", default=[], help="results of the external test (EXPERIMENT.json)"
    )
    parser.add_argument("--study", type=Path, help="study.yaml of the study, to report settings that differ")
    parser.add_argument("--locked-versions", type=Path, help="lock file, to report package versions that differ")
    parser.add_argument("--scorecard", type=Path, help="judged claims (CSV)")
    parser.add_argument(
        "--failed", type=json.loads, default={}, help="JSON: trainings that are not finished, each with the reason"
    )
    parser.add_argument("--page", type=Path, required=True, help="folder of the page template and style sheet")
    parser.add_argument("--report", type=Path, required=True, help="page to write (HTML)")
    arguments = vars(parser.parse_args())
    page, report = arguments.pop("page"), arguments.pop("report")
    arguments |= {name: read_json(arguments[name]) for name in ("settings", "selected", "explained")}
    inputs = read_inputs(**arguments)
    write_text(report, render_page(inputs, page))
    trainings, experiments = len(inputs.all_trainings), len(inputs.experiments)
    print(f"{report}: {counted(trainings, 'training')} of {counted(experiments, 'experiment')}")


if __name__ == "__main__":
    run_stage(main)
