"""Delete the checkpoints of all trainings. Results are kept, but a longer training will start from the beginning.

Not a stage: `make clean-checkpoints` calls it. The checkpoints of a running training, whose folder is locked, are kept.
"""

import re
from fnmatch import fnmatch
from pathlib import Path

from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError, one_line, raise_all
from cxrflow.io.words import size
from cxrflow.training.lock import HOLDER, lock_folder_at_once

IDENTITY = re.compile("[0-9a-f]{16}")
TRAINING_FILES = ("epoch_*.json", "*.npz", "history.csv", HOLDER, ".part-*")
"""Files that trainings write into their folders, except the lock."""


def clean_folder(folder: Path) -> int:
    """Delete the files of a training; the empty lock file stays, since another process may be waiting for it.

    Files that no training writes stay, too.

    Returns:
        Number of deleted bytes.

    Raises:
        UserError: the training is running.
    """
    with lock_folder_at_once(folder):
        files = [file for file in folder.iterdir() if any(fnmatch(file.name, pattern) for pattern in TRAINING_FILES)]
        byte_count = sum(file.stat().st_size for file in files)
        # The JSON files first: a partly deleted checkpoint then no longer counts as one.
        for file in sorted(files, key=lambda file: file.suffix != ".json"):
            file.unlink()
    return byte_count


def last_epoch(folder: Path) -> int | None:
    """Return the epoch of the latest checkpoint in a folder, or None if there is none."""
    found = [re.match(r"epoch_(\d+)_batch_\d+\.json$", file.name) for file in folder.iterdir()]
    return max((int(one[1]) for one in found if one), default=None)


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of the checkpoints of all trainings")
    args = parser.parse_args()
    errors: list[str] = []
    total = 0
    for folder in sorted(path for path in args.checkpoints.glob("*") if path.is_dir()):
        if not IDENTITY.fullmatch(folder.name):
            print(one_line(f"{folder}: not the folder of a training; it is not changed"))
            continue
        epoch = last_epoch(folder)
        try:
            byte_count = clean_folder(folder)
        except UserError as error:
            errors += error.messages
            continue
        total += byte_count
        if epoch is not None:
            print(f"deleted {folder}: {size(byte_count)}, trained for {epoch} epochs")
    print(f"{size(total)} deleted in {args.checkpoints}")
    raise_all(errors)


if __name__ == "__main__":
    run_stage(main)
