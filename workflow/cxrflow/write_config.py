"""Write a config for a folder of one's own images, each key with a comment, ready to be run; and say what is there.

Opens each image's header alone. The folder holds train/<class>/ and test/<class>/, or <class>/ alone; or --image-list names a
CSV of the files in it (path, label, and where known split, patient). What a folder cannot tell, such as which images show the
same patient, stands in the config as a comment, for you to say.
"""

import os
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from cxrflow.config.read import laid_over, read_config, read_yaml
from cxrflow.images import SUBSET_FOLDERS
from cxrflow.images.decode import read_header
from cxrflow.images.folder import SUFFIXES, folder_contents
from cxrflow.images.listing import list_images
from cxrflow.machine.findings import some_of
from cxrflow.split_images import check_split, split_as_listed, split_stratified
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, one_line, raise_all
from cxrflow.stage.files import write_text
from cxrflow.stage.tables import read_csv_as_text

STUDY_CONFIG = Path(__file__).resolve().parents[2] / "config.yaml"
LARGEST_PERPLEXITY = 30
FEWEST_IN_PAIR = 6  # of any two classes, for the neighbours of the t-SNE map
# Of the test and of validation: as usual, and for classes of four and of three images.
FRACTIONS = ((0.2, 0.2), (0.25, 0.25), (0.34, 0.5))


@dataclass(frozen=True)
class Seen:
    """What lies in a folder."""

    layout: str
    split: str
    classes: list[str]
    counts: Counter[tuple[str, str]]
    """(train, test or an empty text; class) to the number of images."""
    patients: int = 0
    """Patients that the image list names."""
    modes: Counter[str] = field(default_factory=Counter)
    sides: tuple[int, int] = (0, 0)
    """Shortest and longest side, in pixels."""
    faults: list[str] = field(default_factory=list)
    """What is wrong with images, by their headers."""
    missing: list[str] = field(default_factory=list)
    """Images that the list names and that are not there."""
    fractions: tuple[float, float] = FRACTIONS[0]
    """Shares of the test, and of validation in the rest, that give each class an image in each subset."""
    lacking: list[str] = field(default_factory=list)
    """Why no run can be made of these images."""
    left_alone: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The same in words."""
        told = [
            f"{subset or 'images'}: " + ", ".join(f"{name} {self.counts[subset, name]}" for name in self.classes)
            for subset in dict.fromkeys(subset for subset, _ in self.counts)
        ]
        kinds = ", ".join(f"{mode} {count}" for mode, count in self.modes.most_common(6))
        told.append(f"{kinds}; {self.sides[0]} to {self.sides[1]} pixels a side")
        told.append(f"patients: {self.patients} in the list" if self.patients else "patients: not known")
        if self.faults:
            told.append(f"cannot be used: {len(self.faults)} images, such as {self.faults[0]}")
        if self.missing:
            told.append(f"missing: {len(self.missing)} images of the list, such as {self.missing[0]}")
        told += [f"too few images: {line}" for line in self.lacking]
        if self.left_alone:
            told.append(f"left alone: {some_of(self.left_alone, 5)}")
        return [one_line(line) for line in told]


def look_at(folder: Path, image_list: Path | None = None) -> Seen:
    """Look through a folder of images.

    Raises:
        Fault: it does not exist, or is laid out otherwise than cxrflow takes it.
    """
    if not folder.is_dir():
        raise Fault(f"{folder}: no such folder")
    if image_list is not None:
        return _look_at_list(folder, image_list)
    there = {path.name for path in folder.iterdir() if path.is_dir()}
    layout = "train_test" if set(SUBSET_FOLDERS) <= there else "classes"
    inner = [folder / name for name in SUBSET_FOLDERS] if layout == "train_test" else [folder]
    names = sorted({path.name for part in inner for path in part.iterdir() if path.is_dir()})
    classes = [name for name in names if all(folder_contents(part / name).images for part in inner)]
    if len(classes) < 2:
        found = f"only {classes[0]}" if classes else "none"
        raise Fault(
            f"{inner[0]}: at least two folders with images ({', '.join(SUFFIXES)}) are needed, one a class; found {found}. "
            "Lay them out as train/<class>/ and test/<class>/, or <class>/ alone, or name a CSV: --image-list"
        )
    others = {path for path in there if layout == "train_test" and path not in SUBSET_FOLDERS}
    left_alone = sorted(others | (set(names) - set(classes)))
    return _seen(folder, layout, "stratified", classes, list_images(folder, classes, layout), left_alone)


def _look_at_list(folder: Path, image_list: Path) -> Seen:
    table = read_csv_as_text(image_list, "--image-list")
    if absent := [name for name in ("path", "label") if name not in table]:
        raise Fault(f"{image_list}: no column {' and no column '.join(absent)}; it has {', '.join(table.columns)}")
    classes = sorted(set(table["label"]) - {""})
    if len(classes) < 2:
        raise Fault(f"{image_list}: the column label names {len(classes)} classes; at least two are needed")
    is_split = "split" in table and (table["split"] != "").all()
    index = list_images(folder, classes, "listed", table)
    return _seen(folder, "listed", "listed" if is_split else "stratified", classes, index, [])


def _seen(
    folder: Path, layout: str, split: str, classes: list[str], index: pd.DataFrame, left_alone: list[str]
) -> Seen:
    """What the headers of the listed images tell beside their numbers."""
    modes: Counter[str] = Counter()
    sides, faults, missing, status = [], [], [], []
    for image, wrong in index[["image", "fault"]].itertuples(index=False):
        path = folder / image
        status.append("unreadable")
        if not wrong and not os.path.lexists(path):
            missing.append(str(path))
            continue
        try:
            raise_all([wrong] if wrong else [])
            header = read_header(path)
        except Fault as fault:
            faults.append(f"{path}: {fault}")
            continue
        status[-1] = "ok"
        modes[f"{header.format} {header.mode}"] += 1
        sides += [header.width, header.height]
    if not sides:
        raise Fault([*[f"{path}: missing" for path in missing[:5]], *faults[:5], "no image can be used"])
    images = index.groupby(["subset_folder", "class"]).size()
    subsets = [subset for subset in ("", *SUBSET_FOLDERS) if subset in set(index["subset_folder"])]
    counts = Counter({(subset, name): int(images.get((subset, name), 0)) for subset in subsets for name in classes})
    fractions, lacking = _fractions(index.assign(status=status), classes, split)
    patients, span = index["patient"].nunique(), (min(sides), max(sides))
    return Seen(layout, split, classes, counts, patients, modes, span, faults, missing, fractions, lacking, left_alone)


def _fractions(index: pd.DataFrame, classes: list[str], split: str) -> tuple[tuple[float, float], list[str]]:
    """The first of FRACTIONS by which each class has an image in each subset; and what is lacking where none gives that."""
    lacking: list[str] = []
    index = index.assign(sha256=pd.Series(pd.NA, index.index, "string"))  # of a file's header nothing tells its bytes
    for fractions in FRACTIONS:
        rows = split_as_listed(index, classes) if split == "listed" else split_stratified(index, classes, *fractions, 0)
        try:
            check_split(rows, classes)
        except Fault as fault:
            lacking = [message.removeprefix("split: ").partition(";")[0] for message in fault.messages]
            continue
        learnt = rows.loc[rows["subset"] != "test", "class"].value_counts()
        few = [pair for pair in combinations(classes, 2) if learnt[list(pair)].sum() < FEWEST_IN_PAIR]
        return fractions, [
            f"fewer than {FEWEST_IN_PAIR} of {first} and {second} that are not for the test" for first, second in few
        ]
    return FRACTIONS[0], lacking


def config_text(name: str, folder: Path, image_list: Path | None, seen: Seen) -> str:
    """The config, as YAML with comments."""
    experiment = f"{name}_mobilenet"
    like = "binary_inception_v3" if len(seen.classes) == 2 else "multiclass_mobilenet"
    test_fraction, validation_fraction = seen.fractions
    # A third of the images is fewer than training and validation together, by any split that is written here.
    perplexity = max(2, min(LARGEST_PERPLEXITY, sum(seen.counts.values()) // 3))
    lines = [
        "# Written by cxrflow.write_config. What is not named here is as in config.yaml; docs/config.md has all keys.",
        *(f"#   {line}" for line in seen.lines()),
        "",
        f"name: {_yaml(name)}  # results go to results/<name>/",
        f"images: {_yaml(str(folder))}",
        f"layout: {seen.layout}  # {LAYOUT_WORDS[seen.layout]}",
        f"image_list: {_yaml(str(image_list) if image_list else None)}  # {LIST_WORDS[image_list is None]}",
        f"on_bad_image: {'skip' if seen.faults else 'error'}  # error: the run ends; skip: they are left out and listed",
        *(["missing_images: warn  # error: the run ends; warn: every report says so"] if seen.missing else []),
        *_patients_lines(seen),
        "",
        f"split: {seen.split}  # {SPLIT_RULE_WORDS[seen.split]}",
        f"validation_fraction: {validation_fraction}  # of what is not for the test",
        *([f"test_fraction: {test_fraction}"] if seen.layout != "train_test" and seen.split == "stratified" else []),
        *(["split_seed: 0  # another seed, another split"] if seen.split == "stratified" else []),
        "validation_augmented: clean  # the study augments its validation images, too",
        "",
        "tasks:",
        f"  {_yaml(name)}:",
        f"    classes: {_yaml(seen.classes)}",
        f"    positive:  # the class that sensitivity and specificity are about, such as {_yaml(seen.classes[0])}",
        "",
        "experiments:",
        f"  {_yaml(experiment)}:",
        f"    like: {like}  # what is not named here is as there",
        f"    task: {_yaml(name)}",
        "    backbone: MobileNet  # any network of keras.applications",
        "    frozen_layers: 0",
        "    input_scaling: imagenet  # right for the backbone; the study scales twice",
        "    incomplete_batch: kept",
        "    batch_size: 16",
        "    epochs: 30",
        f"only: {_yaml(experiment)}  # the study's own experiments are left out",
        "",
        f"tsne: {{perplexity: {perplexity}}}  # must be below the number of images",
        "claims:  # or a CSV of what you expect, to be judged: docs/claims.md",
        "# weights: random  # without the internet; else the backbone starts from ImageNet",
    ]
    return "\n".join(lines) + "\n"


LAYOUT_WORDS = {
    "train_test": "train/<class>/ and test/<class>/",
    "classes": "<class>/ alone",
    "listed": "classes are the column label of image_list",
}
LIST_WORDS = {True: "whatever lies in the class folders", False: "columns path, label, and where known split, patient"}
SPLIT_RULE_WORDS = {
    "stratified": "each class in the same shares, no patient in two subsets; or a CSV (image, subset)",
    "listed": "the column split of image_list; or stratified: made by cxrflow",
}


def _patients_lines(seen: Seen) -> list[str]:
    if seen.patients:
        return [f"# patients: the column patient of image_list, {seen.patients} patients"]
    return [
        "# patients: not known. If a file's name tells, take the # away and write a pattern whose group is the patient:",
        "# patients: {pattern: '^([^_]+)_'}",
    ]


def _yaml(value: Any) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder of images")
    parser.add_argument("--image-list", type=Path, help="CSV of the files in it: path, label, split, patient")
    parser.add_argument("--config", type=Path, required=True, help="config to write (YAML); its name names the results")
    args = parser.parse_args()
    if os.path.lexists(args.config):
        raise Fault(f"--config: {args.config} is there already; choose another name, or delete it")
    name = args.config.stem
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_+.-]{0,60}", name):
        raise Fault(f"--config: {name!r}: a name may hold letters, digits and _ + . - (and begin with none of + . -)")
    seen = look_at(args.folder, args.image_list)
    raise_all(
        [
            f"class {one!r}: rename it; letters, digits, blanks and _ + . - are allowed, the first a letter, digit or _"
            for one in seen.classes
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_+. -]{0,79}", one)
        ]
    )
    text = config_text(name, args.folder.resolve(), args.image_list.resolve() if args.image_list else None, seen)
    # Whatever else no config takes is told now rather than at the first run.
    read_config(laid_over(read_yaml(STUDY_CONFIG), yaml.safe_load(text)))
    write_text(args.config, text)
    print(*seen.lines(), sep="\n")
    print(f"{args.config} is written; look through it, then: snakemake --configfile {shlex.quote(str(args.config))}")


if __name__ == "__main__":
    run_stage(main)
