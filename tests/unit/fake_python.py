"""A fake Python for the tests of the set-up: it records its calls and pretends to do the work.

Run as `fake_python.py ITSELF ARGUMENTS…`; the file ITSELF.json says how it is: {"version": "3.12", "venv": true, "status": 0}.
"""

import json
import os
import shutil
import site
import sys
from importlib import import_module
from pathlib import Path


def main() -> int:
    """Behave like Python, as far as envs/set_up.sh and the Makefile can see."""
    itself, arguments = Path(sys.argv[1]), sys.argv[2:]
    nature = json.loads(itself.with_name(itself.name + ".json").read_text(encoding="utf-8"))
    if arguments[0] == "-c":
        if "version_info" in arguments[1]:
            print(nature["version"])
        return 0 if "ensurepip" not in arguments[1] or nature["venv"] else 1
    if arguments[:2] == ["-m", "cxrflow.run.start"]:  # the command itself, which asks this Python for something else
        site.main()
        sys.path.insert(0, str(Path(__file__).parents[2] / "workflow"))
        sys.executable, sys.argv = str(itself), ["start", *arguments[2:]]
        command = import_module("cxrflow.io.command").run_command
        command(import_module("cxrflow.run.start").main)
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
