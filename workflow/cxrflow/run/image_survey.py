"""Survey a folder of images for a new study: layout, classes, numbers, patients, and what cannot be used."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import pandas as pd

from cxrflow.images.decode import read_header
from cxrflow.images.detect import Found, find_layout, find_list
from cxrflow.images.index_messages import nearest_files
from cxrflow.images.listing import SPLIT_WORDS, list_images
from cxrflow.io.errors import UserError, one_line, raise_all
from cxrflow.io.words import counted, some_of
from cxrflow.stages.split_images import check_split, split_as_listed, split_stratified
from cxrflow.study.names import SUBSETS, class_problem

FEWEST_IN_PAIR = 6
"""Fewest training and validation images of any two classes together: the t-SNE map needs that many neighbours."""
FRACTIONS = ((0.2, 0.2), (0.25, 0.25), (0.34, 0.5))
"""Test and validation fractions: the usual ones, then those for classes of three images, and for classes of three patients."""

# Names of classes without a finding, as lower-case letters and digits.
ORDINARY = {
    *("normal", "normals", "negative", "neg", "healthy", "control", "controls", "nofinding", "nofindings"),
    *("none", "nothing", "clear", "absent", "no", "false", "0"),
}
NEGATIONS = ("no", "non", "not", "without")
SHORT_WORD = 3
"""Longer words than this mark a class as ordinary even as a part of its name, as in `Chest normal`."""


@dataclass(frozen=True)
class Survey:
    """The contents of a folder of images."""

    found: Found
    split: str
    counts: Counter[tuple[str, str]]
    """(subset by folder or list, or an empty text; class) to the number of images."""
    patients: int = 0
    """Number of patients in the image list or the DICOM headers."""
    by_dicom: bool = False
    """Whether any patient is known only from a DICOM header."""
    modes: Counter[str] = field(default_factory=Counter)
    """Format and mode, such as PNG L, to the number of images."""
    sides: tuple[int, int] = (0, 0)
    """Shortest and longest side, in pixels."""
    bad_images: list[str] = field(default_factory=list)
    """Images that cannot be used, judging by their headers, and why."""
    missing: list[str] = field(default_factory=list)
    """Images of the list that do not exist."""
    fractions: tuple[float, float] = FRACTIONS[0]
    """Test fraction, and validation fraction of the rest, that give each class an image in each subset."""
    lacking: list[str] = field(default_factory=list)
    """Why the images are too few for a run."""

    @property
    def new_subsets(self) -> list[str]:
        """The subsets that a split by cxrflow creates: those without a folder."""
        given = set(self.found.subsets)
        return [] if self.split == "listed" else [subset for subset in ("validation", "test") if subset not in given]

    def lines(self) -> list[str]:
        """Describe the survey in lines of text."""
        folder_of = {"": "images"} | self.found.subsets
        lines = [
            f"{folder_of.get(subset, subset)}: "
            + ", ".join(f"{name} {self.counts[subset, name]}" for name in self.found.classes)
            for subset in dict.fromkeys(subset for subset, _ in self.counts)
        ]
        if self.found.subsets and "test" in self.new_subsets:
            lines.append(f"no folder of test images: the test set is split off from {self.found.subsets['train']}/")
        kinds = ", ".join(f"{mode} {count}" for mode, count in self.modes.most_common(6))
        lines.append(f"{kinds}; {self.sides[0]} to {self.sides[1]} pixels per side")
        if self.found.columns:
            lines.append("columns: " + ", ".join(f"{word} is {name}" for word, name in self.found.columns.items()))
        source = "in DICOM headers (PatientID)" if self.by_dicom else "in the list"
        lines.append(f"patients: {self.patients} {source}" if self.patients else "patients: unknown")
        lines += self.found.remarks
        if self.bad_images:
            lines.append(f"cannot be used: {counted(len(self.bad_images), 'image')}, such as {self.bad_images[0]}")
        if self.missing:
            lines.append(f"missing: {counted(len(self.missing), 'image')} of the list, such as {self.missing[0]}")
        lines += [f"too few images: {line}" for line in self.lacking]
        if self.found.left_alone:
            lines.append(f"not used: {some_of(self.found.left_alone, 5)}")
        return [one_line(line) for line in lines]


def survey_images(folder: Path, image_list: Path | None = None, columns: Mapping[str, str] | None = None) -> Survey:
    """Survey a folder of images; only their headers are read.

    Args:
        folder: folder of the images.
        image_list: CSV that lists the images in it, or None for class folders.
        columns: columns of the list with unusual names, such as {"label": "finding"}.

    Raises:
        UserError: the folder does not exist, no image can be used, or cxrflow does not support the layout.
    """
    found = find_layout(folder) if image_list is None else find_list(image_list, folder, columns or {})
    raise_all([f"class {name!r}: {why}" for name in found.classes if (why := class_problem(name))])
    index = list_images(folder, found.classes, found.layout, found.table.as_frame() if found.table else None)
    return _survey_headers(folder, found, "listed" if found.has_split else "stratified", index)


def _survey_headers(folder: Path, found: Found, split: str, index: pd.DataFrame) -> Survey:
    """Count the listed images, and read their headers."""
    modes: Counter[str] = Counter()
    sides, bad_images, missing, status = [], [], [], []
    patients_of: dict[str, str | None] = {}
    for image, problem in index[["image", "problem"]].itertuples(index=False):
        path = folder / image
        status.append("unreadable")
        if not problem and not os.path.lexists(path):
            missing.append(image)
            continue
        try:
            raise_all([problem] if problem else [])
            header = read_header(path)
        except UserError as wrong:
            bad_images.append(f"{path}: {wrong}")
            continue
        status[-1] = "ok"
        modes[f"{header.format} {header.mode}"] += 1
        sides += [header.width, header.height]
        patients_of[image] = header.dicom_patient
    nearest = nearest_files(folder, missing) if missing else {}
    absent = [f"{folder / image}" + (f" (is it {nearest[image]}?)" if image in nearest else "") for image in missing]
    if not sides:
        raise UserError([*[f"{path}: missing" for path in absent[:5]], *bad_images[:5], "no image can be used"])
    subset_of = index["listed_subset" if split == "listed" else "subset_folder"]
    images = index.groupby([subset_of, "class"]).size()
    order = SPLIT_WORDS if split == "listed" else ("", *SUBSETS)
    subsets = [subset for subset in order if subset in set(subset_of)]
    counts = Counter(
        {(subset, name): int(images.get((subset, name), 0)) for subset in subsets for name in found.classes}
    )
    listed = index["patient"]
    index = index.assign(patient=listed.fillna(index["image"].map(patients_of)))
    by_dicom = bool((index["patient"].notna() & listed.isna()).any())
    fractions, lacking = _choose_fractions(index.assign(status=status), found.classes, split)
    patients, span = index["patient"].nunique(), (min(sides), max(sides))
    return Survey(found, split, counts, patients, by_dicom, modes, span, bad_images, absent, fractions, lacking)


def _choose_fractions(index: pd.DataFrame, classes: list[str], split: str) -> tuple[tuple[float, float], list[str]]:
    """Choose the first of FRACTIONS that gives each class an image in each subset.

    Returns:
        The fractions, and what a run still lacks with them. If none of FRACTIONS is possible, the first.
    """
    index = index.assign(sha256=pd.Series(pd.NA, index.index, "string"))  # unknown; only headers are read
    lacking = []
    for fractions in FRACTIONS:
        rows = split_as_listed(index, classes) if split == "listed" else split_stratified(index, classes, *fractions, 0)
        try:
            check_split(rows, classes)
        except UserError as wrong:
            lacking.append([message.removeprefix("split: ").partition(";")[0] for message in wrong.messages])
            continue
        counts = rows.loc[rows["subset"] != "test", "class"].value_counts()
        few = [pair for pair in combinations(classes, 2) if counts[list(pair)].sum() < FEWEST_IN_PAIR]
        return fractions, [
            f"fewer than {FEWEST_IN_PAIR} images of {one} and {other} outside the test set" for one, other in few
        ]
    return FRACTIONS[0], lacking[0]


def likely_positive(classes: list[str]) -> tuple[str | None, str]:
    """Guess the class that sensitivity and specificity refer to, from the names of the classes.

    Returns:
        The class, or None if there are more than two; and the reason, as a comment for study.yaml.
    """
    if len(classes) != 2:
        return None, "the class that sensitivity and specificity refer to; empty: they are not reported"
    what = "sensitivity and specificity refer to this class"
    ordinary = [name for name in classes if _is_ordinary(name, *(other for other in classes if other != name))]
    if len(ordinary) == 1:
        (positive,) = set(classes) - set(ordinary)
        return positive, f"{what}, since {ordinary[0]} is the class without a finding"
    return min(classes), f"{what}, the first one; choose the other if that is the finding"


def _is_ordinary(name: str, other: str) -> bool:
    words = re.findall(r"[^\W_]+", name.casefold())
    plain, plain_other = "".join(words), re.sub(r"[\W_]", "", other.casefold())
    negated = any(word in NEGATIONS for word in words)
    part = not negated and any(word in ORDINARY and len(word) > SHORT_WORD for word in words)
    return part or plain in ORDINARY or plain in {f"{no}{plain_other}" for no in NEGATIONS}
