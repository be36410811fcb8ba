"""Seal the rules of claims before the first job of a run."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cxrflow.io.words import counted
from cxrflow.run.hooks import RESULTS


def seal_before_start(claims: Path, seals: Path, seeds: Mapping[str, Sequence[int]]) -> None:
    """Seal the rules of all claims, see `cxrflow.claims.seals`.

    Args:
        claims: claims (CSV).
        seals: file of the seals.
        seeds: experiment to its seeds, of all experiments of the config.

    Raises:
        UserError: the claims have errors.
    """
    # Imported late: the measures import scipy, which a run that only plans does not need.
    from cxrflow.claims.load import load_claims
    from cxrflow.claims.seals import existing_trainings, seal_claims

    commit = git_commit(Path(__file__).parent)
    new = seal_claims(seals, load_claims(claims), seeds, existing_trainings(RESULTS), commit)
    if new:
        print(f"sealed the rules of {counted(new, 'claim')} in {seals}", file=sys.stderr)


def git_commit(folder: Path) -> str:
    """The git commit of a checkout, and `-changed` if files that git knows differ from it; empty if it is no checkout."""

    def git(*arguments: str) -> str | None:
        try:
            run = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
        except FileNotFoundError:  # git is not installed
            return None
        return run.stdout.strip() if run.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    return "" if commit is None else commit + ("-changed" if git("status", "--porcelain", "-uno") else "")
