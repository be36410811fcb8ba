"""The command line of stages and commands: one way to parse arguments, report errors and exit."""

import argparse
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from pydantic import BaseModel, ValidationError

from cxrflow.io.code_hash import assert_within_closure
from cxrflow.io.errors import UserError, one_line
from cxrflow.io.planned import refuse_changed_files, refuse_other_code, refuse_other_files


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help describes the arguments")


def stage_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the module's docstring; wrong arguments raise a `UserError`."""
    return _Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)


def add_settings(parser: argparse.ArgumentParser, model: type[BaseModel]) -> None:
    """Add `--settings`: keys of the config as JSON, read as the typed settings of the stage."""

    def typed(text: str) -> BaseModel:
        try:
            return model.model_validate_json(text)
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
            raise UserError([f"--settings: {line}" for line in wrong]) from None

    keys = ", ".join(model.model_fields)
    parser.add_argument("--settings", type=typed, default="{}", help=f"keys of the config as JSON: {keys}")


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage as a program, `python -m cxrflow.stages.…`.

    As a job of a run it reads code and files as they were when the run was planned, or fails. Afterwards the loaded modules are
    checked against the stage's code hash.
    """
    spec = sys.modules[main.__module__].__spec__
    assert spec is not None, "a stage is run as `python -m cxrflow.…`"
    module = spec.name

    def planned_main() -> None:
        refuse_other_code(module)
        refuse_other_files(sys.argv[1:])
        main()
        refuse_changed_files()

    run_command(planned_main)
    assert_within_closure(module)


def run_command(main: Callable[[], None]) -> None:
    """Run a program that is no job of a run.

    A `UserError` is printed, one line for each message, with exit status 1, and so are a full disk and a folder without write
    permission. An interruption (Ctrl-C) is reported in one line.
    """
    try:
        main()
    except UserError as error:
        for message in error.messages:
            print(f"error: {one_line(message)}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        file = error.filename2 or error.filename or "a file"  # of a copy, the second is the one that is written
        print(one_line(f"error: {file}: {error.strerror or error}"), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped by SIGINT", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
