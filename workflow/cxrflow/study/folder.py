"""A study: a folder with `study.yaml` and the files that it names."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxrflow.io.errors import UserError
from cxrflow.io.words import did_you_mean
from cxrflow.study.decides import keys_that_decide
from cxrflow.study.fields import IsPath, metadata_of
from cxrflow.study.merging import PARTIAL_KEYS, SECTIONS
from cxrflow.study.models import Config
from cxrflow.study.yaml_files import read_yaml

STUDY_FILE = "study.yaml"
PATH_KEYS = {
    key: path.words for key, field in Config.model_fields.items() if (path := metadata_of(field, IsPath)) is not None
}
"""Keys that name a file or folder, to their values that are not paths. Paths in `study.yaml` are relative to its folder."""


def study_folder(study: str, studies: Path, key: str = "study") -> Path:
    """Find the folder of a study.

    Args:
        study: a folder in `studies`, or a path (with a slash).
        studies: a folder of studies.
        key: the key that names the study, for error messages.

    Raises:
        UserError: the folder does not exist, or has no `study.yaml`.
    """
    folder = Path(study) if "/" in study else studies / study
    if (folder / STUDY_FILE).is_file():
        return folder
    if "/" in study:
        raise UserError(f"{key}: {study}: no file {STUDY_FILE} in this folder; `cxrflow init` writes one")
    existing = sorted(file.parent.name for file in studies.glob(f"*/{STUDY_FILE}"))
    raise UserError(
        f"{key}: there is no study '{study}'{did_you_mean(study, existing)}; allowed: {', '.join(existing)}, or the path of a "
        f"folder with {STUDY_FILE} (./{study} for a folder here)"
    )


def study_keys(folder: Path) -> dict[str, Any]:
    """Read the keys of a study; see `read_study`."""
    return read_study(folder)[0]


def read_study(folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """Read the keys of a study and, with `data_of`, those of the data of another.

    Returns:
        The keys, with paths relative to the working directory, and the `study.yaml` files that were read.

    Raises:
        UserError: a file cannot be read, or `data_of` names a study that does not exist or leads back to one read before.
    """
    result: dict[str, Any] = {}
    files: list[Path] = []
    while True:
        file = folder / STUDY_FILE
        if file in files:
            raise UserError(f"{files[-1]}: data_of: leads back to {file}; name a study with its own data")
        keys = with_paths(read_yaml(file), folder)
        other = keys.pop("data_of", None)
        used = keys_that_decide(Config, "data", "index", "sources") if files else keys
        result = {key: keys[key] for key in used if key in keys} | result
        files.append(file)
        if other is None:
            return result, files
        folder = study_folder(str(other), folder.parent, f"{file}: data_of")


def with_paths(keys: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths of a study, which are relative to its folder, relative to the working directory, in place."""
    for place in _places(keys):
        for key, words in PATH_KEYS.items():
            value = place.get(key)
            if isinstance(value, str) and value not in words:
                place[key] = os.path.normpath(folder / value)
    return keys


def _places(keys: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The mappings that may name files: the whole config, those that experiments share, and each experiment."""
    yield keys
    for section in SECTIONS:
        yield from (one for one in (keys.get(section) or {}).values() if isinstance(one, dict))
    yield from (keys[key] for key in PARTIAL_KEYS if isinstance(keys.get(key), dict))
