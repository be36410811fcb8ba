"""Memory and packages of this machine, and the package versions of a lock file."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cxrflow.io.errors import UserError

CONTAINER = Path("/sys/fs/cgroup")
# Packages that install the same module under several names, and the name that represents them.
SAME_MODULE = {"tensorflow-cpu": "tensorflow"}


def free_memory(limits: Path = CONTAINER) -> int:
    """Bytes of memory that are available to a new process, within the limit of the container."""
    free = psutil.virtual_memory().available
    limit = _memory_limit(limits)
    used = limits / "memory.current"
    if limit is not None and used.is_file():
        free = min(free, limit - int(used.read_text()))
    return max(free, 0)


def total_memory(limits: Path = CONTAINER) -> int:
    """Bytes of memory that all processes can use together, within the limit of the container."""
    total = psutil.virtual_memory().total
    limit = _memory_limit(limits)
    return total if limit is None else min(total, limit)


def _memory_limit(limits: Path) -> int | None:
    file = limits / "memory.max"
    limit = file.read_text().strip() if file.is_file() else ""
    return int(limit) if limit.isdigit() else None


def locked_versions(lock: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Map each package of a lock file that applies here to its version.

    Args:
        lock: lock file in pip's format: `name==version ; marker \\`, followed by hashes.
        environment: values of the markers; by default those of this Python and machine.

    Raises:
        UserError: the file does not exist.
    """
    if not lock.is_file():
        raise UserError(f"{lock}: no such file; --lock takes one of envs/*.lock")
    locked: dict[str, str] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith(("#", " ")):
            continue
        requirement = Requirement(line.removesuffix("\\").strip())
        if requirement.marker is None or requirement.marker.evaluate(dict(environment) if environment else None):
            locked[canonicalize_name(requirement.name)] = next(iter(requirement.specifier)).version
    return locked


def installed_versions() -> dict[str, str]:
    """Map each installed package to its version."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        found.setdefault(canonicalize_name(distribution.metadata["Name"]), distribution.version)
    return found


def one_name(package: str) -> str:
    """Normalise a package's name; packages that install the same module get the same name."""
    name = canonicalize_name(package)
    return SAME_MODULE.get(name, name)


def by_one_name(versions: Mapping[str, str]) -> dict[str, str]:
    """Map `one_name` of each package to its version."""
    return {one_name(package): version for package, version in versions.items()}
