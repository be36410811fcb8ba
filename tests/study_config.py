"""The raw config of a run of a study in studies/."""

from pathlib import Path
from typing import Any

from cxrflow.study.run import with_study
from cxrflow.study.yaml_files import read_yaml

PROJECT = Path(__file__).resolve().parent.parent


def study_config(study: str = "sha_2021") -> dict[str, Any]:
    """Merge the keys of config.yaml into those of a study."""
    return with_study({**read_yaml(PROJECT / "config.yaml"), "study": study})
