"""A folder that other users can access: root may read and write everything, so permissions are tested as another user."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLACES = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # TMPDIR may be a folder that only its owner may enter


@contextmanager
def open_folder(name: str = "") -> Iterator[Path]:
    """Create a temporary folder that all users may enter, and delete it at the end.

    Raises:
        FileNotFoundError: this process runs as root, and other users cannot access any place for temporary files.
    """
    place = next((place for place in PLACES if os.geteuid() or _entered_by_all(Path(place))), None)
    if place is None:
        raise FileNotFoundError(f"{', '.join(PLACES)}: none of them is open to users other than root")
    with tempfile.TemporaryDirectory(prefix=f"cxrflow-{name}", dir=place, ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _entered_by_all(folder: Path) -> bool:
    whole = folder.resolve()
    return all(part.is_dir() and part.stat().st_mode & 0o001 for part in (whole, *whole.parents))
