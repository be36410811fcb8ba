"""Files for values that are too long for an argument or an environment variable, such as settings of hundreds of experiments.

The name of a file contains the hash of its content, so a command that names the file changes exactly when the content does.
"""

from pathlib import Path
from typing import Any

from cxrflow.io.files import canonical_json, sha256_of_text, write_text

_texts: dict[str, str] = {}


def handed_on(folder: Path, name: str, value: Any) -> str:
    """Register a value to be written by `write_handed_on`, and return the path of its file.

    Args:
        folder: folder of all such files of a run.
        name: first part of the file name.
        value: a JSON value.

    Returns:
        The path as a text: Snakemake does not record params that are `Path`s, and would not notice changes.
    """
    text = canonical_json(value)
    file = str(folder / f"{name}_{sha256_of_text(text)[:16]}.json")
    _texts[file] = text
    return file


def write_handed_on() -> None:
    """Write the files of all registered values that do not exist yet, each completely or not at all."""
    for file, text in _texts.items():
        if not Path(file).is_file() or Path(file).read_text(encoding="utf-8") != text:
            write_text(file, text)


def text_of(file: str) -> str | None:
    """Return the content of such a file, even before it is written; None if it is unknown."""
    if file in _texts:
        return _texts[file]
    return Path(file).read_text(encoding="utf-8") if Path(file).is_file() else None
