"""Images and weights: are those that the selected experiments need where the config says?"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cxrflow.config.models import Config
from cxrflow.config.suggest import did_you_mean
from cxrflow.images import SUBSET_FOLDERS
from cxrflow.images.folder import SUFFIXES, class_folders, folder_contents
from cxrflow.machine.findings import Finding, fault, note, ok, size, some_of
from cxrflow.networks.weights import find_weights
from cxrflow.stage.faults import Fault
from cxrflow.stage.tables import read_rows

STUDY_LIST = Path(__file__).resolve().parents[2] / "resources" / "study_files.csv"

FolderImages = dict[tuple[str, str], set[str]]
"""(subset folder, class) to the ids of the images in it."""


@dataclass(frozen=True)
class Images:
    """The images that the selected experiments use, by class folder, and what the doctor has to say of them."""

    folders: FolderImages
    findings: list[Finding]
    bytes_to_fetch: int = 0

    def count(self, classes: list[str], subset_folder: str) -> int:
        """Number of images of some classes in train or test; where the split is yet to be made, as many as will be."""
        return sum(len(self.folders.get((subset_folder, name), ())) for name in classes)


def find_images(config: Config, results: Path = Path("results")) -> Images:
    """Look for the images of the selected experiments' classes: in their folders, against the image list if there is one.

    Images that are fetched (`images: study`) are looked for where they will lie, below the folder of all results.

    Reads no image: whether one can be decoded is for index_images to find out.
    """
    classes = sorted({name for one in config.selected().values() for name in config.tasks[one.task].classes})
    if config.phantoms is not None:
        numbers = {"train": config.phantoms.train_per_class, "test": config.phantoms.test_per_class}
        drawn = {(s, c): {f"{s}/{c}/{n}" for n in range(numbers[s])} for s in SUBSET_FOLDERS for c in classes}
        return Images(drawn, [ok("images", f"{sum(numbers.values()) * len(classes)} phantoms, drawn by cxrflow")])
    if (fetched := config.fetched_into()) is not None:
        return _fetched(config, results / fetched, classes)
    if not config.images or not Path(config.images).is_dir():
        told = f"{config.images}: no such folder" if config.images else "missing"
        what = (
            "name the folder that holds train/<class>/ and test/<class>/: DATA=FOLDER, or images in the config "
            "(images: study fetches them)"
        )
        return Images({}, [fault("images", f"{told}; {what}")])
    return _in_folder(config, Path(config.images), classes)


def _in_folder(config: Config, root: Path, classes: list[str]) -> Images:
    """The images of a folder that is there, by its layout."""
    if config.layout == "listed":
        return _of_list_with_labels(config, root, classes)
    found = {(s, c): _images_in(root / folder, root) for s, c, folder in class_folders(classes, config.layout)}
    if config.layout == "classes":
        findings = _findings_of_folders(root, found)
        return Images(_shared_out(config, {name: images for (_, name), images in found.items()}), findings)
    if config.image_list is None:
        return Images(found, _findings_of_folders(root, found))
    return _against_list(config, root, found)


def _shared_out(config: Config, images_of: dict[str, set[str]]) -> FolderImages:
    """Images of each class as train and test, in the shares of a split that is yet to be made: good for their numbers."""
    folders: FolderImages = {}
    for name, images in images_of.items():
        listed = sorted(images)
        test = round(len(listed) * config.test_fraction)
        folders["train", name], folders["test", name] = set(listed[test:]), set(listed[:test])
    return folders


def _of_list_with_labels(config: Config, root: Path, classes: list[str]) -> Images:
    """The images that a list gives the classes, and those of them that are not there."""
    path, name = _image_list(config)
    try:
        header, rows = read_rows(path, "image_list")
    except Fault as wrong:
        return Images({}, [fault("images", message) for message in wrong.messages])
    if absent := [column for column in ("path", "label") if column not in header]:
        return Images({}, [fault("images", f"image_list: {path}: no column {' and no column '.join(absent)}")])
    labels = {row[header.index("path")]: row[header.index("label")] for row in rows}
    of_class = {one: {image for image, label in labels.items() if label == one} for one in classes}
    if empty := [one for one, images in of_class.items() if not images]:
        near = "; it has " + some_of(sorted(set(labels.values())))
        return Images({}, [fault("images", f"{name} has no image with the label {some_of(empty, 4)}{near}")])
    missing = sorted(image for images in of_class.values() for image in images if not (root / image).is_file())
    counts = ", ".join(f"{one} {len(images)}" for one, images in of_class.items())
    found = ok("images", f"{name}, below {root}: {counts}")
    if missing:
        text = f"{root}: {len(missing)} images of {name} are missing: {some_of(missing, 3)}"
        told = note if config.missing_images == "warn" else fault
        found = told("images", f"{text}; get them, or set missing_images: warn")
    return Images(_shared_out(config, of_class), [found])


def _against_list(config: Config, root: Path, found: FolderImages) -> Images:
    """The images that the config's list names, and those of them that are not there."""
    path, name = _image_list(config)
    try:
        listed = listed_images(path, sorted({name for _, name in found}))
    except Fault as wrong:
        return Images(found, [fault("images", message) for message in wrong.messages])
    total = sum(map(len, listed.values()))
    missing = sorted(image for folder, images in listed.items() for image in images - found[folder])
    if not total:
        text = f"{name} names no image of the classes {', '.join(sorted({one for _, one in found}))}"
        return Images(listed, [fault("images", f"{text}; for images of your own set image_list to null")])
    if not missing:
        return Images(listed, [ok("images", f"all {total} of {name} are below {root}")])
    text = f"{root}: {len(missing)} of the {total} of {name} are missing: {some_of(missing, 3)}"
    absent = [f"{root / subset / name}" for subset, name in found if not (root / subset / name).is_dir()]
    if absent:
        text += f" (no folder {some_of(absent, 3)}{_near_name(root, found)})"
    if config.missing_images == "warn":
        return Images(listed, [note("images", f"{text}; runs are made without them, and reports say so")])
    what = "get them, or set missing_images: warn, or image_list to null for whatever lies in the folders"
    return Images(listed, [fault("images", f"{text}; {what}")])


def _fetched(config: Config, folder: Path, classes: list[str]) -> Images:
    """The images that the config's list names, those that have been fetched and those that will be."""
    path, name = _image_list(config)
    try:
        listed = listed_images(path, classes)
    except Fault as wrong:
        return Images({}, [fault("images", message) for message in wrong.messages])
    header, rows = read_rows(path, "image_list")
    named = [dict(zip(header, row, strict=True)) for row in rows]
    bytes_of = {row["path"]: row.get("bytes", "") for row in named}
    absent = sorted(image for image in bytes_of if not (folder / image).is_file())
    total = len(bytes_of)
    if not absent:
        return Images(listed, [ok("images", f"all {total} of {name} are below {folder}")])
    record = folder.with_name(f"{folder.name}.csv")
    if not record.is_file():
        byte_count = sum(int(bytes_of[image]) for image in absent if bytes_of[image].isdigit())
        text = f"{len(absent)} of the {total} of {name} will be fetched into {folder} ({size(byte_count)})"
        return Images(listed, [note("images", f"{text}; without the internet: DATA=FOLDER")], byte_count)
    text = f"{folder}: {len(absent)} of the {total} of {name} are not there: {some_of(absent, 3)}"
    again = f"no source had them, or they were deleted since; delete {record}, and they are fetched again"
    return Images(listed, [note("images", f"{text}; {again}")])


def _image_list(config: Config) -> tuple[Path, str]:
    """The file of the config's image list, and what it is called."""
    if config.image_list == "study":
        return STUDY_LIST, "the study's list"
    return Path(str(config.image_list)), str(config.image_list)


def listed_images(image_list: Path, classes: list[str]) -> FolderImages:
    """The images of some classes that a CSV with a column `path` names.

    Raises:
        Fault: there is no such file, or no such column in it.
    """
    if not image_list.is_file():
        raise Fault(f"image_list: {image_list}: no such file; allowed: study, a CSV with a column `path`, or null")
    header, rows = read_rows(image_list, "image_list")
    if "path" not in header:
        raise Fault(f"image_list: {image_list}: no column `path`; it has {', '.join(header)}")
    paths = [row[header.index("path")] for row in rows]
    listed: FolderImages = {(s, c): set() for s in SUBSET_FOLDERS for c in classes}
    for path in paths:
        folder = PurePosixPath(path).parts[:2]
        if len(folder) == 2 and folder in listed:
            listed[folder[0], folder[1]].add(path)
    return listed


def _images_in(folder: Path, root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in folder_contents(folder).images}


def _findings_of_folders(root: Path, found: FolderImages) -> list[Finding]:
    empty = [f"{root / subset / name}" for (subset, name), images in found.items() if not images]
    if empty:
        text = f"{len(empty)} class folders are missing or hold no image ({', '.join(SUFFIXES)}): {some_of(empty, 4)}"
        return [
            fault(
                "images",
                f"{text}{_near_name(root, found)}; put images there, or choose experiments of other classes by `only`",
            )
        ]
    counts = "; ".join(
        f"{subset}: ".removeprefix(": ")
        + ", ".join(f"{name} {len(images)}" for (where, name), images in found.items() if where == subset)
        for subset in dict.fromkeys(where for where, _ in found)
    )
    return [ok("images", f"{root}: {counts}")]


def _near_name(root: Path, found: FolderImages) -> str:
    """`; did you mean 'covid'?` for a class whose folder is spelt otherwise."""
    subsets = dict.fromkeys(subset for subset, _ in found)
    there = sorted({one.name for subset in subsets for one in (root / subset).glob("*") if one.is_dir()})
    lacking = [name for name in sorted({name for _, name in found}) if name not in there]
    hints = [did_you_mean(name, [one for one in there if one not in {n for _, n in found}]) for name in lacking]
    where = " train or test with class folders" if "train" in subsets else ""
    return next(filter(None, hints), "") if there else f"; {root} holds no folder{where}"


def weights_findings(config: Config, results: Path) -> list[Finding]:
    """Whether the initial weights of the selected experiments' backbones are there, or have to be downloaded."""
    wanted = {(one.weights or config.weights, one.backbone) for one in config.selected().values()}
    texts: list[str] = []
    faults: list[str] = []
    downloads: list[str] = []
    for source, backbone in sorted(wanted):
        try:
            file = find_weights(source, backbone)
        except Fault as wrong:
            faults += [message.removeprefix("weights: ") for message in wrong.messages]
            continue
        if file is None and source == "imagenet":
            file = results / "weights" / f"{backbone}.weights.h5"
            if not file.is_file():
                downloads.append(backbone)
                continue
        texts.append(f"{backbone} {file if file else 'random'}")
    findings = [fault("weights", message) for message in dict.fromkeys(faults)]
    if downloads:
        text = f"{', '.join(downloads)}: ImageNet weights will be fetched into {results / 'weights'}"
        findings.append(note("weights", f"{text} (without the internet: WEIGHTS=FOLDER)"))
    return [*([ok("weights", "; ".join(texts))] if texts else []), *findings]
