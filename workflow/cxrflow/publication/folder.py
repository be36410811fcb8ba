"""A folder of published results: its files, their hashes, and its replacement in one step."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.files import PARTS, aside, remove_abandoned, sha256_of_file, write_text
from cxrflow.io.words import some_of

SUMS = "SHA256SUMS"
RIVALS = "audits/rivals.csv"
SEALS = "seals.json"
"""Joined results, and those of earlier versions, lack this file."""
VALIDATION = "validation_predictions.csv"
"""Results of earlier versions lack this file."""
OF_RUN = (
    "history.csv",
    "timing.csv",
    "training.json",
    "predictions.csv",
    VALIDATION,
    "metrics.json",
    "embedding.csv",
    "separation.json",
)
OF_PLOTS = ("curves.svg", "confusion.svg", "embedding.svg")
EXPLANATIONS = "explanations.json"
COMPARISONS = "evaluation/comparisons.json"

Selected = Mapping[str, Sequence[int]]
"""Experiment to the seeds of its trainings."""


def files_of_run(experiment: str, seed: int) -> list[str]:
    """The files of one training, relative to the folder."""
    run = f"{experiment}/seed_{seed}"
    return [*(f"runs/{run}/{name}" for name in OF_RUN), *(f"plots/{run}/{name}" for name in OF_PLOTS)]


def files_of_evaluation(selected: Selected) -> list[str]:
    """What is measured and plotted of all seeds of experiments, relative to the folder."""
    by_experiment = [
        file
        for name in selected
        for file in (f"evaluation/{name}.json", f"evaluation/{name}.csv", f"plots/{name}/evaluation.svg")
    ]
    return [*by_experiment, COMPARISONS]


def explanations_of_run(experiment: str, seed: int) -> str:
    """What the explanation of a training measures, relative to the folder."""
    return f"runs/{experiment}/seed_{seed}/{EXPLANATIONS}"


def files_of_explanation(experiment: str, seed: int) -> list[str]:
    """The files of the explanation of one training, with the pictures, which are not published."""
    plots = f"plots/{experiment}/seed_{seed}"
    return [explanations_of_run(experiment, seed), f"{plots}/explanations.svg", f"{plots}/heat_maps.json"]


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder to fill, which replaces `folder` when the block ends without an error.

    Hashes of its files are added as SHA256SUMS.

    Raises:
        UserError: `folder` has files that were not published by an earlier call, or is a file.
    """
    remove_abandoned([*folder.parent.glob(PARTS), *folder.parent.glob(".old-*")])
    raise_all(_unpublished_files(folder))
    part, old = aside(folder), aside(folder, "old")
    part.mkdir(parents=True)
    try:
        yield part
        names = sorted(path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
        write_text(part / SUMS, "".join(f"{sha256_of_file(part / name)}  {name}\n" for name in names))
        if folder.exists():
            folder.replace(old)
        part.replace(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _unpublished_files(folder: Path) -> list[str]:
    """A message if a folder has files that are not in its SHA256SUMS, or is a file itself."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        return [f"{folder}: there is a file of this name; choose another folder"]
    known = {SUMS, *(_listed(folder) if (folder / SUMS).is_file() else {})}
    own = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    found = [name for name in own if name not in known]
    return [f"{folder}: has files that were not published: {some_of(found, 3)}; choose another folder"] if found else []


def _listed(folder: Path) -> dict[str, str]:
    """File to SHA-256, as in SHA256SUMS."""
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def changed_files(folder: Path) -> list[str]:
    """Compare a folder with its SHA256SUMS: one message for each file that is missing or different."""
    sums = folder / SUMS
    if not sums.is_file():
        raise UserError(f"{sums} is missing; `cxrflow publish` writes it")
    messages = []
    for name, digest in _listed(folder).items():
        if not (folder / name).is_file():
            messages.append(f"{folder / name} is missing")
        elif sha256_of_file(folder / name) != digest:
            messages.append(f"{folder / name} is not the published file: its SHA-256 is different")
    return messages
