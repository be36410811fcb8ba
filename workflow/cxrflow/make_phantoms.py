"""Draw chest phantoms: films to run the workflow on where there are no radiographs.

Each class shows one finding: its name says which (covid: ground_glass, normal: none, bac: consolidation, vir:
interstitial, as part of the name), or --findings does. An image is a pure function of the seed, its class's folder and
its number: asking for one image more leaves the others as they are. Its file's size, colour mode and format depend on
the number alone, not on the class.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.config.suggest import did_you_mean
from cxrflow.phantoms.files import FileForm, draw_form, encode
from cxrflow.phantoms.findings import FINDINGS
from cxrflow.phantoms.radiograph import draw_film
from cxrflow.phantoms.streams import stream
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, raise_all
from cxrflow.stage.files import whole_file, write_table

FINDING_OF_NAME = {
    "covid": "ground_glass",
    "normal": "none",
    "bac": "consolidation",
    "vir": "interstitial",
}
COLUMNS = ["image", "class", "finding", "width", "height", "mode", "format", "seed", "number"]


def findings_of(classes: list[str], named: dict[str, str]) -> dict[str, str]:
    """The finding of each class.

    Args:
        classes: names of classes, which become folders.
        named: findings that are given by hand, by class.

    Raises:
        Fault: a class whose name tells no finding or more than one, that cannot be a folder, or that is named twice;
            a finding that does not exist; a finding for a class that is not there.
    """
    faults = [
        f"--findings {name}: there is no class '{name}'{did_you_mean(name, classes)}"
        for name in named
        if name not in classes
    ]
    faults += [
        f"--findings {name}={finding}: there is no finding '{finding}'{did_you_mean(finding, FINDINGS)}; "
        f"allowed: {', '.join(FINDINGS)}"
        for name, finding in named.items()
        if finding not in FINDINGS
    ]
    result = dict(named)
    for name in classes:
        if classes.count(name) > 1:
            faults.append(f"--classes: '{name}' is named twice")
        if name in (".", "..") or name != Path(name).name or "\\" in name:
            faults.append(f"--classes: '{name}' cannot be the name of a folder")
        told = [finding for part, finding in FINDING_OF_NAME.items() if part in name.lower()]
        if name not in named and len(told) != 1:
            how = ", ".join(f"{part} -> {finding}" for part, finding in FINDING_OF_NAME.items())
            faults.append(
                f"--classes: the name '{name}' tells {'no' if not told else 'more than one'} finding (part of the name: "
                f"{how}); add --findings {name}=FINDING, one of {', '.join(FINDINGS)}"
            )
        result.setdefault(name, told[0] if told else "")
    raise_all(list(dict.fromkeys(faults)))
    return {name: result[name] for name in classes}


def plan_phantoms(findings: dict[str, str], counts: dict[str, int], seed: int) -> list[dict[str, Any]]:
    """What is to be drawn, image by image.

    Args:
        findings: finding of each class.
        counts: images a class of each subset folder, as {"train": 40, "test": 10}.
        seed: of all that is drawn.

    Returns:
        One row an image: image (POSIX path), class, finding, folder ("train/covid"), number (from 1), form.
    """
    rows = []
    for subset, count in counts.items():
        forms = [draw_form(stream("file", seed, subset, number)) for number in range(1, count + 1)]
        for name, finding in findings.items():
            folder = f"{subset}/{name}"
            for number, form in enumerate(forms, start=1):
                image = f"{folder}/phantom_{number:04d}.{form.suffix}"
                row = {"image": image, "class": name, "finding": finding, "folder": folder, "number": number}
                rows.append({**row, "seed": seed, "form": form})
    return rows


def draw_phantom(row: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """The file's bytes of one row of the plan, and its row of the table."""
    form: FileForm = row["form"]
    film = draw_film(row["finding"], "phantom", row["seed"], row["folder"], row["number"])
    told = {name: round(value, 4) if isinstance(value, float) else value for name, value in film.parameters.items()}
    file = {"width": form.width, "height": form.height, "mode": form.mode, "format": form.format}
    return encode(film.grey, form), {**{name: {**row, **file}[name] for name in COLUMNS}, **told}


def refuse_other_files(folder: Path, images: list[str]) -> None:
    """Check that a folder holds nothing but images that are about to be written: others would count as data.

    Raises:
        Fault: it does.
    """
    mine = set(images)
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    other = [name for name in found if name not in mine and not Path(name).name.startswith(".")]
    if other:
        raise Fault(
            f"{folder}: holds {len(other)} files that are not of this set of phantoms, such as {other[0]}; "
            "delete the folder or name another"
        )


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--train-per-class", type=int, required=True, help="images a class in train/")
    parser.add_argument("--test-per-class", type=int, required=True, help="images a class in test/")
    parser.add_argument("--seed", type=int, required=True, help="of all that is drawn")
    parser.add_argument("--classes", nargs="+", required=True, help="names of the classes, which become folders")
    parser.add_argument(
        "--findings", nargs="+", default=[], type=_class_and_finding, metavar="CLASS=FINDING",
        help=f"finding of a class whose name does not tell it: {', '.join(FINDINGS)}",
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, required=True, help="folder for train/CLASS/ and test/CLASS/")
    parser.add_argument("--table", type=Path, required=True, help="CSV: what was drawn, a row an image")
    arguments = parser.parse_args()

    findings = findings_of(arguments.classes, dict(arguments.findings))
    counts = {"train": arguments.train_per_class, "test": arguments.test_per_class}
    raise_all([f"--{subset}-per-class: {count} is below 1" for subset, count in counts.items() if count < 1])
    plan = plan_phantoms(findings, counts, arguments.seed)
    refuse_other_files(arguments.folder, [row["image"] for row in plan])
    rows = []
    for planned in plan:
        content, row = draw_phantom(planned)
        with whole_file(arguments.folder / planned["image"]) as part:
            part.write_bytes(content)
        rows.append(row)
    write_table(arguments.table, pd.DataFrame(rows))
    print(f"{len(rows)} phantoms in {arguments.folder}")


def _class_and_finding(text: str) -> tuple[str, str]:
    name, separator, finding = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form CLASS=FINDING")
    return name, finding


if __name__ == "__main__":
    run_stage(main)
