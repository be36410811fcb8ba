"""What a run was planned with: its jobs begin later, some of them on other machines, and make nothing by anything else.

Snakemake writes down what was planned, not what a job found. Code or a config that is edited while a run is under way, and set
back afterwards, would leave results that nothing tells from those that were meant.
"""

import json
import os
from typing import Any

from cxrflow.stage.code_hash import code_hash
from cxrflow.stage.faults import Fault

PLAN = "CXRFLOW_PLAN"
"""The environment variable in which a job has its run's plan: JSON, from the rules."""


def planned() -> dict[str, Any]:
    """The plan of the run that this process is a job of; empty where there is none."""
    plan: dict[str, Any] = json.loads(os.environ.get("CXRFLOW_PLAN", "{}"))
    return plan


def refuse_other_code(stage: str) -> None:
    """Hold the code that is here now against what a run was planned with.

    Args:
        stage: such as "split_images".

    Raises:
        Fault: it is other code.
    """
    code = planned().get("code", {}).get(stage)
    if code is not None and code != code_hash(f"cxrflow.{stage}"):
        raise Fault(f"the code of {stage} has changed since this run was planned; give the command again")


def refuse_other_settings(settings: str) -> None:
    """The same for the config, as a job of a cluster reads it anew.

    Args:
        settings: hash of all settings.

    Raises:
        Fault: they are others.
    """
    if planned().get("settings", settings) != settings:
        raise Fault("the config has changed since this run was planned; give the command again")
