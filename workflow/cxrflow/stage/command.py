"""The command line of a stage: one way to parse, to fail, and to end."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from cxrflow.stage.code_hash import assert_within_closure
from cxrflow.stage.faults import Fault, one_line
from cxrflow.stage.planned import refuse_other_code


def stage_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the stage's docstring."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage as a program.

    A `Fault` is printed, one line a message, with exit status 1; so is a full disk or a folder that may not be written.
    As a job of a run it begins with the code that the run was planned with, or not at all. Afterwards the stage is held
    against its code hash.
    """
    stage = Path(sys.argv[0]).stem
    try:
        refuse_other_code(stage)
        main()
    except Fault as fault:
        for message in fault.messages:
            print(f"error: {one_line(message)}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(one_line(f"error: {error.filename or 'a file'}: {error.strerror or error}"), file=sys.stderr)
        sys.exit(1)
    assert_within_closure(f"cxrflow.{stage}")
