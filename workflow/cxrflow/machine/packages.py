"""Python and the installed packages, held against a lock file."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cxrflow.machine.findings import Finding, fault, note, ok, some_of
from cxrflow.stage.faults import Fault

PYTHONS = ("3.11", "3.12", "3.13")
"""As requires-python of pyproject.toml says."""

# A module that comes in packages of several names: each of them to the one that stands for all.
SAME_MODULE = {"tensorflow-cpu": "tensorflow"}


def python_finding(version: str) -> Finding:
    """Whether a Python version such as "3.11.7" is one that the locked packages are for."""
    if ".".join(version.split(".")[:2]) in PYTHONS:
        return ok("Python", version)
    return fault("Python", f"{version}; cxrflow needs {', '.join(PYTHONS)}: make demo PYTHON=python3.12")


def locked_versions(lock: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Package to version, of those requirements of a lock file that apply here.

    Args:
        lock: lock file in pip's format: `name==version ; marker \\`, then hashes.
        environment: values of the markers, by default those of this Python and machine.

    Raises:
        Fault: the file is not there.
    """
    if not lock.is_file():
        raise Fault(f"{lock}: no such file; --lock names one of envs/*.lock")
    locked: dict[str, str] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith(("#", " ")):
            continue
        requirement = Requirement(line.removesuffix("\\").strip())
        if requirement.marker is None or requirement.marker.evaluate(dict(environment) if environment else None):
            locked[canonicalize_name(requirement.name)] = next(iter(requirement.specifier)).version
    return locked


def installed_versions() -> dict[str, str]:
    """Package to version, of all that is installed."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        found.setdefault(canonicalize_name(distribution.metadata["Name"]), distribution.version)
    return found


def one_name(package: str) -> str:
    """A package's name, spelled in the usual way; one name for packages that bring the same module."""
    name = canonicalize_name(package)
    return SAME_MODULE.get(name, name)


def by_one_name(versions: Mapping[str, str]) -> dict[str, str]:
    """Package to version, by `one_name`."""
    return {one_name(package): version for package, version in versions.items()}


def package_finding(
    locked: Mapping[str, str], installed: Mapping[str, str], versions: str, lock: Path | str
) -> Finding:
    """How the installed packages differ from the locked ones.

    Args:
        locked: what should be installed.
        installed: what is.
        versions: the config's `versions`: "reported" makes a difference a note, "locked" makes it a fault.
        lock: the lock file, to name it.
    """
    found = by_one_name(installed)
    there = {name: found.get(one_name(name)) for name in sorted(locked)}
    differing = [
        f"{name} {there[name]} (locked: {locked[name]})" for name in there if there[name] not in (None, locked[name])
    ]
    missing = [f"{name} {locked[name]}" for name in there if there[name] is None]
    if not differing and not missing:
        return ok("packages", f"all {len(locked)} as in {lock}")
    told = [
        f"{some_of(differing)} installed" if differing else "",
        f"not installed: {some_of(missing)}" if missing else "",
    ]
    text = f"{'; '.join(filter(None, told))}; pip install --require-hashes -r {lock} brings the locked ones"
    return fault("packages", text) if versions == "locked" else note("packages", f"{text}; results may differ")
