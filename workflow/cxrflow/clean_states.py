"""Delete the states of trainings, from which they go on: what has been trained stays, a longer training begins anew.

Not a stage: `make clean-states` calls it. A training that is under way keeps its states: its claim is honoured.
"""

import re
from pathlib import Path

from cxrflow.machine.findings import size
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, raise_all
from cxrflow.training.claim import LOCK, claimed_at_once


def clean_folder(folder: Path) -> int:
    """Delete what a training keeps in its folder; the empty lock stays, since another process may be waiting at it.

    Returns:
        Bytes that were deleted.

    Raises:
        Fault: a process trains it.
    """
    with claimed_at_once(folder):
        files = [file for file in folder.iterdir() if file.name != LOCK]
        byte_count = sum(file.stat().st_size for file in files)
        # The records first: a state whose record is gone is none.
        for file in sorted(files, key=lambda file: file.suffix != ".json"):
            file.unlink()
    return byte_count


def last_epoch(folder: Path) -> int | None:
    """Epochs behind the furthest state of a folder, or None where it has none."""
    found = [re.match(r"epoch_(\d+)_batch_\d+\.json$", file.name) for file in folder.iterdir()]
    return max((int(one[1]) for one in found if one), default=None)


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--states", type=Path, required=True, help="folder of the states of all trainings")
    args = parser.parse_args()
    faults: list[str] = []
    total = 0
    for folder in sorted(path for path in args.states.glob("*") if path.is_dir()):
        epoch = last_epoch(folder)
        try:
            byte_count = clean_folder(folder)
        except Fault as fault:
            faults += fault.messages
            continue
        total += byte_count
        if epoch is not None:
            print(f"deleted {folder}: {size(byte_count)}, behind epoch {epoch}")
    print(f"{size(total)} deleted in {args.states}")
    raise_all(faults)


if __name__ == "__main__":
    run_stage(main)
