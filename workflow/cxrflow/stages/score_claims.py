"""Judge every claim and write the scorecard.

Reads the claims, the resolved config, the built networks, the audit of the data and the files of the selected trainings.
Writes one row per claim: the value found in this run, the verdict and the reason.
"""

from pathlib import Path
from typing import Any

from cxrflow.claims.load import load_claims
from cxrflow.claims.results import Results
from cxrflow.claims.scorecard import headline, score, verdicts_in_words
from cxrflow.claims.seals import read_seals
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json, write_table
from cxrflow.io.words import counted


def selected_runs(selected: Any, settings: Any) -> dict[str, list[int]]:
    """Check the selected trainings: experiment to its seeds.

    Raises:
        UserError: an experiment is not in the settings.
    """
    unknown = [name for name in selected if name not in settings["experiments"]]
    if unknown:
        raise UserError([f"--selected: the settings have no experiment '{name}'" for name in unknown])
    return {name: [int(seed) for seed in seeds] for name, seeds in selected.items()}


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--claims", type=Path, required=True, help="claims (CSV)")
    parser.add_argument("--settings", type=Path, required=True, help="resolved config (JSON)")
    parser.add_argument("--selected", type=Path, required=True, help="experiment to the list of its seeds (JSON)")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the trainings: EXPERIMENT/seed_SEED/")
    parser.add_argument("--splits", type=Path, required=True, help="folder of the splits: TASK.csv")
    parser.add_argument("--seals", type=Path, help="seals of the claims (JSON); without it, no seed is exploratory")
    parser.add_argument("--networks", type=Path, required=True, help="description of the built networks (JSON)")
    parser.add_argument("--audit", type=Path, required=True, help="audit of the data (JSON)")
    parser.add_argument("--scorecard", type=Path, required=True, help="scorecard to write (CSV)")
    args = parser.parse_args()
    claims, settings = load_claims(args.claims), read_json(args.settings)
    results = Results(
        folder=args.runs,
        selected=selected_runs(read_json(args.selected), settings),
        settings=settings,
        networks=read_json(args.networks),
        audit=read_json(args.audit),
        splits=args.splits,
        seals=read_seals(args.seals) if args.seals else None,
    )
    scorecard = score(claims, results)
    write_table(args.scorecard, scorecard)
    counts = headline(scorecard)
    print(
        f"{counted(counts['claims'], 'claim')}; of {counted(counts['results'], 'result')} {verdicts_in_words(counts)}"
    )


if __name__ == "__main__":
    run_stage(main)
