"""Print how often each rule about curves holds in each kind of null run, for the published results of a study.

A rule that holds in nearly all runs of a kind says nothing that contradicts that kind: see `cxrflow.claims.null_runs`.
"""

from dataclasses import replace
from pathlib import Path
from typing import get_args

from cxrflow.claims.load import load_claims
from cxrflow.claims.model import Claim, Null
from cxrflow.claims.registry import judge_claim
from cxrflow.claims.results import Results
from cxrflow.io.command import stage_parser
from cxrflow.publication.verify_results import published_results

KINDS = get_args(Null)


def rates(claim: Claim, results: Results) -> dict[str, float] | None:
    """Kind of null run to the share in which the rule of a claim holds; None if it is not about curves, or was not run."""
    if judge_claim(claim, replace(results, null_runs=10)).null_rate is None:
        return None
    judged = {kind: judge_claim(replace(claim, arguments={**claim.arguments, "null": kind}), results) for kind in KINDS}
    return {kind: judgement.null_rate for kind, judgement in judged.items() if judgement.null_rate is not None}


def main() -> None:
    parser = stage_parser(__doc__)
    study = Path("studies/sha_2021")
    parser.add_argument(
        "--folder", type=Path, default=study / "results/full_run", help="published results (default: %(default)s)"
    )
    parser.add_argument("--claims", type=Path, default=study / "claims.csv", help="claims (default: %(default)s)")
    parser.add_argument("--null-runs", type=int, default=1000, help="null runs of each kind (default: %(default)s)")
    args = parser.parse_args()
    claims = load_claims(args.claims)
    results = replace(
        published_results(args.folder),
        claims={claim.id: claim for claim in claims},
        null_runs=args.null_runs,
    )
    print("claim                         " + "".join(f"{kind:>22}" for kind in KINDS), flush=True)
    for claim in claims:
        if found := rates(claim, results):
            print(f"{claim.id:30}" + "".join(f"{found[kind]:22.3f}" for kind in KINDS), flush=True)


if __name__ == "__main__":
    main()
