"""Check that the images of the selected experiments exist, and are enough for the split and for t-SNE."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cxrflow.images.columns import read_image_list
from cxrflow.images.folder import SUFFIXES, class_folders, folder_contents
from cxrflow.images.labels import label_errors
from cxrflow.io.errors import UserError
from cxrflow.io.tables import Table
from cxrflow.io.words import counted, did_you_mean, size, some_of
from cxrflow.run.checks import Check, error, note, ok
from cxrflow.study.models import Config
from cxrflow.study.names import SUBSET_FOLDERS, SUBSETS, same_name, subset_named

FolderImages = dict[tuple[str, str], set[str]]
"""(train, validation or test; class) to the ids of the images there."""
FOLDERS_OF = {"training_folder": ("train", "validation"), "test_folder": ("test",), "both": SUBSETS}


@dataclass(frozen=True)
class Images:
    """The images of the selected experiments by class folder, and the checks of them."""

    folders: FolderImages
    checks: list[Check]
    bytes_to_fetch: int = 0
    to_fetch: int = 0
    """Number of images that will be downloaded."""

    def count(self, classes: list[str], *subsets: str) -> int:
        """Count the images of some classes in some subsets; if the split does not exist yet, as many as it will contain."""
        return sum(len(self.folders.get((subset, name), ())) for subset in subsets for name in classes)


def find_images(config: Config, results: Path = Path("results")) -> Images:
    """Look for the images of the selected experiments' classes in their folders, or compare them with the image list.

    Images that are downloaded (`images: published`) are looked for in their future place below the folder of all results. No
    image is decoded here.
    """
    classes = sorted({name for one in config.selected().values() for name in config.tasks[one.task].classes})
    if config.phantoms is not None:
        numbers = {"train": config.phantoms.train_per_class, "test": config.phantoms.test_per_class}
        drawn = {(s, c): {f"{s}/{c}/{n}" for n in range(numbers[s])} for s in SUBSET_FOLDERS for c in classes}
        return Images(drawn, [ok("images", f"{sum(numbers.values()) * len(classes)} phantoms, drawn by cxrflow")])
    if (fetched := config.fetched_into()) is not None:
        return _fetched(config, results / fetched, classes)
    if missing := missing_folder(config.images):
        return Images({}, [error("images", missing)])
    return _in_folder(config, Path(str(config.images)), classes)


def missing_folder(images: str | None) -> str:
    """Describe that the folder of the images is not given or does not exist; an empty text if it exists."""
    if images and Path(images).is_dir():
        return ""
    return (
        f"{f'{images}: no such folder' if images else 'missing'}; name the folder that contains train/<class>/ and "
        "test/<class>/: DATA=FOLDER, or images in the config (images: published downloads them)"
    )


def _in_folder(config: Config, root: Path, classes: list[str]) -> Images:
    """Look for images in an existing folder, by its layout."""
    if config.layout == "listed":
        return _of_list_with_labels(config, root, classes)
    try:
        folders = class_folders(root, classes, config.layout)
    except UserError as wrong:
        return _not_found(wrong)
    found = {(subset, name): _images_in(root / folder, root) for subset, name, folder in folders}
    if config.layout == "train_test" and config.image_list is not None:
        return _compare_with_list(config, root, found)
    checks = _checks_of_folders(root, {folder: found[subset, name] for subset, name, folder in folders})
    if config.layout == "classes":
        return Images(_split_by_numbers(config, {name: images for (_, name), images in found.items()}), checks)
    return Images(found, checks)


def _not_found(wrong: UserError, found: FolderImages | None = None) -> Images:
    return Images(found or {}, [error("images", message) for message in wrong.messages])


def _split_by_numbers(config: Config, images_of: dict[str, set[str]]) -> FolderImages:
    """Divide the images of each class into train and test as a future split will; only their numbers are meaningful."""
    folders: FolderImages = {}
    for name, images in images_of.items():
        listed = sorted(images)
        test = round(len(listed) * config.test_fraction)
        folders["train", name], folders["test", name] = set(listed[test:]), set(listed[:test])
    return folders


def _of_list_with_labels(config: Config, root: Path, classes: list[str]) -> Images:
    """Look for the images that a list assigns to the classes."""
    try:
        table = _read_list(config, ("path", "label"))
    except UserError as wrong:
        return _not_found(wrong)
    images_and_labels = list(zip(table.column("path"), table.column("label"), strict=True))
    errors = label_errors(images_and_labels, classes)
    own = {same_name(one): one for one in classes}
    of_class: dict[str, set[str]] = {one: set() for one in classes}
    for image, label in images_and_labels:
        if one := own.get(same_name(label)):
            of_class[one].add(image)
    empty = [one for one, images in of_class.items() if not images]
    if empty and not errors:
        labels = some_of(sorted({label for _, label in images_and_labels}))
        errors.append(f"{config.image_list} has no image with the label {some_of(empty, 4)}; it has {labels}")
    missing = sorted(image for images in of_class.values() for image in images if not (root / image).is_file())
    counts = ", ".join(f"{one} {len(images)}" for one, images in of_class.items())
    found = ok("images", f"{config.image_list}, below {root}: {counts}")
    if missing:
        text = f"{root}: {counted(len(missing), 'image')} of {config.image_list} not found: {some_of(missing, 3)}"
        found = _missing(config, text)
    if errors:
        return Images({}, [*(error("images", message) for message in errors), *([found] if missing else [])])
    return Images(_split_by_numbers(config, of_class), [found])


def _missing(config: Config, text: str, fix: str = "", subject: str = "images") -> Check:
    """Report missing images; by `missing_images` as a note or as an error."""
    if config.missing_images == "warn":
        return note(subject, f"{text}; the run continues without them, and reports say so")
    return error(subject, f"{text}; add them, or set missing_images: warn{fix}")


def _compare_with_list(config: Config, root: Path, found: FolderImages) -> Images:
    """Compare the images of class folders with the config's list."""
    name = config.image_list
    try:
        listed = listed_images(_read_list(config), sorted({name for _, name in found}))
    except UserError as wrong:
        return _not_found(wrong, found)
    total = sum(map(len, listed.values()))
    missing = sorted(image for folder, images in listed.items() for image in images - found.get(folder, set()))
    if not total:
        text = f"{name} contains no image of the classes {', '.join(sorted({one for _, one in found}))}"
        return Images(listed, [error("images", f"{text}; for your own images, set image_list to null")])
    if not missing:
        return Images(listed, [ok("images", f"all {total} of {name} are below {root}")])
    text = f"{root}: {len(missing)} of the {total} of {name} are missing: {some_of(missing, 3)}"
    absent = sorted({f"{(root / image).parent}" for image in missing if not (root / image).parent.is_dir()})
    if absent:
        text += f" (no folder {some_of(absent, 3)}{_near_name(root, [f'{s}/{name}' for s, name in found])})"
    return Images(listed, [_missing(config, text, ", or image_list to null to use all files in the class folders")])


def _fetched(config: Config, folder: Path, classes: list[str]) -> Images:
    """Find which images of the config's list have been downloaded, and which ones will be."""
    name = config.image_list
    try:
        table = _read_list(config)
        listed = listed_images(table, classes)
    except UserError as wrong:
        return _not_found(wrong)
    bytes_of = dict(zip(table.column("path"), table.column("bytes"), strict=True))
    absent = sorted(image for image in bytes_of if not (folder / image).is_file())
    total = len(bytes_of)
    if not absent:
        return Images(listed, [ok("images", f"all {total} of {name} are below {folder}")])
    record = folder.with_name(f"{folder.name}.csv")
    if not record.is_file():
        lengths = [int(bytes_of[image]) for image in absent if bytes_of[image].isdigit()]
        byte_count, least = sum(lengths), "at least " if len(lengths) < len(absent) else ""
        text = f"{len(absent)} of the {total} of {name} will be downloaded to {folder} ({least}{size(byte_count)})"
        found = note("images", f"{text}; without internet access: DATA=FOLDER")
        return Images(listed, [found], byte_count, len(absent))
    text = f"{folder}: {len(absent)} of the {total} of {name} are missing: {some_of(absent, 3)}"
    reason = f"no source had them, or they were deleted later; delete {record} to download them again"
    return Images(listed, [note("images", f"{text}; {reason}")])


def _read_list(config: Config, needed: tuple[str, ...] = ("path",)) -> Table:
    path = Path(str(config.image_list))
    if not path.is_file():
        raise UserError(f"image_list: {path}: no such file; allowed: a CSV with a column `path`, or null")
    return read_image_list(path, columns=config.columns_of_list(), needed=needed)


def listed_images(table: Table, classes: list[str]) -> FolderImages:
    """Group the images of an image list (column `path`) by subset and class; images of other classes are omitted."""
    listed: FolderImages = {(s, c): set() for s in SUBSET_FOLDERS for c in classes}
    for path in table.column("path"):
        above, name = (*PurePosixPath(path).parts[:2], "", "")[:2]
        if (subset := subset_named(above)) and name in classes:
            listed.setdefault((subset, name), set()).add(path)
    return listed


def _images_in(folder: Path, root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in folder_contents(folder).images}


def _checks_of_folders(root: Path, found: dict[str, set[str]]) -> list[Check]:
    """Check that class folders have images.

    Args:
        root: folder of the images.
        found: path of each class folder below `root` to its images.
    """
    if empty := [f"{root / folder}" for folder, images in found.items() if not images]:
        text = f"{len(empty)} class folders are missing or have no image ({', '.join(SUFFIXES)}): {some_of(empty, 4)}"
        fix = "put images there, or choose experiments with other classes by `only`"
        return [error("images", f"{text}{_near_name(root, found)}; {fix}")]
    counts: dict[str, list[str]] = {}
    for folder, images in found.items():
        above, _, name = folder.rpartition("/")
        counts.setdefault(above, []).append(f"{name} {len(images)}")
    parts = [f"{above}: {', '.join(of_class)}".removeprefix(": ") for above, of_class in counts.items()]
    return [ok("images", f"{root}: {'; '.join(parts)}")]


def _near_name(root: Path, folders: Iterable[str]) -> str:
    """Suggest an existing folder for a misspelt class folder: `; did you mean 'normal'?`."""
    paths = [PurePosixPath(folder) for folder in folders]
    above = dict.fromkeys(path.parent for path in paths)
    existing = sorted({one.name for parent in above for one in (root / parent).glob("*") if one.is_dir()})
    names = {path.name for path in paths}
    others = [one for one in existing if one not in names]
    hints = [did_you_mean(name, others) for name in sorted(names - set(existing))]
    where = "" if above == {PurePosixPath(): None} else " train or test with class folders"
    return next(filter(None, hints), "") if existing else f"; {root} contains no folder{where}"


def check_image_counts(config: Config, images: Images) -> list[Check]:
    """Check that the images are enough for the split and for t-SNE; no checks if there are no images to count."""
    if not any(images.folders.values()):
        return []
    tasks = sorted({experiment.task for experiment in config.selected().values()})
    split = _too_few_for_split(config, images, tasks) if config.split == "keras" else []
    return [*split, *_too_few_for_tsne(config, images, tasks)]


def check_external(config: Config) -> list[Check]:
    """Check that an external test has images of each class of the selected experiments. No image is opened."""
    if config.external is None:
        return []
    from cxrflow.images.external import list_external, read_external  # loads pandas

    path = Path(config.external)
    classes = sorted({name for one in config.selected().values() for name in config.tasks[one.task].classes})
    try:
        external = read_external(path)
        listed = list_external(path, external, classes)
    except UserError as wrong:
        return [error("external", message.removeprefix("external: ")) for message in wrong.messages]
    missing = sorted(image for image in listed["image"] if not (external.root / image).is_file())
    if missing:
        text = f"{path}: {counted(len(missing), 'image')} not found: {some_of(missing, 3)}"
        return [_missing(config, text, subject="external")]
    counts = ", ".join(f"{name} {count}" for name, count in listed["class"].value_counts().sort_index().items())
    others = external.others(classes)
    left_out = f"; {counted(len(others), 'image')} of other classes are left out" if len(others) else ""
    return [ok("external", f"{path}: {counts}{left_out}")]


def _too_few_for_split(config: Config, images: Images, tasks: list[str]) -> list[Check]:
    checks = []
    for name in sorted({name for task in tasks for name in config.tasks[task].classes}):
        train, given = images.count([name], "train"), images.count([name], "validation")
        validation = given or int(train * config.validation_fraction)
        training = train if given else train - validation
        counts = {"training": training, "validation": validation, "test": images.count([name], "test")}
        without = [subset for subset, count in counts.items() if not count]
        if train and without:
            text = f"class {name} has no {' and no '.join(without)} image ({train} in train/)"
            checks.append(error("split", f"{text}; add images of this class, or change validation_fraction or split"))
    return checks


def _too_few_for_tsne(config: Config, images: Images, tasks: list[str]) -> list[Check]:
    checks = []
    for task in tasks:
        count = images.count(config.tasks[task].classes, *FOLDERS_OF[config.feature_images])
        if count and config.tsne.perplexity >= count:
            text = f"tsne.perplexity is {config.tsne.perplexity:g}, but task {task} has only {count} images to show"
            more = "" if config.feature_images == "both" else ", or feature_images: both"
            checks.append(error("t-SNE", f"{text}; choose a smaller perplexity{more}"))
    return checks


def columns_flags(config: Config) -> list[str]:
    """Build the flags of stages for the columns of the image list that the config names (path, label, patient …)."""
    columns = config.columns_of_list()
    return ["--columns", *(f"{word}={name}" for word, name in columns.items())] if columns else []
