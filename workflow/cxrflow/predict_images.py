"""Predict images that a trained network has never seen: files, folders, or the files that a CSV names.

They are decoded, converted and resized as the training's were. The table has a row an image: its path, the class with the
highest probability, the probability of each class, and in the column `warning` what does not look like the images of the
training: there a network's probabilities mean nothing. Research only, not for clinical use.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrflow.evaluation.metrics import prediction_table
from cxrflow.evaluation.predict import BATCH, class_probabilities
from cxrflow.images.decode import RESAMPLING, read_header, read_image, resized
from cxrflow.images.folder import SUFFIXES, folder_contents, name_fault
from cxrflow.images.look import LOOKS, looks_of
from cxrflow.networks.device import CHOICES, set_up_device
from cxrflow.networks.load import load_network
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, one_line, raise_all
from cxrflow.stage.files import read_json, write_table
from cxrflow.stage.tables import read_csv_as_text

NOT_COMPARED = "not compared with the images of the training"
MEASURED = {"width": "px wide", "height": "px high", **dict.fromkeys(LOOKS, "of 255")}


def images_named(paths: list[Path]) -> list[Path]:
    """The image files that paths mean: a file itself, a folder's images, the column `path` of a CSV, as seen from the CSV.

    Raises:
        Fault: a path does not exist, or means no image; a name cannot be written into a table.
    """
    found: dict[Path, None] = {}
    faults = []
    for path in paths:
        if path.is_dir():
            contents = folder_contents(path)
            faults += [f"{one}: {why}" for one, why in contents.faults.items()]
            files = sorted(contents.images)
        elif path.suffix.lower() == ".csv":
            table = read_csv_as_text(path, "--images")
            if "path" not in table:
                raise Fault(f"--images: {path}: no column `path`; it has {', '.join(table.columns)}")
            files = [path.parent / name for name in table["path"]]
        else:
            files = [path]
        if not files:
            faults.append(f"--images: {path}: no image in it ({', '.join(SUFFIXES)})")
        found |= dict.fromkeys(files)
    faults += [f"--images: {file}: {why}" for file in found if (why := name_fault(str(file)))]
    raise_all(faults)
    return list(found)


def reference_of(index: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
    """What the images of a run look like: `modes`, and the least and largest of width, height and `LOOKS`.

    Raises:
        Fault: the index has no image of these classes, or was made before it had brightness, contrast and colour.
    """
    if absent := [column for column in MEASURED if column not in index]:
        raise Fault(f"--reference: no column {', '.join(absent)}; run the workflow again, and it is made anew")
    used = index[index["class"].isin(classes) & index["status"].isin(["ok", "changed"])]
    if used.empty:
        raise Fault(f"--reference: no image of {', '.join(classes)}; give the images.parquet of the training's own run")
    return {
        "modes": sorted(used["mode"].unique()),
        **{name: (float(used[name].min()), float(used[name].max())) for name in MEASURED},
    }


def unlike(found: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    """In what an image lies outside of all that the reference has; `found` has mode, width, height and `LOOKS`."""
    told = []
    if found["mode"] not in reference["modes"]:
        told.append(f"colour mode {found['mode']}, not {' or '.join(reference['modes'])}")
    for name, unit in MEASURED.items():
        low, high = reference[name]
        if not low <= found[name] <= high:
            what = f"{found[name]:g} {unit}" if name in ("width", "height") else f"{name} {found[name]:g} {unit}"
            told.append(f"{what}, not {low:g} to {high:g}")
    return told


def predict_images(
    model: Any, classes: list[str], size: int, resampling: str, files: list[Path], reference: Mapping[str, Any] | None
) -> pd.DataFrame:
    """Predict image files.

    Args:
        model: network from float (n, size, size, 3), 0 to 255, to probabilities.
        classes: in the order of the network's outputs.
        size: height and width in pixels.
        resampling: one of `cxrflow.images.decode.RESAMPLING`.
        files: image files.
        reference: see `reference_of`; None where there is none.

    Returns:
        Columns image, predicted, p_<class> for each class, warning. An image that cannot be used has no prediction, and
        the reason as its warning.
    """
    parts = []
    for start in range(0, len(files), BATCH):
        some = files[start : start + BATCH]
        pixels, remarks = np.zeros((len(some), size, size, 3), dtype=np.float32), []
        usable = np.zeros(len(some), dtype=np.bool_)
        for place, file in enumerate(some):
            try:
                header = read_header(file)
                rgb, _ = read_image(file)
            except Fault as fault:
                remarks.append(f"unreadable: {one_line(str(fault))}")
                continue
            pixels[place], usable[place] = resized(rgb, size, resampling), True
            found = {"mode": header.mode, "width": header.width, "height": header.height, **looks_of(rgb)}
            remarks.append(NOT_COMPARED if reference is None else "; ".join(unlike(found, reference)))
        images = pd.DataFrame({"image": [str(file) for file in some], "class": ""})
        table = prediction_table(images, class_probabilities(model.predict_on_batch(pixels)), classes)
        table.loc[~usable, ["predicted", *(f"p_{name}" for name in classes)]] = None
        parts.append(table.drop(columns="class").assign(warning=remarks))
    return pd.concat(parts, ignore_index=True)


def _check_training(training: Any, model: Any) -> tuple[list[str], int, str]:
    """Classes, image size and resampling of a training, held against its network."""
    try:
        classes, size = [str(name) for name in training["classes"]], int(training["settings"]["image_size"])
    except (KeyError, TypeError, ValueError):
        raise Fault(
            "--training: no `classes` or `settings.image_size`; give the training.json beside the model"
        ) from None
    wanted, outputs = (None, size, size, 3), 1 if len(classes) == 2 else len(classes)
    try:
        shape = tuple(model.input_shape), model.output_shape[-1]
    except AttributeError:
        raise Fault(
            "--model: the network does not tell the shape of its input, so that it is none of cxrflow's"
        ) from None
    if shape[0] != wanted or shape[1] not in (outputs, len(classes)):
        raise Fault(
            f"--training: {size} px and {len(classes)} classes, but the network takes {shape[0]} and has {shape[1]} outputs; "
            "give the training.json beside the model"
        )
    if training.get("resampling") not in RESAMPLING:
        raise Fault(
            "--training: does not tell by which `resampling` its images became pixels, as those of cxrflow 0.1 do not; "
            f"run the workflow again, which writes it anew, or add it from the run's config: {', '.join(RESAMPLING)}"
        )
    return classes, size, training["resampling"]


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="trained network (.keras)")
    parser.add_argument("--training", type=Path, required=True, help="training.json beside it")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="files, folders, CSVs with a column path")
    parser.add_argument(
        "--reference", type=Path, help="images.parquet of the run, to tell images that are unlike its own"
    )
    parser.add_argument("--on-bad-image", choices=("error", "skip"), default="error")
    parser.add_argument("--threads", type=int, default=2, help="TensorFlow's threads")
    parser.add_argument("--device", choices=CHOICES, default="auto", help="auto takes a GPU where there is one")
    parser.add_argument("--table", type=Path, required=True, help="probabilities by image, to write (CSV)")
    args = parser.parse_args()
    files = images_named(args.images)
    set_up_device(args.device, args.threads)
    model = load_network(args.model)
    try:
        training = read_json(args.training)
    except (ValueError, RecursionError):
        raise Fault(f"--training: {args.training}: not JSON") from None
    classes, size, resampling = _check_training(training, model)
    try:
        reference = reference_of(pd.read_parquet(args.reference), classes) if args.reference else None
    except FileNotFoundError:
        raise Fault(
            f"--reference: {args.reference}: no such file; run Snakemake again, which makes it, or go on without --reference"
        ) from None
    except ValueError:
        raise Fault(
            f"--reference: {args.reference}: no Parquet file; give the images.parquet of the training's own run"
        ) from None
    with warnings.catch_warnings(action="ignore"):  # as in index_images
        table = predict_images(model, classes, size, resampling, files, reference)
    bad = table[table["predicted"].isna()]
    if len(bad) and args.on_bad_image == "error":
        told = [f"{image}: {why}" for image, why in bad[["image", "warning"]].itertuples(index=False)]
        raise Fault([*told, "mend these images, or go on without them: --on-bad-image skip"])
    write_table(args.table, table)
    odd = int(((table["warning"] != "") & table["predicted"].notna()).sum()) if reference else 0
    print(f"{len(table) - len(bad)} images predicted, {len(bad)} left out; {args.table}")
    if odd:
        print(f"warning: {odd} are unlike the images of the training, see the column `warning`")
    if reference is None:
        print("note: without --reference nothing tells images that are unlike those of the training")
    print("Research only, not for clinical use.")


if __name__ == "__main__":
    run_stage(main)
