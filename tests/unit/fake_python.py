"""A Python for the tests of the set-up: writes down what it is asked, and does as if.

Run as `fake_python.py ITSELF ARGUMENTS…`; the file ITSELF.json says how it is: {"version": "3.12", "venv": true, "status": 0}.
"""

import json
import os
import shutil
import sys
from pathlib import Path


def main() -> int:
    """Behave as a Python would, as far as envs/set_up.sh and the Makefile can see."""
    itself, arguments = Path(sys.argv[1]), sys.argv[2:]
    nature = json.loads(itself.with_name(itself.name + ".json").read_text(encoding="utf-8"))
    if arguments[0] == "-c":
        if "version_info" in arguments[1]:
            print(nature["version"])
        return 0 if "ensurepip" not in arguments[1] or nature["venv"] else 1
    with Path(os.environ["FAKE_LOG"]).open("a", encoding="utf-8") as log:
        log.write(json.dumps(arguments) + "\n")
    if arguments[:2] == ["-m", "venv"]:
        folder = Path(arguments[2]) / "bin"
        folder.mkdir()
        (folder.parent / "pyvenv.cfg").touch()
        for end in ("", ".json"):
            shutil.copy(itself.with_name(itself.name + end), folder / f"python{end}")
        return 0
    return int(nature.get("status", 0))


if __name__ == "__main__":
    sys.exit(main())
