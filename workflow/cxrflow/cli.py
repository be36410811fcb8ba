"""The `cxrflow` command: subcommands, each the main function of a module, which is imported only when it is called."""

import ast
import sys
from importlib import import_module
from pathlib import Path

from cxrflow.io.command import run_command
from cxrflow.io.errors import UserError
from cxrflow.io.words import did_you_mean

COMMANDS = {
    "run": "cxrflow.run.start",
    "init": "cxrflow.run.new_study",
    "doctor": "cxrflow.run.doctor",
    "why": "cxrflow.run.why",
    "audit": "cxrflow.run.audit",
    "preview": "cxrflow.augmentation.show_augmentation",
    "predict": "cxrflow.evaluation.predict_images",
    "publish": "cxrflow.publication.publish_results",
    "join": "cxrflow.publication.join_results",
    "reference-training": "cxrflow.publication.reference_training",
    "verify": "cxrflow.publication.verify_results",
    "tabulate": "cxrflow.publication.tabulate_results",
    "clean": "cxrflow.training.clean_checkpoints",
}
"""Subcommand to module."""
PACKAGE_FOLDER = Path(__file__).resolve().parent


def help_text() -> str:
    """What `cxrflow --help` prints."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: cxrflow COMMAND [ARGUMENTS]",
            "",
            *(f"  {command:{width}}  {summary_of(module)}" for command, module in COMMANDS.items()),
            "",
            "cxrflow COMMAND --help describes the arguments of a command. `snakemake` and `make study` run a study, too.",
        ]
    )


def summary_of(module: str) -> str:
    """The first line of a module's docstring, without importing the module."""
    file = PACKAGE_FOLDER.joinpath(*module.split(".")[1:]).with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def call(command: str, arguments: list[str]) -> None:
    """Call a subcommand.

    Raises:
        UserError: there is no such subcommand, or what it reports.
    """
    if command not in COMMANDS:
        allowed = did_you_mean(command, COMMANDS) or f"; allowed: {', '.join(COMMANDS)}"
        raise UserError(f"there is no command {command!r}{allowed}")
    sys.argv = [f"cxrflow {command}", *arguments]
    import_module(COMMANDS[command]).main()


def main() -> None:
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        print(help_text())
    else:
        run_command(lambda: call(command, arguments))
