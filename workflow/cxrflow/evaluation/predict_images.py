"""Predict new images with a trained network: files, folders, or the files that a CSV names.

The images are decoded, converted and resized like those of the training. The table has one row per image: its path, the class
with the highest probability, the probability of each class, and a warning if the image does not look like those of the run, or
was trained on. Do not rely on the probabilities of such an image. If a CSV has a column `label`, the accuracy of images that
are not of the run is printed with its 95 % interval, and --metrics writes all metrics. Research only, not for clinical use.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cxrflow.networks.start_keras  # noqa: F401  # isort: skip
import numpy as np
import pandas as pd

from cxrflow.evaluation.measures import Predictions, metric_rows
from cxrflow.evaluation.metrics import prediction_table
from cxrflow.evaluation.predict import BATCH, logit_network, probabilities_from_logits
from cxrflow.evaluation.reference import reference_of, seen_before, unlike
from cxrflow.images.columns import read_image_list
from cxrflow.images.decode import RESAMPLING, read_header, read_image, resized
from cxrflow.images.facts import looks_of
from cxrflow.images.folder import SUFFIXES, folder_contents
from cxrflow.images.grouping import patient_numbers
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError, one_line, raise_all
from cxrflow.io.files import read_json, sha256_of_file, write_table
from cxrflow.io.tables import read_csv_as_text
from cxrflow.io.words import counted, did_you_mean, some_of
from cxrflow.networks.device import CHOICES, set_up_device
from cxrflow.networks.load import load_network
from cxrflow.statistics.intervals import share_interval
from cxrflow.study.names import name_problem

NOT_COMPARED = "not compared with the images of the training"


def images_named(paths: list[Path]) -> list[Path]:
    """List the image files of paths: a file itself, the images of a folder, or the column `path` of a CSV.

    Paths in a CSV are relative to the CSV.

    Raises:
        UserError: a path does not exist or has no image, or a name cannot be written into a table.
    """
    found: dict[Path, None] = {}
    problems = []
    for path in paths:
        if path.is_dir():
            contents = folder_contents(path)
            problems += [f"{one}: {why}" for one, why in contents.problems.items()]
            files = sorted(contents.images)
        elif path.suffix.lower() == ".csv":
            files = [path.parent / name for name in read_image_list(path, "--images").column("path")]
        else:
            files = [path]
        if not files:
            problems.append(f"--images: {path}: no image in it ({', '.join(SUFFIXES)})")
        found |= dict.fromkeys(files)
    problems += [f"--images: {file}: {why}" for file in found if (why := name_problem(str(file)))]
    raise_all(problems)
    return list(found)


def values_named(paths: list[Path], column: str) -> dict[Path, str]:
    """Read a column of CSVs, `label` or `patient`, for the image files that they name; the files are from `images_named`.

    Raises:
        UserError: a file has two values.
    """
    values: dict[Path, str] = {}
    problems = []
    for path in (path for path in paths if path.suffix.lower() == ".csv" and not path.is_dir()):
        table = read_image_list(path, "--images").as_frame()
        if column in table:
            for name, value in table[["path", column]].itertuples(index=False):
                if value and values.setdefault(path.parent / name, value) != value:
                    problems.append(
                        f"--images: {path}: {name}: has the {column}s {values[path.parent / name]} and {value}"
                    )
    raise_all(problems)
    return values


def predict_images(
    model: Any, classes: list[str], size: int, resampling: str, files: list[Path], reference: Mapping[str, Any] | None
) -> pd.DataFrame:
    """Predict image files.

    Args:
        model: network from float (n, size, size, 3), 0 to 255, to logits, see `logit_network`.
        classes: in the order of the network's outputs.
        size: height and width in pixels.
        resampling: one of `cxrflow.images.decode.RESAMPLING`.
        files: image files.
        reference: see `reference_of`; None if there is none.

    Returns:
        Columns image, predicted, p_<class> for each class, warning, and is_known (whether it is a training or validation image
        of the run). An image that cannot be used has no prediction, and the reason as its warning.
    """
    parts = []
    for start in range(0, len(files), BATCH):
        some = files[start : start + BATCH]
        pixels, remarks = np.zeros((len(some), size, size, 3), dtype=np.float32), []
        is_known = np.zeros(len(some), dtype=np.bool_)
        usable = np.zeros(len(some), dtype=np.bool_)
        for place, file in enumerate(some):
            try:
                header = read_header(file)
                rgb, _ = read_image(file)
            except UserError as error:
                remarks.append(f"unreadable: {one_line(str(error))}")
                continue
            pixels[place], usable[place] = resized(rgb, size, resampling), True
            if reference is None:
                remarks.append(NOT_COMPARED)
                continue
            found = {"mode": header.mode, "width": header.width, "height": header.height, **looks_of(rgb)}
            known = seen_before(sha256_of_file(file), found["sample_blake2"], reference)
            is_known[place] = bool(known)
            remarks.append("; ".join([*known, *unlike(found, reference)]))
        images = pd.DataFrame({"image": [str(file) for file in some], "class": ""})
        table = prediction_table(images, probabilities_from_logits(model.predict_on_batch(pixels)), classes)
        table.loc[~usable, ["predicted", *(f"p_{name}" for name in classes)]] = None
        parts.append(table.drop(columns="class").assign(warning=remarks, is_known=is_known))
    return pd.concat(parts, ignore_index=True)


def labelled_predictions(table: pd.DataFrame, classes: list[str]) -> Predictions | None:
    """The predictions of new images with a label, without images of the run; None if there are none.

    Args:
        table: columns of `predict_images`, label and, if it is known, patient.
        classes: in the order of the network's outputs.
    """
    new = table[table["label"].isin(classes) & table["predicted"].notna() & ~table["is_known"]]
    if new.empty:
        return None
    is_known = "patient" in new and bool((new["patient"] != "").any())
    return Predictions(
        classes,
        np.array([classes.index(label) for label in new["label"]], dtype=np.int64),
        new[[f"p_{name}" for name in classes]].to_numpy(np.float64),
        patient_numbers(new, new["image"].tolist()) if is_known else None,
    )


def accuracy_in_words(table: pd.DataFrame, classes: list[str]) -> list[str]:
    """The accuracy on labelled images, and which labels do not count, one line each; the table has a column `label`."""
    labelled = table[table["label"] != ""]
    no_class = sorted(set(labelled["label"]) - set(classes))
    lines = []
    if no_class:
        count = int(labelled["label"].isin(no_class).sum())
        near = did_you_mean(no_class[0], classes)
        lines.append(
            f"warning: {count} labels are not classes of the training and do not count: {some_of(no_class, 4)}{near}; "
            f"the classes are {', '.join(classes)}"
        )
    used = labelled[labelled["label"].isin(classes) & labelled["predicted"].notna()]
    known = used[used["is_known"]]
    if len(known):
        right = int((known["label"] == known["predicted"]).sum())
        lines.append(
            f"warning: {len(known)} labelled images are images of the run and do not count ({right} are right)"
        )
    predictions = labelled_predictions(table, classes)
    if predictions is None:
        return [*lines, "accuracy: no new image has a label"]
    right, images = int(predictions.is_correct.sum()), len(predictions.truth)
    found = share_interval(predictions.is_correct, predictions.patients)
    within = f"95 % interval {found.low:.1%} to {found.high:.1%}, {found.method}, {found.counts}"
    return [*lines, f"accuracy: {right} of {images} ({right / images:.1%}; {within}) labelled images are right"]


def _read_split(path: Path, reference: Path | None) -> pd.DataFrame:
    if reference is None:
        raise UserError("--split: needs --reference too, the index of these images")
    split = read_csv_as_text(path, "--split")
    if absent := [column for column in ("image", "subset") if column not in split]:
        raise UserError(f"--split: {path}: no column {', '.join(absent)}; give split/<task>.csv of the training's run")
    return split


def _read_reference(path: Path, classes: list[str], split: pd.DataFrame | None) -> dict[str, Any]:
    try:
        return reference_of(pd.read_parquet(path), classes, split)
    except FileNotFoundError:
        what = "no such file; run Snakemake again to rebuild it, or leave out --reference"
    except ValueError:
        what = "not a Parquet file; give the images.parquet of the training's run"
    raise UserError(f"--reference: {path}: {what}")


def _read_training(path: Path, model: Any) -> tuple[list[str], int, str]:
    """Read the classes, the image size and the resampling of a training, and check that they fit the network."""
    try:
        training = read_json(path)
    except UserError:
        raise UserError(f"--training: {path}: not JSON; give the training.json of this network") from None
    try:
        classes, size = [str(name) for name in training["classes"]], int(training["settings"]["image_size"])
    except (KeyError, TypeError, ValueError):
        raise UserError(
            "--training: no `classes` or `settings.image_size`; give the training.json of this network"
        ) from None
    expected, outputs = (None, size, size, 3), 1 if len(classes) == 2 else len(classes)
    try:
        shape = tuple(model.input_shape), model.output_shape[-1]
    except AttributeError:
        raise UserError("--model: the network has no fixed input shape; give a network that cxrflow trained") from None
    if shape[0] != expected or shape[1] not in (outputs, len(classes)):
        raise UserError(
            f"--training: {size} px and {len(classes)} classes, but the network takes {shape[0]} and has {shape[1]} outputs; "
            "give the training.json of this network"
        )
    if training.get("resampling") not in RESAMPLING:
        raise UserError(
            "--training: no `resampling`, which cxrflow 0.1 did not record; run the workflow again to rebuild the file, or add "
            f"the key with the value of the run's config: {', '.join(RESAMPLING)}"
        )
    return classes, size, training["resampling"]


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="trained network (.keras)")
    parser.add_argument("--training", type=Path, required=True, help="training.json of the network")
    parser.add_argument(
        "--images", type=Path, nargs="+", required=True, help="image files, folders, or CSVs with a column path"
    )
    parser.add_argument(
        "--reference",
        type=Path,
        help="images.parquet of the run, to warn about images that look different or were trained on",
    )
    parser.add_argument(
        "--split", type=Path, help="split of the run's task (CSV), which names the images that were trained on"
    )
    parser.add_argument(
        "--on-bad-image",
        choices=("error", "skip"),
        default="error",
        help="stop at images that cannot be used, or leave them without prediction (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=2, help="TensorFlow's threads (default: %(default)s)")
    parser.add_argument("--device", choices=CHOICES, default="auto", help="auto uses a GPU if there is one")
    parser.add_argument("--table", type=Path, required=True, help="probabilities by image, to write (CSV)")
    parser.add_argument("--metrics", type=Path, help="metrics of labelled images with intervals, to write (CSV)")
    args = parser.parse_args()
    files = images_named(args.images)
    labels, patients = values_named(args.images, "label"), values_named(args.images, "patient")
    if args.metrics and not labels:
        raise UserError("--metrics: needs labels; give --images a CSV with the columns path and label")
    split = _read_split(args.split, args.reference) if args.split else None
    set_up_device(args.device, args.threads)
    model = load_network(args.model)
    classes, size, resampling = _read_training(args.training, model)
    network = logit_network(model)
    reference = _read_reference(args.reference, classes, split) if args.reference else None
    with warnings.catch_warnings(action="ignore"):  # as in index_images
        table = predict_images(network, classes, size, resampling, files, reference)
    bad = table[table["predicted"].isna()]
    if len(bad) and args.on_bad_image == "error":
        reasons = [f"{image}: {why}" for image, why in bad[["image", "warning"]].itertuples(index=False)]
        raise UserError([*reasons, "fix these images, or leave them out with --on-bad-image skip"])
    if labels:
        table.insert(1, "label", [labels.get(file, "") for file in files])
    write_table(args.table, table.drop(columns="is_known"))
    if patients:
        table["patient"] = [patients.get(file, "") for file in files]
    if args.metrics:
        predictions = labelled_predictions(table, classes)
        if predictions is None:
            raise UserError(
                "--metrics: no image has a label of a class and a prediction, and is not an image of the run"
            )
        write_table(args.metrics, pd.DataFrame(metric_rows(predictions)))
    print(f"{counted(len(table) - len(bad), 'image')} predicted, {len(bad)} left out; {args.table}")
    if reference is None:
        print("note: without --reference, images that look different from those of the training are not reported")
    elif different := int(((table["warning"] != "") & table["predicted"].notna()).sum()):
        known = f", or are images of the run ({table['is_known'].sum()})" if table["is_known"].any() else ""
        print(f"warning: {different} look different from the images of the training{known}; see the column `warning`")
    if labels:
        print(*accuracy_in_words(table, classes), sep="\n")
    print("Research only, not for clinical use.")


if __name__ == "__main__":
    run_stage(main)
