"""Seals: which rules were fixed before which trainings.

A rule that is written after its results are known can be made to fit them. Before the first job of a run, each claim is
therefore sealed: a hash of its stated value, its rule and the number of its seeds is written to a file, with the git commit
of the checkout and the trainings that exist by then. A seed whose training is among these is exploratory: it is shown, but
the verdict is that of seeds trained later. A rule that is changed gets a new seal, and one that is changed back its old one.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxrflow.claims.model import Claim, Seal
from cxrflow.claims.registry import MEASURES
from cxrflow.io.code_hash import module_hash
from cxrflow.io.files import canonical_json, read_json, sha256_of_text, write_json

JUDGING = (
    "cxrflow.claims.judge",
    "cxrflow.claims.verdict",
    "cxrflow.statistics.predictive",
    "cxrflow.statistics.intervals",
)
"""The code that turns observations into verdicts, which is part of each seal."""


def seal_hash(claim: Claim, seeds: Mapping[str, Sequence[int]]) -> str:
    """Hash what decides the verdict on a claim: stated value, measure, arguments, the code of the measure, and seeds.

    Args:
        claim: its statement and other words are not part of the hash.
        seeds: experiment to its seeds; experiments that are missing have none.

    Returns:
        16 hexadecimal digits.
    """
    measure = MEASURES[claim.measure]
    parts = {
        "experiments": {name: list(seeds.get(name, ())) for name in claim.experiments},
        "value": claim.value,
        "measure": claim.measure,
        "arguments": claim.arguments,
        "code": [module_hash(name) for name in (measure.module, *JUDGING)],
    }
    return sha256_of_text(canonical_json(parts))[:16]


def seal_claims(
    file: Path,
    claims: Sequence[Claim],
    seeds: Mapping[str, Sequence[int]],
    existing: Collection[str],
    commit: str,
) -> int:
    """Seal the claims whose rules have no seal yet.

    Args:
        file: the seals so far, to which new ones are added (JSON).
        claims: all claims of a run.
        seeds: experiment to its seeds.
        existing: identities of the trainings that exist, even if they are not finished.
        commit: git commit of the checkout.

    Returns:
        The number of claims that got a new seal.
    """
    events: list[dict[str, Any]] = read_json(file)["events"] if file.is_file() else []
    hashes = {claim.id: seal_hash(claim, seeds) for claim in claims}
    new = {name: seal for name, seal in hashes.items() if _sealed_in(events, name, seal) is None}
    if new:
        time = datetime.now(UTC).isoformat(timespec="seconds")
        events.append({"time": time, "commit": commit, "existing": sorted(existing), "seals": new})
    current = {name: _sealed_in(events, name, seal) for name, seal in hashes.items()}
    write_json(file, {"events": events, "current": current})
    return len(new)


def read_seals(file: Path) -> dict[str, Seal]:
    """Read the current seal of each claim."""
    known = read_json(file)
    seals = {}
    for name, number in known["current"].items():
        event = known["events"][number]
        seals[name] = Seal(event["seals"][name], event["commit"], frozenset(event["existing"]))
    return seals


def existing_trainings(results: Path) -> set[str]:
    """The identities of all trainings that are in the folder of results, finished or not."""
    kept = {folder.name for folder in (results / "checkpoints").glob("*") if folder.is_dir()}
    records = results.glob("*/runs/*/seed_*/training.json")
    return kept | {str(read_json(record)["identity"]) for record in records}


def _sealed_in(events: Sequence[Mapping[str, Any]], claim: str, seal: str) -> int | None:
    """The first event in which a claim got this seal."""
    return next((number for number, event in enumerate(events) if event["seals"].get(claim) == seal), None)
