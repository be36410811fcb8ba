"""Measure what the audits find in the images of a run: insert known problems of graded severity into copies in memory.

The table has one row for each problem and severity: how many were inserted and found, and how many of the reported ones are
false. Audits that the config sets to `off` are not measured.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from cxrflow.audits.findings import DataSet
from cxrflow.audits.insertions import Originals
from cxrflow.audits.power import PROBLEMS, Known, Measured, Problem, in_words, known_before, measure, power_table
from cxrflow.audits.registry import AUDITS, names_of_audits
from cxrflow.io.command import add_settings, run_stage
from cxrflow.io.errors import UserError
from cxrflow.io.files import write_table
from cxrflow.io.words import duration
from cxrflow.stages.audit_data import data_set_parser, read_data_set
from cxrflow.study.models import AuditSettings, PixelSettings


class PowerSettings(AuditSettings, PixelSettings):
    """The keys of the config that decide what is measured."""


@dataclass(frozen=True)
class Files:
    """The files of a data set, which each process reads."""

    images: Path
    splits: Sequence[Path]
    classes: Mapping[str, list[str]]
    pixels: Sequence[Path]

    def data_set(self) -> DataSet:
        """Read them; pixels are memory-mapped."""
        return read_data_set(pd.read_parquet(self.images), self.splits, self.classes, self.pixels)


def measure_power(
    files: Files, originals: Originals, names: Sequence[str], seed: int, workers: int
) -> Iterator[tuple[Problem, Measured | None]]:
    """Measure all problems that these audits should report, in the order in which they are done.

    Args:
        files: the data set.
        originals: its image files.
        names: audits, keys of `cxrflow.audits.registry.AUDITS`.
        seed: decides what is inserted where.
        workers: processes that measure.

    Yields:
        Each problem, and what was measured; None if the data set is too small for it.
    """
    known = known_before(files.data_set(), {name: AUDITS[name] for name in names})
    places = [place for place, problem in enumerate(PROBLEMS) if problem.audit in names]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = {pool.submit(_measure_one, place, files, originals, known, seed): place for place in places}
        try:
            for job in as_completed(jobs):
                yield PROBLEMS[jobs[job]], job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _measure_one(place: int, files: Files, originals: Originals, known: Known, seed: int) -> Measured | None:
    return measure(PROBLEMS[place], files.data_set(), originals, AUDITS, known, seed)


def main() -> None:
    parser = data_set_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the images")
    add_settings(parser, PowerSettings)
    parser.add_argument("--seed", type=int, default=0, help="seed of what is inserted where (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes that measure (default: %(default)s)")
    parser.add_argument("--power", type=Path, required=True, help="table to write (CSV)")
    args = parser.parse_args()
    names = names_of_audits(args.settings.audits.model_dump())
    if not any(problem.audit in names for problem in PROBLEMS):
        wanted = ", ".join(dict.fromkeys(problem.audit for problem in PROBLEMS))
        raise UserError(f"audits: all audits whose power is measured are off ({wanted}); set one of them to warn")
    files = Files(args.images, args.splits, args.classes, args.pixels)
    began, done = time.monotonic(), []
    of = sum(problem.audit in names for problem in PROBLEMS)
    print(f"inserting {of} problems and severities", flush=True)
    originals = Originals(args.root, args.settings.resampling)
    for number, (problem, found) in enumerate(measure_power(files, originals, names, args.seed, args.workers), 1):
        line = f"{problem.name}, {problem.severity} ({problem.audit}): not measured, the data set is too small"
        if found is not None:
            done.append((problem, found))
            line = in_words(power_table(done[-1:]).to_dict("records")[0])
        print(f"{number}/{of}  {line}  [{duration(time.monotonic() - began)}]", flush=True)
    done.sort(key=lambda one: PROBLEMS.index(one[0]))
    write_table(args.power, power_table(done))


if __name__ == "__main__":
    run_stage(main)
