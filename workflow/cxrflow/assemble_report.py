"""Write the report: one HTML page that tells what was run, how it differs from the study, and what came out.

The page holds its pictures and its style itself; nothing is fetched when it is read. It has no date, so that equal inputs
give equal bytes.
"""

import json
from pathlib import Path

from cxrflow.report.inputs import read_inputs
from cxrflow.report.page import render_page
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.files import write_text


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--settings", type=json.loads, required=True, help="the resolved config, as JSON")
    parser.add_argument("--selected", type=json.loads, required=True, help="JSON: experiment to the list of its seeds")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs (EXPERIMENT/seed_N/...)")
    parser.add_argument("--plots", type=Path, required=True, help="folder of the plots (EXPERIMENT/seed_N/...)")
    parser.add_argument("--networks", type=Path, required=True, help="description of the networks (JSON)")
    parser.add_argument("--audit", type=Path, required=True, help="audit of the images (JSON)")
    parser.add_argument("--assumptions", type=Path, required=True, help="what the study leaves open (CSV)")
    parser.add_argument("--splits", type=Path, nargs="+", required=True, help="splits (CSV), named after their tasks")
    parser.add_argument(
        "--sheets", type=Path, nargs="+", default=[], help="what sheets of the augmentation show (JSON), beside them"
    )
    parser.add_argument("--study-config", type=Path, help="the study's own config (YAML), to tell differing settings")
    parser.add_argument("--locked-versions", type=Path, help="lock file, to tell differing packages")
    parser.add_argument("--scorecard", type=Path, help="judged claims (CSV)")
    parser.add_argument("--page", type=Path, required=True, help="folder of the page's template and style sheet")
    parser.add_argument("--report", type=Path, required=True, help="page to write (HTML)")
    args = parser.parse_args()
    inputs = read_inputs(
        args.settings,
        args.selected,
        runs=args.runs,
        plots=args.plots,
        networks=args.networks,
        audit=args.audit,
        assumptions=args.assumptions,
        splits=args.splits,
        sheets=args.sheets,
        study_config=args.study_config,
        locked_versions=args.locked_versions,
        scorecard=args.scorecard,
    )
    write_text(args.report, render_page(inputs, args.page))
    print(f"{args.report}: {len(inputs.all_runs)} runs of {len(inputs.experiments)} experiments")


if __name__ == "__main__":
    run_stage(main)
