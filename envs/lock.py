"""Resolve envs/*.in into lock files, and write each lock file as a conda environment, too.

make lock                  keeps the versions of the lock files, as far as the .in files allow
make lock UPGRADE=1        takes the newest versions

Needs `uv` on PATH (pip install uv). The files contain versions and hashes but no addresses: the configuration of the machine
that installs the packages decides where they come from.

The conda environments are for `snakemake --sdm conda`. Snakemake copies such a file before it uses it, so that the file must
contain all the requirements itself.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
FLAGS = "--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header".split()
CONSTRAINTS = {"cpu": [], "gpu": ["-c", "cpu.lock"], "dev": ["-c", "cpu.lock"]}
CONDA = ("cpu", "gpu")
CONDA_PYTHON = "3.12"
ADDRESSES = ("://", "index-url", "find-links", "file:")


def lock_header(kind: str) -> str:
    """Write the first line of a lock file, which says how it was made."""
    return f"# Made by `make lock` (uv pip compile, see envs/lock.py) from {kind}.in; not edited by hand.\n"


def lock(kind: str, upgrade: bool) -> str:
    """Write the text of a lock file with uv; versions of the existing lock file are kept unless `upgrade`."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"{kind}.lock"
        if (FOLDER / made.name).is_file():
            shutil.copy(FOLDER / made.name, made)
        more = ["--upgrade"] if upgrade else []
        command = ["uv", "pip", "compile", *FLAGS, *CONSTRAINTS[kind], *more, "--quiet", "-o", str(made), f"{kind}.in"]
        subprocess.run(command, cwd=FOLDER, check=True)
        text = lock_header(kind) + made.read_text(encoding="utf-8")
    found = [word for word in ADDRESSES if word in text]
    if found:
        sys.exit(f"error: {kind}.lock would contain an address ({', '.join(found)}); it was not changed")
    return text


def requirements(lock_text: str) -> list[list[str]]:
    """Split a lock file into its requirements: lines with name, version and marker first, then one hash per line."""
    lines = [line.removesuffix("\\").strip() for line in lock_text.splitlines() if line and not line.startswith("#")]
    result: list[list[str]] = []
    for line in lines:
        if line.startswith("--hash="):
            result[-1].append(line)
        else:
            result.append([line])
    return result


def conda_environment(kind: str, lock_text: str) -> str:
    """Write a lock file as a conda environment: the same requirements with the same hashes, installed by pip."""
    lines = [
        f"# Made by `make lock` (see envs/lock.py) from {kind}.lock, for `snakemake --sdm conda`; not edited by hand.",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python={CONDA_PYTHON}",
        "  - pip",
        "  - pip:",
    ]
    for requirement in requirements(lock_text):
        lines += ["      - >-", *(f"        {line}" for line in requirement)]
    return "\n".join(lines) + "\n"


def replace(path: Path, text: str) -> None:
    """Replace a file as a whole, and print whether it has changed."""
    changed = not path.is_file() or path.read_text(encoding="utf-8") != text
    part = path.with_name(f".part-{path.name}")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(path)
    print(f"{'written' if changed else 'unchanged'}: envs/{path.name}")


def main() -> None:
    """Write all files; the one for the CPU first, since the others use its versions."""
    if shutil.which("uv") is None:
        sys.exit("error: make lock needs `uv` on PATH: pip install uv")
    for kind in CONSTRAINTS:
        try:
            text = lock(kind, upgrade="--upgrade" in sys.argv[1:])
        except subprocess.CalledProcessError:
            sys.exit(f"error: uv could not resolve envs/{kind}.in (see its messages above); its files were not changed")
        replace(FOLDER / f"{kind}.lock", text)
        if kind in CONDA:
            replace(FOLDER / f"{kind}.yaml", conda_environment(kind, text))


if __name__ == "__main__":
    main()
