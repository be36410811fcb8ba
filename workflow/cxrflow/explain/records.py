"""What Snakemake wrote down of outputs when they were made."""

import json
import os
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

METADATA = Path(".snakemake/metadata")


def record_of(output: str) -> dict[str, Any] | None:
    """What Snakemake wrote down of an output; None where it did not."""
    file = _record_file(output)
    if file is None or not file.is_file():
        return None
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return record


def has_no_record(output: Path) -> bool:
    """Whether an output is there and Snakemake knows nothing of it: it would take it for made by whatever is asked for now."""
    file = _record_file(str(output))
    return output.exists() and (file is None or not file.is_file())


def _record_file(output: str) -> Path | None:
    """An output's name in base64 is the name of its record, cut where that would be too long."""
    if not METADATA.is_dir():
        return None
    name, most = urlsafe_b64encode(output.encode()).decode(), os.pathconf(METADATA, "PC_NAME_MAX") - 1
    parts = [name[start : start + most] for start in range(0, len(name), most)]
    return METADATA.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])
