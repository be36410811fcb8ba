"""Write a study for a folder of images: `study.yaml`, with a comment for each key, ready to run.

Also prints what the folder contains. It has train/<class>/ and test/<class>/, or only <class>/; or --image-list names a CSV of
its files (path, label, and if known split and patient). Only the headers of images are read. What they do not show, such as
which images are of the same patient, is a comment in the study for you to fill in. Settings suit most chest X-rays; comments
give the reasons.
"""

import os
import re
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from cxrflow.images.columns import column_flags
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError, one_line
from cxrflow.io.files import write_text
from cxrflow.io.words import joined
from cxrflow.run.image_survey import Survey, likely_positive, survey_images
from cxrflow.study.folder import PATH_KEYS, STUDY_FILE, with_paths
from cxrflow.study.read import read_config

CHECKOUT = Path(__file__).resolve().parents[3]
COMMENTS = 34
"""Column of the comments in study.yaml."""
LARGEST_PERPLEXITY = 30

LAYOUTS = {
    "train_test": "train/<class>/ and test/<class>/, and validation/<class>/ if there is one",
    "classes": "<class>/",
    "listed": "classes are the column label of image_list",
}
SPLITS = {
    "stratified": "equal shares of each class, no patient in two subsets; or a CSV (image, subset)",
    "listed": "the column split of image_list; or stratified: made by cxrflow",
}


def study_text(name: str, images: str, image_list: str | None, survey: Survey) -> str:
    """Write the text of `study.yaml`.

    Args:
        name: name of the task, and the first part of the experiment's name.
        images: folder of the images, as in `images`.
        image_list: CSV of the images, as in `image_list`; None for class folders.
        survey: the contents of the folder of images.
    """
    classes = survey.found.classes
    positive, why_positive = likely_positive(classes)
    # A third of the images is fewer than training and validation together, with any split that is written here.
    perplexity = max(2, min(LARGEST_PERPLEXITY, sum(survey.counts.values()) // 3))
    listed = "all files in the class folders; or a CSV"
    if image_list:
        listed = "columns path and label, and if known split and patient"
    lines = [
        "# A study, written by `cxrflow init`. docs/reference/config.md lists all keys. Paths start at this folder.",
        "#",
        *(f"#   {line}" for line in survey.lines()),
        "",
        _line("images", images, "the folder of the images"),
        _line("layout", survey.found.layout, LAYOUTS[survey.found.layout]),
        _line("image_list", image_list, listed),
    ]
    if survey.found.columns:
        lines.append(_line("columns", survey.found.columns, "columns of image_list with other names"))
    on_bad_image = "skip" if survey.bad_images else "error"
    lines.append(_line("on_bad_image", on_bad_image, "error: the run stops; skip: left out, and reported"))
    if survey.missing:
        lines.append(_line("missing_images", "warn", "error: the run stops; warn: every report names them"))
    lines += [
        *_patients_lines(survey),
        _line("resampling", "bilinear", "uses neighbouring pixels; nearest skips pixels when shrinking an image"),
        "",
        "tasks:",
        f"  {_yaml(name)}:",
        _line("    classes", classes),
        _line("    positive", positive, why_positive),
        "",
        *_split_lines(survey),
        "",
        _line("augmentation", "", "of training images, within the range of variation between radiographs"),
        _line("  rotation_range", 10, "degrees; patients are rarely tilted by more"),
        _line("  width_shift_range", 0.1, "of the width; more would push the lungs out of the image"),
        _line("  height_shift_range", 0.1, "of the height"),
        _line("  shear_range", 0, "degrees"),
        _line("  zoom_range", 0.1),
        _line("  channel_shift_range", 20, "grey levels; exposure differs between radiographs"),
        _line("  horizontal_flip", True, "false if the side matters, as for the position of the heart"),
        _line("  vertical_flip", False, "no chest X-ray is read upside down"),
        _line("  without_effect", [], "Keras settings without effect that the report names"),
        _line("augment_validation", False, "the validation loss is that of the original images"),
        "",
        _line("weights", "imagenet", "of the backbone, downloaded; or your own file or folder, or random"),
        "",
        "experiments:",
        f"  {_yaml(f'{name}_mobilenet')}:",
        _line("    task", name),
        _line("    backbone", "MobileNet", "small and fast; or any network of keras.applications"),
        _line("    image_size", 224, "pixels, height and width"),
        _line("    frozen_layers", 0, "all layers are trained: X-rays are unlike the photographs of ImageNet"),
        _line("    input_scaling", "backbone", "the preprocessing that the backbone was trained with"),
        _line(
            "    head",
            ["average_pooling", {"dense": 128}, {"dropout": 0.3}, {"dense": 32}],
            "far fewer weights than with flatten",
        ),
        _line("    loss", "binary_crossentropy" if len(classes) == 2 else "categorical_crossentropy"),
        _line("    class_weights", "balanced", "a rare class counts as much as a common one"),
        "    learning_rate: 1.0e-4".ljust(COMMENTS - 1) + " # usual for fine-tuning with Adam",
        _line("    batch_size", 16),
        _line("    incomplete_batch", "kept", "each epoch uses every training image"),
        _line("    epochs", 30),
        _line("    selected_epoch", "best", "the epoch with the lowest validation loss is tested; or last"),
        "",
        _line("seeds", 1, "5 or more show how much the results depend on chance"),
        _line("tsne", {"perplexity": perplexity}, "must be below the number of images"),
    ]
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any, comment: str = "") -> str:
    """Format a key with its value, and its comment in the column of all comments."""
    text = f"{key}:" if value in (None, "") else f"{key}: {_yaml(value)}"
    return f"{text:{COMMENTS - 2}}  # {comment}" if comment else text


def _split_lines(survey: Survey) -> list[str]:
    subsets, new = survey.found.subsets, survey.new_subsets
    given = [f"{subsets[subset]}/" for subset in ("validation", "test") if subset in subsets]
    kept = f"{joined(given)} {'stays' if len(given) == 1 else 'stay'} as given" if given else ""
    if kept and not new:
        return [_line("split", survey.split, kept)]
    lines = [_line("split", survey.split, SPLITS[survey.split])]
    test_fraction, validation_fraction = survey.fractions
    if "test" in new:
        of = f"of {subsets['train']}/; {kept}" if kept else "of all images"
        lines.append(_line("test_fraction", test_fraction, of))
    if "validation" in new:
        of = f"of {subsets['train']}/; {kept}" if kept else "of the images outside the test set"
        lines.append(_line("validation_fraction", validation_fraction, of))
    return lines + ([_line("split_seed", 0, "another seed gives another split")] if new else [])


def _patients_lines(survey: Survey) -> list[str]:
    if survey.by_dicom:
        source = "by the PatientID of DICOM headers; a column or a pattern here takes precedence"
        return [f"# patients: {survey.patients}, {source}"]
    if survey.patients:
        column = survey.found.columns.get("patient", "patient")
        return [f"# patients: the column {one_line(column)} of image_list, {survey.patients} patients"]
    return [
        "# patients: unknown. If file names show them, remove the # and write a pattern whose group is the patient:",
        "# patients: {pattern: '^([^_]+)_'}",
    ]


def _yaml(value: Any) -> str:
    """Format a value as one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def path_from(folder: Path, path: Path) -> str:
    """Format a path for `study.yaml`: relative if it is in or next to the study's folder, otherwise absolute.

    Args:
        folder: folder of the study.
        path: path from the working directory.
    """
    here, there = _absolute(folder), _absolute(path)
    if here not in (there, *there.parents) and here.parent != there.parent:
        return str(there)
    near = os.path.relpath(there, here)
    return f"./{near}" if near in PATH_KEYS["images"] else near


def _absolute(path: Path) -> Path:
    """Make a path absolute and remove `..`; links are not followed, as in `with_paths`."""
    return Path(os.path.normpath(path.absolute()))


def study_argument(folder: Path) -> str:
    """Format a study's folder as a value of `study`, for commands in the checkout."""
    there = _absolute(folder)
    return f"./{there.relative_to(CHECKOUT)}" if CHECKOUT in there.parents else str(there)


def write_study(folder: Path, text: str) -> None:
    """Write `study.yaml` into a folder, which is created if necessary; after an error, nothing remains."""
    created = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    try:
        write_text(folder / STUDY_FILE, text)
    except OSError:
        for one in created:
            with suppress(OSError):  # it was not created
                one.rmdir()
        raise


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("images", metavar="IMAGES", type=Path, help="folder of images")
    parser.add_argument(
        "study_folder",
        metavar="STUDY_FOLDER",
        type=Path,
        help="folder to write study.yaml to; its name becomes the name of the results",
    )
    parser.add_argument("--image-list", metavar="CSV", type=Path, help="list of images: path, label, split, patient")
    parser.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="WORD=NAME",
        help="columns of the list: label=finding, patient=subject …",
    )
    args = parser.parse_args()
    folder: Path = args.study_folder
    if os.path.lexists(folder / STUDY_FILE):
        raise UserError(f"{folder / STUDY_FILE}: already exists; choose another folder, or delete this file")
    if os.path.lexists(folder) and not folder.is_dir():
        raise UserError(f"{folder}: not a folder; choose another name for the study's folder")
    name = _absolute(folder).name
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_+.-]{0,60}", name):
        allowed = "letters, digits and _ + . - (but not + . - as the first character)"
        raise UserError(f"{name!r} is not allowed as the name of a study's folder; allowed: {allowed}")
    if args.columns and not args.image_list:
        raise UserError("--columns: needs a list with these columns: --image-list CSV")
    survey = survey_images(args.images, args.image_list, column_flags(args.columns))
    image_list = path_from(folder, args.image_list) if args.image_list else None
    text = study_text(name, path_from(folder, args.images), image_list, survey)
    # Reports all other errors now, not in the first run.
    read_config(with_paths({"name": name, **yaml.safe_load(text)}, folder))
    write_study(folder, text)
    print(*survey.lines(), sep="\n")
    positive, why = likely_positive(survey.found.classes)
    if positive is not None:
        print(f"positive: {one_line(positive)} ({one_line(why)})")
    argument = shlex.quote(study_argument(folder))
    print(f"{folder / STUDY_FILE} is written. Check it, then run:")
    if Path.cwd() != CHECKOUT:
        print(f"  cd {shlex.quote(str(CHECKOUT))}")
    print(f"  make doctor STUDY={argument}")
    print(f"  make study STUDY={argument}")


if __name__ == "__main__":
    run_stage(main)
