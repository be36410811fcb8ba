"""Measure what audits find in a data set: insert known problems of graded severity, and count those that are reported.

Copies and shared patients are inserted into the images as they are. What the audits report without them counts as known, not
as a false alarm. Marks, contrast and sources that go with a class are inserted after the classes have been permuted among
patients: otherwise, what goes with the classes anyway would be reported in any case.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.audits.confounders import LEVEL
from cxrflow.audits.findings import Audited, DataSet
from cxrflow.audits.insertions import (
    TRANSFORMATIONS,
    Originals,
    Random,
    copy_name,
    some_images,
    with_contrast,
    with_copies,
    with_marks,
    with_permuted_classes,
    with_same_pixels,
    with_shared_patients,
    with_source,
)
from cxrflow.images.grouping import groups_of
from cxrflow.statistics.intervals import clustered_wilson

MOST_INSERTED = 200
"""Copies of a transformation, or shared patients; at most one for each image."""
MOST_IMAGES = 1000
"""Of larger data sets, the images of some patients are drawn: with more images, copies are a little harder to find, and
associations easier."""
REPETITIONS = {"rivals": 10, "confounders": 40}
"""Data sets with permuted classes for each severity, by audit; rivals take seconds each."""
COLUMNS = {
    **dict.fromkeys(("problem", "severity", "audit"), "string"),
    **dict.fromkeys(("images", "inserted", "found"), "Int64"),
    **dict.fromkeys(("recall", "recall_low", "recall_high"), "Float64"),
    **dict.fromkeys(("suspected", "reported", "false", "cases"), "Int64"),
    **dict.fromkeys(("false_share", "false_low", "false_high"), "Float64"),
}
"""Column to type, of the table of `power_table`."""

Audits = Mapping[str, Callable[[DataSet], Audited]]
Pair = frozenset[str]


@dataclass(frozen=True)
class Measured:
    """What an audit reports of a problem that was inserted repeatedly."""

    images: int
    """Images in the data set, without inserted ones."""
    found: NDArray[np.bool_]
    """Whether each inserted problem is reported."""
    groups: NDArray[np.str_]
    """Group (patient) of each inserted problem."""
    false: NDArray[np.bool_]
    """Whether each reported pair or patient, or each data set without a problem, is a false alarm."""
    reported: int | None = None
    """Reported pairs or patients that are not known, or data sets with an alarm; None if this is the number found."""
    suspected: int | None = None
    """Inserted copies that are only suspected."""


@dataclass(frozen=True)
class Known:
    """What the audits report of a data set as it is."""

    pairs: set[Pair] = field(default_factory=set)
    """Pairs of images that show the same picture."""
    patients: set[str] = field(default_factory=set)
    """Patients in several subsets."""


@dataclass(frozen=True)
class Problem:
    """A problem of one severity, and the audit that should report it."""

    name: str
    severity: str
    audit: str
    measure: Callable[[DataSet, Originals, Callable[[DataSet], Audited], Known, Random], Measured | None]
    """Insert it and audit the data set; None if the data set is too small for it."""


def known_before(data: DataSet, audits: Audits) -> Known:
    """Return what the audits report of a data set as it is, of the images that `measure` uses."""
    data = some_images(data, MOST_IMAGES)
    pairs: set[Pair] = set()
    for name in ("duplicates", "look_alikes"):
        if name in audits:
            pairs |= _pairs(audits[name](data).details, "certain")
    patients = _shared_patients(audits["patients"](data).details) if "patients" in audits else {}
    return Known(pairs, set(patients))


def measure(
    problem: Problem, data: DataSet, originals: Originals, audits: Audits, known: Known, seed: int
) -> Measured | None:
    """Insert a problem into a data set and audit it.

    Args:
        problem: one of `PROBLEMS`.
        data: a data set, with pixels.
        originals: its image files.
        audits: audit to its function, among them the problem's.
        known: from `known_before`.
        seed: decides what is inserted where; the same seed gives the same numbers.

    Returns:
        None if the data set is too small for this problem.
    """
    random = np.random.default_rng([seed, crc32(f"{problem.name} {problem.severity}".encode())])
    return problem.measure(some_images(data, MOST_IMAGES), originals, audits[problem.audit], known, random)


def power_table(measured: Sequence[tuple[Problem, Measured]]) -> pd.DataFrame:
    """Tabulate measurements, with `COLUMNS`, one row for each.

    `recall` is found / inserted. `false_share` is false / cases, where the cases are the reported pairs or patients, or, if
    nothing was inserted, the data sets with permuted classes. Both have 95 % intervals (`clustered_wilson`, by the patients of
    the copied images), and are empty without any case.
    """
    rows = []
    for problem, one in measured:
        found, cases = int(one.found.sum()), len(one.false)
        reported = found if one.reported is None else one.reported
        rows.append(
            [
                *(problem.name, problem.severity, problem.audit, one.images, len(one.found), found),
                *_share(one.found, one.groups),
                *(one.suspected, reported, int(one.false.sum()), cases),
                *_share(one.false, np.arange(cases).astype(str)),
            ]
        )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def in_words(row: Mapping[Any, Any]) -> str:
    """Describe a row of the table in one line."""
    found = f"found {_rate(row['found'], row['inserted'], row['recall_low'], row['recall_high'])}"
    false = _rate(row["false"], row["cases"], row["false_low"], row["false_high"])
    false = f"false alarms {false} data sets" if not row["inserted"] else f"false {false} reported"
    parts = [found if row["inserted"] else "", false if row["cases"] else ""]
    return f"{row['problem']}, {row['severity']} ({row['audit']}): {'; '.join(filter(None, parts))}"


def in_markdown(table: pd.DataFrame) -> str:
    """Format the table for people, in Markdown."""
    lines = [
        "| problem | severity | audit | found | 95 % interval | false | 95 % interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        cells = [row["problem"], row["severity"], f"`{row['audit']}`"]
        cells += [f"{row['found']} of {row['inserted']}", _interval(row, "recall")] if row["inserted"] else ["–", "–"]
        unit = "data sets" if not row["inserted"] else "reported"
        cells += [f"{row['false']} of {row['cases']} {unit}", _interval(row, "false")] if row["cases"] else ["–", "–"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _interval(row: Mapping[Any, Any], name: str) -> str:
    return f"{100 * row[f'{name}_low']:.1f} to {100 * row[f'{name}_high']:.1f} %"


def _rate(number: int, of: int, low: float, high: float) -> str:
    return f"{number} of {of} ({100 * low:.1f} to {100 * high:.1f} %)" if of else ""


def _share(hits: NDArray[np.bool_], groups: NDArray[np.str_]) -> tuple[float | None, float | None, float | None]:
    if not len(hits):
        return None, None, None
    return (float(hits.mean()), *clustered_wilson(hits, groups))


# ---- copies -------------------------------------------------------------------------------------------------------------


def _measure_copies(
    transformation: str | None,
) -> Callable[[DataSet, Originals, Callable[[DataSet], Audited], Known, Random], Measured]:
    """Measure copies altered by a transformation; None: the same pixels in other bytes."""

    def measured(
        data: DataSet, originals: Originals, audit: Callable[[DataSet], Audited], known: Known, random: Random
    ) -> Measured:
        images = [image for image in sorted(data.index["image"]) if image in data.pixels]
        chosen = sorted(random.permutation(np.array(images, object))[:MOST_INSERTED].tolist())
        if transformation is None:
            inserted = with_same_pixels(data, chosen, originals, random)
        else:
            inserted = with_copies(data, chosen, transformation, originals, random)
        details = audit(inserted).details
        certain, suspected = (_pairs(details, certainty) for certainty in ("certain", "suspected"))
        original_of = {copy_name(image): image for image in chosen}
        made = [frozenset((image, copy_name(image))) for image in chosen]

        def is_true(pair: Pair) -> bool:
            shown = frozenset(original_of.get(image, image) for image in pair)
            return len(shown) == 1 or shown in known.pairs

        new = sorted(certain - known.pairs, key=sorted)
        group_of = dict(zip(data.index["image"], groups_of(data.index), strict=True))
        return Measured(
            images=len(data.index),
            found=np.array([pair in certain for pair in made], bool),
            groups=np.array([group_of[image] for image in chosen], str),
            false=np.array([not is_true(pair) for pair in new], bool),
            reported=len(new),
            suspected=sum(pair in suspected for pair in made),
        )

    return measured


def _pairs(details: Mapping[str, Any], certainty: str) -> set[Pair]:
    """The pairs of images that `look_alikes` or `duplicates` reports to show the same picture."""
    found = {
        frozenset((one["image"], one["other"]))
        for one in details.get("pairs_found", [])
        if one["certainty"] == certainty
    }
    if certainty == "certain":
        groups = (*details.get("same_bytes", []), *details.get("same_pixels", []))
        found |= {frozenset(pair) for group in groups for pair in combinations(group, 2)}
    return found


# ---- patients -----------------------------------------------------------------------------------------------------------


def _measure_patients(
    data: DataSet, _: Originals, audit: Callable[[DataSet], Audited], known: Known, random: Random
) -> Measured | None:
    """Give test images the patients of training images, in the task with the most images."""
    split = data.splits[max(data.splits, key=lambda task: len(data.splits[task]))].astype({"image": object})
    of_subset = {name: random.permutation(np.sort(part["image"])) for name, part in split.groupby("subset")}
    number = min(MOST_INSERTED, *(len(of_subset.get(subset, ())) for subset in ("training", "test")))
    if not number:
        return None
    pairs = list(zip(of_subset["training"][:number], of_subset["test"][:number], strict=True))
    reported = _shared_patients(audit(with_shared_patients(data, pairs)).details)
    expected = {f"inserted patient {place}": set(pair) for place, pair in enumerate(pairs)}
    new = sorted(set(reported) - known.patients)
    return Measured(
        images=len(data.index),
        found=np.array([images <= reported.get(name, set()) for name, images in expected.items()], bool),
        groups=np.array(list(expected)),
        false=np.array([name not in expected for name in new], bool),
        reported=len(new),
    )


def _shared_patients(details: Mapping[str, Any]) -> dict[str, set[str]]:
    """Patients in several subsets of a task, each with its images."""
    found: dict[str, set[str]] = {}
    for task in details["tasks"].values():
        for patient, subsets in task["in_several_subsets"].items():
            found.setdefault(patient, set()).update(image for images in subsets.values() for image in images)
    return found


# ---- associations -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Association:
    """Something that goes with a class."""

    insert: Callable[[DataSet, Sequence[str]], DataSet] | None
    """Inserts it into images; None: nothing, to count false alarms."""
    share: float
    """Share of the images of the class that have it."""
    audit: str
    is_reported: Callable[[Audited], bool]

    def measure(
        self, data: DataSet, _: Originals, audit: Callable[[DataSet], Audited], known: Known, random: Random
    ) -> Measured | None:
        """Insert it into data sets with permuted classes, of the task with the fewest images, where it is hardest to find."""
        task = min(data.splits, key=lambda name: len(data.splits[name]))
        if data.splits[task]["class"].nunique() < 2:
            return None
        reported, used = [], []
        for repetition in range(REPETITIONS[self.audit]):
            permuted = with_permuted_classes(data, task, repetition)
            if self.insert is not None:
                permuted = self.insert(permuted, self._chosen(permuted, task, repetition, random))
            reported.append(self.is_reported(audit(permuted)))
            used.append(len(permuted.index))
        hits, nothing = np.array(reported, bool), np.array([], bool)
        found, false = (nothing, hits) if self.insert is None else (hits, nothing)
        return Measured(used[0], found, np.arange(len(found)).astype(str), false, int(hits.sum()))

    def _chosen(self, data: DataSet, task: str, repetition: int, random: Random) -> list[str]:
        """Draw the images of one class, another one in each repetition, that get it; at least one."""
        classes = data.classes[task]
        split = data.splits[task]
        images = np.sort(split.loc[split["class"] == classes[repetition % len(classes)], "image"].to_numpy(object))
        number = max(1, round(self.share * len(images)))
        return sorted(random.permutation(images)[:number].tolist())


def _any_finding(audited: Audited) -> bool:
    return bool(audited.findings)


def _associated(audited: Audited, *variables: str) -> bool:
    """Whether one of the variables, or any, is associated with the classes."""
    return any(
        one["p_holm"] is not None and one["p_holm"] <= LEVEL
        for task in audited.details["tasks"].values()
        for name, one in task["associations"].items()
        if not variables or name in variables
    )


def _marks() -> Iterator[Problem]:
    grades = [(0.12, 1.0, 1.0), (0.12, 1.0, 0.5), (0.12, 1.0, 0.25), (0.12, 0.25, 1.0), (0.04, 1.0, 1.0)]
    for side, opacity, share in grades:

        def insert(data: DataSet, images: Sequence[str], side: float = side, opacity: float = opacity) -> DataSet:
            return with_marks(data, images, side, opacity)

        kind = "white" if opacity == 1 else f"{100 * opacity:.0f} % opaque"
        severity = f"{100 * side:.0f} % of the side, {kind}, on {100 * share:.0f} % of the class"
        yield Problem("corner mark", severity, "rivals", Association(insert, share, "rivals", _any_finding).measure)


def _contrasts() -> Iterator[Problem]:
    for factor in (1.4, 1.2, 1.1):

        def insert(data: DataSet, images: Sequence[str], factor: float = factor) -> DataSet:
            return with_contrast(data, images, factor)

        measure_it = Association(insert, 1.0, "rivals", _any_finding).measure
        yield Problem("contrast", f"{factor:g} times, all of the class", "rivals", measure_it)


def _sources() -> Iterator[Problem]:
    def is_reported(audited: Audited) -> bool:
        return _associated(audited, "source")

    for share in (1.0, 0.4, 0.2, 0.1):
        measure_it = Association(with_source, share, "confounders", is_reported).measure
        yield Problem("another source", f"{100 * share:.0f} % of the class", "confounders", measure_it)


def _nothing() -> Iterator[Problem]:
    for audit, is_reported in {"rivals": _any_finding, "confounders": _associated}.items():
        measure_it = Association(None, 0.0, audit, is_reported).measure
        yield Problem("nothing", "classes permuted", audit, measure_it)


PROBLEMS: list[Problem] = [
    Problem("copy", "same pixels in other bytes", "duplicates", _measure_copies(None)),
    *(Problem("copy", name, "look_alikes", _measure_copies(name)) for name in TRANSFORMATIONS),
    Problem("shared patient", "training and test", "patients", _measure_patients),
    *_sources(),
    *_marks(),
    *_contrasts(),
    *_nothing(),
]
"""All problems of all severities."""
