"""List the images of an external test: a folder of class folders, or an image list. Opens no image."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrflow.images.columns import read_image_list
from cxrflow.images.fingerprint import Stamps, fingerprint
from cxrflow.images.folder import folder_contents
from cxrflow.images.labels import other_labels
from cxrflow.images.listing import list_images
from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.files import stamp_of
from cxrflow.io.words import counted, some_of
from cxrflow.study.names import same_name, subset_named


@dataclass(frozen=True)
class External:
    """The images of an external test."""

    root: Path
    """Their folder; paths are relative to it."""
    rows: pd.DataFrame
    """All images, also of other classes: path, label and, from a list, patient, sha256 and other known columns."""
    is_list: bool
    remarks: list[str]
    """Notes for the log."""

    @property
    def stamps(self) -> Stamps:
        """The stamps of the files."""
        return {path: stamp_of(self.root / path) for path in sorted(set(self.rows["path"])) if "\0" not in path}

    def others(self, classes: Iterable[str]) -> pd.DataFrame:
        """The images of other classes, which are left out: columns image and class."""
        is_other = self.rows["label"].isin(other_labels(self.rows["label"], classes))
        return self.rows.loc[is_other, ["path", "label"]].set_axis(["image", "class"], axis=1)


def read_external(path: Path) -> External:
    """Find the images of an external test and their labels.

    In a folder, the label of an image is the name of the class folder: the first folder in its path, or the second one if the
    first has the name of a subset, such as `train` or `test`. Subsets and the column `split` of a list mean nothing else.

    Args:
        path: value of the key `external`: a folder or a CSV, whose paths are relative to it.

    Raises:
        UserError: there is no such folder or file, the list has errors, or a folder cannot be read.
    """
    if path.is_file():
        table = read_image_list(path, "external", needed=("path", "label"))
        return External(path.parent, table.as_frame().drop(columns="split", errors="ignore"), True, table.remarks)
    if not path.is_dir():
        raise UserError(
            f"external: {path}: no such folder or file; allowed: a folder with <class>/, or a CSV with columns path and label"
        )
    contents = folder_contents(path)
    raise_all([f"external: {one}: {why}" for one, why in contents.problems.items()])
    images = [image.relative_to(path) for image in sorted(contents.images)]
    labels = [next((part for part in image.parts[:-1] if not subset_named(part)), "") for image in images]
    rows = pd.DataFrame({"path": [image.as_posix() for image in images], "label": labels}, dtype="string")
    unlabelled = rows.loc[rows["label"] == "", "path"]
    found = f"{counted(len(unlabelled), 'image')} outside of class folders left out: {some_of(unlabelled, 3)}"
    return External(path, rows[rows["label"] != ""], False, [f"external: {path}: {found}"] if len(unlabelled) else [])


def list_external(path: Path, external: External, classes: list[str]) -> pd.DataFrame:
    """List the images of the run's classes, see `cxrflow.images.listing.list_images`.

    Args:
        path: value of the key `external`, for messages.
        external: from `read_external`.
        classes: classes of the run; each must have an image.

    Raises:
        UserError: a class has no image, or labels or paths have errors; all messages name the key and its value.
    """
    labels = {same_name(label): label for label in external.rows["label"]}
    absent = [name for name in classes if same_name(name) not in labels]
    try:
        return list_images(external.root, classes, "listed", external.rows)
    except UserError as error:
        messages = [f"external: {path}: {message.removeprefix('image list: ')}" for message in error.messages]
    if absent:
        there = some_of(sorted(labels.values()), 8) or "nothing"
        messages.append(
            f"external: {path}: found {there}; add images of each class, or choose experiments with other classes by `only`"
        )
    raise UserError(messages)


def external_fingerprint(path: Path, record: Path) -> str:
    """Compute the fingerprint of the images of an external test, see `cxrflow.images.fingerprint.fingerprint`."""
    external = read_external(path)
    return fingerprint(external.root, external.stamps, record)
