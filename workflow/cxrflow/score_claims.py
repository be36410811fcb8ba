"""Judge every claim by the runs: the scorecard.

Reads the claims, the resolved settings, the built networks, the audit of the data and the files of the selected runs; writes
one row for each claim with what was found, a verdict and its reason.
"""

import json
from pathlib import Path
from typing import Any

from cxrflow.claims.headline import headline
from cxrflow.claims.load import load_claims
from cxrflow.claims.runs import Runs
from cxrflow.claims.score import score
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import read_json, write_table


def selected_runs(selected: Any, settings: Any) -> dict[str, list[int]]:
    """Check which runs to use: experiment to seeds.

    Raises:
        Fault: the settings know nothing of an experiment.
    """
    unknown = [name for name in selected if name not in settings["experiments"]]
    if unknown:
        raise Fault([f"--selected: the settings have no experiment '{name}'" for name in unknown])
    return {name: [int(seed) for seed in seeds] for name, seeds in selected.items()}


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--claims", type=Path, required=True, help="claims (CSV)")
    parser.add_argument(
        "--settings", type=json.loads, required=True, help="resolved config as JSON: experiments, augmentation"
    )
    parser.add_argument("--selected", type=json.loads, required=True, help="JSON: experiment to the seeds of its runs")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs: EXPERIMENT/seed_SEED/")
    parser.add_argument("--networks", type=Path, required=True, help="description of the built networks (JSON)")
    parser.add_argument("--audit", type=Path, required=True, help="audit of the data (JSON)")
    parser.add_argument("--scorecard", type=Path, required=True, help="scorecard to write (CSV)")
    args = parser.parse_args()
    claims = load_claims(args.claims)
    runs = Runs(
        folder=args.runs,
        selected=selected_runs(args.selected, args.settings),
        settings=args.settings,
        networks=read_json(args.networks),
        audit=read_json(args.audit),
    )
    scorecard = score(claims, runs)
    write_table(args.scorecard, scorecard)
    counts = headline(scorecard)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts["verdicts"].items() if count)
    print(f"{counts['claims']} claims; of {counts['results']} results {told or 'none'}")


if __name__ == "__main__":
    run_stage(main)
