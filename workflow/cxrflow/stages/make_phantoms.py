"""Draw chest phantoms: artificial images to run the workflow without radiographs.

Each class shows one pattern of opacity, which --patterns sets; some names of classes have a default. An image depends only on
the seed, the folder of its class and its number, so more images do not change the others. Size, colour mode and format of
a file depend only on its number, not on its class.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.files import whole_file, write_table
from cxrflow.phantoms.files import FileForm, draw_form, encode
from cxrflow.phantoms.opacities import PATTERNS, choose_patterns
from cxrflow.phantoms.radiograph import draw_film
from cxrflow.phantoms.texture import random_stream

COLUMNS = ["image", "class", "finding", "width", "height", "mode", "format", "seed", "number"]


def plan_phantoms(patterns: dict[str, str], counts: dict[str, int], seed: int) -> list[dict[str, Any]]:
    """List the images to draw.

    Args:
        patterns: class to opacity pattern.
        counts: subset folder to images per class, such as {"train": 40, "test": 10}.
        seed: seed of everything that is drawn.

    Returns:
        One row per image: image (POSIX path), class, finding (the opacity pattern), folder (such as "train/clear"), number
        (from 1), seed, form.
    """
    rows = []
    for subset, count in counts.items():
        forms = [draw_form(random_stream("file", seed, subset, number)) for number in range(1, count + 1)]
        for name, pattern in patterns.items():
            folder = f"{subset}/{name}"
            for number, form in enumerate(forms, start=1):
                image = f"{folder}/phantom_{number:04d}.{form.suffix}"
                row = {"image": image, "class": name, "finding": pattern, "folder": folder, "number": number}
                rows.append({**row, "seed": seed, "form": form})
    return rows


def draw_phantom(row: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Draw the image of a row of `plan_phantoms`: the bytes of its file, and its row of the table."""
    form: FileForm = row["form"]
    film = draw_film(row["finding"], "phantom", row["seed"], row["folder"], row["number"])
    parameters = {
        name: round(value, 4) if isinstance(value, float) else value for name, value in film.parameters.items()
    }
    file = {"width": form.width, "height": form.height, "mode": form.mode, "format": form.format}
    return encode(film.grey, form), {**{name: {**row, **file}[name] for name in COLUMNS}, **parameters}


def refuse_other_files(folder: Path, images: list[str]) -> None:
    """Raise a UserError if a folder contains files other than `images`: they would count as data."""
    own = set(images)
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    other = [name for name in found if name not in own and not Path(name).name.startswith(".")]
    if other:
        raise UserError(
            f"{folder}: contains {len(other)} files that are not part of this set of phantoms, such as {other[0]}; "
            "delete the folder or choose another one"
        )


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--train-per-class", type=int, required=True, help="images per class in train/")
    parser.add_argument("--test-per-class", type=int, required=True, help="images per class in test/")
    parser.add_argument("--seed", type=int, required=True, help="seed of everything that is drawn")
    parser.add_argument("--classes", nargs="+", required=True, help="names of the classes, which become folders")
    parser.add_argument(
        "--patterns", nargs="+", default=[], type=_class_and_pattern, metavar="CLASS=PATTERN",
        help=f"opacity pattern of a class: {', '.join(PATTERNS)}",
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, required=True, help="folder to write train/CLASS/ and test/CLASS/ into")
    parser.add_argument("--table", type=Path, required=True, help="parameters of each image to write (CSV)")
    arguments = parser.parse_args()

    patterns = choose_patterns(arguments.classes, dict(arguments.patterns))
    counts = {"train": arguments.train_per_class, "test": arguments.test_per_class}
    raise_all([f"--{subset}-per-class: {count} is less than 1" for subset, count in counts.items() if count < 1])
    plan = plan_phantoms(patterns, counts, arguments.seed)
    refuse_other_files(arguments.folder, [row["image"] for row in plan])
    rows = []
    for planned in plan:
        content, row = draw_phantom(planned)
        with whole_file(arguments.folder / planned["image"]) as part:
            part.write_bytes(content)
        rows.append(row)
    write_table(arguments.table, pd.DataFrame(rows))
    print(f"{len(rows)} phantoms in {arguments.folder}")


def _class_and_pattern(text: str) -> tuple[str, str]:
    name, separator, pattern = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form CLASS=PATTERN")
    return name, pattern


if __name__ == "__main__":
    run_stage(main)
