"""Names in a data set: subsets, classes, files, and the columns of an image list."""

import re
import unicodedata

SUBSET_FOLDERS = ("train", "test")
"""The folders of `layout: train_test` with the class folders in them; a validation folder is optional."""
SUBSETS = ("train", "validation", "test")
"""Values of the column `subset_folder` of an index; empty without subset folders."""
_SUBSET_NAME = re.compile(
    r"(?:(?P<train>train|training)|(?P<validation>val|valid|validation|dev|development)|(?P<test>test|testing))"
    r"(?:[ _-]?(?:set|data|images|split))?",
    re.IGNORECASE,
)
NOT_IN_CLASSES = "{}<>|\\;$`'\""
"""Characters with a meaning in Snakemake, in shells or in the report."""
LONGEST_CLASS = 200
"""In bytes; a file name can have 255."""
OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "path": ("filename", "file", "filepath", "image", "imagepath", "imagefile", "imagename", "imageindex", "imageid"),
    "label": (
        "finding",
        "findings",
        "findinglabels",
        "class",
        "classname",
        "diagnosis",
        "category",
        "target",
        "labels",
    ),
    "split": ("subset", "set", "partition", "dataset"),
    "patient": ("patientid", "subject", "subjectid", "participant", "participantid"),
    "sex": ("gender", "patientsex", "patientgender"),
    "age": ("patientage",),
    "view": ("projection", "viewposition", "viewpos"),
    "licence": ("license", "licences", "licenses"),
    "source": ("datasource",),
    "sha256": (),
    "git_blob_sha1": (),
    "bytes": (),
}
"""Meaning of a column of an image list to other names for it, in lower-case letters and digits only."""


def subset_named(name: str) -> str | None:
    """Find the subset for a folder's name, in any case and common spelling: train, validation, test or None."""
    found = _SUBSET_NAME.fullmatch(name)
    return found.lastgroup if found else None


def same_name(name: str) -> str:
    """A name in Unicode form NFC, in which names of the same letters are equal."""
    return unicodedata.normalize("NFC", name)


def pixel_folder(subset: str, name: str, layout: str) -> str:
    """The folder of the pixels of a class and a subset, below the folder of their size: `train/opacity`, or `opacity`.

    Validation images share the folder of the training images, so that the files of a run do not depend on whether the
    data set has a validation folder. Characters that file names or Snakemake do not allow are written as %2F and the like.
    """
    folder = re.sub(r'[%/\\:*?"]', lambda found: f"%{ord(found[0]):02X}", name)
    return f"{'test' if subset == 'test' else 'train'}/{folder}" if layout == "train_test" else folder


def name_problem(name: str) -> str:
    """Why a file of this name cannot be used, or an empty text. Tables list names as lines of UTF-8."""
    kinds = {unicodedata.category(character) for character in name}
    if "Cs" in kinds:
        return "its name is not UTF-8; rename it"
    if kinds & {"Cc", "Zl", "Zp"}:
        return "its name holds a line break or another control character; rename it"
    return ""


def class_problem(name: str) -> str:
    """Why a class (a folder, or a label of an image list) must not have this name, or an empty text."""
    unprintable = "" if name.isprintable() else "must not contain unprintable characters; rename it"
    if why := name_problem(name) or unprintable:
        return why
    if found := sorted(set(NOT_IN_CLASSES) & set(name)):
        return (
            f"must not contain {' '.join(found)}; allowed: letters of any alphabet, digits, spaces and other characters"
        )
    if name != name.strip() or name[:1] in ("", "-", "."):
        return "must not be empty, start with a dash, a dot or a space, or end with a space; rename it"
    if subset := subset_named(name):
        return (
            f"the name of a {subset} subset, not of a class; classes are folders in it, {name}/<class>/, with "
            "`layout: train_test`"
        )
    if len(pixel_folder("", name, "classes").encode()) > LONGEST_CLASS:
        return f"more than {LONGEST_CLASS} bytes long; rename it"
    return ""
