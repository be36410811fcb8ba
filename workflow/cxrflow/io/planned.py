"""What a run was planned with. Its jobs start later, some of them on other machines; they refuse to use anything else.

Snakemake records what was planned, not what a job found. If code or a config is edited during a run and restored afterwards,
nothing would distinguish the results from the intended ones.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxrflow.io.code_hash import code_hash
from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.files import NO_FILE, Stamp, read_json, sha256_of_file, stamp_of

_unread: dict[str, Stamp] = {}
"""Files that this stage has yet to read, each with its stamp from before the comparison with the plan."""


def planned() -> dict[str, Any]:
    """The plan of the run that this process is a job of; empty if it is not one.

    Raises:
        UserError: the file of the plan is damaged.
        OSError: it is not there.
    """
    file = os.environ.get("CXRFLOW_PLAN")  # a file: the plan may be longer than a variable can be
    plan: dict[str, Any] = read_json(file) if file else {}
    return plan


def refuse_other_code(module: str) -> None:
    """Compare the current code with the code that a run was planned with.

    Args:
        module: such as "cxrflow.stages.split_images".

    Raises:
        UserError: the code has changed.
    """
    stage = module.rpartition(".")[2]
    code = planned().get("code", {}).get(stage)
    if code is not None and code != code_hash(module):
        raise UserError(f"the code of {stage} has changed since this run was planned; run the same command again")


def refuse_other_settings(settings: str) -> None:
    """Compare the config, which a job of a cluster reads again, with the one that its run was planned with.

    Args:
        settings: hash of all settings.

    Raises:
        UserError: they have changed.
    """
    if planned().get("settings", settings) != settings:
        raise UserError("the config has changed since this run was planned; run the same command again")


def refuse_other_files(arguments: Sequence[str]) -> None:
    """Compare the user's files that a stage will read with their contents when the run was planned.

    Args:
        arguments: the stage's command line. Of the files that the plan names, those that are arguments, or in a folder that is
            one, are compared.

    Raises:
        UserError: a file has changed, or is gone.
    """
    files = planned().get("files", {})
    named = [file for file in files if {file, *map(str, Path(file).parents[:-1])} & set(arguments)]
    _unread.update({file: stamp_of(file) for file in named})
    changed = [file for file in named if _unread[file] == NO_FILE or sha256_of_file(file) != files[file]]
    raise_all([f"{file}: changed since this run was planned; run the same command again" for file in changed])


def refuse_changed_files() -> None:
    """Check that the files of `refuse_other_files` are untouched: the bytes that were compared are those that were read.

    Called when all of them have been read: at the end of a stage, or before hours of work that need them no more.

    Raises:
        UserError: a file was written, replaced or renamed meanwhile, even if it has been restored since.
    """
    changed = [file for file, stamp in _unread.items() if stamp_of(file) != stamp]
    _unread.clear()
    raise_all([f"{file}: changed while it was read; run the same command again" for file in changed])
