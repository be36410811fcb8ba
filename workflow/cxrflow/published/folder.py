"""A folder of published results: which files it has, its hashes, and how it takes its place whole."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cxrflow.stage.faults import Fault, raise_all
from cxrflow.stage.files import sha256_of_file, write_text

SUMS = "SHA256SUMS"
OF_RUN = (
    "history.csv",
    "timing.csv",
    "training.json",
    "predictions.csv",
    "metrics.json",
    "embedding.csv",
    "separation.json",
)
OF_PLOTS = ("curves.svg", "confusion.svg", "embedding.svg")

Selected = Mapping[str, Sequence[int]]
"""Experiment to the seeds of its runs."""


def files_of_run(experiment: str, seed: int) -> list[str]:
    """The files of one run, as paths below the folder."""
    run = f"{experiment}/seed_{seed}"
    return [*(f"runs/{run}/{name}" for name in OF_RUN), *(f"plots/{run}/{name}" for name in OF_PLOTS)]


def files_of_runs(selected: Selected) -> list[str]:
    """The files of all runs, as paths below the folder."""
    return [name for experiment, seeds in selected.items() for seed in seeds for name in files_of_run(experiment, seed)]


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder to fill; with its files' hashes it takes the place of `folder` when the block ends well.

    Raises:
        Fault: there is something at that place that no earlier publication has put there.
    """
    raise_all(_not_published(folder))
    part = folder.with_name(f".part-{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        names = sorted(path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
        write_text(part / SUMS, "".join(f"{sha256_of_file(part / name)}  {name}\n" for name in names))
        old = folder.with_name(f".old-{folder.name}")
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.replace(old)
        part.replace(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _not_published(folder: Path) -> list[str]:
    """One message for each of what a folder holds beside the files of its SHA256SUMS."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        return [f"{folder}: there is a file of this name; name a new folder"]
    known = {SUMS, *(_listed(folder) if (folder / SUMS).is_file() else {})}
    own = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    found = [name for name in own if name not in known]
    more = f" and {len(found) - 3} others" if len(found) > 3 else ""
    return [f"{folder}: holds {', '.join(found[:3])}{more}, not published before; name a new folder"] if found else []


def _listed(folder: Path) -> dict[str, str]:
    """Path below the folder to SHA-256, as SHA256SUMS has them."""
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def changed_files(folder: Path) -> list[str]:
    """One message for each file of SHA256SUMS that is missing or another."""
    sums = folder / SUMS
    if not sums.is_file():
        raise Fault(f"{sums} is missing; cxrflow.publish_results writes it")
    messages = []
    for name, digest in _listed(folder).items():
        if not (folder / name).is_file():
            messages.append(f"{folder / name} is missing")
        elif sha256_of_file(folder / name) != digest:
            messages.append(f"{folder / name} is not the published file: its SHA-256 is another")
    return messages
