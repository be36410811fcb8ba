"""Run, plan or check a study with Snakemake; values may contain blanks, quotes and colons.

Unknown arguments are passed on to Snakemake.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from cxrflow.io.command import run_command, stage_parser
from cxrflow.io.errors import UserError, raise_all

CHECKOUT = Path(__file__).resolve().parents[3]
SNAKEFILES = ("Snakefile", "workflow/Snakefile")


def quoted(text: str) -> str:
    """Quote a text as YAML, for `snakemake --config`. The blanks around it keep Snakemake from stripping the quotes."""
    return f" {_as_yaml(text)} "


def quoted_list(text: str) -> str:
    """Convert names, separated by blanks or commas, to a YAML list, for `snakemake --config`."""
    return f" [{', '.join(_as_yaml(name) for name in re.split(r'[ ,]+', text.strip(' ,')))}] "


def _as_yaml(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _words(name: str, text: str) -> list[str]:
    """Split a text as a shell does."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(
            f"{name}: {text}: {str(error).lower()}; put each value with blanks or braces in quotes"
        ) from None


def _pair_problem(value: str) -> str:
    """Why Snakemake cannot read a value of the command line; an empty text if it can."""
    key, equals, rest = value.partition("=")
    if equals and key.isidentifier():
        return ""
    outer, dot, inner = key.partition(".")
    if equals and dot:
        return f"CONFIG: {value}: keys have no dots here; write {outer}='{{{inner}: {rest}}}'"
    return f"CONFIG: {value}: must be KEY=VALUE without blanks around the =, such as seeds=5"


def config_values(args: argparse.Namespace) -> list[str]:
    """Convert the arguments to values of the form KEY=VALUE.

    Raises:
        UserError: `--data` is not a folder.
    """
    values = [*args.config, *_words("CONFIG", args.config_text)]
    problems = [problem for value in values if (problem := _pair_problem(value))]
    raise_all(problems)
    has_images = any(value.startswith(("images=", "phantoms=")) for value in values) or "--configfile" in args.flags
    if args.data and not has_images and not Path(args.data).is_dir():
        raise UserError(f"DATA: there is no folder {args.data}")
    given = [("study", args.study, quoted), ("images", args.data, quoted), ("weights", args.weights, quoted)]
    named = [f"{key}={as_yaml(text)}" for key, text, as_yaml in [*given, ("only", args.only, quoted_list)] if text]
    return [*named, *(["with_extras=True"] if args.extras else []), *values]


def with_environment(args: argparse.Namespace) -> argparse.Namespace:
    """Take folders that the command line does not name from environment variables."""
    given = vars(args)
    for name, variable in (("data", "CXRFLOW_STUDY_DATA"), ("weights", "CXRFLOW_WEIGHTS")):
        if given[name] is None:
            given[name] = os.environ.get(variable, "")
    return args


def command_of(args: argparse.Namespace, more_flags: Sequence[str]) -> list[str]:
    """Build the arguments of Python for a run, its plan (`--why`) or its check (`--doctor`).

    Raises:
        UserError: `--data` is not a folder, or `--doctor` was given flags of Snakemake.
    """
    values, flags = config_values(args), [*_words("FLAGS", args.flags), *more_flags]
    if args.doctor:
        if flags:
            raise UserError(
                "make doctor takes no FLAGS; for an overlay: python -m cxrflow.run.doctor --config config.yaml OVERLAY"
            )
        slurm = ["--slurm"] if args.slurm else []
        doctor = ["cxrflow.run.doctor", "--config", "config.yaml", "--lock", args.lock, *slurm]
        return ["-m", *doctor, *(["--set", *values] if values else [])]
    where = ["--workflow-profile", "profiles/slurm"] if args.slurm else ["--cores", args.cores]
    if not any(Path(name).is_file() for name in SNAKEFILES):
        where = ["--snakefile", str(CHECKOUT / SNAKEFILES[0]), *where]
    dry_run = ["--dry-run"] if args.dry_run else []
    program = "cxrflow.run.why" if args.why else "snakemake"
    return ["-m", program, *where, *flags, *(["--config", *values] if values else []), *dry_run]


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--study", default="", help="a shipped study, or the path of its folder")
    parser.add_argument("--data", help="folder of the images; by default $CXRFLOW_STUDY_DATA")
    parser.add_argument("--weights", help="folder of the initial weights; by default $CXRFLOW_WEIGHTS")
    parser.add_argument("--only", default="", help="names of experiments or extras, separated by blanks or commas")
    parser.add_argument("--extras", action="store_true", help="also run the extras")
    parser.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE", help="more values of the config")
    parser.add_argument("--config-text", default="", help="the same as one text, which is split as a shell does")
    parser.add_argument("--flags", default="", help="flags of Snakemake as one text, which is split as a shell does")
    parser.add_argument("--cores", default="all", help="cores to use")
    parser.add_argument("--slurm", action="store_true", help="on a Slurm cluster (profiles/slurm)")
    parser.add_argument("--dry-run", action="store_true", help="list the jobs, and run none")
    parser.add_argument("--why", action="store_true", help="explain what would be computed, and why; run nothing")
    parser.add_argument("--doctor", action="store_true", help="check this machine; run nothing")
    parser.add_argument("--lock", default="envs/cpu.lock", help="for --doctor: lock file of the installed packages")
    args, more_flags = parser.parse_known_args()
    command = command_of(with_environment(args), more_flags)
    os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    run_command(main)
